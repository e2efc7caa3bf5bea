//! The promise: whoever holds the program wrong is told what is wrong, where, and what to do, and nothing is started.
//! Every command has `--help`; every refusal is exit 2, and names what was given.

use crate::inputs::{Event, START, office_hours};
use crate::support::{Dice, Ended, Place, aerie, get};
use std::path::PathBuf;

const COMMANDS: [&str; 6] = ["demo", "run", "snapshots", "check", "generate", "evaluate"];

#[test]
fn every_command_explains_itself() {
    let all = aerie(&["--help"]).done().stdout;
    let unexplained = |command: &&str| {
        let help = aerie(&[*command, "--help"]);
        !all.contains(command) || help.code != Some(0) || !help.stdout.contains(&format!("aerie {command}"))
    };
    let silent: Vec<_> = COMMANDS.into_iter().filter(unexplained).collect();
    assert!(silent.is_empty(), "without help, or not in it: {silent:?}\n{all}");
}

/// What is wrong, the words, and what the refusal must name.
#[test]
fn every_command_names_what_is_wrong_with_its_words() {
    let place = Place::new();
    let name = |path: PathBuf| path.display().to_string();
    let events = name(place.write_lines("events", &[Event::new("1", START).line()]));
    let (data, missing) = (name(place.path("data")), name(place.path("missing")));
    let broken = name(place.write("broken.toml", "[job\nworkers = 0\n"));
    let wrong = name(place.write("wrong.toml", "[job]\nworkers = 0\ndata_dirr = \"x\"\n[[source]]\nkind = \"fil\"\n"));
    let prose = name(place.write("prose.ndjson", "this is no JSON\n"));
    let [events, data, missing, broken, wrong, prose] =
        [&events, &data, &missing, &broken, &wrong, &prose].map(String::as_str);
    let run = |[flag, value]: [&'static str; 2]| vec!["run", "--input", events, "--data-dir", data, flag, value];
    let run_with = |flag: &'static str| vec!["run", "--input", events, "--data-dir", data, flag, missing];
    let cases: Vec<(&str, Vec<&str>, Vec<&str>)> = vec![
        ("no command", vec![], vec!["run"]),
        ("unknown command", vec!["rum"], vec!["rum", "run"]),
        ("unknown flag", run(["--worker", "2"]), vec!["--worker", "--workers"]),
        ("no input", vec!["run", "--data-dir", data], vec!["--input"]),
        ("no data folder", vec!["run", "--input", events], vec!["--data-dir"]),
        ("no such input", vec!["run", "--input", missing, "--data-dir", data], vec![missing]),
        ("no such control file", run_with("--control"), vec![missing]),
        ("no such list", run_with("--tor-list"), vec![missing]),
        ("no workers", run(["--workers", "0"]), vec!["--workers", "0"]),
        ("words for workers", run(["--workers", "many"]), vec!["--workers", "many"]),
        ("little memory", run(["--state-memory", "1KiB"]), vec!["--state-memory", "1KiB"]),
        ("no unit", run(["--snapshot-every", "10"]), vec!["--snapshot-every", "10"]),
        ("no such config", vec!["run", "--config", missing], vec![missing]),
        ("broken config", vec!["run", "--config", broken], vec!["broken.toml:1"]),
        ("wrong config", vec!["run", "--config", wrong], vec!["wrong.toml:2", "wrong.toml:3", "wrong.toml:5"]),
        ("check of it", vec!["check", "--config", wrong], vec!["wrong.toml:2", "wrong.toml:3", "wrong.toml:5"]),
        ("check of none", vec!["check", "--config", missing], vec![missing]),
        (
            "no plan",
            vec!["generate", "--seed", "1", "--orgs", "0", "--users", "1", "--days", "1", "--out", data],
            vec!["orgs", "0"],
        ),
        (
            "large plan",
            vec!["generate", "--seed", "1", "--orgs", "9", "--users", "9999999", "--days", "1", "--out", data],
            vec!["users"],
        ),
        (
            "no number",
            vec!["generate", "--seed", "one", "--orgs", "1", "--users", "1", "--days", "1", "--out", data],
            vec!["--seed", "one"],
        ),
        ("no labels", vec!["evaluate", "--labels", missing, "--audit", prose], vec![missing]),
        ("prose for labels", vec!["evaluate", "--labels", prose, "--audit", prose], vec!["prose.ndjson:1"]),
    ];
    assert_all_refused(&place, cases);
}

#[test]
fn what_a_job_leaves_is_not_looked_for_where_no_job_was() {
    let place = Place::new();
    let missing = place.path("missing").display().to_string();
    let missing = missing.as_str();
    let cases = vec![("no snapshots", vec!["snapshots", "list", "--data-dir", missing], vec![missing])];
    assert_all_refused(&place, cases);
}

/// Each is exit 2 with all that it must name, and neither `data` nor `missing` was made.
fn assert_all_refused(place: &Place, cases: Vec<(&str, Vec<&str>, Vec<&str>)>) {
    let mut problems = Vec::new();
    for (what, words, told) in cases {
        let ended = aerie(&words);
        let unsaid: Vec<_> = told.iter().filter(|word| !ended.stderr.contains(**word)).collect();
        let noisy = ["panicked at", "Os {", "Some("].iter().any(|noise| ended.stderr.contains(noise));
        if ended.code != Some(2) || !unsaid.is_empty() || noisy {
            let Ended { what: words, code, stderr, .. } = &ended;
            problems.push(format!("{what}: exit {code:?}, unsaid {unsaid:?}\n  aerie {words}\n  {stderr}"));
        }
        assert!(!place.path("data").exists(), "{what}: something was started");
        assert!(!place.path("missing").exists(), "{what}: the folder was made");
    }
    assert!(problems.is_empty(), "{} of them:\n{}", problems.len(), problems.join("\n"));
}

#[test]
fn a_second_run_beside_the_first_is_refused() {
    let place = Place::new();
    let lines = office_hours(START, 60, &mut Dice::new(1));
    let config = place.config("data", &[place.write_lines("events", &lines)], "follow = true", "");
    let mut first = config.start();
    let address = first.address();
    // It answers before it has its data directory.
    first.running_until("it to be ready", || get(address, "/readyz").0 == 200);
    let data = config.data_dir.display().to_string();
    config.start().wait().refused(2, &[&data]);
    first.terminate().done();
}

#[test]
fn a_good_config_passes_the_check_and_nothing_is_opened() {
    let place = Place::new();
    let file = place.write(
        "job.toml",
        format!(
            "[job]\ndata_dir = {:?}\n[[source]]\nkind = \"file\"\npaths = [\"not there yet\"]\n",
            place.path("data")
        ),
    );
    aerie(&["check", "--config", &file.display().to_string()]).done();
    assert!(!place.path("data").exists());
}

/// A pipe that nobody reads any more is no crash.
#[test]
fn a_closed_pipe_is_no_panic() {
    let place = Place::new();
    let binary = env!("CARGO_BIN_EXE_aerie");
    let out = place.path("stderr");
    let script = format!("{binary} --help 2> {} | head -c 1 > /dev/null", out.display());
    assert!(std::process::Command::new("sh").args(["-c", &script]).status().expect("a shell starts").success());
    let said = crate::outputs::text(&out);
    assert!(!said.contains("panicked"), "{said}");
}

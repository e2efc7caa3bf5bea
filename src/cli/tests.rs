//! The command line: what it takes, what it refuses, and what its failures mean to a shell.

use super::*;
use clap::CommandFactory;
use clap::error::ErrorKind as Refused;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split_whitespace())
}

fn refused(line: &str) -> clap::Error {
    parse(line).expect_err(line)
}

#[test]
fn the_commands_are_well_formed_and_each_has_an_example() {
    Cli::command().debug_assert();
    for command in Cli::command().get_subcommands() {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(help.contains("Example"), "{} shows no example", command.get_name());
        assert!(command.get_about().is_some(), "{} says nothing of itself", command.get_name());
    }
    let names: Vec<_> = Cli::command().get_subcommands().map(|command| command.get_name().to_owned()).collect();
    assert_eq!(names, ["demo", "run", "check", "inspect", "replay", "responses", "snapshots", "generate", "evaluate"]);
}

#[test]
fn what_is_documented_is_taken() {
    for line in [
        "aerie demo",
        "aerie demo --data-dir d --keep-serving",
        "aerie run --config job.toml",
        "aerie run --config job.toml --workers 4 --shadow --json",
        "aerie run --input a b --control c --tor-list t --data-dir d --workers cores --state-memory 256MiB \
         --snapshot-every 1s --drain-timeout 5m --shadow --follow --json",
        "aerie run --input a --data-dir d --processes 3 --workers 2",
        "aerie check --config job.toml",
        "aerie snapshots list --data-dir d --json",
        "aerie snapshots list --data-dir d --snapshots s3://b/p",
        "aerie snapshots show 3 --data-dir d",
        "aerie snapshots verify --data-dir d --json",
        "aerie snapshots verify name --data-dir d",
        "aerie snapshots save name --data-dir d",
        "aerie snapshots save name 3 --data-dir d --json",
        "aerie snapshots delete 3 --data-dir d --force",
        "aerie replay --data-dir d --from 3",
        "aerie inspect --data-dir d --org E --user U --json",
        "aerie inspect --data-dir d --org E --user U --at name --snapshots s3://b/p",
        "aerie inspect --data-dir d --org E --user U --between 1 2",
        "aerie inspect --data-dir d --job --http 127.0.0.1:1",
        "aerie replay --data-dir d --from name --input a b --control c --config j --snapshots s3://b/p --shadow \
         --workers 2 --json",
        "aerie generate --seed 1 --orgs 2 --users 3 --days 4 --out d --json",
        "aerie evaluate --labels l --audit a --decisions d --json",
    ] {
        assert!(parse(line).is_ok(), "{line}: {}", refused(line));
    }
}

#[test]
fn usage_errors_exit_with_two_and_help_with_zero() {
    for (line, kind) in [
        ("aerie run", Refused::MissingRequiredArgument),
        ("aerie run --input", Refused::InvalidValue),
        ("aerie generate --orgs many --out d", Refused::ValueValidation),
        ("aerie evaluate --labels l", Refused::MissingRequiredArgument),
        ("aerie snapshots list", Refused::MissingRequiredArgument),
        ("aerie run --input a --data-dir d --colour", Refused::UnknownArgument),
        ("aerie fly", Refused::InvalidSubcommand),
    ] {
        let error = refused(line);
        assert_eq!((error.kind(), error.exit_code()), (kind, 2), "{line}");
    }
    for line in ["aerie --help", "aerie run --help", "aerie --version"] {
        assert_eq!(refused(line).exit_code(), 0, "{line}");
    }
}

#[test]
fn the_exit_code_names_the_remedy() {
    let io = Error::io("open", "x")(io::Error::other("no"));
    let codes = [
        (Error::Invalid("i".into()), 2),
        (Error::Corrupt("c".into()), 3),
        (Error::Unavailable("u".into()), 1),
        (Error::Fault("f".into()), 1),
        (io, 1),
    ];
    for (error, code) in codes {
        let text = error.to_string();
        let failure = Failure::from(error);
        assert_eq!((failure.code(), failure.to_string()), (code, text));
    }
    let problems = config::Job::from_flags(config::Flags::default(), Vec::new()).unwrap_err();
    let failure = Failure::from(problems);
    assert_eq!(failure.code(), 2);
    assert!(failure.to_string().contains("data_dir is missing"), "{failure}");
}

#[test]
fn problems_of_a_job_file_are_told_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("job.toml");
    std::fs::write(&path, "[job]\nworker = 2\n[http]\nlisten = \"0.0.0.0:1\"\n").unwrap();
    let line = format!("aerie check --config {}", path.display());
    let failure = parse(&line).unwrap().execute().unwrap_err();
    assert_eq!(failure.code(), 2);
    for part in ["did you mean workers?", "loopback", "data_dir is missing", "source is missing", "4 problems"] {
        assert!(failure.to_string().contains(part), "{part} in {failure}");
    }
    let missing = parse("aerie check --config no/such/file.toml").unwrap().execute().unwrap_err();
    assert!(missing.code() == 2 && missing.to_string().contains("no/such/file.toml"), "{missing}");
}

#[test]
fn the_shipped_job_file_is_fine() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/config/jobs/files.toml");
    assert_eq!(parse(&format!("aerie check --config {path}")).unwrap().execute(), Ok(()));
}

#[test]
fn missing_inputs_are_a_usage_error_before_anything_starts() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let line = format!("aerie run --input no/such.ndjson --data-dir {}", data.display());
    let failure = parse(&line).unwrap().execute().unwrap_err();
    assert!(failure.code() == 2 && failure.to_string().contains("no/such.ndjson"), "{failure}");
    assert!(!data.exists());
}

#[test]
fn counts_read_well() {
    let shown = [0, 999, 1_000, 12_345, 1_234_567].map(grouped);
    assert_eq!(shown, ["0", "999", "1,000", "12,345", "1,234,567"]);
    assert_eq!(counted(1, "anomaly", "anomalies"), "1 anomaly");
    assert_eq!(counted(2_000, "anomaly", "anomalies"), "2,000 anomalies");
    assert_eq!(plain("a\u{1b}[31m\nb"), "a?[31m?b");
}

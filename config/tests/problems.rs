//! Problems: that all are reported at once, where they stand, and that no bad value becomes a job.

use config::{Flags, Job, JobFile, Layers};
use proptest::prelude::*;
use std::path::PathBuf;
use std::time::Duration;

const VALID: &str = "[job]\ndata_dir = \"d\"\n[[source]]\nkind = \"file\"\npaths = [\"e.ndjson\"]\n";

fn file(text: &str) -> Layers {
    let file = JobFile { name: "job.toml".to_owned(), text: text.to_owned() };
    Layers { file: Some(file), ..Layers::default() }
}

fn refused(layers: &Layers) -> String {
    Job::load(layers).expect_err("this must be refused").to_string()
}

#[test]
fn ten_mistakes_are_ten_problems() {
    let told = refused(&file(include_str!("golden/ten_mistakes.toml")));
    assert_eq!(told + "\n", include_str!("golden/ten_mistakes.txt"));
}

#[test]
fn bad_syntax_is_told_with_its_place_whatever_the_rest_says() {
    let told = refused(&file("[job\nworkers = = 1\n"));
    assert!(told.starts_with("job.toml:1:5: not TOML"), "{told}");
    assert!(told.contains("job.toml:2:"), "{told}");
}

#[test]
fn what_is_missing_is_missing_from_the_file_and_not_from_the_defaults() {
    let told = refused(&file("[http]\nlisten = \"127.0.0.1:0\"\n"));
    assert!(told.contains("job.toml: job.data_dir is missing"), "{told}");
    assert!(told.contains("job.toml: source is missing"), "{told}");
    assert!(told.ends_with("2 problems"), "{told}");
}

#[test]
fn databases_are_named_by_what_they_are_about() {
    let job =
        Job::load(&file(&format!("{VALID}[networks]\nasn = \"a.mmdb\"\nanonymous = \"b.mmdb\"\n"))).expect("valid");
    let named: Vec<_> = job.networks.iter().map(|(about, path)| (about.name(), path.clone())).collect();
    assert_eq!(named, [("asn", PathBuf::from("a.mmdb")), ("anonymous", PathBuf::from("b.mmdb"))]);
    let told = refused(&file(&format!("{VALID}[networks]\ncountries = \"c.mmdb\"\nasn = 5\n")));
    assert!(told.contains("networks.countries") && told.contains("did you mean country?"), "{told}");
    assert!(told.contains("networks.asn = 5: must be a text"), "{told}");
}

#[test]
fn a_list_is_fetched_for_a_job_that_follows_and_its_url_is_shown_to_nobody() {
    let follows = VALID.replace("paths", "follow = true\npaths");
    let job = Job::load(&file(&follows)).expect("valid");
    assert_eq!((job.threat_lists.tor_exit, job.threat_lists.every.as_secs()), (None, 3_600));
    let lists = |lines: &str| file(&format!("{follows}[threat_lists]\n{lines}\n"));
    let job = Job::load(&lists("tor_exit = \"https://lists.example/t?key=hunter2\"\nevery = \"2h\"")).expect("valid");
    let fetched = job.threat_lists.tor_exit.as_ref().expect("it is set");
    assert_eq!((fetched.expose(), job.threat_lists.every.as_secs()), ("https://lists.example/t?key=hunter2", 7_200));
    assert!(!format!("{job:?}").contains("hunter2"));
    for url in ["hunter2", "ftp://hunter2/", "file:///hunter2", "http://", "https://hunter2@x/", "https://u:hunter2@x/"]
    {
        let told = refused(&lists(&format!("tor_exit = {url:?}")));
        assert!(told.contains("threat_lists.tor_exit must") && !told.contains("hunter2"), "{url}: {told}");
    }
    let told = refused(&file(&format!("{VALID}[threat_lists]\ntor_exit = \"https://x/\"\nevery = \"10ms\"\n")));
    assert!(told.contains("without a source that is followed") && told.contains("every = \"10ms\": must"), "{told}");
}

#[test]
fn each_layer_wins_over_the_one_below_and_is_named_when_it_is_wrong() {
    let mut layers = file(&VALID.replace("[job]\n", "[job]\nworkers = 2\nsnapshot_every = \"1m\"\n"));
    let job = Job::load(&layers).expect("the file is valid");
    assert_eq!((job.workers.get(), job.snapshot_every, job.drain_timeout.as_secs()), (2, Duration::from_secs(60), 300));

    layers.environment = vec![("AERIE__JOB__WORKERS".into(), "3".into()), ("PATH".into(), "/bin".into())];
    assert_eq!(Job::load(&layers).expect("so is the environment").workers.get(), 3);
    layers.flags.workers = Some("4".into());
    assert_eq!(Job::load(&layers).expect("and the flag").workers.get(), 4);

    layers.flags.workers = Some("many".into());
    layers.environment.push(("AERIE__JOB__SHADOW".into(), "yes".into()));
    layers.environment.push(("AERIE__DETECT__SEARCH_VOLUME__FLOR".into(), "5".into()));
    let told = refused(&layers);
    assert!(told.contains("--workers: job.workers = \"many\": must be a whole number from 1 to 256"), "{told}");
    assert!(told.contains("AERIE__JOB__SHADOW: job.shadow = \"yes\": must be true or false"), "{told}");
    assert!(told.contains("did you mean floor?"), "{told}");
    assert!(told.ends_with("3 problems"), "{told}");
}

#[test]
fn flags_alone_are_a_job() {
    let flags = Flags {
        input: vec!["a.ndjson".into(), "b.ndjson".into()],
        control: vec!["c.ndjson".into()],
        data_dir: Some("d".into()),
        state_memory: Some("64MiB".into()),
        follow: true,
        shadow: true,
        ..Flags::default()
    };
    let job = Job::from_flags(flags, Vec::new()).expect("enough to run");
    assert_eq!(job.sources[0].kind.files(), [PathBuf::from("a.ndjson"), "b.ndjson".into()]);
    assert!(job.sources[0].kind.is_live() && job.shadow);
    assert_eq!((job.state_memory_bytes, job.control.len()), (64 << 20, 1));
    assert_eq!(job.sources[0].max_disorder, engine::time::Span::from_secs(5));

    let told = Job::from_flags(Flags { follow: true, ..Flags::default() }, Vec::new()).expect_err("nothing to read");
    assert!(told.to_string().contains("command line: job.data_dir is missing"), "{told}");
    assert!(told.to_string().contains("--follow: needs --input"), "{told}");
}

#[test]
fn only_loopback_is_served() {
    for (listen, allowed) in [
        ("127.0.0.1:0", true),
        ("127.8.8.8:9464", true),
        ("[::1]:9464", true),
        ("[::ffff:127.0.0.1]:1", true),
        ("0.0.0.0:9464", false),
        ("[::]:9464", false),
        ("192.168.1.1:80", false),
        ("localhost:9464", false),
        ("127.0.0.1", false),
    ] {
        let loaded = Job::load(&file(&format!("{VALID}[http]\nlisten = \"{listen}\"\n")));
        assert_eq!(loaded.is_ok(), allowed, "{listen}");
    }
}

#[test]
fn bounds_are_exact() {
    for (setting, allowed) in [
        ("workers = 1", true),
        ("workers = 256", true),
        ("workers = \"cores\"", true),
        ("workers = 0", false),
        ("workers = 257", false),
        ("workers = -1", false),
        ("workers = 1.0", false),
        ("workers = 99999999999999999999", false),
        ("workers = 2026-01-01", false),
        ("shadow = \"true\"", false),
        ("snapshot_every = \"10ms\"", true),
        ("snapshot_every = \"9ms\"", false),
        ("snapshot_every = \"61m\"", false),
        ("state_memory = \"16MiB\"", true),
        ("state_memory = \"16MB\"", false),
        ("data_dir = \"e\"", false),
    ] {
        let loaded = Job::load(&file(&VALID.replace("[job]\n", &format!("[job]\n{setting}\n"))));
        assert_eq!(loaded.is_ok(), allowed, "{setting}");
    }
    for (margin, allowed) in [("1", true), ("100.0", true), ("0.99", false), ("nan", false), ("inf", false)] {
        let loaded = Job::load(&file(&format!("{VALID}[detect.search_volume]\nmargin = {margin}\n")));
        assert_eq!(loaded.is_ok(), allowed, "margin {margin}");
    }
}

#[test]
fn a_source_that_refuses_its_own_org_is_refused() {
    let told = refused(&file(&format!("{VALID}org = \"E1\"\nspeaks_for = [\"E2\"]\n")));
    assert!(told.contains("job.toml:6:7: source[0].org = \"E1\": is not among speaks_for"), "{told}");
    assert!(Job::load(&file(&format!("{VALID}org = \"E1\"\nspeaks_for = [\"E2\", \"E1\"]\n"))).is_ok());
}

#[test]
fn a_file_of_another_kind_is_refused_unread() {
    let told = refused(&file(&"x".repeat((1 << 20) + 1)));
    assert!(told.contains("bytes, more than 1048576"), "{told}");
}

proptest! {
    #[test]
    fn no_file_and_no_environment_panics(text in "(\\[job\\]\n|\\[\\[source\\]\\]\n|[a-z_]{1,9}|[\\[\\]{}=\"'.,#\n 0-9é-]){0,80}", word in ".*") {
        let mut layers = file(&text);
        layers.environment = vec![("AERIE__".into(), word.clone()), (format!("AERIE__SOURCE__{word}"), word)];
        if let Err(problems) = Job::load(&layers) {
            prop_assert!(!problems.0.is_empty());
        }
    }
}

const CLUSTER: &str = "[cluster]\nhosts = [\"127.0.0.1:7300\", \"127.0.0.1:7301\"]\n";

/// What is wrong with a cluster of these settings, by key.
fn cluster(section: &str, job: &str, environment: &[(&str, &str)]) -> Vec<(String, String)> {
    let text = format!("[job]\ndata_dir = \"d\"\n{job}\n[[source]]\nkind = \"file\"\npaths = [\"e\"]\n{section}");
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let layers = Layers { file: Some(JobFile { name: "job.toml".to_owned(), text }), environment, ..Layers::default() };
    match Job::load(&layers) {
        Ok(_) => Vec::new(),
        Err(problems) => {
            assert!(!problems.to_string().contains("hunter2"), "a secret is shown: {problems}");
            problems.0.into_iter().map(|problem| (problem.path, problem.rule)).collect()
        }
    }
}

#[test]
fn a_cluster_is_whole_or_not_there() {
    const SECRET: (&str, &str) = ("AERIE__CLUSTER__SECRET", "hunter2-hunter2-hunter2");
    const INDEX: (&str, &str) = ("AERIE__CLUSTER__INDEX", "1");
    assert_eq!(cluster(CLUSTER, "", &[SECRET, INDEX]), []);
    assert_eq!(cluster(&format!("{CLUSTER}secret_file = \"key\"\n"), "", &[INDEX]), []);
    assert_eq!(cluster("[cluster]\npeer_timeout = \"1s\"\n", "processes = 3", &[]), []);
    let refused = |section: &str, job: &str, environment: &[(&str, &str)], key: &str, rule: &str| {
        let problems = cluster(section, job, environment);
        assert!(problems.len() == 1 && problems[0].0 == key && problems[0].1.contains(rule), "{key}: {problems:?}");
    };
    refused(CLUSTER, "processes = 2", &[SECRET, INDEX], "job.processes", "together with [cluster]");
    refused(CLUSTER, "workers = 129", &[SECRET, INDEX], "job.workers", "at most 128");
    refused("", "workers = 86\nprocesses = 3", &[], "job.workers", "at most 85");
    refused(CLUSTER, "", &[INDEX], "cluster.secret", "missing");
    refused(CLUSTER, "", &[SECRET], "cluster.index", "missing");
    refused(CLUSTER, "", &[SECRET, ("AERIE__CLUSTER__INDEX", "2")], "cluster.index", "from 0 to 1");
    refused(CLUSTER, "", &[("AERIE__CLUSTER__SECRET", "hunter2"), INDEX], "cluster.secret", "at least 16");
    refused("", "", &[INDEX], "cluster.hosts", "missing");
    let in_file = format!("{CLUSTER}secret = \"hunter2-hunter2-hunter2\"\n");
    refused(&in_file, "", &[INDEX], "cluster.secret", "must not stand");
    refused(&format!("{CLUSTER}secret_file = \"key\"\n"), "", &[SECRET, INDEX], "cluster.secret_file", "together");
    let twice = "[cluster]\nhosts = [\"a:1\", \"a:1\"]\n";
    refused(twice, "", &[SECRET, INDEX], "cluster.hosts", "each once");
    refused("[cluster]\nhosts = [\"a:1\", \"b\"]\n", "", &[SECRET, INDEX], "cluster.hosts[1]", "address and port");
}

#[test]
fn a_ledger_on_a_server_is_private_and_its_password_stands_nowhere() {
    const PASSWORD: (&str, &str) = ("AERIE__LEDGER__PASSWORD", "hunter2");
    let layers = |section: &str, environment: &[(&str, &str)]| Layers {
        environment: environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        ..file(&format!("{VALID}[ledger]\n{section}\n"))
    };
    assert_eq!(Job::load(&file(VALID)).expect("valid").ledger, None);
    let far = "url = \"postgresql://aerie@db.example.org/aerie\"";
    let job = Job::load(&layers(far, &[PASSWORD])).expect("valid");
    assert!(!format!("{job:?}").contains("hunter2"));
    let place = job.ledger.expect("a server is named").server.place();
    assert_eq!(place, "schema aerie of db.example.org:5432/aerie");
    for valid in [
        "url = \"postgresql://aerie@127.0.0.1:5433/aerie\"\ntls = false\nschema = \"other\"",
        "url = \"postgresql:///aerie?host=/run/postgresql\"\npassword_file = \"p\"",
        &format!("{far}\nca_file = \"ca.pem\""),
    ] {
        assert!(Job::load(&layers(valid, &[])).is_ok(), "{valid}: {}", refused(&layers(valid, &[])));
    }
    let refuses = |section: &str, environment: &[(&str, &str)], key: &str, rule: &str| {
        let problems = Job::load(&layers(section, environment)).expect_err("this must be refused").0;
        assert!(problems.len() == 1 && problems[0].path == key && problems[0].rule.contains(rule), "{problems:?}");
        assert!(!format!("{problems:?}").contains("hunter2"), "{problems:?}");
    };
    refuses("url = \"postgresql://aerie:hunter2@db.example.org/aerie\"", &[], "ledger.url", "no password");
    refuses("url = \"mysql://db.example.org/aerie\"", &[], "ledger.url", "must be a URL");
    refuses(&format!("{far}\ntls = false"), &[], "ledger.tls", "must be true");
    refuses(&format!("{far}\nschema = \"pg_x\""), &[], "ledger.schema", "lower-case");
    refuses(&format!("{far}\npassword = \"hunter2\""), &[], "ledger.password", "must not stand");
    refuses(&format!("{far}\npassword_file = \"p\""), &[PASSWORD], "ledger.password_file", "together");
    refuses("", &[PASSWORD], "ledger.url", "missing");
    let near = "url = \"postgresql://aerie@localhost/aerie\"\ntls = false\nca_file = \"ca.pem\"";
    refuses(near, &[], "ledger.ca_file", "no use");
}

//! `[kafka]` and the sources that read topics: what goes together, where the password comes from, and that all problems are
//! told.

use config::{Job, JobFile, KeyOrigin, Layers, SourceKind};

const VALID: &str = "[job]\ndata_dir = \"d\"\n[[source]]\nkind = \"kafka\"\ntopic = \"activity\"\n";

fn layers(text: &str, environment: &[(&str, &str)]) -> Layers {
    let file = JobFile { name: "job.toml".to_owned(), text: text.to_owned() };
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Layers { file: Some(file), environment, ..Layers::default() }
}

fn job(sections: &str, environment: &[(&str, &str)]) -> Job {
    let text = format!("{VALID}{sections}");
    Job::load(&layers(&text, environment)).unwrap_or_else(|problems| panic!("{problems}"))
}

#[track_caller]
fn refused(text: &str, environment: &[(&str, &str)], expected: &[&str]) {
    let told = Job::load(&layers(text, environment)).expect_err("this must be refused");
    let text = told.to_string();
    for problem in expected {
        assert!(text.contains(problem), "{problem}\n in\n{text}");
    }
    assert_eq!(told.0.len(), expected.len(), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn a_topic_is_read_from_brokers_by_name_and_password() {
    let brokers = "[kafka]\nbrokers = [\"Kafka1.Example.com:9093\", \"[::1]:9093\"]\nlogin = \"job\"\n";
    let job = job(brokers, &[("AERIE__KAFKA__PASSWORD", "hunter2")]);
    assert!(!format!("{job:?}").contains("hunter2"));
    let kafka = job.kafka.expect("it is set");
    assert_eq!(kafka.brokers.place(), "kafka1.example.com:9093, [::1]:9093");
    let login = kafka.login.expect("it is set");
    assert_eq!(login.name, "job");
    assert!(matches!(login.password, KeyOrigin::Given(secret) if secret.expose() == "hunter2"));
    let SourceKind::Kafka(source) = &job.sources[0].kind else { panic!("{:?}", job.sources) };
    assert_eq!((&*source.topic, job.sources[0].kind.is_live()), ("activity", true));
}

#[test]
fn a_job_without_topics_needs_no_brokers() {
    let text = VALID.replace("kafka", "file").replace("topic = \"activity\"", "paths = [\"e.ndjson\"]");
    assert_eq!(Job::load(&layers(&text, &[])).expect("valid").kafka, None);
}

#[test]
fn what_does_not_go_together_is_told_at_once() {
    let with = |sections: &str| format!("{VALID}{sections}\n");
    let source = "[[source]]\nkind = \"kafka\"\n";
    refused(VALID, &[], &["kafka.brokers is missing, and a source reads a topic"]);
    refused(
        &format!(
            "[job]\ndata_dir = \"d\"\n{source}topic = \"a b\"\n{source}\n[kafka]\nbrokers = [\"kafka\", \"k:0\"]\n"
        ),
        &[],
        &[
            "source[0].topic = \"a b\": must be a topic",
            "source[1].topic is missing",
            "must be a host and a port",
            "port",
        ],
    );
    refused(
        &with(&format!("{source}topic = \"activity\"\n[kafka]\nbrokers = [\"k:1\"]")),
        &[],
        &["read by a source above"],
    );
    let far = "[kafka]\nbrokers = [\"kafka.example.com:9092\"]\n";
    job(&format!("{far}tls = false\n"), &[]);
    let login = format!("{far}login = \"job\"\n");
    refused(&with(&login), &[], &["kafka.password_file is missing"]);
    refused(&with(&format!("{far}password_file = \"p\"")), &[], &["kafka.login is missing"]);
    refused(&with(&format!("{login}password_file = \"p\"\ntls = false")), &[], &["kafka.tls = false: must be true"]);
    refused(&with(&format!("{login}password = \"hunter2\"")), &[], &["kafka.password must not stand"]);
    refused(&with(&format!("{far}ca_file = \"ca.pem\"\ntls = false")), &[], &["kafka.ca_file"]);
    refused(&with(&format!("{far}mechanism = \"gssapi\"")), &[], &["kafka.mechanism = \"gssapi\": must be"]);
    job("[kafka]\nbrokers = [\"localhost:9092\"]\nlogin = \"job\"\npassword_file = \"p\"\ntls = false\n", &[]);
}

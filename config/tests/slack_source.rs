//! `kind = "slack"`: what a Slack source needs, that all that is wrong is told at once, and that no token is shown.

use config::{Job, JobFile, KeyOrigin, Layers, SlackSource, Source, SourceKind};
use std::time::Duration;

const SLACK: &str = "[[source]]\nkind = \"slack\"\norg = \"E1\"\n";

fn layers(text: &str, environment: &[(&str, &str)]) -> Layers {
    let text = format!("[job]\ndata_dir = \"d\"\n{text}");
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Layers { file: Some(JobFile { name: "job.toml".to_owned(), text }), environment, ..Layers::default() }
}

fn read(text: &str, environment: &[(&str, &str)]) -> Vec<Source> {
    Job::load(&layers(text, environment)).unwrap_or_else(|problems| panic!("{problems}")).sources
}

fn slack(source: &Source) -> &SlackSource {
    match &source.kind {
        SourceKind::Slack(slack) => slack,
        other => panic!("{other:?}"),
    }
}

fn refused(text: &str, environment: &[(&str, &str)]) -> String {
    Job::load(&layers(text, environment)).expect_err("this must be refused").to_string()
}

#[test]
fn an_org_and_a_token_are_enough() {
    let sources = read(&format!("{SLACK}token_file = \"t\"\n"), &[]);
    let source = slack(&sources[0]);
    assert_eq!((source.to.host(), source.start), ("api.slack.com", Duration::ZERO));
    assert_eq!((source.poll_every, source.overlap), (Duration::from_secs(10), Duration::from_secs(120)));
    assert!(sources[0].speaks_for.iter().eq(["E1"]), "a log is of one org");
    assert!(sources[0].kind.is_live() && sources[0].kind.may_import());
    let described = sources[0].kind.describe();
    assert_eq!(described, "Slack's audit log at api.slack.com, from its first start on, every 10s and 120s back");
}

#[test]
fn all_of_it_can_be_set() {
    let text = format!(
        "{SLACK}token_file = \"t\"\nurl = \"https://slack-gov.com\"\npoll_every = \"30s\"\noverlap = \"5m\"\n\
         start = \"7d\"\nspeaks_for = [\"E1\", \"E2\"]\nmax_delay = \"1m\"\n"
    );
    let sources = read(&text, &[]);
    let source = slack(&sources[0]);
    assert_eq!((source.to.host(), source.start.as_secs()), ("slack-gov.com", 7 * 86_400));
    assert_eq!((source.poll_every.as_secs(), source.overlap.as_secs()), (30, 300));
    assert_eq!(sources[0].speaks_for.len(), 2);
    assert_eq!(read(&format!("{SLACK}token_file = \"t\"\nstart = \"now\"\n"), &[]).len(), 1);
}

#[test]
fn the_environment_sets_a_source_by_its_number() {
    let files = "[[source]]\nkind = \"file\"\npaths = [\"e.ndjson\"]\n";
    let sources = read(&format!("{files}{SLACK}"), &[("AERIE__SOURCE__1__TOKEN", "xoxp-hunter2")]);
    let KeyOrigin::Given(token) = &slack(&sources[1]).token else { panic!() };
    assert_eq!(token.expose(), "xoxp-hunter2");
    assert!(!format!("{sources:?}").contains("hunter2"));
    assert!(sources[0].kind.may_import() && !sources[0].kind.is_live());
    let told = refused(&format!("{files}{SLACK}"), &[("AERIE__SOURCE__2__TOKEN", "xoxp-hunter2")]);
    assert!(told.contains("source = a section: must be a list of sections"), "{told}");
    assert!(!told.contains("hunter2"), "{told}");
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let told = refused(
        "[[source]]\nkind = \"slack\"\nurl = \"http://localhost/\"\ntoken = \"xoxp-hunter2\"\npoll_every = \"1ms\"\n\
         overlap = \"2h\"\nstart = \"soon\"\npaths = [\"e\"]\n",
        &[],
    );
    for part in [
        "source[0].url = \"http://localhost/\": must use https",
        "source[0].token must not stand in a job file",
        "set AERIE__SOURCE__0__TOKEN, or token_file",
        "source[0].poll_every = \"1ms\": must be a duration from 100ms to 1h",
        "source[0].overlap = \"2h\": must be a duration from 0 to 1h",
        "source[0].start = \"soon\": must be",
        "or \"now\"",
        "source[0].org is missing",
        "source[0].paths is no key of this section",
        "7 problems",
    ] {
        assert!(told.contains(part), "{part} in {told}");
    }
    assert!(!told.contains("hunter2"), "{told}");
}

#[test]
fn an_entry_must_not_apply_twice() {
    let slack = format!("{SLACK}token_file = \"t\"\n");
    let told = refused(&format!("{slack}{slack}"), &[]);
    assert!(told.contains("source[1].org = \"E1\": has a Slack source above"), "{told}");
    let told = refused(&format!("{slack}lateness_limit = \"1m\"\noverlap = \"61s\"\n"), &[]);
    assert!(told.contains("source[0].overlap = \"61s\": is longer than lateness_limit"), "{told}");
    let told = refused("[[source]]\nkind = \"slack\"\norg = \"E/1\"\ntoken_file = \"t\"\n", &[]);
    assert!(told.contains("source[0].org = \"E/1\": must be an id"), "{told}");
}

//! Who ends sessions: what each kind needs, that all that is wrong is told at once, and that no secret is shown.

use config::{Job, JobFile, KeyOrigin, Layers, Sessions};
use std::path::PathBuf;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn layers(sections: &str, environment: &[(&str, &str)]) -> Layers {
    let text = format!("[job]\ndata_dir = \"d\"\n[[source]]\nkind = \"file\"\npaths = [\"e.ndjson\"]\n{sections}");
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Layers { file: Some(JobFile { name: "job.toml".to_owned(), text }), environment, ..Layers::default() }
}

fn read(sections: &str, environment: &[(&str, &str)]) -> Sessions {
    Job::load(&layers(sections, environment)).unwrap_or_else(|problems| panic!("{problems}")).sessions
}

fn refused(sections: &str, environment: &[(&str, &str)]) -> String {
    Job::load(&layers(sections, environment)).expect_err("this must be refused").to_string()
}

#[test]
fn each_kind_has_what_it_needs() {
    assert_eq!(read("", &[]), Sessions::Local);
    let webhook = "[sessions]\nkind = \"webhook\"\nurl = \"https://receiver.example/end\"\n";
    let Sessions::Webhook(read_one) = read(webhook, &[("AERIE__SESSIONS__SECRET", SECRET)]) else { panic!() };
    assert_eq!(read_one.to.host(), "receiver.example");
    let KeyOrigin::Given(secret) = &read_one.secret else { panic!() };
    assert_eq!(secret.expose(), SECRET);
    assert!(!format!("{read_one:?}").contains("whsec_"), "{read_one:?}");
    let Sessions::Webhook(read_one) = read(&format!("{webhook}secret_file = \"s\"\n"), &[]) else { panic!() };
    assert_eq!(read_one.secret, KeyOrigin::File(PathBuf::from("s")));

    let slack = "[sessions]\nkind = \"slack\"\ntoken_file = \"t\"\n";
    for (url, host) in [("", "slack.com"), ("url = \"https://slack-gov.com/api/\"\n", "slack-gov.com")] {
        let Sessions::Slack(read_one) = read(&format!("{slack}{url}"), &[]) else { panic!() };
        assert_eq!(read_one.to.host(), host);
    }

    let caep = "[sessions]\nkind = \"caep\"\nurl = \"https://r.example/\"\nissuer = \"https://a.example\"\n\
                audience = \"aud\"\nkey_file = \"k.pem\"\nkey_id = \"k1\"\n";
    let Sessions::Caep(read_one) = read(caep, &[]) else { panic!() };
    assert_eq!((read_one.audience.as_str(), read_one.key_id.as_str(), read_one.authorization), ("aud", "k1", None));
}

#[test]
fn hosts_of_the_own_network_have_to_be_named() {
    let webhook = |url: &str| format!("[sessions]\nkind = \"webhook\"\nsecret_file = \"s\"\nurl = {url:?}\n");
    let allowed = "[destinations]\nallow_private = [\"127.0.0.1\", \"Receiver.Internal\"]\n";
    for url in ["http://127.0.0.1:8000/", "http://receiver.internal/", "https://receiver.internal:9/"] {
        read(&format!("{allowed}{}", webhook(url)), &[]);
        let told = refused(&webhook(url), &[]);
        assert!(told.contains("sessions.url") && told.contains("allow_private in [destinations]"), "{told}");
    }
    let told = refused("[destinations]\nallow_private = [\"http://x\", \"0x7f.1\", \"a:80\"]\n", &[]);
    for part in [
        "allow_private[0] = \"http://x\": must be a host",
        "[1] = \"0x7f.1\": must be written as 127.0.0.1",
        "3 problems",
    ] {
        assert!(told.contains(part), "{part} in {told}");
    }
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let told =
        refused("[sessions]\nkind = \"caep\"\nissuer = \"http://a\"\nurl = \"ftp://x/\"\ntoken_file = \"t\"\n", &[]);
    for part in [
        "sessions.issuer = \"http://a\": must be a URL of https",
        "sessions.url = \"ftp://x/\": must use https",
        "sessions.audience is missing",
        "sessions.key_file is missing",
        "sessions.key_id is missing",
        "sessions.token_file is no key of this section",
        "6 problems",
    ] {
        assert!(told.contains(part), "{part} in {told}");
    }
    // What hangs on the kind cannot be judged without it.
    let told = refused("[sessions]\nkind = \"webhok\"\nurl = \"x\"\n", &[]);
    assert!(told.contains("did you mean \"webhook\"?") && told.ends_with("1 problem"), "{told}");
}

#[test]
fn a_secret_comes_from_outside_and_is_shown_to_nobody() {
    let webhook = "[sessions]\nkind = \"webhook\"\nurl = \"https://r.example/\"\n";
    let told = refused(webhook, &[]);
    assert!(
        told.contains("sessions.secret is missing") && told.contains("set AERIE__SESSIONS__SECRET, or secret_file"),
        "{told}"
    );
    let told = refused(&format!("{webhook}secret = \"hunter2\"\n"), &[]);
    assert!(told.contains("sessions.secret must not stand in a job file") && !told.contains("hunter2"), "{told}");
    let told = refused(webhook, &[("AERIE__SESSIONS__SECRET", "hunter2")]);
    assert!(
        told.contains("AERIE__SESSIONS__SECRET: sessions.secret must be whsec_") && !told.contains("hunter2"),
        "{told}"
    );
    let told = refused(&format!("{webhook}secret_file = \"s\"\n"), &[("AERIE__SESSIONS__SECRET", SECRET)]);
    assert!(
        told.contains("sessions.secret_file") && told.contains("together with secret") && !told.contains("whsec_"),
        "{told}"
    );
}

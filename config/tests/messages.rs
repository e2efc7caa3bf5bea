//! `[mail]`, `[chat]` and `[messages]`: what goes together, where secrets come from, and that all problems are told.

use config::{Job, JobFile, KeyOrigin, Layers};
use connectors::smtp::Encryption;

const VALID: &str = "[job]\ndata_dir = \"d\"\n[[source]]\nkind = \"file\"\npaths = [\"e.ndjson\"]\n";

fn layers(sections: &str, environment: &[(&str, &str)]) -> Layers {
    let file = JobFile { name: "job.toml".to_owned(), text: format!("{VALID}{sections}") };
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Layers { file: Some(file), environment, ..Layers::default() }
}

fn job(sections: &str, environment: &[(&str, &str)]) -> Job {
    Job::load(&layers(sections, environment)).unwrap_or_else(|problems| panic!("{problems}"))
}

#[track_caller]
fn refused(sections: &str, environment: &[(&str, &str)], expected: &[&str]) {
    let told = Job::load(&layers(sections, environment)).expect_err("this must be refused");
    let text = told.to_string();
    for problem in expected {
        assert!(text.contains(problem), "{problem}\n in\n{text}");
    }
    assert_eq!(told.0.len(), expected.len(), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn without_servers_messages_stay_where_they_are() {
    let job = job("", &[]);
    assert!(job.mail.is_none() && job.chat.is_none() && job.messages.templates.is_none());
}

#[test]
fn a_mail_server_has_a_sender_and_is_talked_to_encrypted() {
    let mail =
        job("[mail]\nserver = \"SMTP.Example.com:587\"\nfrom = \"Aerie <a@example.com>\"\n", &[]).mail.expect("set");
    assert_eq!((&*mail.host, mail.port, &*mail.from), ("smtp.example.com", 587, "Aerie <a@example.com>"));
    assert_eq!((mail.tls, mail.login, mail.timeout.as_secs()), (Encryption::StartTls, None, 10));
    let login = "[mail]\nserver = \"s.example:465\"\nfrom = \"a@example.com\"\ntls = \"tls\"\nlogin = \"aerie\"\n";
    let with = job(login, &[("AERIE__MAIL__PASSWORD", "hunter2")]);
    assert!(!format!("{with:?}").contains("hunter2"));
    let (name, password) = with.mail.expect("set").login.expect("set");
    assert_eq!(name, "aerie");
    assert!(matches!(password, KeyOrigin::Given(secret) if secret.expose() == "hunter2"));
    let here =
        "[destinations]\nallow_private = [\"127.0.0.1\"]\n[mail]\nserver = \"127.0.0.1:25\"\nfrom = \"a@b.example\"\n";
    assert_eq!(job(&format!("{here}tls = \"none\"\n"), &[]).mail.expect("set").tls, Encryption::None);
}

#[test]
fn what_does_not_go_together_is_told_at_once() {
    refused(
        "[mail]\nserver = \"smtp.example.com\"\nfrom = \"nobody\"\ntls = \"ssl\"\ntimeout = \"1h\"\npassword = \"hunter2\"\n",
        &[],
        &[
            "mail.server = \"smtp.example.com\": must be a host and a port",
            "mail.from = \"nobody\": must be an address",
            "mail.tls = \"ssl\": must be \"starttls\" or \"tls\" or \"none\"",
            "mail.timeout = \"1h\": must be a duration from 1s to 15s",
            "mail.password must not stand in a job file",
        ],
    );
    refused(
        "[mail]\nserver = \"10.0.0.5:0\"\nfrm = \"a@example.com\"\n[messages]\ntemplate = \"t\"\n",
        &[],
        &["must end in a port", "mail.frm is no key of this section", "messages.template is no key of this section"],
    );
    refused(
        "[mail]\nserver = \"10.0.0.5:25\"\ntls = \"none\"\nlogin = \"aerie\"\n",
        &[],
        &[
            "must name a host of another network",
            "mail.tls = \"none\": may be \"none\" for a server on this machine only",
            "mail.from is missing",
            "mail.password_file is missing",
        ],
    );
    refused(
        "[mail]\nfrom = \"a@example.com\"\n",
        &[],
        &["mail.from = \"a@example.com\": is of no use without a server"],
    );
    refused("", &[("AERIE__MAIL__PASSWORD", "hunter2")], &["is of no use without a server"]);
    let server = "[mail]\nserver = \"s.example:25\"\nfrom = \"a@b.example\"\n";
    refused(server, &[("AERIE__MAIL__PASSWORD", "hunter2")], &["mail.login is missing"]);
    let both = format!("{server}login = \"a\"\npassword_file = \"p\"\n");
    refused(&both, &[("AERIE__MAIL__PASSWORD", "hunter2")], &["cannot be set together with password"]);
}

#[test]
fn chat_is_on_where_there_is_a_token() {
    let chat = job("", &[("AERIE__CHAT__TOKEN", "xoxb-hunter2")]).chat.expect("set");
    assert_eq!(chat.to.host(), "slack.com");
    let chat = job("[chat]\ntoken_file = \"t\"\nurl = \"https://slack-gov.com/api/\"\n", &[]).chat.expect("set");
    assert_eq!(chat.to.host(), "slack-gov.com");
    refused("[chat]\nurl = \"https://slack-gov.com/api/\"\n", &[], &["chat.token is missing"]);
    refused(
        "[chat]\nurl = \"http://127.0.0.1/\"\ntoken = \"xoxb-hunter2\"\n",
        &[],
        &["chat.url", "chat.token must not stand in a job file"],
    );
}

//! The promise: who is to be told is told, by mail under one Message-ID and by direct message, whatever the servers do
//! meanwhile, and each person once; repeats come in one message; templates can be replaced, and what is wrong with them
//! is told before anything starts.

use crate::chat_server::{ChatServer, Deed as ChatDeed};
use crate::inputs::{EXIT, Event, control, recently};
use crate::mail_server::{Deed, Received, Server, Stage};
use crate::support::{Config, Place, aerie};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Org E1 as its directory has it: U1 who is answered, a Primary Owner by both channels, a Security Admin by mail, and
/// one who is both and reads Portuguese.
fn directory(start: u64) -> Vec<String> {
    let at = start - 86_400;
    let user = |id: &str, owner: bool, admin: bool, locale: &str| {
        let roles = if admin { json!(["security_admin"]) } else { json!([]) };
        let (email, account) = (format!("{}@corp.example", id.to_lowercase()), format!("W{id}"));
        let value = json!({"name": id, "email": email, "locale": locale, "is_primary_owner": owner, "roles": roles,
            "slack_user_id": account});
        control("user", "E1", id, value, at)
    };
    let told = json!({"notifications": {"primary_owner": {"email": true, "dm": true},
        "security_admins": {"email": true, "dm": false}}});
    vec![
        control("settings", "E1", "aer", told, at),
        user("U1", false, false, "en-GB"),
        user("OWNER", true, false, ""),
        user("ADMIN", false, true, "de-DE"),
        user("BOTH", true, true, "pt-BR"),
    ]
}

/// U1 opens a session through the exit at each of these minutes.
fn through_the_exit(start: u64, minutes: &[u64]) -> Vec<String> {
    let event = |minute: &u64| {
        let id = format!("x{minute}");
        Event::new(&id, start + 60 * minute).session(&id).ip(EXIT).line()
    };
    minutes.iter().map(event).collect()
}

fn config(place: &Place, mail: &Server, chat: &ChatServer, minutes: &[u64]) -> Config {
    let start = recently();
    let events = place.write_lines("events.ndjson", &through_the_exit(start, minutes));
    let directory = place.write_lines("control.ndjson", &directory(start));
    let exits = place.write("tor.txt", format!("{EXIT}\n"));
    let sections = format!(
        "[destinations]\nallow_private = [\"127.0.0.1\", \"localhost\"]\n\
         [mail]\nserver = \"127.0.0.1:{}\"\ntls = \"none\"\nfrom = \"Aerie <security@aerie.example>\"\n\
         timeout = \"3s\"\n\
         [chat]\nurl = \"http://{}/api/\"\n",
        mail.address.port(),
        chat.address,
    );
    let config = place.config("data", &[events], "", &sections).control(&directory).tor_list(&exits);
    config.env("AERIE__CHAT__TOKEN", "xoxb-hunter2")
}

/// Mails that were taken, by recipient.
fn by_recipient(mails: &[Received]) -> BTreeMap<String, Vec<Received>> {
    let mut found: BTreeMap<String, Vec<Received>> = BTreeMap::new();
    for mail in mails {
        assert_eq!(mail.to.len(), 1, "a mail is to one person");
        found.entry(mail.to[0].clone()).or_default().push(mail.clone());
    }
    found
}

fn accounts(messages: &[Value]) -> Vec<&str> {
    let mut accounts: Vec<&str> = messages.iter().map(|message| message["channel"].as_str().expect("a text")).collect();
    accounts.sort_unstable();
    accounts
}

fn logs_of(place: &Path) -> String {
    let entries = std::fs::read_dir(place).expect("a folder");
    let texts = entries.filter_map(|entry| std::fs::read_to_string(entry.ok()?.path()).ok());
    texts.collect()
}

#[test]
fn each_person_is_told_once_whatever_the_servers_do() {
    let (place, mail, chat) = (Place::new(), Server::plain(), ChatServer::start());
    for (stage, deed) in [
        (Stage::From, Deed::Answer("451 4.7.1 later".into())),
        (Stage::End, Deed::Drop),
        (Stage::Middle, Deed::Drop),
        (Stage::To, Deed::Drip),
        (Stage::Greeting, Deed::Drop),
    ] {
        mail.then(stage, deed);
    }
    chat.then(ChatDeed::Answer(429, "Retry-After: 1\r\n", String::new()));
    chat.then(ChatDeed::TakeAndDrop);
    chat.then(ChatDeed::Answer(200, "", json!({"ok": false, "error": "internal_error"}).to_string()));
    let ended = config(&place, &mail, &chat, &[0]).start().wait().done();
    assert!(mail.is_through(), "everything that could go wrong did");
    let people = ["admin@corp.example", "both@corp.example", "owner@corp.example", "u1@corp.example"];
    let taken = by_recipient(&mail.taken());
    assert_eq!(taken.keys().map(String::as_str).collect::<Vec<_>>(), people);
    assert!(taken.values().all(|mails| mails.len() == 1), "{taken:#?}");
    for (person, mails) in by_recipient(&mail.received()) {
        let ids: BTreeSet<String> = mails.iter().map(|mail| mail.header("Message-ID")).collect();
        assert_eq!(ids.len(), 1, "{person}");
        assert!(ids.iter().all(|id| id.ends_with("@aerie.example>")), "{ids:?}");
    }
    let subjects: Vec<String> = people.iter().map(|person| taken[*person][0].header("Subject")).collect();
    assert_eq!(
        subjects,
        [
            "U1 wurde bei E1 abgemeldet",
            "U1 was signed out of E1",
            "U1 was signed out of E1",
            "You were signed out of E1"
        ]
    );
    let messages = chat.messages();
    assert_eq!(accounts(&messages), ["D-WBOTH", "D-WOWNER"], "{messages:#?}");
    for message in &messages {
        assert!(message["text"].as_str().expect("a text").contains("a connection from a Tor exit node"));
        assert_eq!((&message["unfurl_links"], &message["mrkdwn"]), (&json!(false), &json!(false)));
    }
    assert!(chat.authorization().iter().all(|token| token == "Bearer xoxb-hunter2"));
    let said = [ended.stdout, ended.stderr, logs_of(&place.path("data"))].concat();
    assert!(!said.contains("hunter2"), "no secret is said or kept");
    assert_eq!(std::fs::read_dir(place.path("data/outbox")).expect("a folder").count(), 0);
}

#[test]
fn who_is_killed_after_a_message_went_sends_it_under_its_old_name_or_not_again() {
    let (place, mail, chat) = (Place::new(), Server::plain(), ChatServer::start());
    let config = config(&place, &mail, &chat, &[0]);
    mail.then(Stage::End, Deed::Hang);
    let mut running = config.start();
    running.running_until("a mail whose end has come", || !mail.received().is_empty());
    assert!(running.kill());
    chat.then(ChatDeed::TakeAndHang);
    let mut running = config.start();
    running.running_until("a direct message that is not answered", || !chat.messages().is_empty());
    assert!(running.kill());
    config.start().wait().done();
    let taken = by_recipient(&mail.taken());
    assert_eq!(taken.values().map(Vec::len).collect::<Vec<_>>(), [1, 1, 1, 1]);
    let received = by_recipient(&mail.received());
    let ids = |mails: &[Received]| mails.iter().map(|mail| mail.header("Message-ID")).collect::<BTreeSet<_>>().len();
    assert!(received.values().all(|mails| ids(mails) == 1), "{received:#?}");
    assert_eq!(mail.received().len(), 5, "one came twice, under one Message-ID");
    assert_eq!(accounts(&chat.messages()), ["D-WBOTH", "D-WOWNER"], "it was found in the conversation");
    assert!(chat.calls().contains(&"conversations.history".to_owned()));
}

#[test]
fn a_recipient_whom_no_server_knows_keeps_the_message_from_nobody_else() {
    let (place, mail, chat) = (Place::new(), Server::plain(), ChatServer::start());
    mail.then(Stage::To, Deed::Answer("550 5.1.1 no such person".into()));
    chat.then(ChatDeed::Answer(200, "", json!({"ok": false, "error": "user_disabled"}).to_string()));
    config(&place, &mail, &chat, &[0]).start().wait().done();
    assert_eq!((mail.taken().len(), chat.messages().len()), (3, 1));
    assert!(!by_recipient(&mail.taken()).contains_key("u1@corp.example"), "the first was refused");
}

/// Somebody whom the directory does not know has the address that their own events name.
#[test]
fn an_address_that_is_none_keeps_the_message_from_nobody_else() {
    let (place, mail, chat) = (Place::new(), Server::plain(), ChatServer::start());
    let odd = json!({"name": "U1", "email": "u1@corp..example"});
    let set = place.write_lines("odd.ndjson", &[control("user", "E1", "U1", odd, recently() - 3_600)]);
    config(&place, &mail, &chat, &[0]).control(&set).start().wait().done();
    assert_eq!((mail.taken().len(), chat.messages().len()), (3, 2));
}

#[test]
fn repeats_come_in_one_message_and_the_affected_user_hears_of_each() {
    let (place, mail, chat) = (Place::new(), Server::plain(), ChatServer::start());
    config(&place, &mail, &chat, &[0, 12, 24, 36, 48]).start().wait().done();
    let taken = by_recipient(&mail.taken());
    assert_eq!(taken["u1@corp.example"].len(), 5);
    // At the end of an input that is read at once they are all due together.
    let subjects: BTreeSet<String> = taken["owner@corp.example"].iter().map(|mail| mail.header("Subject")).collect();
    let expected = ["More responses for U1 in E1: 4", "U1 was signed out of E1"].map(str::to_owned);
    assert_eq!((subjects, taken["owner@corp.example"].len()), (expected.into(), 2));
    assert_eq!((taken["both@corp.example"].len(), taken["admin@corp.example"].len()), (2, 2));
    assert_eq!(accounts(&chat.messages()), ["D-WBOTH", "D-WBOTH", "D-WOWNER", "D-WOWNER"]);
    let ids: BTreeSet<String> = mail.taken().iter().map(|mail| mail.header("Message-ID")).collect();
    assert_eq!(ids.len(), mail.taken().len());
}

/// A certificate of the tests, or who vouches for it.
fn certificate(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("connectors/tests/smtp/certificates").join(name)
}

#[test]
fn mail_goes_encrypted_to_a_server_that_is_vouched_for() {
    for (from_the_start, tls) in [(false, "starttls"), (true, "tls")] {
        let (place, chat) = (Place::new(), ChatServer::start());
        let mail = Server::encrypted(&certificate("server.pem"), &certificate("server.key"), from_the_start);
        let config = config(&place, &mail, &chat, &[0]);
        let sections = format!(
            "[destinations]\nallow_private = [\"localhost\"]\n[mail]\nserver = \"localhost:{}\"\ntls = {tls:?}\n\
             from = \"security@aerie.example\"\nlogin = \"aerie\"\npassword_file = {:?}\n",
            mail.address.port(),
            place.write("password", "hunter2\n").display().to_string(),
        );
        let vouching = certificate("ca.pem").display().to_string();
        let config = config.sections(&sections).env("SSL_CERT_FILE", &vouching);
        // Without a chat server, direct messages lie in the outbox.
        let config = config.without("AERIE__CHAT__TOKEN");
        config.start().wait().done();
        let taken = mail.taken();
        assert_eq!(taken.len(), 4, "{tls}");
        // NUL, aerie, NUL, hunter2 in base64.
        assert!(taken.iter().all(|mail| mail.encrypted && mail.login.as_deref() == Some("AGFlcmllAGh1bnRlcjI=")));
        assert_eq!(mail.connections(), 1, "one connection for all of them");
        assert_eq!(mail.said()[0], "EHLO aerie.example");
        assert_eq!(std::fs::read_dir(place.path("data/outbox")).expect("a folder").count(), 2);
    }
}

#[test]
fn templates_are_those_of_a_folder_once_nothing_is_wrong_with_them() {
    let (place, mail, chat) = (Place::new(), Server::plain(), ChatServer::start());
    let folder = place.path("templates");
    let built_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("operators/src/respond/templates/en");
    std::fs::create_dir_all(folder.join("pt")).expect("a folder can be made");
    for file in std::fs::read_dir(built_in).expect("a folder") {
        let file = file.expect("a file");
        std::fs::copy(file.path(), folder.join("pt").join(file.file_name())).expect("a file can be copied");
    }
    let write = |text: &str| std::fs::write(folder.join("pt/admin.txt"), text).expect("a file can be written");
    write("Subject: {{afected}}\n\n{{org");
    let sections = format!(
        "[destinations]\nallow_private = [\"127.0.0.1\"]\n[mail]\nserver = \"127.0.0.1:{}\"\ntls = \"none\"\n\
         from = \"security@aerie.example\"\n[messages]\ntemplates = {:?}\n",
        mail.address.port(),
        folder.display().to_string(),
    );
    let config = config(&place, &mail, &chat, &[0]).sections(&sections).without("AERIE__CHAT__TOKEN");
    let words = ["2 problems", "pt/admin.txt: `afected` is no name", "pt/admin.txt: `{{org` is not closed"];
    config.start().wait().refused(2, &words);
    let file = config.file().display().to_string();
    aerie(&["check", "--config", &file]).refused(2, &words);
    write("Subject: {{affected}} foi desconectado\n\nOlá {{name}}, {{reasons}}");
    assert!(aerie(&["check", "--config", &file]).done().stdout.contains("by the templates of"));
    config.start().wait().done();
    let taken = by_recipient(&mail.taken());
    assert_eq!(taken["both@corp.example"][0].header("Subject"), "U1 foi desconectado");
    assert_eq!(taken["owner@corp.example"][0].header("Subject"), "U1 was signed out of E1");
}

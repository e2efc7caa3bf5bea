//! What is known of a mail after each way in which an attempt to send it can end, against a server that misbehaves on
//! purpose.

mod server;

use connectors::mail::Mail;
use connectors::reach::PrivateHosts;
use connectors::smtp::{self, Delivery, Encryption, Smtp};
use engine::time::Micros;
use server::{Deed, Server, Stage};
use std::path::{Path, PathBuf};
use std::time::Duration;

fn smtp(server: &Server, change: impl FnOnce(&mut smtp::Server)) -> Smtp {
    let mut settings = smtp::Server {
        host: "127.0.0.1".to_owned(),
        port: server.address.port(),
        hosts: PrivateHosts::new(["127.0.0.1".to_owned()]),
        encryption: Encryption::None,
        login: None,
        timeout: Duration::from_secs(30),
    };
    change(&mut settings);
    Smtp::new(settings).expect("there are certificates")
}

fn mail() -> Mail<'static> {
    Mail {
        id: "m1",
        at: Micros(1_767_225_600_000_000),
        from: "Aerie <no-reply@example.com>",
        to: "ann@example.org",
        subject: "You were signed out",
        text: "Hello,\n.\n..\nyou were signed out.",
        html: "<p>Hello",
    }
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/smtp/certificates").join(name)
}

fn answer(text: &str) -> Deed {
    Deed::Answer(text.to_owned())
}

#[test]
fn a_mail_arrives_as_it_is_and_the_next_one_by_the_same_connection() {
    let server = Server::plain();
    let smtp = smtp(&server, |_| {});
    for _ in 0..3 {
        assert_eq!(smtp.send(&mail(), &|| true).unwrap(), Delivery::Taken);
    }
    let received = server.received();
    assert_eq!((received.len(), server.connections()), (3, 1));
    let first = &received[0];
    assert_eq!((&*first.from, &*first.to), ("no-reply@example.com", &["ann@example.org".to_owned()][..]));
    assert_eq!(first.message.trim_end(), String::from_utf8(mail().render().unwrap()).unwrap().trim_end());
    assert_eq!(first.header("Message-ID"), "<m1@example.com>");
    assert!(received.iter().all(|mail| mail.taken && !mail.encrypted && mail == first));
    assert_eq!(server.said()[0], "EHLO example.com");
}

#[test]
fn what_an_attempt_tells_at_each_stage() {
    enum Expected {
        NotTaken,
        Refused,
        Unknown,
    }
    use Expected::{NotTaken, Refused, Unknown};
    let at = |stage: Stage| {
        let talks = matches!(stage, Stage::From | Stage::To | Stage::Data | Stage::End);
        let lost = || if stage == Stage::End { Unknown } else { NotTaken };
        for (deed, expected) in [
            (answer("451 4.3.0 later, ann@example.org"), NotTaken),
            (answer("421 closing"), NotTaken),
            // Of a server that wants nobody it is not known whether it wants this mail.
            (answer("550 5.1.1 <ann@example.org> no such\tone"), if talks { Refused } else { NotTaken }),
            (answer("what?"), lost()),
            (Deed::Drop, lost()),
            (Deed::Hang, lost()),
        ] {
            let server = Server::plain();
            let limited = |server: &mut smtp::Server| {
                if deed == Deed::Hang {
                    server.timeout = Duration::from_secs(2);
                }
            };
            server.then(stage, deed.clone());
            let note = format!("{stage:?} {deed:?}");
            let delivery = smtp(&server, limited).send(&mail(), &|| true).unwrap();
            let text = match (&expected, &delivery) {
                (NotTaken, Delivery::NotTaken(text)) => text,
                (Refused, Delivery::Refused(text)) => text,
                (Unknown, Delivery::Unknown(text)) => text,
                other => panic!("{note}: {:?}", other.1),
            };
            assert!(!text.contains("ann@") && !text.contains(['\t', '\r', '\n']), "{note}: {text}");
            assert!(server.is_through() && server.taken().is_empty(), "{note}");
            assert_eq!(
                smtp(&server, |_| {}).send(&mail(), &|| true).unwrap(),
                Delivery::Taken,
                "{note}: the next attempt"
            );
            let again = server.received();
            assert!(again.iter().all(|mail| mail.header("Message-ID") == "<m1@example.com>"), "{note}");
            assert_eq!(again.len(), if stage == Stage::End { 2 } else { 1 }, "{note}");
        }
    };
    std::thread::scope(|scope| {
        for stage in [Stage::Greeting, Stage::Hello, Stage::From, Stage::To, Stage::Data, Stage::End] {
            scope.spawn(move || at(stage));
        }
    });
}

#[test]
fn a_server_that_answers_byte_by_byte_is_given_no_more_time_than_another() {
    for stage in [Stage::Greeting, Stage::To, Stage::End, Stage::Idle] {
        let server = Server::plain();
        let smtp = smtp(&server, |settings| settings.timeout = Duration::from_secs(2));
        if stage == Stage::Idle {
            assert_eq!(smtp.send(&mail(), &|| true).unwrap(), Delivery::Taken);
        }
        server.then(stage, Deed::Drip);
        let since = std::time::Instant::now();
        let delivery = smtp.send(&mail(), &|| true).unwrap();
        let text = match (&delivery, stage) {
            (Delivery::Unknown(text), Stage::End) | (Delivery::NotTaken(text), Stage::Greeting | Stage::To) => text,
            // There was time for another connection.
            (Delivery::Taken, Stage::Idle) => "after 2s",
            _ => panic!("{stage:?}: {delivery:?}"),
        };
        assert!(text.contains("after 2s"), "{stage:?}: {text}");
        assert!(since.elapsed() < Duration::from_secs(4), "{stage:?}: {:?}", since.elapsed());
    }
}

#[test]
fn a_mail_that_was_cut_off_before_its_end_was_not_taken() {
    let server = Server::plain();
    server.then(Stage::Middle, Deed::Drop);
    let long = format!("{}\r\n", "All of it. ".repeat(70)).repeat(8 << 10);
    let smtp = smtp(&server, |_| {});
    let delivery = smtp.send(&Mail { text: &long, ..mail() }, &|| true).unwrap();
    assert!(matches!(delivery, Delivery::NotTaken(_)), "{delivery:?}");
    // A short one has left before the loss is noticed: its end may have arrived as well.
    server.then(Stage::Middle, Deed::Drop);
    let delivery = smtp.send(&mail(), &|| true).unwrap();
    assert!(!matches!(delivery, Delivery::Taken | Delivery::Refused(_)), "{delivery:?}");
    assert_eq!(smtp.send(&mail(), &|| true).unwrap(), Delivery::Taken);
    assert_eq!(server.received().len(), 1);
}

#[test]
fn a_mail_that_may_no_longer_be_sent_is_not() {
    let server = Server::plain();
    let smtp = smtp(&server, |_| {});
    let asked = std::cell::Cell::new(0);
    let no = || {
        asked.set(asked.get() + 1);
        false
    };
    assert_eq!(smtp.send(&mail(), &no).unwrap(), Delivery::Withheld);
    assert_eq!((asked.get(), server.received().len()), (1, 0));
    assert!(server.said().iter().any(|line| line.starts_with("RCPT")), "it was asked at the last moment");
    assert!(!server.said().iter().any(|line| line.starts_with("DATA")));
    assert_eq!(smtp.send(&mail(), &|| true).unwrap(), Delivery::Taken);
}

#[test]
fn an_idle_connection_that_was_closed_costs_nothing() {
    let server = Server::plain();
    let smtp = smtp(&server, |_| {});
    assert_eq!(smtp.send(&mail(), &|| true).unwrap(), Delivery::Taken);
    server.then(Stage::Idle, Deed::Drop);
    assert_eq!(smtp.send(&mail(), &|| true).unwrap(), Delivery::Taken);
    assert_eq!((server.connections(), server.received().len()), (2, 2));
}

#[test]
fn encryption_is_what_was_asked_for_or_there_is_no_mail() {
    let (certificate, key) = (fixture("server.pem"), fixture("server.key"));
    let (plain, encrypted) = (Server::plain(), Server::encrypted(&certificate, &key, true));
    for (server, encryption) in
        [(&plain, Encryption::StartTls), (&plain, Encryption::Tls), (&encrypted, Encryption::Tls)]
    {
        // Nobody has vouched for the certificate, and a server that does not encrypt learns nothing.
        let smtp = smtp(server, |settings| {
            settings.encryption = encryption;
            settings.login = Some(("aerie".into(), "hunter2".into()));
            settings.timeout = Duration::from_secs(5);
        });
        let delivery = smtp.send(&mail(), &|| true).unwrap();
        let Delivery::NotTaken(text) = &delivery else { panic!("{encryption:?}: {delivery:?}") };
        assert!(!text.contains("hunter2"), "{text}");
        assert!(server.received().is_empty());
        assert!(!server.said().iter().any(|line| line.starts_with("AUTH") || line.starts_with("MAIL")));
    }
}

#[test]
fn a_login_that_fails_is_no_word_on_the_mail() {
    let server = Server::plain();
    let smtp = smtp(&server, |settings| settings.login = Some(("aerie".into(), "hunter2".into())));
    // The second is what it was told, in base64.
    for said in ["535 5.7.8 hunter2", "535 AGFlcmllAGh1bnRlcjI=", "hunter2"] {
        server.then(Stage::Login, answer(said));
        let delivery = smtp.send(&mail(), &|| true).unwrap();
        let Delivery::NotTaken(text) = delivery else { panic!("{said}: {delivery:?}") };
        assert!(text.contains("log in") && !text.contains("hunter2") && !text.contains("AGFl"), "{text}");
    }
    assert_eq!(smtp.send(&mail(), &|| true).unwrap(), Delivery::Taken);
    assert!(server.received()[0].login.is_some());
}

#[test]
fn only_a_server_that_says_so_is_given_an_address_beyond_ascii() {
    let server = Server::plain();
    let smtp = smtp(&server, |_| {});
    assert_eq!(smtp.send(&Mail { to: "jürgen@example.org", ..mail() }, &|| true).unwrap(), Delivery::Taken);
    assert!(server.said().iter().any(|line| line.starts_with("MAIL") && line.contains("SMTPUTF8")));
    let server = Server::plain();
    let smtp = self::smtp(&server, |_| {});
    server.then(Stage::Hello, answer("250 mail.test"));
    let delivery = smtp.send(&Mail { to: "jürgen@example.org", ..mail() }, &|| true).unwrap();
    assert!(matches!(&delivery, Delivery::Refused(text) if text.contains("beyond ASCII")), "{delivery:?}");
    assert!(server.received().is_empty());
}

#[test]
fn a_server_where_none_may_be_is_not_talked_to() {
    let server = Server::plain();
    let smtp = smtp(&server, |settings| settings.hosts = PrivateHosts::default());
    let delivery = smtp.send(&mail(), &|| true).unwrap();
    assert!(matches!(delivery, Delivery::NotTaken(_)), "{delivery:?}");
    assert_eq!(server.connections(), 0);
}

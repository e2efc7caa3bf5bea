//! Tests of `mail`.

use super::*;
use crate::file::sha256;
use proptest::prelude::*;

pub(crate) fn mail() -> Mail<'static> {
    Mail {
        id: "0a1b.c_d-e",
        at: Micros(1_767_225_600_999_999),
        from: "Aerie <no-reply@example.com>",
        to: "ann@example.org",
        subject: "You were signed out",
        text: "Hello,\n.\nyou were signed out.\n",
        html: "<p>Hällo</p>",
    }
}

/// A mail's header and body, header lines unfolded.
fn split(bytes: &[u8]) -> (Vec<String>, String) {
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let (header, body) = text.split_once("\r\n\r\n").unwrap();
    (header.replace("\r\n ", " ").replace("\r\n\t", " ").split("\r\n").map(str::to_owned).collect(), body.to_owned())
}

fn names(header: &[String]) -> Vec<String> {
    let mut names: Vec<String> =
        header.iter().map(|line| line.split_once(':').map_or(line.as_str(), |(name, _)| name).to_owned()).collect();
    names.sort();
    names
}

const NAMES: [&str; 8] =
    ["Auto-Submitted", "Content-Type", "Date", "From", "MIME-Version", "Message-ID", "Subject", "To"];

#[test]
fn a_mail_has_a_text_and_an_html_part_and_its_own_id_and_date() {
    let (header, body) = split(&mail().render().unwrap());
    assert_eq!(names(&header), NAMES);
    for line in [
        "Message-ID: <0a1b.c_d-e@example.com>",
        "Date: Thu, 01 Jan 2026 00:00:00 +0000",
        "From: Aerie <no-reply@example.com>",
        "To: ann@example.org",
        "Subject: You were signed out",
        "Auto-Submitted: auto-generated",
    ] {
        assert!(header.iter().any(|found| found == line), "{line} in {header:#?}");
    }
    assert!(header.iter().any(|line| line.starts_with("Content-Type: multipart/alternative;")));
    let (text, html) = (body.find("text/plain").unwrap(), body.find("text/html").unwrap());
    assert!(text < html, "the best part comes last");
    assert!(body.contains("you were signed out.\r\n"));
    assert!(body.replace("\r\n", "").lines().count() <= 1, "every line ends in CRLF");
}

#[test]
fn equal_mails_are_equal_bytes_in_every_run() {
    assert_eq!(mail().render().unwrap(), mail().render().unwrap());
    // Pinned: a change of this hash is a change of every file name.
    let pinned = "5e8cc93b65b3b12e2c3923afd17ecb627f5bf233e618983fa38eb4ac87aa3d84";
    assert_eq!(sha256(&mail().render().unwrap()), pinned);
}

#[test]
fn bad_ids_addresses_and_dates_are_refused_without_their_text() {
    let base = mail();
    let long = "x".repeat(129);
    let secret = "secret\r\nBcc: all@example.com";
    for bad in [
        Mail { id: "", ..base },
        Mail { id: "a b", ..base },
        Mail { id: "a>\r\nX: y", ..base },
        Mail { id: ".a", ..base },
        Mail { id: "../a", ..base },
        Mail { id: &long, ..base },
        Mail { to: "", ..base },
        Mail { to: secret, ..base },
        Mail { to: "\"secret\r\nBcc: x\"@example.com", ..base },
        Mail { to: "secret@example.com, b@example.com", ..base },
        Mail { from: "secret <a@b@c>", ..base },
        Mail { at: Micros(u64::MAX), ..base },
    ] {
        match bad.render() {
            Err(Error::Invalid(text)) => assert!(!text.contains("secret") && !text.contains('\n'), "{text}"),
            other => panic!("{bad:?} gave {other:?}"),
        }
    }
}

proptest! {
    #[test]
    fn no_text_can_add_a_header(subject in any::<String>(), name in any::<String>(), text in any::<String>()) {
        let injected = format!("{subject}\r\nBcc: all@example.com\r\n\r\nbody");
        let to = format!("\"{}\" <ann@example.org>", name.replace(['"', '\\'], ""));
        let (subject, text) = (injected.as_str(), text.as_str());
        let mail = Mail { subject, text, html: text, to: &to, ..mail() };
        match mail.render() {
            Ok(bytes) => prop_assert_eq!(names(&split(&bytes).0), NAMES),
            Err(error) => prop_assert!(matches!(error, Error::Invalid(_)), "{}", error),
        }
    }
}

//! What the values of fields may be. Owned here: the rules for one value each, shared by the one pass that every
//! event takes and by the diagnosis of those that fail.

use super::address::parse_ip;
use super::rejection::RejectReason;
use super::time::{EARLIEST, TOO_LATE, micros, whole};
use super::wire::Text;
use engine::time::Micros;
use std::borrow::Cow;
use std::net::IpAddr;

/// Most bytes of an event id.
pub const ID_BYTES_MAX: usize = 64;

/// Most bytes of the name of a user, app, org or place; they become keys of state.
pub const NAME_BYTES_MAX: usize = 1_024;

/// A value that cannot stand, and why.
pub(super) type Refused = (RejectReason, Cow<'static, str>);

fn refuse<T>(reason: RejectReason, why: &'static str) -> Result<T, Refused> {
    Err((reason, why.into()))
}

/// An event's id: 1 to 64 bytes.
pub(super) fn id(text: &str) -> Result<(), Refused> {
    match text.len() {
        1..=ID_BYTES_MAX => Ok(()),
        length => Err((RejectReason::BadValue, format!("must have 1 to {ID_BYTES_MAX} bytes, has {length}").into())),
    }
}

/// The name of something that has state.
pub(super) fn name(text: &str) -> Result<(), Refused> {
    match text.len() {
        1..=NAME_BYTES_MAX => Ok(()),
        length => Err((RejectReason::BadValue, format!("must have 1 to {NAME_BYTES_MAX} bytes, has {length}").into())),
    }
}

/// An action: any name, known or not.
pub(super) fn action(text: &str) -> Result<(), Refused> {
    if text.is_empty() { refuse(RejectReason::BadValue, "must not be empty") } else { Ok(()) }
}

/// A point of time in Unix seconds, integer or decimal, with or without exponent.
pub(super) fn time(json: &str) -> Result<Micros, Refused> {
    match micros(number(json)?) {
        Some(time) if (EARLIEST..TOO_LATE).contains(&time) => Ok(time),
        _ => refuse(RejectReason::BadTime, "must lie from 2000-01-01 to before 2100-01-01, in seconds"),
    }
}

/// Any number, as its text.
pub(super) fn number(json: &str) -> Result<&str, Refused> {
    match json.as_bytes() {
        [b'-' | b'0'..=b'9', ..] => Ok(json),
        _ => refuse(RejectReason::WrongType, "must be a number"),
    }
}

/// An AS number. A number that is not whole is no integer and so of a wrong type.
pub(super) fn asn(json: &str) -> Result<u32, Refused> {
    if !super::time::is_whole(number(json)?) {
        return refuse(RejectReason::WrongType, "must be an integer");
    }
    match whole(json).and_then(|digits| digits.parse().ok()) {
        Some(asn) => Ok(asn),
        None => refuse(RejectReason::BadValue, "must lie from 0 to 4294967295"),
    }
}

/// A country: two characters, a letter and a letter or digit. Codes that ISO 3166-1 leaves to users, such as `T1`
/// that some proxies put for Tor, must not cost the event.
pub(super) fn country(text: &str) -> Result<(), Refused> {
    match text.as_bytes() {
        [] => Ok(()),
        [a, b] if a.is_ascii_alphabetic() && b.is_ascii_alphanumeric() => Ok(()),
        _ => refuse(RejectReason::BadValue, "must be a country code of two letters"),
    }
}

/// An id that may be a string or a number; a whole number is the same as its decimal digits.
pub(super) fn scalar(json: &str) -> Result<Cow<'_, str>, Refused> {
    if !json.starts_with('"') {
        return match number(json) {
            Ok(number) => whole(number).map_or_else(
                || refuse(RejectReason::BadValue, "must be a whole number of at most 40 digits, or a string"),
                Ok,
            ),
            Err(_) => refuse(RejectReason::WrongType, "must be a string or a number"),
        };
    }
    match serde_json::from_str::<Text<'_>>(json) {
        Ok(text) => Ok(text.0),
        Err(_) => refuse(RejectReason::BadValue, "must be text"),
    }
}

/// An address, or that the text is none. An empty text is absent.
pub(super) fn address(text: &str) -> Option<Result<IpAddr, ()>> {
    (!text.is_empty()).then(|| parse_ip(text).ok_or(()))
}

//! Secrets that a job needs, as they are when it starts. Owned here: reading the files that hold them, and what may be
//! shown of an answer to who was shown one.

use axum::http::header::HeaderValue;
use config::{KeyOrigin, Secret};
use engine::error::Error;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// The largest file of secrets has a token for each of some ten thousand orgs; what is longer is another file.
const BYTES_MAX: u64 = 4 << 20;

/// The secret itself; `setting` is where its file is named. White space around it does not belong to it.
///
/// # Errors
/// [`Error::Invalid`] if there is no file that holds one.
pub fn reveal(origin: &KeyOrigin, setting: &str) -> Result<Secret, Error> {
    match origin {
        KeyOrigin::Given(secret) => Ok(secret.clone()),
        KeyOrigin::File(path) => {
            let text = read(path, setting)?;
            match text.trim() {
                "" => Err(unusable(path, setting, "it is empty")),
                text => Ok(Secret::new(text)),
            }
        }
    }
}

/// A token as the value of the header that shows it, which no log shows; `setting` is where its file is named.
///
/// # Errors
/// [`Error::Invalid`] if there is none.
pub fn bearer(origin: &KeyOrigin, setting: &str) -> Result<HeaderValue, Error> {
    let token = reveal(origin, setting)?;
    let value = HeaderValue::from_str(&format!("Bearer {}", token.expose()));
    let mut value = value.map_err(|_| Error::Invalid(format!("the token of {setting} holds what is no token")))?;
    value.set_sensitive(true);
    Ok(value)
}

/// A code of somebody's protocol, or `other` where the text is none: only a code may be shown of an answer to a call that
/// held a token.
pub fn code(text: &str) -> &str {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    match !text.is_empty() && text.len() <= 64 && text.chars().all(plain) {
        true => text,
        false => "other",
    }
}

/// The text of a file that holds a secret.
///
/// # Errors
/// [`Error::Invalid`] if it cannot be read or is no such file.
pub fn read(path: &Path, setting: &str) -> Result<String, Error> {
    let mut text = String::new();
    let file = File::open(path).map_err(|error| unusable(path, setting, &error.to_string()))?;
    let read = file.take(BYTES_MAX + 1).read_to_string(&mut text);
    read.map_err(|error| unusable(path, setting, &error.to_string()))?;
    match text.len() as u64 > BYTES_MAX {
        true => Err(unusable(path, setting, &format!("it has more than {BYTES_MAX} bytes"))),
        false => Ok(text),
    }
}

/// That what a file holds will not do.
pub fn unusable(path: &Path, setting: &str, why: &str) -> Error {
    Error::Invalid(format!("cannot use {setting} {}: {why}", path.display()))
}

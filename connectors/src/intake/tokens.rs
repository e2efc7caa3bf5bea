//! Who is let in: bearer tokens, kept as hashes only.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use hyper::header::{AUTHORIZATION, HeaderMap};
use sha2::{Digest, Sha256};
use std::ops::RangeInclusive;

/// How long a token may be. Shorter ones can be guessed.
pub const TOKEN_BYTES: RangeInclusive<usize> = 24..=512;

const SCHEME: &str = "bearer";

/// Tokens, each of a bearer. Two tokens may have the same one.
#[derive(Debug, Default)]
pub struct Tokens(Vec<([u8; 32], usize)>);

impl Tokens {
    /// Lets a token in as that of `bearer`.
    ///
    /// # Errors
    /// The rule that it breaks, without the token.
    pub fn add(&mut self, token: &str, bearer: usize) -> Result<(), &'static str> {
        if !TOKEN_BYTES.contains(&token.len()) {
            return Err("must have from 24 to 512 characters");
        }
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("must be of printable ASCII characters");
        }
        let hash = hash(token.as_bytes());
        if self.0.iter().any(|(known, _)| *known == hash) {
            return Err("is there twice");
        }
        self.0.push((hash, bearer));
        Ok(())
    }

    /// How many bearers there are, if they are counted from zero.
    pub(super) fn bearers(&self) -> usize {
        self.0.iter().map(|(_, bearer)| bearer + 1).max().unwrap_or_default()
    }

    /// Whose token a request has. Takes as long for each that there is none of.
    pub(super) fn bearer(&self, headers: &HeaderMap) -> Option<usize> {
        let mut given = headers.get_all(AUTHORIZATION).iter();
        let (Some(value), None) = (given.next(), given.next()) else { return None };
        let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case(SCHEME) {
            return None;
        }
        let hash = hash(token.trim().as_bytes());
        let mut found = None;
        for (known, bearer) in &self.0 {
            if verify_slices_are_equal(known, &hash).is_ok() {
                found = Some(*bearer);
            }
        }
        found
    }
}

fn hash(token: &[u8]) -> [u8; 32] {
    Sha256::digest(token).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    fn headers(values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (AUTHORIZATION, HeaderValue::from_str(value).unwrap())).collect()
    }

    #[test]
    fn a_token_is_known_by_all_of_it_and_nothing_else() {
        let (one, other) = ("one-token-of-twenty-four", "other-token-of-twenty-six.");
        let mut tokens = Tokens::default();
        tokens.add(one, 0).unwrap();
        tokens.add(other, 3).unwrap();
        assert_eq!(tokens.bearers(), 4);
        for (header, bearer) in [
            (format!("Bearer {one}"), Some(0)),
            (format!("bearer  {other} "), Some(3)),
            (format!("Bearer {}", &one[1..]), None),
            (format!("Bearer {one}x"), None),
            (format!("Bearer {one} {other}"), None),
            (format!("Basic {one}"), None),
            (one.to_owned(), None),
            ("Bearer ".to_owned(), None),
        ] {
            assert_eq!(tokens.bearer(&headers(&[&header])), bearer, "{header}");
        }
        assert_eq!(tokens.bearer(&headers(&[])), None);
        let both = [format!("Bearer {one}"), format!("Bearer {one}")];
        assert_eq!(tokens.bearer(&headers(&[&both[0], &both[1]])), None, "which one is meant is not said");
        assert!(!format!("{tokens:?}").contains(one));
        assert_eq!(tokens.add(one, 1), Err("is there twice"));
        assert!(tokens.add("short", 1).is_err() && tokens.add(&"ä".repeat(12), 1).is_err());
    }
}

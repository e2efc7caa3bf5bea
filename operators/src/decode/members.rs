//! Objects read member by member, for the rare line that is looked at closely. Owned here: finding a member and
//! saying with its full path what is wrong with it. Nothing recurses: a member's value is raw text until it is asked
//! for.

use super::rejection::RejectReason::{self, BadValue, MissingField, WrongType};
use super::rejection::Rejection;
use super::text::clip;
use super::value::Refused;
use super::wire::Text;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// Most bytes of a member's name that a path shows, where the input chooses the name.
const NAME_SHOWN_BYTES_MAX: usize = 64;

/// The members of one object, in their order, with the object's path.
pub(super) struct Members<'a> {
    path: String,
    entries: Vec<(Cow<'a, str>, &'a RawValue)>,
}

impl<'a> Members<'a> {
    /// Reads an object at the top of a line; `None` if the line is not one JSON object.
    pub fn of_line(line: &'a str) -> Option<Self> {
        Some(Members { path: String::new(), entries: serde_json::from_str::<Entries<'a>>(line).ok()?.0 })
    }

    /// The full path of a member.
    pub fn path(&self, name: &str) -> String {
        let name = clip(name, NAME_SHOWN_BYTES_MAX);
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// The text of a member's value, `null` included.
    fn raw(&self, name: &str) -> Result<Option<&'a str>, Rejection> {
        let mut found = self.entries.iter().filter(|(entry, _)| entry == name);
        let first = found.next();
        match found.next() {
            None => Ok(first.map(|(_, value)| value.get())),
            Some(_) => Err(self.reject(BadValue, name, "must stand only once")),
        }
    }

    /// The text of an optional member's value; `null` is absent.
    pub fn optional(&self, name: &str) -> Result<Option<&'a str>, Rejection> {
        Ok(self.raw(name)?.filter(|json| *json != "null"))
    }

    /// The text of a required member's value. `missing` is the required field that is missing with it.
    pub fn required(&self, name: &str, missing: &str) -> Result<&'a str, Rejection> {
        self.raw(name)?.ok_or_else(|| Rejection::field(MissingField, missing, "is required"))
    }

    /// An optional string.
    pub fn text(&self, name: &str) -> Result<Option<Cow<'a, str>>, Rejection> {
        self.optional(name)?.map(|json| self.as_text(name, json)).transpose()
    }

    /// A required string.
    pub fn required_text(&self, name: &str) -> Result<Cow<'a, str>, Rejection> {
        self.as_text(name, self.required(name, &self.path(name))?)
    }

    /// An optional object.
    pub fn object(&self, name: &str) -> Result<Option<Members<'a>>, Rejection> {
        self.optional(name)?.map(|json| self.as_object(name, json)).transpose()
    }

    /// A required object, needed for the field `missing` within it.
    pub fn required_object(&self, name: &str, missing: &str) -> Result<Members<'a>, Rejection> {
        self.as_object(name, self.required(name, missing)?)
    }

    /// An optional truth value.
    pub fn flag(&self, name: &str) -> Result<Option<bool>, Rejection> {
        match self.optional(name)? {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err(self.reject(WrongType, name, "must be true or false")),
        }
    }

    /// Puts the path to a verdict on a value.
    pub fn checked<T>(&self, name: &str, verdict: Result<T, Refused>) -> Result<T, Rejection> {
        verdict.map_err(|(reason, why)| self.reject(reason, name, &why))
    }

    fn reject(&self, reason: RejectReason, name: &str, why: &str) -> Rejection {
        Rejection::field(reason, &self.path(name), why)
    }

    fn as_text(&self, name: &str, json: &'a str) -> Result<Cow<'a, str>, Rejection> {
        if !json.starts_with('"') {
            return Err(self.reject(WrongType, name, "must be a string"));
        }
        let text = serde_json::from_str::<Text<'a>>(json).map(|text| text.0);
        text.map_err(|_| self.reject(BadValue, name, "must be text"))
    }

    fn as_object(&self, name: &str, json: &'a str) -> Result<Members<'a>, Rejection> {
        if !json.starts_with('{') {
            return Err(self.reject(WrongType, name, "must be an object"));
        }
        match serde_json::from_str::<Entries<'a>>(json) {
            Ok(entries) => Ok(Members { path: self.path(name), entries: entries.0 }),
            Err(_) => Err(self.reject(BadValue, name, "must have names that are text")),
        }
    }
}

struct Entries<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Entries<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyMembers<'a>(std::marker::PhantomData<&'a ()>);

        impl<'de: 'a, 'a> Visitor<'de> for AnyMembers<'a> {
            type Value = Entries<'a>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Entries<'a>, A::Error> {
                let mut entries = Vec::new();
                while let Some((name, value)) = members.next_entry::<Text<'a>, &'a RawValue>()? {
                    entries.push((name.0, value));
                }
                Ok(Entries(entries))
            }
        }

        deserializer.deserialize_map(AnyMembers(std::marker::PhantomData))
    }
}

//! The shape of an event's line, borrowed from it. Owned here: which members are read and of which type they must be,
//! for the one pass that every event takes. What this refuses, `diagnose` explains; the two are tested against each
//! other.
//!
//! A member that is read must not stand twice in its object; others are passed over unread, at any depth, without
//! recursion.

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

/// A string, borrowed unless it has escapes. (An `Option<Cow<str>>` of its own would always copy.)
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct Text<'a>(#[serde(borrow)] pub Cow<'a, str>);

/// An object. (A derived structure by itself would take an array too.)
pub(super) struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OnlyObjects<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for OnlyObjects<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(members)).map(Object)
            }
        }

        deserializer.deserialize_map(OnlyObjects(PhantomData))
    }
}

/// The whole line.
#[derive(Deserialize)]
pub(super) struct Line<'a> {
    #[serde(borrow)]
    pub id: Text<'a>,
    #[serde(borrow)]
    pub date_create: &'a RawValue,
    #[serde(borrow)]
    pub action: Text<'a>,
    #[serde(borrow)]
    pub actor: Object<Actor<'a>>,
    #[serde(borrow)]
    pub entity: Option<Entity<'a>>,
    #[serde(borrow)]
    pub context: Object<Context<'a>>,
    #[serde(borrow)]
    pub details: Option<Object<Details<'a>>>,
}

/// `actor`.
#[derive(Deserialize)]
pub(super) struct Actor<'a> {
    #[serde(borrow, rename = "type")]
    pub _type: Option<Text<'a>>,
    #[serde(borrow)]
    pub user: Object<User<'a>>,
}

/// `actor.user`.
#[derive(Deserialize)]
pub(super) struct User<'a> {
    #[serde(borrow)]
    pub id: Text<'a>,
    #[serde(borrow)]
    pub name: Option<Text<'a>>,
    #[serde(borrow)]
    pub email: Option<Text<'a>>,
    #[serde(borrow)]
    pub team: Option<Text<'a>>,
    pub is_external: Option<bool>,
}

/// `context`.
#[derive(Deserialize)]
pub(super) struct Context<'a> {
    #[serde(borrow)]
    pub location: Object<Location<'a>>,
    #[serde(borrow)]
    pub enterprise_id: Option<Text<'a>>,
    #[serde(borrow)]
    pub ua: Option<Text<'a>>,
    #[serde(borrow)]
    pub session_id: Option<&'a RawValue>,
    #[serde(borrow)]
    pub ip_address: Option<Text<'a>>,
    #[serde(borrow)]
    pub app: Option<Object<App<'a>>>,
    #[serde(borrow)]
    pub tls_fingerprint: Option<Text<'a>>,
    #[serde(borrow)]
    pub client: Option<Object<Client<'a>>>,
    #[serde(borrow)]
    pub device_id: Option<Text<'a>>,
    #[serde(borrow)]
    pub cookie_ts: Option<&'a RawValue>,
    #[serde(borrow)]
    pub asn: Option<&'a RawValue>,
    #[serde(borrow)]
    pub country: Option<Text<'a>>,
}

/// `context.location`.
#[derive(Deserialize)]
pub(super) struct Location<'a> {
    #[serde(borrow, rename = "type")]
    pub kind: Option<Text<'a>>,
    #[serde(borrow)]
    pub id: Text<'a>,
    #[serde(borrow)]
    pub name: Option<Text<'a>>,
    #[serde(borrow)]
    pub domain: Option<Text<'a>>,
}

/// `context.app`.
#[derive(Deserialize)]
pub(super) struct App<'a> {
    #[serde(borrow)]
    pub id: Option<Text<'a>>,
    #[serde(borrow)]
    pub name: Option<Text<'a>>,
}

/// `context.client`.
#[derive(Deserialize)]
pub(super) struct Client<'a> {
    #[serde(borrow)]
    pub name: Option<Text<'a>>,
    #[serde(borrow)]
    pub os: Option<Text<'a>>,
    #[serde(borrow)]
    pub version: Option<Text<'a>>,
}

/// `details`, as far as every event's are read.
#[derive(Deserialize)]
pub(super) struct Details<'a> {
    #[serde(borrow)]
    pub method: Option<Text<'a>>,
    #[serde(borrow)]
    pub bytes: Option<&'a RawValue>,
    pub ok: Option<bool>,
}

/// `entity`: a type, and the id within the member that the type names.
pub(super) struct Entity<'a> {
    pub kind: Option<Cow<'a, str>>,
    pub id: Option<&'a RawValue>,
}

/// The member of `entity` that its type names.
#[derive(Deserialize)]
struct Typed<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Entity<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EntityVisitor(PhantomData))
    }
}

struct EntityVisitor<'a>(PhantomData<&'a ()>);

impl<'de: 'a, 'a> Visitor<'de> for EntityVisitor<'a> {
    type Value = Entity<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Entity<'a>, A::Error> {
        let mut kind: Option<Option<Text<'a>>> = None;
        let mut typed: Option<Option<Object<Typed<'a>>>> = None;
        // Members that came before the type; in what Slack writes there are none.
        let mut early: Vec<(Text<'a>, &'a RawValue)> = Vec::new();
        while let Some(name) = members.next_key::<Text<'a>>()? {
            match &kind {
                _ if name.0 == "type" => once(&mut kind, members.next_value()?)?,
                None => early.push((name, members.next_value()?)),
                Some(Some(kind)) if kind.0 == name.0 && !kind.0.is_empty() => once(&mut typed, members.next_value()?)?,
                Some(_) => drop(members.next_value::<serde::de::IgnoredAny>()?),
            }
        }
        let kind = kind.flatten().map(|text| text.0).filter(|kind| !kind.is_empty());
        for (_, value) in early.iter().filter(|(name, _)| kind.as_deref() == Some(&*name.0)) {
            once(&mut typed, serde_json::from_str(value.get()).map_err(A::Error::custom)?)?;
        }
        Ok(Entity { kind, id: typed.flatten().and_then(|typed| typed.0.id) })
    }
}

/// Takes a member's value, refusing a second one.
fn once<T, E: Error>(place: &mut Option<T>, value: T) -> Result<(), E> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(E::custom("a member stands twice")),
    }
}

//! Lists in rows with a length of two bytes instead of bincode's eight: an ordinary user's row has eight of them, and
//! all are bounded far below. For `#[serde(with = "short")]` and bincode only, as the format is not self-describing.

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::ser::{Error as _, SerializeTuple};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::marker::PhantomData;

/// Writes the length, then the elements.
///
/// # Errors
/// More than 65,535 elements, and what the serializer says.
pub fn serialize<T: Serialize, S: Serializer>(list: &[T], serializer: S) -> Result<S::Ok, S::Error> {
    let length = u16::try_from(list.len()).map_err(|_| S::Error::custom("a list of more than 65,535 elements"))?;
    let mut tuple = serializer.serialize_tuple(1 + list.len())?;
    tuple.serialize_element(&length)?;
    list.iter().try_for_each(|element| tuple.serialize_element(element))?;
    tuple.end()
}

/// Reads what [`serialize`] wrote.
///
/// # Errors
/// What the deserializer says, as when the bytes end early.
pub fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    deserializer.deserialize_tuple(1 + u16::MAX as usize, Short(PhantomData))
}

struct Short<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Short<T> {
    type Value = Vec<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a length and that many elements")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Vec<T>, A::Error> {
        let missing = || A::Error::custom("a list ends early");
        let length: u16 = sequence.next_element()?.ok_or_else(missing)?;
        // No room is taken ahead of what is there: damaged bytes must not make the reader allocate.
        (0..length).map(|_| sequence.next_element()?.ok_or_else(missing)).collect()
    }
}

//! Counts by minute and session over the last two hours. Owned here: which window is fullest, what is counted together
//! when there are too many sessions, and a form for the row that takes some three bytes for each minute and session.

use super::super::client::Print;
use crate::limits::{RING_MAX, RING_MINUTES, WINDOW_MINUTES};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;

/// The counts, in the order of minutes.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Ring(Vec<Slot>);

/// Events of one session in one minute.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Slot {
    minute: u32,
    pub source: Source,
    count: u32,
}

/// Whose events a slot holds: zero for no session, else a session's print, or one of the two below.
pub type Source = u32;

/// From trusted networks.
pub const TRUSTED: Source = u32::MAX;
/// Of several sessions.
const MIXED: Source = u32::MAX - 1;

/// The source that stands for a session.
pub fn origin(session: Print) -> Source {
    session.0.min(MIXED - 1)
}

/// See [`Ring::fullest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fullest {
    /// What is held.
    pub held: u64,
    /// The last minute of that window.
    pub end: u32,
    /// All that counts in a window.
    pub all: u64,
}

impl Ring {
    /// Counts one.
    pub fn count(&mut self, minute: u32, source: Source) {
        let newest = self.0.last().map_or(minute, |slot| slot.minute.max(minute));
        let passed = self.0.partition_point(|slot| slot.minute + RING_MINUTES <= newest);
        self.0.drain(..passed);
        let slot = self.0.iter_mut().rfind(|slot| slot.minute == minute && slot.source == source);
        if let Some(slot) = slot {
            slot.count += 1;
            return;
        }
        if self.0.len() >= RING_MAX {
            self.mix();
        }
        let place = self.0.partition_point(|slot| slot.minute <= minute);
        self.0.insert(place, Slot { minute, source, count: 1 });
    }

    /// What is `held` in the fullest window that holds `minute` and ends with a minute in which something counted, and
    /// all that counts in the fullest one.
    pub fn fullest(&self, minute: u32, held: impl Fn(&Slot) -> bool) -> Fullest {
        let ends = &self.0[self.0.partition_point(|slot| slot.minute < minute)..];
        let mut best = Fullest { held: 0, end: minute, all: 0 };
        for ends_there in ends.chunk_by(|a, b| a.minute == b.minute) {
            let end = ends_there[0].minute;
            if end >= minute + WINDOW_MINUTES {
                break;
            }
            let start = self.0.partition_point(|slot| slot.minute + WINDOW_MINUTES <= end);
            let within = self.0[start..].iter().take_while(|slot| slot.minute <= end);
            let (mut count, mut all) = (0, 0);
            for slot in within {
                all += u64::from(slot.count);
                count += if held(slot) { u64::from(slot.count) } else { 0 };
            }
            best.all = best.all.max(all);
            if count > best.held {
                (best.held, best.end) = (count, end);
            }
        }
        best
    }

    /// The counts in the window that ends with `minute`: those held against the user, and those from trusted networks.
    pub fn last_hour(&self, minute: u32) -> (u64, u64) {
        let within = self.0.iter().filter(|slot| slot.minute <= minute && slot.minute + WINDOW_MINUTES > minute);
        within.fold((0, 0), |(counted, trusted), slot| match slot.source {
            TRUSTED => (counted, trusted + u64::from(slot.count)),
            _ => (counted + u64::from(slot.count), trusted),
        })
    }

    /// In how many of the six parts of the window that starts with `start` at least a twelfth of it counted, half of an
    /// even share. What came from trusted networks does not count.
    pub fn parts(&self, start: u32) -> usize {
        let mut parts = [0u64; 6];
        for slot in self.0.iter().filter(|slot| slot.source != TRUSTED) {
            let part = slot.minute.checked_sub(start).map(|minute| (minute / (WINDOW_MINUTES / 6)) as usize);
            if let Some(part) = part.and_then(|part| parts.get_mut(part)) {
                *part += u64::from(slot.count);
            }
        }
        let all: u64 = parts.iter().sum();
        parts.into_iter().filter(|part| *part > 0 && part * 12 >= all).count()
    }

    /// All counts by minute.
    pub fn by_minute(&self) -> BTreeMap<u32, u64> {
        self.0.iter().fold(BTreeMap::new(), |mut minutes, slot| {
            *minutes.entry(slot.minute).or_default() += u64::from(slot.count);
            minutes
        })
    }

    /// Roughly the bytes on the heap.
    pub fn weight(&self) -> usize {
        self.0.capacity() * size_of::<Slot>()
    }

    /// Counts the sessions of each minute together; what is left is at most two slots a minute.
    fn mix(&mut self) {
        let mut mixed: Vec<Slot> = Vec::with_capacity(RING_MAX);
        for slot in self.0.drain(..) {
            let source = if slot.source == TRUSTED { TRUSTED } else { MIXED };
            match mixed.iter_mut().rev().take(2).find(|other| other.minute == slot.minute && other.source == source) {
                Some(other) => other.count += slot.count,
                None => mixed.push(Slot { source, ..slot }),
            }
        }
        self.0 = mixed;
    }

    /// Numbers of seven bits a byte, lowest first, all but the last byte of each with the highest bit set: how many
    /// sources there are, the sources; how many slots, and of each by how much its minute is later than the one before,
    /// which source, and the count.
    fn packed(&self) -> Vec<u8> {
        let mut sources: Vec<Source> = Vec::new();
        for slot in &self.0 {
            if !sources.contains(&slot.source) {
                sources.push(slot.source);
            }
        }
        let mut bytes = Vec::with_capacity(8 + 5 * sources.len() + 3 * self.0.len());
        put(&mut bytes, sources.len() as u32);
        sources.iter().for_each(|source| put(&mut bytes, *source));
        put(&mut bytes, self.0.len() as u32);
        let mut before = 0;
        for slot in &self.0 {
            let source = sources.iter().position(|source| *source == slot.source).expect("all sources are listed");
            put(&mut bytes, slot.minute - before);
            put(&mut bytes, source as u32);
            put(&mut bytes, slot.count);
            before = slot.minute;
        }
        bytes
    }

    /// What [`Ring::packed`] packed, `None` if it cannot have been that.
    fn unpacked(mut bytes: &[u8]) -> Option<Self> {
        let bytes = &mut bytes;
        let count = take(bytes)?;
        let sources = (0..count).map(|_| take(bytes)).collect::<Option<Vec<Source>>>()?;
        let mut minute = 0u32;
        let slots = (0..take(bytes)?).map(|_| {
            minute = minute.checked_add(take(bytes)?)?;
            let source = *sources.get(take(bytes)? as usize)?;
            Some(Slot { minute, source, count: take(bytes)? })
        });
        let slots = slots.collect::<Option<Vec<Slot>>>()?;
        (slots.len() <= RING_MAX && bytes.is_empty()).then_some(Ring(slots))
    }
}

fn put(bytes: &mut Vec<u8>, mut number: u32) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn take(bytes: &mut &[u8]) -> Option<u32> {
    let mut number = 0u64;
    for shift in (0..35).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return u32::try_from(number).ok();
        }
    }
    None
}

impl Serialize for Ring {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        super::super::short::serialize(&self.packed(), serializer)
    }
}

impl<'de> Deserialize<'de> for Ring {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes: Vec<u8> = super::super::short::deserialize(deserializer)?;
        Ring::unpacked(&bytes).ok_or_else(|| D::Error::custom("counts by minute that are none"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn counts_come_back_and_take_little_room(
            counted in prop::collection::vec((0u32..RING_MINUTES, 0u32..4), 1..200),
            start in 0u32..40_000_000,
        ) {
            let mut ring = Ring::default();
            counted.iter().for_each(|(minute, session)| ring.count(start + minute, origin(Print(*session << 28 | 7))));
            let bytes = ring.packed();
            prop_assert!(bytes.len() <= 4 * 5 + 3 * ring.0.len() + 12, "{} for {}", bytes.len(), ring.0.len());
            prop_assert_eq!(Ring::unpacked(&bytes), Some(ring));
            for end in 0..bytes.len() {
                prop_assert_eq!(Ring::unpacked(&bytes[..end]), None);
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Ring::unpacked(&bytes);
        }
    }
}

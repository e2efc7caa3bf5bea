//! Keys of the byte store: group (u16), kind (u8), then for a row its name, for a timer its time (u64), its tag (u8)
//! and the name of its row. Integers are big endian, so that rows are ordered by name and timers by time.
//!
//! Kinds are part of the snapshot format. A number is never given to another kind.

use crate::key::KeyGroup;
use crate::state::Timer;
use crate::time::Micros;

const ROW: u8 = 0;
const TIMER: u8 = 1;

/// Bytes before a row's name: group and kind.
const ROW_HEAD: usize = 3;

/// What the keys of all rows of a group start with.
pub(super) fn row_prefix(group: KeyGroup) -> [u8; ROW_HEAD] {
    let [high, low] = group.0.to_be_bytes();
    [high, low, ROW]
}

/// Appends the key of a row.
pub(super) fn push_row_key(group: KeyGroup, name: &[u8], key: &mut Vec<u8>) {
    key.reserve(ROW_HEAD + name.len());
    key.extend_from_slice(&row_prefix(group));
    key.extend_from_slice(name);
}

/// The name in a row's key.
pub(super) fn row_name(key: &[u8]) -> &[u8] {
    &key[ROW_HEAD.min(key.len())..]
}

/// What the keys of all timers of a group start with.
pub(super) fn timer_prefix(group: KeyGroup) -> [u8; 3] {
    let [high, low] = group.0.to_be_bytes();
    [high, low, TIMER]
}

/// The key of a timer. Its value is empty.
pub(super) fn timer_key(timer: &Timer) -> Vec<u8> {
    [&timer_prefix(timer.group)[..], &timer.at.0.to_be_bytes(), &[timer.tag], &timer.key].concat()
}

/// The timer of a key; `None` if the key is not one of a timer.
pub(super) fn timer(key: &[u8]) -> Option<Timer> {
    let (&[high, low, TIMER], rest) = key.split_first_chunk::<3>()? else { return None };
    let (&at, rest) = rest.split_first_chunk::<8>()?;
    let (&tag, name) = rest.split_first()?;
    let group = KeyGroup(u16::from_be_bytes([high, low]));
    Some(Timer { at: Micros(u64::from_be_bytes(at)), group, key: name.to_vec(), tag })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_are_the_pinned_ones() {
        let mut key = vec![9];
        push_row_key(KeyGroup(0x0102), b"name", &mut key);
        assert_eq!(key, b"\x09\x01\x02\x00name");
        assert_eq!(row_name(&key[1..]), b"name");

        let set = Timer { at: Micros(0x0304), group: KeyGroup(0x0102), key: b"name".to_vec(), tag: 7 };
        assert_eq!(timer_key(&set), b"\x01\x02\x01\0\0\0\0\0\0\x03\x04\x07name");
        assert_eq!(timer(&timer_key(&set)), Some(set));
    }

    #[test]
    fn what_is_no_timer_is_not_read_as_one() {
        let full = timer_key(&Timer { at: Micros(1), group: KeyGroup(1), key: Vec::new(), tag: 0 });
        assert!(timer(&full).is_some());
        for length in 0..full.len() {
            assert_eq!(timer(&full[..length]), None);
        }
        assert_eq!(timer(b"\x01\x02\x00aaaaaaaaaaaa"), None);
    }
}

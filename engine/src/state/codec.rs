//! The envelope around each value. Owned here: its bytes, what is checked when one is read, and the way from older
//! versions of a row. Not owned here: keys, and when a row has expired.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 1 | format of the envelope, [`FORMAT`] |
//! | 1 | 2 | [`Row::TYPE`] |
//! | 3 | 2 | [`Row::VERSION`] |
//! | 5 | 8 | touched: event time of the last write, in milliseconds |
//! | 13 | 4 | length of the payload |
//! | 17 | 4 | CRC32C (RFC 3720) of the bytes before it and of the payload |
//! | 21 | | payload: bincode 1.3, integers of fixed size |
//!
//! All integers are little endian.

use super::Row;
use crate::error::Error;
use crate::time::Stamp;
use bincode::Options;

/// The format of the envelope. A value of another format is refused.
pub const FORMAT: u8 = 1;

/// Bytes before the payload.
pub const HEADER: usize = 21;

/// The most bytes that a payload may have, written or read. It bounds what damaged bytes can make the reader allocate.
pub const PAYLOAD_MAX: usize = 16 << 20;

fn bincode_options() -> impl Options {
    bincode::DefaultOptions::new().with_fixint_encoding().with_limit(PAYLOAD_MAX as u64)
}

/// Appends a row's value to `bytes`.
///
/// # Errors
/// [`Error::Fault`] when the row takes more than [`PAYLOAD_MAX`] bytes or cannot be serialized: the logic has to bound
/// what a row holds. `bytes` is then as it was.
pub fn encode<R: Row>(row: &R, touched: Stamp, bytes: &mut Vec<u8>) -> Result<(), Error> {
    let start = bytes.len();
    bytes.push(FORMAT);
    bytes.extend_from_slice(&R::TYPE.to_le_bytes());
    bytes.extend_from_slice(&R::VERSION.to_le_bytes());
    bytes.extend_from_slice(&touched.to_le_bytes());
    bytes.extend_from_slice(&[0; 8]);
    if let Err(why) = bincode_options().serialize_into(&mut *bytes, row) {
        bytes.truncate(start);
        return Err(Error::Fault(format!(
            "a row of type {} cannot be stored: {why} (at most {PAYLOAD_MAX} bytes); bound what the row holds",
            R::TYPE
        )));
    }
    let length = (bytes.len() - start - HEADER) as u32;
    bytes[start + 13..start + 17].copy_from_slice(&length.to_le_bytes());
    let checksum = checksum(&bytes[start..]);
    bytes[start + 17..start + HEADER].copy_from_slice(&checksum.to_le_bytes());
    Ok(())
}

/// Reads a row and when it was last written.
///
/// # Errors
/// [`Error::Corrupt`], with what differs, when the bytes are damaged, of another type, or of a version that neither
/// this program nor [`Row::migrate`] reads.
pub fn decode<R: Row>(bytes: &[u8]) -> Result<(R, Stamp), Error> {
    let Envelope { kind, version, touched, payload } = open(bytes).map_err(|what| corrupt::<R>(&what))?;
    if kind != R::TYPE {
        return Err(corrupt::<R>(&format!("the value is of type {kind}")));
    }
    let row = if version == R::VERSION {
        bincode_options().deserialize(payload).map_err(|why| corrupt::<R>(&format!("unreadable payload: {why}")))?
    } else if version < R::VERSION {
        R::migrate(version, payload).ok_or_else(|| {
            corrupt::<R>(&format!("version {version} cannot be read any more, this program has {}", R::VERSION))
        })?
    } else {
        return Err(corrupt::<R>(&format!("version {version} is of a newer program, this one has {}", R::VERSION)));
    };
    Ok((row, touched))
}

/// When a value was last written; `None` for bytes that are no intact envelope, so that nothing is dropped that a
/// reader should rather report.
pub fn touched(bytes: &[u8]) -> Option<Stamp> {
    open(bytes).ok().map(|envelope| envelope.touched)
}

struct Envelope<'a> {
    kind: u16,
    version: u16,
    touched: Stamp,
    payload: &'a [u8],
}

/// Checks all that does not depend on the type of the row.
fn open(bytes: &[u8]) -> Result<Envelope<'_>, String> {
    let Some((header, payload)) = bytes.split_first_chunk::<HEADER>() else {
        return Err(format!("{} bytes are too few for an envelope of {HEADER}", bytes.len()));
    };
    let [format, k0, k1, v0, v1, t0, t1, t2, t3, t4, t5, t6, t7, l0, l1, l2, l3, c0, c1, c2, c3] = *header;
    if format != FORMAT {
        return Err(format!("envelope format {format}, this program reads {FORMAT}"));
    }
    let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    if length != payload.len() || length > PAYLOAD_MAX {
        return Err(format!("payload of {} bytes, announced {length}, at most {PAYLOAD_MAX}", payload.len()));
    }
    let (stored, computed) = (u32::from_le_bytes([c0, c1, c2, c3]), checksum(bytes));
    if stored != computed {
        return Err(format!("checksum {computed:08x}, stored {stored:08x}"));
    }
    Ok(Envelope {
        kind: u16::from_le_bytes([k0, k1]),
        version: u16::from_le_bytes([v0, v1]),
        touched: u64::from_le_bytes([t0, t1, t2, t3, t4, t5, t6, t7]),
        payload,
    })
}

/// Of an envelope without its checksum field. `envelope` has at least [`HEADER`] bytes.
fn checksum(envelope: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&envelope[..17]), &envelope[HEADER..])
}

fn corrupt<R: Row>(what: &str) -> Error {
    Error::Corrupt(format!("stored row of type {}: {what}; restore an earlier snapshot", R::TYPE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Span;
    use proptest::prelude::*;
    use serde::{Deserialize, Serialize};

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct Word {
        count: u32,
        text: String,
    }

    impl Row for Word {
        const TYPE: u16 = 0x0102;
        const VERSION: u16 = 3;
        const TTL: Option<Span> = None;

        fn weight(&self) -> usize {
            size_of::<Self>() + self.text.len()
        }

        /// Version 2 was the text alone; version 1 is gone.
        fn migrate(version: u16, bytes: &[u8]) -> Option<Self> {
            (version == 2).then(|| Word { count: 1, text: String::from_utf8_lossy(bytes).into_owned() })
        }
    }

    fn word() -> Word {
        Word { count: 7, text: "hi".to_owned() }
    }

    fn encoded<R: Row>(row: &R, touched: Stamp) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(row, touched, &mut bytes).unwrap();
        bytes
    }

    /// What [`decode`] makes of an intact envelope whose header says something else.
    fn refusal(change: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut bytes = encoded(&word(), 5);
        change(&mut bytes);
        let sum = checksum(&bytes);
        bytes[17..21].copy_from_slice(&sum.to_le_bytes());
        match decode::<Word>(&bytes) {
            Err(Error::Corrupt(text)) => text,
            other => panic!("expected a refusal, got {other:?}"),
        }
    }

    #[test]
    fn the_bytes_are_the_pinned_ones() {
        let bytes = encoded(&word(), 0x0102_0304_0506_0708);
        let expected = [
            1, 0x02, 0x01, 3, 0, 8, 7, 6, 5, 4, 3, 2, 1, 14, 0, 0, 0, 0xb9, 0xcf, 0x9a, 0x1c, // header
            7, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, b'h', b'i', // payload
        ];
        assert_eq!(bytes, expected);
        assert_eq!(decode::<Word>(&expected).unwrap(), (word(), 0x0102_0304_0506_0708));
        assert_eq!(touched(&expected), Some(0x0102_0304_0506_0708));
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let intact = encoded(&word(), 1_767_225_600_000);
        for bit in 0..intact.len() * 8 {
            let mut bytes = intact.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(decode::<Word>(&bytes), Err(Error::Corrupt(_))), "bit {bit}");
            assert_eq!(touched(&bytes), None, "bit {bit}");
        }
    }

    #[test]
    fn every_truncation_and_every_excess_is_noticed() {
        let mut bytes = encoded(&word(), 9);
        for length in 0..bytes.len() {
            assert!(matches!(decode::<Word>(&bytes[..length]), Err(Error::Corrupt(_))), "length {length}");
        }
        bytes.push(0);
        assert!(matches!(decode::<Word>(&bytes), Err(Error::Corrupt(_))));
    }

    #[test]
    fn trailing_bytes_inside_an_intact_envelope_are_refused() {
        let text = refusal(|bytes| {
            bytes.push(0);
            bytes[13] += 1;
        });
        assert!(text.contains("unreadable payload"), "{text}");
    }

    #[test]
    fn a_refusal_says_what_differs() {
        assert!(refusal(|bytes| bytes[0] = 2).contains("envelope format 2, this program reads 1"));
        assert!(refusal(|bytes| bytes[1] = 9).contains("type 265"));
        assert!(refusal(|bytes| bytes[3] = 1).contains("version 1 cannot be read any more, this program has 3"));
        assert!(refusal(|bytes| bytes[3] = 4).contains("version 4 is of a newer program"));
    }

    #[test]
    fn an_older_version_goes_through_the_migration() {
        let mut bytes = encoded(&word(), 5);
        bytes.truncate(HEADER);
        bytes.extend_from_slice(b"old");
        bytes[3] = 2;
        bytes[13] = 3;
        let sum = checksum(&bytes);
        bytes[17..21].copy_from_slice(&sum.to_le_bytes());
        assert_eq!(decode::<Word>(&bytes).unwrap(), (Word { count: 1, text: "old".to_owned() }, 5));
    }

    #[test]
    fn a_row_over_the_limit_is_a_fault_and_leaves_nothing_behind() {
        let mut bytes = vec![42];
        let row = Word { count: 0, text: "x".repeat(PAYLOAD_MAX) };
        assert!(matches!(encode(&row, 0, &mut bytes), Err(Error::Fault(_))));
        assert_eq!(bytes, [42]);
    }

    #[test]
    fn an_announced_length_cannot_make_the_reader_allocate() {
        let text = refusal(|bytes| bytes[HEADER + 4..HEADER + 12].fill(0xff));
        assert!(text.contains("unreadable payload"), "{text}");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(count: u32, text: String, at: u64) {
            let row = Word { count, text };
            prop_assert_eq!(decode::<Word>(&encoded(&row, at)).unwrap(), (row, at));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            prop_assert!(decode::<Word>(&bytes).is_err());
        }
    }
}

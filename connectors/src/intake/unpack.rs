//! Packed bodies: one layer of gzip or zstd, unpacked no further than its bounds allow.

use super::body::{Share, too_large};
use super::{Answer, BODY_BYTES_MAX, Outcome, RATIO_FREE_BYTES, RATIO_MAX};
use flate2::read::MultiGzDecoder;
use hyper::header::{CONTENT_ENCODING, HeaderMap};
use std::io::Read;
use zstd::stream::read::Decoder;

/// How far back a zstd frame may refer, as a power of two: 8 MiB, what its levels up to 19 use.
const WINDOW_LOG_MAX: u32 = 23;

/// How much is unpacked at once.
const PIECE_BYTES: usize = 64 << 10;

/// How a body is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    Plain,
    Gzip,
    Zstd,
}

impl Packing {
    /// As the head says.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Answer> {
        let mut given = headers.get_all(CONTENT_ENCODING).iter();
        let name = match (given.next(), given.next()) {
            (None, _) => return Ok(Packing::Plain),
            (Some(name), None) => name.to_str().unwrap_or_default().trim().to_ascii_lowercase(),
            (Some(_), Some(_)) => "several".to_owned(),
        };
        match name.as_str() {
            "identity" => Ok(Packing::Plain),
            "gzip" | "x-gzip" => Ok(Packing::Gzip),
            "zstd" => Ok(Packing::Zstd),
            _ => Err(Answer::refused(Outcome::Unsupported, "the Content-Encoding must be gzip, zstd or none")),
        }
    }

    /// Unpacks a body.
    pub(super) fn unpack(self, body: Vec<u8>, share: &mut Share) -> Result<Vec<u8>, Answer> {
        match self {
            Packing::Plain => Ok(body),
            Packing::Gzip => read_all(MultiGzDecoder::new(body.as_slice()), "gzip", body.len(), share),
            Packing::Zstd => {
                share.grow(1 << WINDOW_LOG_MAX)?;
                let decoder = Decoder::with_buffer(body.as_slice())
                    .and_then(|mut decoder| decoder.window_log_max(WINDOW_LOG_MAX).map(|()| decoder));
                read_all(decoder.map_err(|_| broken("zstd"))?, "zstd", body.len(), share)
            }
        }
    }
}

fn read_all(mut from: impl Read, name: &str, packed: usize, share: &mut Share) -> Result<Vec<u8>, Answer> {
    let by_ratio = packed.saturating_mul(RATIO_MAX).max(RATIO_FREE_BYTES);
    let (mut piece, mut whole) = (vec![0; PIECE_BYTES], Vec::new());
    loop {
        let count = from.read(&mut piece).map_err(|_| broken(name))?;
        if count == 0 {
            return Ok(whole);
        }
        if whole.len() + count > BODY_BYTES_MAX {
            return Err(too_large());
        }
        if whole.len() + count > by_ratio {
            let why = format!("the body unpacks to more than {RATIO_MAX} times its size; send it in another form");
            return Err(Answer::refused(Outcome::TooLarge, why));
        }
        share.grow(count)?;
        whole.extend_from_slice(&piece[..count]);
    }
}

fn broken(name: &str) -> Answer {
    Answer::refused(Outcome::Invalid, format!("the body is no whole {name}, or needs more than 8 MiB to unpack"))
}

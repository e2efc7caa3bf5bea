//! Whole lines out of pieces of any length, in bounded memory: what goes into an inbox.

use crate::file::LINE_BYTES_MAX;
use memchr::memchr;

/// So much of a line is kept: enough that a longer one is still seen to be too long, whatever its line end.
const KEPT_BYTES: usize = LINE_BYTES_MAX + 2;

const BOM: &[u8] = b"\xef\xbb\xbf";

/// Cuts what comes in pieces into lines. Blank lines and a byte order mark before the first line are left out, and so is
/// what a line that is too long has beyond the limit.
#[derive(Debug, Default)]
pub struct Cutter {
    /// What has come of the present line.
    line: Vec<u8>,
    /// Whether a line has ended.
    begun: bool,
    count: u64,
}

impl Cutter {
    /// Takes a piece, and appends the lines that end in it to `out`, each with its end.
    pub fn push(&mut self, mut piece: &[u8], out: &mut Vec<u8>) {
        while let Some(feed) = memchr(b'\n', piece) {
            self.take(&piece[..feed]);
            self.finish(out);
            piece = &piece[feed + 1..];
        }
        self.take(piece);
    }

    /// There are no more pieces: a last line needs no end.
    pub fn end(&mut self, out: &mut Vec<u8>) {
        self.finish(out);
    }

    /// How many lines there were.
    pub fn count(&self) -> u64 {
        self.count
    }

    fn take(&mut self, bytes: &[u8]) {
        let room = KEPT_BYTES - self.line.len();
        self.line.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        let mark = if !self.begun && self.line.starts_with(BOM) { BOM.len() } else { 0 };
        self.begun = true;
        let line = &self.line[mark..];
        if !line.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r')) {
            out.extend_from_slice(line);
            out.push(b'\n');
            self.count += 1;
        }
        self.line.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cut(pieces: &[&[u8]]) -> (String, u64) {
        let (mut cutter, mut out) = (Cutter::default(), Vec::new());
        pieces.iter().for_each(|piece| cutter.push(piece, &mut out));
        cutter.end(&mut out);
        (String::from_utf8(out).unwrap(), cutter.count())
    }

    #[test]
    fn lines_are_whole_and_blank_ones_are_none() {
        assert_eq!(cut(&[b"\xef\xbb\xbfa\r\n", b"\n \t\r\nb", b"c\nd"]), ("a\r\nbc\nd\n".to_owned(), 3));
        assert_eq!(cut(&[]), (String::new(), 0));
        assert_eq!(cut(&[b"\xef\xbb\xbf"]), (String::new(), 0));
    }

    #[test]
    fn a_line_that_is_too_long_stays_so_and_takes_no_memory() {
        let (mut cutter, mut out) = (Cutter::default(), Vec::new());
        for _ in 0..1_000 {
            cutter.push(&[b'x'; 10_000], &mut out);
        }
        cutter.push(b"\nshort\n", &mut out);
        assert_eq!(out.len(), KEPT_BYTES + 1 + 6);
        assert_eq!(cutter.count(), 2);
        assert!(cutter.line.capacity() < 3 * KEPT_BYTES);
    }

    proptest! {
        #[test]
        fn pieces_do_not_show(text in "[a\n\r ]{0,200}", cuts in proptest::collection::vec(0usize..200, 0..8)) {
            let bytes = text.as_bytes();
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces: Vec<_> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            prop_assert_eq!(cut(&pieces), cut(&[bytes]));
        }
    }
}

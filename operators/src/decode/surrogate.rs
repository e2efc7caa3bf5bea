//! Lone surrogates. JSON's grammar lets a string hold half of a pair (RFC 8259, section 8.2), as a producer writes it
//! that cuts text in the middle of an emoji. Such an event must not be lost for a display name: what is no text is
//! read as U+FFFD.

/// The line with every lone surrogate escape replaced by `\ufffd`; `None` if it has none. All else stays where it is.
pub(super) fn mend(line: &[u8]) -> Option<Vec<u8>> {
    let mut mended: Option<Vec<u8>> = None;
    let mut index = 0;
    while index + 1 < line.len() {
        index += match (line[index], unit(line, index), unit(line, index + 6)) {
            (b'\\', Some(0xd800..0xdc00), Some(0xdc00..0xe000)) => 12,
            (b'\\', Some(0xd800..0xe000), _) => {
                mended.get_or_insert_with(|| line.to_vec())[index..index + 6].copy_from_slice(b"\\ufffd");
                6
            }
            (b'\\', _, _) => 2,
            _ => 1,
        };
    }
    mended
}

/// The UTF-16 unit that an escape `\uXXXX` at this place stands for.
fn unit(line: &[u8], index: usize) -> Option<u32> {
    let digits = line.get(index..index + 6)?.strip_prefix(b"\\u")?;
    digits.iter().try_fold(0, |unit, digit| Some(unit * 16 + char::from(*digit).to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lone_halves_are_replaced() {
        for (line, expected) in [
            (r#""\ud83d""#, Some(r#""\ufffd""#)),
            (r#""\ude00\ud83d""#, Some(r#""\ufffd\ufffd""#)),
            (r#""\uD83D\uDE00\uDE00""#, Some(r#""\uD83D\uDE00\ufffd""#)),
            (r#""\ud83d\ud83d\ude00""#, Some(r#""\ufffd\ud83d\ude00""#)),
            (r#""\ud83d\u0041""#, Some(r#""\ufffd\u0041""#)),
            (r#""\ud83d\ude00""#, None),
            (r#""\\ud83d""#, None),
            (r#""\u00e9 \ud83""#, None),
            (r"\ud83", None),
            ("", None),
        ] {
            assert_eq!(mend(line.as_bytes()), expected.map(|e| e.as_bytes().to_vec()), "{line}");
        }
    }
}

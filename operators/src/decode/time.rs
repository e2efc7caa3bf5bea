//! JSON numbers read exactly, as decimal digits and never through a float. Owned here: seconds to microseconds, and
//! which times can be. Not owned here: effective time and lateness.

use engine::time::Micros;
use std::borrow::Cow;

/// The first time that an event can have: 2000-01-01 UTC.
pub const EARLIEST: Micros = Micros::from_secs(946_684_800);

/// The first time that is too late: 2100-01-01 UTC.
pub const TOO_LATE: Micros = Micros::from_secs(4_102_444_800);

/// Most digits of a whole number that is read as text.
const WHOLE_DIGITS_MAX: usize = 40;

/// The value of a JSON number: ± 0.d₁d₂d₃… × 10^point, without leading zeros.
struct Decimal<'a> {
    negative: bool,
    /// The digits before the point and those after it.
    digits: [&'a [u8]; 2],
    point: i64,
}

impl<'a> Decimal<'a> {
    /// Reads the text of a JSON number; the caller has seen to it that it is one. Exponents are read as such and held
    /// within ±10⁹, beyond which no use of them differs.
    fn of(number: &'a str) -> Self {
        let (negative, number) = number.strip_prefix('-').map_or((false, number), |rest| (true, rest));
        let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let (whole, lead) = without_leading_zeros(whole.as_bytes());
        let (fraction, skipped) =
            if whole.is_empty() { without_leading_zeros(fraction.as_bytes()) } else { (fraction.as_bytes(), 0) };
        debug_assert!(lead <= 1, "JSON has no leading zeros");
        Decimal {
            negative,
            digits: [whole, fraction],
            point: whole.len() as i64 - skipped as i64 + exponent_of(exponent),
        }
    }

    fn is_zero(&self) -> bool {
        self.digits.iter().all(|digits| digits.iter().all(|digit| *digit == b'0'))
    }

    fn digits(&self) -> impl Iterator<Item = u8> + 'a {
        let [whole, fraction] = self.digits;
        whole.iter().chain(fraction).copied()
    }

    /// The value times 10^`shift`, what is left of the point; `None` if it is negative or beyond 19 digits.
    fn scaled(&self, shift: i64) -> Option<u64> {
        if self.is_zero() {
            return Some(0);
        }
        let count = self.point.saturating_add(shift);
        if self.negative || count > 19 {
            return None;
        }
        let padded = self.digits().chain(std::iter::repeat(b'0'));
        Some(padded.take(count.max(0) as usize).fold(0, |value, digit| value * 10 + u64::from(digit - b'0')))
    }

    /// Whether there is nothing but zeros after the point.
    fn is_whole(&self) -> bool {
        self.is_zero() || self.digits().skip(self.point.max(0) as usize).all(|digit| digit == b'0')
    }
}

fn without_leading_zeros(digits: &[u8]) -> (&[u8], usize) {
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    (&digits[zeros..], zeros)
}

fn exponent_of(text: &str) -> i64 {
    const LIMIT: i64 = 1_000_000_000;
    let (sign, digits) = match text.as_bytes() {
        [b'-', rest @ ..] => (-1, rest),
        [b'+', rest @ ..] => (1, rest),
        digits => (1, digits),
    };
    sign * digits.iter().fold(0, |value, digit| (value * 10 + i64::from(digit - b'0')).min(LIMIT))
}

/// Unix seconds as microseconds; digits after the sixth are dropped. `None` if negative or out of any range.
pub(super) fn micros(number: &str) -> Option<Micros> {
    Decimal::of(number).scaled(6).map(Micros)
}

/// Whether a number has nothing but zeros after the point.
pub(super) fn is_whole(number: &str) -> bool {
    Decimal::of(number).is_whole()
}

/// A whole number as decimal digits without exponent or fraction, so that one number has one text: `8.47E2`, `847.0`
/// and `847` are the same. `None` if it is not whole or longer than 40 digits.
pub(super) fn whole(number: &str) -> Option<Cow<'_, str>> {
    if number.len() <= WHOLE_DIGITS_MAX && number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Cow::Borrowed(number));
    }
    let decimal = Decimal::of(number);
    if !decimal.is_whole() || (!decimal.is_zero() && decimal.point > WHOLE_DIGITS_MAX as i64) {
        return None;
    }
    if decimal.is_zero() {
        return Some(Cow::Borrowed("0"));
    }
    let sign = decimal.negative.then_some('-');
    let padded = decimal.digits().chain(std::iter::repeat(b'0')).take(decimal.point as usize);
    Some(sign.into_iter().chain(padded.map(char::from)).collect::<String>().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn seconds_are_read_digit_by_digit() {
        let cases = [
            ("1767225600", Some(1_767_225_600_000_000)),
            ("1767225600.5", Some(1_767_225_600_500_000)),
            ("1767225600.123456", Some(1_767_225_600_123_456)),
            ("1767225600.1234569", Some(1_767_225_600_123_456)),
            ("1767225600.999999999999999999999999", Some(1_767_225_600_999_999)),
            ("1.7672256E9", Some(1_767_225_600_000_000)),
            ("1.767225600123456789e+9", Some(1_767_225_600_123_456)),
            ("17672256005e-1", Some(1_767_225_600_500_000)),
            ("0.0017672256e12", Some(1_767_225_600_000_000)),
            ("0", Some(0)),
            ("-0", Some(0)),
            ("0e99999999999999999999", Some(0)),
            ("0.0000001", Some(0)),
            ("1e-99999999999999999999", Some(0)),
            ("0.000001", Some(1)),
            ("-1", None),
            ("1e400", None),
            ("1e99999999999999999999", None),
            ("9999999999999", Some(9_999_999_999_999_000_000)),
            ("10000000000000", None),
        ];
        for (text, expected) in cases {
            assert_eq!(micros(text), expected.map(Micros), "{text}");
        }
    }

    #[test]
    fn one_number_has_one_text() {
        for (text, expected) in [
            ("847288190092", Some("847288190092")),
            ("8.47288190092E11", Some("847288190092")),
            ("847.0", Some("847")),
            ("84700e-2", Some("847")),
            ("18446744073709551616", Some("18446744073709551616")),
            ("-5", Some("-5")),
            ("-0", Some("0")),
            ("0.0e7", Some("0")),
            ("1e39", Some("1000000000000000000000000000000000000000")),
            ("1e40", None),
            ("1.5", None),
            ("1e-1", None),
            ("10e-99999999999", None),
        ] {
            assert_eq!(whole(text).as_deref(), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn fractions_agree_with_integers(secs in 0u64..9_999_999_999, micro in 0u64..1_000_000, rest in "[0-9]{0,9}") {
            let text = format!("{secs}.{micro:06}{rest}");
            prop_assert_eq!(micros(&text), Some(Micros(secs * 1_000_000 + micro)));
        }

        #[test]
        fn any_json_number_is_read(text in "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,30})?([eE][+-]?[0-9]{1,25})?") {
            micros(&text);
            if let Some(text) = whole(&text) {
                prop_assert!(text.len() <= WHOLE_DIGITS_MAX + 1);
            }
        }
    }
}

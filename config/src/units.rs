//! Sizes and durations with their units, as job files and flags write them.

use std::time::Duration;

/// Why a size or duration could not be read: what is expected, and a hint at what was probably meant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be {rule} ({hint})")]
pub struct UnitError {
    /// What a valid value looks like.
    pub rule: &'static str,
    /// What to write instead.
    pub hint: String,
}

const SIZE_RULE: &str = "a size such as \"256MiB\"";
const SIZE_UNITS: &[(&str, u64)] = &[
    ("B", 1),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

const DURATION_RULE: &str = "a duration such as \"10s\"";
const DURATION_UNITS: &[(&str, u64)] = &[("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Reads a size in bytes: a whole number and a unit, `256MiB`. `KB` is 1000 bytes and `KiB` is 1024.
pub fn parse_size(text: &str) -> Result<u64, UnitError> {
    parse(text, SIZE_UNITS, SIZE_RULE)
}

/// Reads a duration: a whole number and one unit of `ms`, `s`, `m`, `h`, `d`, as in `10s`.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    parse(text, DURATION_UNITS, DURATION_RULE).map(Duration::from_millis)
}

/// A size in the largest binary unit that divides it.
pub(crate) fn show_size(bytes: u64) -> String {
    let binary = SIZE_UNITS.iter().rev().filter(|(name, _)| name.contains('i') || *name == "B");
    show(bytes, binary)
}

/// A duration in the largest unit that divides it.
pub(crate) fn show_duration(duration: Duration) -> String {
    show(duration.as_millis() as u64, DURATION_UNITS.iter().rev())
}

fn show<'a>(value: u64, units: impl Iterator<Item = &'a (&'static str, u64)>) -> String {
    let fits = units.filter(|(_, factor)| value.is_multiple_of(*factor)).find(|(_, factor)| value >= *factor);
    fits.map_or_else(|| format!("{value}"), |(name, factor)| format!("{}{name}", value / factor))
}

fn parse(text: &str, units: &[(&str, u64)], rule: &'static str) -> Result<u64, UnitError> {
    let text = text.trim();
    let refuse = |hint: String| UnitError { rule, hint };
    let number_end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = (&text[..number_end], text[number_end..].trim_start());
    let names = || units.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    if number.is_empty() {
        return Err(refuse(format!("start with a whole number, then one of {}", names())));
    }
    let Some(&(_, factor)) = units.iter().find(|(name, _)| *name == unit) else {
        let same = units.iter().find(|(name, _)| !unit.is_empty() && name.eq_ignore_ascii_case(unit));
        return Err(refuse(match same {
            Some((name, _)) => format!("units are case-sensitive: write \"{number}{name}\""),
            None if unit.starts_with('.') => "write whole numbers, in a smaller unit".to_owned(),
            None => format!("one unit of {} after the number", names()),
        }));
    };
    let value = number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
    value.ok_or_else(|| refuse("the number is too large".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes() {
        assert_eq!(parse_size("256MiB"), Ok(256 << 20));
        assert_eq!(parse_size(" 1 GB "), Ok(1_000_000_000));
        assert_eq!(parse_size("0B"), Ok(0));
        for bad in ["", "MiB", "256", "256mib", "1.5GiB", "-1B", "99999999999999999999B", "20000000TiB", "1MiBs"] {
            let error = parse_size(bad).expect_err(bad);
            assert_eq!(error.rule, SIZE_RULE, "{bad}");
        }
        assert!(parse_size("256mib").expect_err("case").hint.contains("256MiB"));
    }

    #[test]
    fn durations() {
        assert_eq!(parse_duration("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_duration("28d"), Ok(Duration::from_secs(28 * 86_400)));
        for bad in ["", "10", "ten seconds", "1h30m", "1.5h", "10 sec", "10S", "١s", "999999999999999999d"] {
            let error = parse_duration(bad).expect_err(bad);
            assert_eq!(error.rule, DURATION_RULE, "{bad}");
        }
    }

    #[test]
    fn what_is_shown_has_the_largest_unit_that_divides_it() {
        assert_eq!(show_size(256 << 20), "256MiB");
        assert_eq!(show_size(1_000), "1000B");
        assert_eq!(show_duration(Duration::from_secs(5_400)), "90m");
        assert_eq!(show_duration(Duration::from_millis(10)), "10ms");
        assert_eq!(show_duration(Duration::ZERO), "0");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".*") {
            let _ = (parse_size(&text), parse_duration(&text));
        }

        #[test]
        fn what_is_written_is_read(number in 0u64..1_000_000, unit in 0..DURATION_UNITS.len()) {
            let (name, millis) = DURATION_UNITS[unit];
            prop_assert_eq!(parse_duration(&format!("{number}{name}")), Ok(Duration::from_millis(number * millis)));
        }
    }
}

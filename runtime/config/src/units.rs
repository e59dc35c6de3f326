//! Decides what "100ms", "64MiB" and "2.5" mean, and how such values are written. It knows no
//! keys and no bounds.

/// Units of time with their milliseconds, largest first.
const TIME: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Units of size with their bytes: binary ones first, then decimal ones, then bytes.
const SIZE: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
];

/// What people write for a unit, and the unit they mean.
const MEANT: [(&str, &str); 26] = [
    ("msec", "ms"),
    ("millis", "ms"),
    ("milliseconds", "ms"),
    ("sec", "s"),
    ("secs", "s"),
    ("second", "s"),
    ("seconds", "s"),
    ("min", "m"),
    ("mins", "m"),
    ("minute", "m"),
    ("minutes", "m"),
    ("hr", "h"),
    ("hour", "h"),
    ("hours", "h"),
    ("day", "d"),
    ("days", "d"),
    ("bytes", "B"),
    ("byte", "B"),
    ("k", "KiB"),
    ("m", "MiB"),
    ("g", "GiB"),
    ("t", "TiB"),
    ("ki", "KiB"),
    ("mi", "MiB"),
    ("gi", "GiB"),
    ("ti", "TiB"),
];

/// A number without unit from here on was probably meant in the smallest unit.
const BARE_MIN: u64 = 1_000;

/// Why a text is no value with a unit, and what was probably meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NotAUnit {
    pub(crate) reason: String,
    pub(crate) instead: Option<String>,
}

/// Milliseconds of a duration such as `"100ms"`.
pub(crate) fn parse_span(text: &str) -> Result<u64, NotAUnit> {
    parse(text, &TIME, "ms, s, m, h or d", "s")
}

/// Bytes of a size such as `"64MiB"`.
pub(crate) fn parse_size(text: &str) -> Result<u64, NotAUnit> {
    parse(text, &SIZE, "B, KiB, MiB, GiB, TiB, KB, MB, GB or TB", "MiB")
}

/// Thousandths of a number such as `2.5`; none when it is not one, is negative, or has more than
/// three decimals.
pub(crate) fn parse_decimal(text: &str) -> Option<u64> {
    let text = text.trim_start_matches('+').replace('_', "");
    let (whole, part) = text.split_once('.').unwrap_or((&text, "0"));
    let part = part.trim_end_matches('0');
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(part) || part.len() > 3 {
        return None;
    }
    let thousandths: u64 = format!("{part:0<3}").parse().ok()?;
    whole.parse::<u64>().ok()?.checked_mul(1_000)?.checked_add(thousandths)
}

/// Milliseconds in the largest unit that holds them whole.
pub(crate) fn span(millis: u64) -> String {
    if millis == 0 { "0s".to_owned() } else { format(millis, &TIME) }
}

/// Bytes in the largest unit that holds them whole.
pub(crate) fn size(bytes: u64) -> String {
    if bytes == 0 { "0B".to_owned() } else { format(bytes, &SIZE) }
}

/// Thousandths as a number, with at least one decimal.
pub(crate) fn decimal(thousandths: u64) -> String {
    let part = format!("{:03}", thousandths % 1_000);
    let part = part.trim_end_matches('0');
    format!("{}.{}", thousandths / 1_000, if part.is_empty() { "0" } else { part })
}

fn parse(text: &str, units: &[(&str, u64)], known: &str, usual: &str) -> Result<u64, NotAUnit> {
    let cut = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(cut);
    if digits.is_empty() {
        let reason = format!("\"{text}\" does not begin with a whole number");
        return Err(NotAUnit { reason, instead: None });
    }
    let Some((_, scale)) = units.iter().find(|(name, _)| *name == unit) else {
        let wanted = unit.trim();
        let reason = if wanted.is_empty() {
            format!("\"{text}\" has no unit; units are {known}")
        } else {
            format!("\"{text}\" has the unknown unit `{wanted}`; units are {known}")
        };
        let bare = digits.parse().ok().filter(|count| wanted.is_empty() && *count >= BARE_MIN);
        let meant = match bare {
            Some(count) => Some(format(count, units)),
            None => meant(wanted, units, usual).map(|meant| format!("{digits}{meant}")),
        };
        return Err(NotAUnit { reason, instead: meant });
    };
    let count = digits.parse::<u64>().ok().and_then(|count| count.checked_mul(*scale));
    count.ok_or_else(|| {
        let reason = format!("\"{text}\" is larger than can be counted");
        NotAUnit { reason, instead: None }
    })
}

/// The unit that `wanted` probably stands for.
fn meant<'a>(wanted: &str, units: &'a [(&'a str, u64)], usual: &'a str) -> Option<&'a str> {
    if wanted.is_empty() {
        return Some(usual);
    }
    let named = |name: &str| {
        units.iter().map(|(unit, _)| *unit).find(|unit| unit.eq_ignore_ascii_case(name))
    };
    named(wanted).or_else(|| {
        let mut known = MEANT.iter().filter(|(word, _)| word.eq_ignore_ascii_case(wanted));
        known.find_map(|(_, unit)| named(unit))
    })
}

fn format(amount: u64, units: &[(&str, u64)]) -> String {
    let fitting = units.iter().find(|(_, scale)| amount.is_multiple_of(*scale));
    fitting.map_or_else(|| amount.to_string(), |(unit, scale)| format!("{}{unit}", amount / scale))
}

#[cfg(test)]
mod tests {
    use super::{decimal, parse_decimal, parse_size, parse_span, size, span};

    #[test]
    fn durations_have_one_of_five_units() {
        for (text, millis) in [
            ("0ms", 0),
            ("100ms", 100),
            ("5s", 5_000),
            ("3m", 180_000),
            ("2h", 7_200_000),
            ("7d", 604_800_000),
        ] {
            assert_eq!(parse_span(text), Ok(millis), "{text}");
        }
    }

    #[test]
    fn sizes_are_binary_or_decimal() {
        for (text, bytes) in [
            ("0B", 0),
            ("7B", 7),
            ("1KiB", 1_024),
            ("1KB", 1_000),
            ("64MiB", 67_108_864),
            ("8MB", 8_000_000),
            ("2GiB", 2_147_483_648),
            ("1TB", 1_000_000_000_000),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn a_wrong_unit_is_answered_with_the_right_one() {
        let instead = |answer: Result<u64, super::NotAUnit>| answer.unwrap_err().instead;
        for (text, meant) in [
            ("5", Some("5s")),
            ("999", Some("999s")),
            ("1000", Some("1s")),
            ("1500", Some("1500ms")),
            ("5 s", Some("5s")),
            ("5S", Some("5s")),
            ("5min", Some("5m")),
            ("5seconds", Some("5s")),
            ("5y", None),
            ("", None),
            ("1.5s", None),
            ("-5s", None),
        ] {
            assert_eq!(instead(parse_span(text)).as_deref(), meant, "{text}");
        }
        for (text, meant) in [
            ("64", Some("64MiB")),
            ("1048576", Some("1MiB")),
            ("64mib", Some("64MiB")),
            ("64M", Some("64MiB")),
            ("64 MB", Some("64MB")),
            ("64 parsecs", None),
        ] {
            assert_eq!(instead(parse_size(text)).as_deref(), meant, "{text}");
        }
    }

    #[test]
    fn more_than_can_be_counted_is_refused() {
        assert_eq!(parse_span("18446744073709551615ms"), Ok(u64::MAX));
        assert!(parse_span("18446744073709551616ms").is_err());
        assert!(parse_span("18446744073709552s").is_err());
        assert!(parse_size("16777216TiB").is_err());
    }

    #[test]
    fn decimals_are_exact_to_a_thousandth() {
        for (text, thousandths) in [
            ("2", Some(2_000)),
            ("2.5", Some(2_500)),
            ("0.001", Some(1)),
            ("+1.0", Some(1_000)),
            ("1.2500", Some(1_250)),
            ("0.0001", None),
            ("-1.0", None),
            ("1e3", None),
            ("inf", None),
            ("nan", None),
            (".5", None),
        ] {
            assert_eq!(parse_decimal(text), thousandths, "{text}");
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        for number in [0, 1, 999, 1_000, 1_024, 60_000, 86_400_000, 3_000_000, 1 << 40, u64::MAX] {
            assert_eq!(parse_span(&span(number)), Ok(number), "{}", span(number));
            assert_eq!(parse_size(&size(number)), Ok(number), "{}", size(number));
            assert_eq!(parse_decimal(&decimal(number)), Some(number), "{}", decimal(number));
        }
    }
}

//! Reads and writes spans, sizes and moments as operators write them. It knows no command.

use std::time::{SystemTime, UNIX_EPOCH};

const DAY_MS: u64 = 86_400_000;
const SPANS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", DAY_MS)];
const SIZES: [(&str, u64); 9] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("B", 1),
];

/// Milliseconds of `500ms`, `30s`, `15m`, `2h`, `7d`.
pub(crate) fn span(text: &str) -> Result<u64, String> {
    scaled(text, &SPANS).ok_or_else(|| "write a number and ms, s, m, h or d, such as 7d".to_owned())
}

/// Bytes of `512B`, `64MiB`, `10GB`.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    scaled(text, &SIZES).ok_or_else(|| "write a number and a unit, such as 64MiB".to_owned())
}

/// Unix milliseconds of an RFC 3339 time, of digits, or of a span ago such as `2h`.
pub(crate) fn moment(text: &str) -> Result<u64, String> {
    let ago = || scaled(text, &SPANS).map(|span| now().saturating_sub(span));
    text.parse().ok().or_else(ago).or_else(|| rfc3339(text)).ok_or_else(|| {
        "write RFC 3339 such as 2026-11-21T08:00:00Z, milliseconds since 1970, or a span ago such \
         as 2h"
            .to_owned()
    })
}

/// A span in its largest whole unit.
pub(crate) fn shown_span(ms: u64) -> String {
    shown(ms, SPANS.iter().rev())
}

/// A size, rounded to a tenth of its unit.
pub(crate) fn shown_size(bytes: u64) -> String {
    for (unit, scale) in [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
        let scale: u64 = scale;
        if bytes >= scale {
            let tenths = u128::from(bytes) * 10 / u128::from(scale);
            return format!("{}.{} {unit}", tenths / 10, tenths % 10);
        }
    }
    format!("{bytes} B")
}

/// An age in whole units of its largest one.
pub(crate) fn shown_age(seconds: u64) -> String {
    for (unit, scale) in [("d", 86_400), ("h", 3_600), ("m", 60)] {
        let scale: u64 = scale;
        if seconds >= scale {
            return format!("{}{unit}", seconds / scale);
        }
    }
    format!("{seconds}s")
}

/// A moment in UTC, to the second; `-` for none.
pub(crate) fn shown_moment(ms: Option<u64>) -> String {
    let Some(ms) = ms else { return "-".to_owned() };
    let (year, month, day) = date(ms / DAY_MS);
    let second = ms % DAY_MS / 1_000;
    let (hour, minute) = (second / 3_600, second / 60 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{:02}Z", second % 60)
}

fn shown<'a>(value: u64, units: impl Iterator<Item = &'a (&'static str, u64)>) -> String {
    let mut fitting = units.filter(|(_, scale)| value.is_multiple_of(*scale) && value >= *scale);
    fitting
        .next()
        .map_or_else(|| value.to_string(), |(unit, scale)| format!("{}{unit}", value / scale))
}

fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    units
        .iter()
        .find_map(|(unit, scale)| text.strip_suffix(unit)?.parse::<u64>().ok()?.checked_mul(*scale))
}

#[expect(clippy::disallowed_methods, reason = "\"2h ago\" is measured at the operator's side")]
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Year, month and day of a number of days since 1970, in the Gregorian calendar.
fn date(mut days: u64) -> (u64, u64, u64) {
    let mut year = 1970;
    while days >= year_days(year) {
        days -= year_days(year);
        year += 1;
    }
    let mut month = 1;
    while days >= month_days(year, month) {
        days -= month_days(year, month);
        month += 1;
    }
    (year, month, days + 1)
}

/// Unix milliseconds of `YYYY-MM-DDTHH:MM:SS[.fff](Z|±HH:MM)`.
fn rfc3339(text: &str) -> Option<u64> {
    let number = |from: usize, to: usize| -> Option<u64> {
        let part = text.get(from..to)?;
        part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok())?
    };
    let at = |place: usize, bytes: &[u8]| {
        text.as_bytes().get(place).is_some_and(|byte| bytes.contains(byte))
    };
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let punctuated = at(4, b"-") && at(7, b"-") && at(10, b"Tt ") && at(13, b":") && at(16, b":");
    let in_range = (1970..10_000).contains(&year)
        && (1..=12).contains(&month)
        && (1..=month_days(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    if !punctuated || !in_range {
        return None;
    }
    let days: u64 = (1970..year).map(year_days).sum::<u64>()
        + (1..month).map(|month| month_days(year, month)).sum::<u64>()
        + day
        - 1;
    let (fraction, zone) = zoned(text.get(19..)?)?;
    let ms = days * DAY_MS + ((hour * 60 + minute) * 60 + second) * 1_000 + fraction;
    ms.checked_add_signed(-zone)
}

/// Milliseconds of the fraction, and of the offset from UTC.
fn zoned(text: &str) -> Option<(u64, i64)> {
    let digits = text
        .strip_prefix('.')
        .map_or(0, |rest| 1 + rest.bytes().take_while(u8::is_ascii_digit).count());
    let (fraction, zone) = text.split_at_checked(digits)?;
    if digits == 1 {
        return None;
    }
    let thousandths: String = fraction.chars().skip(1).chain("000".chars()).take(3).collect();
    let fraction = thousandths.parse().ok()?;
    if zone.eq_ignore_ascii_case("z") {
        return Some((fraction, 0));
    }
    let (sign, rest) = match zone.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    let part = |text: &str, most: i64| {
        let number = (text.len() == 2).then(|| text.parse::<u8>().ok()).flatten()?;
        Some(i64::from(number)).filter(|number| *number <= most)
    };
    Some((fraction, sign * (part(hours, 23)? * 60 + part(minutes, 59)?) * 60_000))
}

const fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

const fn year_days(year: u64) -> u64 {
    if is_leap(year) { 366 } else { 365 }
}

const fn month_days(year: u64, month: u64) -> u64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_sizes_are_read_with_their_units() {
        for (text, holds) in [
            ("500ms", Some(500)),
            ("2h", Some(7_200_000)),
            ("7d", Some(604_800_000)),
            ("7", None),
            ("d", None),
            ("-1s", None),
            ("18446744073709551615d", None),
        ] {
            assert_eq!(span(text).ok(), holds, "{text}");
        }
        for (text, holds) in [
            ("1B", Some(1)),
            ("64MiB", Some(67_108_864)),
            ("1GB", Some(1_000_000_000)),
            ("1", None),
        ] {
            assert_eq!(size(text).ok(), holds, "{text}");
        }
    }

    #[test]
    fn moments_are_read_and_written() {
        for (text, holds) in [
            ("1795265640828", Some(1_795_265_640_828)),
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2024-02-29T23:59:59.5Z", Some(1_709_251_199_500)),
            ("2026-11-21T13:00:00+01:00", Some(1_795_262_400_000)),
            ("2026-11-21T11:30:00-00:30", Some(1_795_262_400_000)),
            ("2023-02-29T00:00:00Z", None),
            ("2026-11-21T24:00:00Z", None),
            ("2026-11-21T13:00:00", None),
            ("2026-11-21T13:00:00.Z", None),
            ("2026-11-21", None),
            ("yesterday", None),
        ] {
            assert_eq!(moment(text).ok(), holds, "{text}");
        }
        assert!(moment("1h").unwrap() < moment("0s").unwrap());
        for (ms, holds) in [
            (0, "1970-01-01T00:00:00Z"),
            (1_709_251_199_500, "2024-02-29T23:59:59Z"),
            (1_795_262_400_000, "2026-11-21T12:00:00Z"),
        ] {
            assert_eq!(shown_moment(Some(ms)), holds);
        }
        assert_eq!(shown_moment(None), "-");
    }

    #[test]
    fn spans_and_sizes_are_shown_shortly() {
        for (ms, holds) in [(604_800_000, "7d"), (90_000, "90s"), (1_500, "1500ms"), (0, "0")] {
            assert_eq!(shown_span(ms), holds);
        }
        for (bytes, holds) in
            [(0, "0 B"), (1_023, "1023 B"), (1_024, "1.0 KiB"), (1_600, "1.5 KiB")]
        {
            assert_eq!(shown_size(bytes), holds);
        }
    }
}

//! Owns moments and their RFC 3339 text. It never reads a clock: a handler's time is its event's.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

/// Days from 0000-03-01 to the Unix epoch.
const EPOCH_DAYS: i64 = 719_468;

/// A moment: milliseconds since the Unix epoch.
///
/// Written and read as RFC 3339, in text and in JSON: `2026-03-01T12:00:00Z`,
/// `2026-03-01T13:00:00.250+01:00`. Digits past the millisecond are cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(u64);

/// A text is not a moment that a [`Timestamp`] holds (1970 to 9999, RFC 3339).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeError {
    text: String,
}

impl Timestamp {
    /// The moment `ms` milliseconds after the Unix epoch.
    #[must_use]
    pub const fn from_millis(ms: u64) -> Self {
        Self(ms)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// The moment `delay` later, saturating.
    #[must_use]
    pub fn after(self, delay: Duration) -> Self {
        Self(self.0.saturating_add(millis(delay)))
    }

    /// The moment `delay` earlier, at least the epoch.
    #[must_use]
    pub fn before(self, delay: Duration) -> Self {
        Self(self.0.saturating_sub(millis(delay)))
    }

    /// Time passed since `earlier`; zero when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// Whole milliseconds of `delay`, saturating.
pub(crate) fn millis(delay: Duration) -> u64 {
    u64::try_from(delay.as_millis()).unwrap_or(u64::MAX)
}

impl fmt::Display for Timestamp {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = i64::try_from(self.0).unwrap_or(i64::MAX);
        let (year, month, day) = civil(ms.div_euclid(DAY_MS));
        let of_day = ms.rem_euclid(DAY_MS);
        let (hour, minute) = (of_day / 3_600_000, of_day / 60_000 % 60);
        let (second, fraction) = (of_day / 1_000 % 60, of_day % 1_000);
        write!(out, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        if fraction != 0 {
            write!(out, ".{fraction:03}")?;
        }
        out.write_str("Z")
    }
}

impl FromStr for Timestamp {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, TimeError> {
        parse(text.as_bytes()).map(Self).ok_or_else(|| TimeError { text: text.to_owned() })
    }
}

impl fmt::Display for TimeError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?} is no RFC 3339 time between 1970 and 9999", self.text)
    }
}

impl std::error::Error for TimeError {}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// The milliseconds `text` stands for, if it is RFC 3339.
fn parse(text: &[u8]) -> Option<u64> {
    let (date_time, rest) = text.split_at_checked(19)?;
    for (at, mark) in [(4, b"-"), (7, b"-"), (13, b":"), (16, b":")] {
        if date_time.get(at..=at)? != mark {
            return None;
        }
    }
    if !matches!(date_time.get(10)?, b'T' | b't' | b' ') {
        return None;
    }
    let field = |from: usize, to: usize| digits(date_time.get(from..to)?);
    let (year, month, day) = (field(0, 4)?, field(5, 7)?, field(8, 10)?);
    let (hour, minute, second) = (field(11, 13)?, field(14, 16)?, field(17, 19)?);
    let days_of_month = match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        1..=12 => 31,
        _ => return None,
    };
    // Second 60 is a leap second: the moment after it in Unix time.
    if !(1..=days_of_month).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (fraction, zone) = fraction(rest)?;
    let of_day = (hour * 3_600 + minute * 60 + second) * 1_000 + fraction;
    let ms = days(year, month, day) * DAY_MS + of_day - offset(zone)? * 60_000;
    u64::try_from(ms).ok()
}

/// The milliseconds after the seconds, and what follows them.
fn fraction(rest: &[u8]) -> Option<(i64, &[u8])> {
    let Some(after_point) = rest.strip_prefix(b".") else {
        return Some((0, rest));
    };
    let count = after_point.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if count == 0 {
        return None;
    }
    let (all, zone) = after_point.split_at(count);
    let kept = digits(all.get(..count.min(3))?)?;
    Some((kept * [100, 10, 1].get(count.min(3) - 1)?, zone))
}

/// Minutes that the zone is ahead of UTC.
fn offset(zone: &[u8]) -> Option<i64> {
    match zone {
        b"Z" | b"z" => Some(0),
        [sign @ (b'+' | b'-'), rest @ ..] if rest.len() == 5 && rest.get(2) == Some(&b':') => {
            let (hours, minutes) = (digits(rest.get(..2)?)?, digits(rest.get(3..)?)?);
            let ahead = (hours <= 23 && minutes <= 59).then_some(hours * 60 + minutes)?;
            Some(if *sign == b'-' { -ahead } else { ahead })
        }
        _ => None,
    }
}

/// The number that `text` spells, if it is digits only.
fn digits(text: &[u8]) -> Option<i64> {
    text.iter().try_fold(0, |number: i64, byte| {
        byte.is_ascii_digit().then(|| number * 10 + i64::from(byte - b'0'))
    })
}

/// Days from the Unix epoch to a date of the Gregorian calendar.
///
/// Years begin in March, so that the leap day ends them (source: H. Hinnant, "chrono-compatible
/// low-level date algorithms").
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - EPOCH_DAYS
}

/// The date `days` after the Unix epoch: year, month, day. The inverse of [`days`].
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + EPOCH_DAYS;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_form_of_rfc_3339() {
        for (text, ms) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-01T00:00:00.001Z", 1),
            ("1970-01-01 00:00:01z", 1_000),
            ("2000-02-29T00:00:00Z", 951_782_400_000),
            ("2026-03-01T12:00:00.5Z", 1_772_366_400_500),
            ("2026-03-01T12:00:00.1234567Z", 1_772_366_400_123),
            ("2026-03-01T13:30:00+01:30", 1_772_366_400_000),
            ("2026-03-01T07:00:00-05:00", 1_772_366_400_000),
            ("2016-12-31T23:59:60Z", 1_483_228_800_000),
            ("9999-12-31T23:59:59.999Z", 253_402_300_799_999),
        ] {
            assert_eq!(text.parse(), Ok(Timestamp::from_millis(ms)), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_not_rfc_3339() {
        for text in [
            "",
            "2026-03-01",
            "2026-03-01T12:00:00",
            "2026-02-29T12:00:00Z",
            "2026-04-31T12:00:00Z",
            "2026-13-01T12:00:00Z",
            "2026-00-01T12:00:00Z",
            "2026-03-00T12:00:00Z",
            "1900-02-29T12:00:00Z",
            "2026-03-01T24:00:00Z",
            "2026-03-01T12:60:00Z",
            "2026-03-01T12:00:61Z",
            "2026-03-01T12:00:00.Z",
            "2026-03-01T12:00:00+0100",
            "2026-03-01T12:00:00+24:00",
            "2026-03-01T12:00:00Zjunk",
            "2026-03-01T12:00:0aZ",
            "1969-12-31T23:59:59Z",
            "2026-03-01T12:00:00\u{e9}Z",
        ] {
            assert!(text.parse::<Timestamp>().is_err(), "{text}");
        }
    }

    #[test]
    fn writes_what_it_reads() {
        // A step that is no multiple of a day visits every hour, month and leap rule.
        for ms in (0..253_402_300_800_000).step_by(39_916_801_007) {
            let moment = Timestamp::from_millis(ms);
            assert_eq!(moment.to_string().parse(), Ok(moment), "{moment}");
        }
        assert_eq!(Timestamp::from_millis(1_772_366_400_000).to_string(), "2026-03-01T12:00:00Z");
        assert_eq!(Timestamp::from_millis(7).to_string(), "1970-01-01T00:00:00.007Z");
    }

    #[test]
    fn is_text_in_json() {
        let moment: Timestamp = serde_json::from_str("\"2026-03-01T12:00:00Z\"").unwrap();
        assert_eq!(serde_json::to_string(&moment).unwrap(), "\"2026-03-01T12:00:00Z\"");
        let refused = serde_json::from_str::<Timestamp>("\"soon\"").unwrap_err().to_string();
        assert!(refused.contains("\"soon\" is no RFC 3339 time"), "{refused}");
    }

    #[test]
    fn calculates_without_overflow() {
        let moment = Timestamp::from_millis(1_000);
        assert_eq!(moment.after(Duration::from_secs(1)).as_millis(), 2_000);
        assert_eq!(moment.before(Duration::from_secs(2)).as_millis(), 0);
        assert_eq!(moment.after(Duration::MAX).as_millis(), u64::MAX);
        assert_eq!(moment.since(Timestamp::from_millis(400)), Duration::from_millis(600));
        assert_eq!(Timestamp::default().since(moment), Duration::ZERO);
    }
}

//! Turns RFC 3339 text into Unix milliseconds and back. It never reads a clock, and knows no
//! moment before 1970 or after 9999.

use bytes::Bytes;
use gristmill_engine::Instant;

const DAY_MS: u64 = 86_400_000;
const DAYS_PER_400_YEARS: u64 = 146_097;
/// Days from 0000-03-01, where the era arithmetic below begins, to 1970-01-01.
const DAYS_TO_1970: u64 = 719_468;

/// The moment that `text` names, cut to milliseconds.
///
/// Besides RFC 3339 it accepts a blank between date and time, and a missing offset, which is
/// read as UTC: serialisers of clocks without a zone leave it out. `None` for anything else,
/// for days that no calendar has, and for moments before 1970.
pub(crate) fn parse(text: &str) -> Option<Instant> {
    let bytes = text.as_bytes();
    if bytes.len() < 19 || bytes[4] != b'-' || bytes[7] != b'-' || bytes[13] != b':' {
        return None;
    }
    if !matches!(bytes[10], b'T' | b't' | b' ') || bytes[16] != b':' {
        return None;
    }
    let (year, month, day) = (digits(bytes, 0, 4)?, digits(bytes, 5, 2)?, digits(bytes, 8, 2)?);
    let (hour, minute) = (digits(bytes, 11, 2)?, digits(bytes, 14, 2)?);
    let second = digits(bytes, 17, 2)?;
    // Second 60 is a leap second; Unix time has none, so it is the first of the next minute.
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (millis, rest) = fraction(&bytes[19..])?;
    let shift = offset_minutes(rest)?;
    let day = days_since_1970(year, month, day)?;
    let local = ((day * 24 + hour) * 60 + minute) * 60_000 + second * 1_000 + millis;
    let utc = i64::try_from(local).ok()? - shift * 60_000;
    u64::try_from(utc).ok().map(Instant)
}

/// `moment` in UTC with milliseconds, such as `2026-11-21T12:00:00.000Z`.
pub(crate) fn format(moment: Instant) -> String {
    let (year, month, day) = civil(moment.0 / DAY_MS);
    let rest = moment.0 % DAY_MS;
    let (hour, minute) = (rest / 3_600_000, rest / 60_000 % 60);
    let (second, millis) = (rest / 1_000 % 60, rest % 1_000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// The text of a moment, kept for the many events of one millisecond.
#[derive(Debug, Default)]
pub(crate) struct Stamp {
    kept: Option<(Instant, Bytes)>,
}

impl Stamp {
    /// `moment` as [`format()`] has it.
    pub(crate) fn text(&mut self, moment: Instant) -> Bytes {
        match &self.kept {
            Some((at, text)) if *at == moment => text.clone(),
            _ => {
                let text = Bytes::from(format(moment));
                self.kept = Some((moment, text.clone()));
                text
            }
        }
    }
}

fn digits(bytes: &[u8], from: usize, count: usize) -> Option<u64> {
    bytes
        .get(from..from + count)?
        .iter()
        .try_fold(0, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + u64::from(byte - b'0')))
}

/// Milliseconds of a fraction such as `.123456`, and what follows it.
fn fraction(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let Some(digits) = bytes.strip_prefix(b".") else {
        return Some((0, bytes));
    };
    let length = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if length == 0 {
        return None;
    }
    let millis = (0..3).fold(0, |sum, place| {
        let digit = digits[..length].get(place).map_or(0, |byte| u64::from(byte - b'0'));
        sum * 10 + digit
    });
    Some((millis, &digits[length..]))
}

/// Minutes that local time is ahead of UTC.
fn offset_minutes(bytes: &[u8]) -> Option<i64> {
    let (sign, rest) = match bytes {
        [] | [b'Z' | b'z'] => return Some(0),
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => return None,
    };
    if rest.len() != 5 || rest[2] != b':' {
        return None;
    }
    let (hours, minutes) = (digits(rest, 0, 2)?, digits(rest, 3, 2)?);
    if hours > 23 || minutes > 59 {
        return None;
    }
    i64::try_from(hours * 60 + minutes).ok().map(|ahead| sign * ahead)
}

fn days_since_1970(year: u64, month: u64, day: u64) -> Option<u64> {
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let longest = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if is_leap => 29,
        2 => 28,
        _ => return None,
    };
    if day == 0 || day > longest || year < 1 {
        return None;
    }
    // Years begin in March here, so that the leap day is the last day of its year.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, year_of_era) = (year / 400, year % 400);
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    (era * DAYS_PER_400_YEARS + day_of_era).checked_sub(DAYS_TO_1970)
}

/// Year, month and day of a day counted from 1970-01-01; the inverse of [`days_since_1970`].
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + DAYS_TO_1970;
    let (era, day_of_era) = (days / DAYS_PER_400_YEARS, days % DAYS_PER_400_YEARS);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let year = era * 400 + year_of_era;
    if month < 10 { (year, month + 3, day) } else { (year + 1, month - 9, day) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_producers_write() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2026-11-21T12:00:00Z", Some(1_795_262_400_000)),
            ("2026-11-21T12:00:00.5Z", Some(1_795_262_400_500)),
            ("2026-11-21T12:00:00.1239999Z", Some(1_795_262_400_123)),
            ("2026-11-21t14:30:00+02:30", Some(1_795_262_400_000)),
            ("2026-11-21T07:00:00-05:00", Some(1_795_262_400_000)),
            ("2026-11-21 12:00:00", Some(1_795_262_400_000)),
            ("2024-02-29T00:00:00z", Some(1_709_164_800_000)),
            ("2016-12-31T23:59:60Z", Some(1_483_228_800_000)),
            ("2025-02-29T00:00:00Z", None),
            ("2026-13-01T00:00:00Z", None),
            ("2026-00-01T00:00:00Z", None),
            ("2026-04-31T00:00:00Z", None),
            ("2026-11-21T24:00:00Z", None),
            ("2026-11-21T12:60:00Z", None),
            ("2026-11-21T12:00:00.Z", None),
            ("2026-11-21T12:00:00+0200", None),
            ("2026-11-21T12:00:00 Z", None),
            ("1969-12-31T23:59:59Z", None),
            ("1970-01-01T00:00:00+00:01", None),
            ("2026-11-21", None),
            ("２026-11-21T12:00:00Z", None),
            ("", None),
        ] {
            assert_eq!(parse(text), expected.map(Instant), "{text}");
        }
    }

    #[test]
    fn writes_what_it_reads() {
        for day in (0..2_900_000).step_by(97) {
            let moment = Instant(day * DAY_MS + day % DAY_MS);
            assert_eq!(parse(&format(moment)), Some(moment));
        }
        assert_eq!(format(Instant(1_795_262_400_007)), "2026-11-21T12:00:00.007Z");
    }
}

//! Reads places in a topic and rates as operators write them. It asks nobody.

use serde_json::{Value, json};

use crate::units;

/// Numbers from here on are moments: as milliseconds since 1970 this is in 1973, and few partitions
/// hold as many events.
const MOMENT_MIN: u64 = 100_000_000_000;

/// A place in a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Earliest,
    Latest,
    Offset(u64),
    TimestampMs(u64),
}

impl Place {
    /// As the host reads it.
    pub(super) fn to_json(self) -> Value {
        match self {
            Self::Earliest => json!("earliest"),
            Self::Latest => json!("latest"),
            Self::Offset(offset) => json!({ "offset": offset }),
            Self::TimestampMs(moment) => json!({ "timestamp_ms": moment }),
        }
    }
}

/// A place: a word, an offset, or a moment.
pub(super) fn read(text: &str) -> Result<Place, String> {
    let offset = |text: &str| text.parse::<u64>().ok();
    match text {
        "earliest" => return Ok(Place::Earliest),
        "latest" => return Ok(Place::Latest),
        _ => {}
    }
    if let Some(offset) = text.strip_prefix("offset:").and_then(offset) {
        return Ok(Place::Offset(offset));
    }
    if let Some(number) = offset(text).filter(|number| *number < MOMENT_MIN) {
        return Ok(Place::Offset(number));
    }
    units::moment(text).map(Place::TimestampMs).map_err(|_no_moment| {
        "write earliest, latest, an offset, RFC 3339 such as 2026-11-21T08:00:00Z, milliseconds \
         since 1970, or a span ago such as 2h"
            .to_owned()
    })
}

/// Events per second: `50/s`, or only the number.
pub(crate) fn rate(text: &str) -> Result<u32, String> {
    let number = text.strip_suffix("/s").unwrap_or(text).parse().ok();
    number
        .filter(|rate| (1..=100_000).contains(rate))
        .ok_or_else(|| "write events per second from 1 to 100000, such as 50/s".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_word_an_offset_or_a_moment() {
        for (text, expected) in [
            ("earliest", Some(Place::Earliest)),
            ("latest", Some(Place::Latest)),
            ("0", Some(Place::Offset(0))),
            ("99999999999", Some(Place::Offset(99_999_999_999))),
            ("100000000000", Some(Place::TimestampMs(100_000_000_000))),
            ("offset:100000000000", Some(Place::Offset(100_000_000_000))),
            ("2026-11-21T08:00:00Z", Some(Place::TimestampMs(1_795_248_000_000))),
            ("first", None),
            ("-1", None),
            ("offset:", None),
        ] {
            assert_eq!(read(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn a_rate_is_events_per_second() {
        for (text, expected) in [
            ("50/s", Some(50)),
            ("1", Some(1)),
            ("100000/s", Some(100_000)),
            ("100001/s", None),
            ("0", None),
            ("50/m", None),
        ] {
            assert_eq!(rate(text).ok(), expected, "{text}");
        }
    }
}

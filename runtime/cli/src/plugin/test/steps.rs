//! Owns the format of event files: one JSON object per line, each a step.
//!
//! - An event: `{"topic": "orders", "key": "k", "payload": {…}}`. Any other field of the
//!   contract's event may be given by its JSON name (`id`, `type`, `time`, `headers`, …).
//! - A timer of one key: `{"fire": "expiry", "key": "k"}`, at the moment it was set for.
//! - Time passing: `{"advance": "2026-01-01T12:10:00Z"}` fires every timer due until then.
//!
//! Empty lines and lines that begin with `#` are skipped.

use std::{collections::BTreeMap, path::Path, time::SystemTime};

use serde::{Deserialize, Deserializer, de};
use serde_json::Value;

use crate::problem::Problem;

/// One line of an event file.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    /// Delivers an event.
    Event(Box<EventStep>),
    /// Fires a timer at the moment it was set for.
    Fire(FireStep),
    /// Fires every timer due until then, in order.
    Advance(AdvanceStep),
}

/// An event as a producer writes it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct EventStep {
    pub(super) topic: String,
    /// Text; `{"$hex": "…"}` for other bytes.
    pub(super) key: Option<Value>,
    /// The record's value; none at all makes a tombstone.
    pub(super) payload: Option<Value>,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, Value>,
    /// The record's timestamp; 2026-01-01T12:00:00Z, or that of the event before, without.
    pub(super) timestamp: Option<Moment>,
    pub(super) partition: Option<u32>,
    /// One more than that of the topic's event before, without.
    pub(super) offset: Option<u64>,
    pub(super) id: Option<String>,
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    pub(super) version: Option<String>,
    pub(super) source: Option<String>,
    pub(super) subject: Option<String>,
    pub(super) time: Option<Moment>,
    pub(super) content_type: Option<String>,
    pub(super) correlation_id: Option<String>,
    pub(super) causation_id: Option<String>,
    pub(super) trace_parent: Option<String>,
    pub(super) tenant: Option<String>,
    pub(super) attempt: Option<u32>,
    pub(super) previous_error: Option<String>,
}

/// A timer of one key.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FireStep {
    /// The timer's name.
    pub(super) fire: String,
    /// Its key.
    pub(super) key: Value,
}

/// Time passing.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AdvanceStep {
    /// Until when.
    pub(super) advance: Moment,
}

/// A moment in milliseconds since the Unix epoch; RFC 3339 in files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(pub(super) u64);

impl Moment {
    /// The moment a text stands for, if it is RFC 3339 from 1970 on.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let time = humantime::parse_rfc3339_weak(text).ok()?;
        let since = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        u64::try_from(since.as_millis()).ok().map(Self)
    }

    /// As RFC 3339.
    pub(super) fn text(self) -> String {
        let time = SystemTime::UNIX_EPOCH.checked_add(std::time::Duration::from_millis(self.0));
        // No file says a moment past the year 9999, yet a handler may; it is shown as a number.
        let shown = time.filter(|_| self.0 < 253_402_300_800_000);
        shown.map_or_else(
            || self.0.to_string(),
            |time| {
                // Moments are whole milliseconds: three digits say all, and often none is needed.
                let text = humantime::format_rfc3339_millis(time).to_string();
                text.replace(".000Z", "Z")
            },
        )
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| de::Error::custom(format!("{text:?} is no time in UTC")))
    }
}

/// The steps of an event file.
///
/// # Errors
///
/// E0511, with the line.
pub(super) fn read(text: &str, file: &Path) -> Result<Vec<Step>, Problem> {
    let lines = text.lines().enumerate();
    let lines = lines.filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    let steps = lines.map(|(at, line)| {
        step(line).map_err(|source| {
            let what = format!("read step {}:{}", file.display(), at + 1);
            let hint = "an event has topic, key and payload; docs/guide-plugins.md has all fields";
            Problem::usage("E0511", what).hint(hint).source(source)
        })
    });
    steps.collect()
}

fn step(line: &str) -> serde_json::Result<Step> {
    let value: Value = serde_json::from_str(line)?;
    if value.get("fire").is_some() {
        return serde_json::from_value(value).map(Step::Fire);
    }
    if value.get("advance").is_some() {
        return serde_json::from_value(value).map(Step::Advance);
    }
    serde_json::from_value(value).map(|event| Step::Event(Box::new(event)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_a_step() {
        let text = "# made by hand\n\n\
            {\"topic\": \"orders\", \"key\": \"a\", \"payload\": {\"n\": 1}, \"type\": \"t\"}\n\
            {\"fire\": \"expiry\", \"key\": \"a\"}\n\
            {\"advance\": \"1970-01-01T00:00:01Z\"}\n";
        let steps = read(text, Path::new("a")).unwrap();
        let [Step::Event(event), Step::Fire(fire), Step::Advance(advance)] = steps.as_slice()
        else {
            panic!("{steps:?}");
        };
        assert_eq!((event.topic.as_str(), event.kind.as_deref()), ("orders", Some("t")));
        assert_eq!(fire.fire, "expiry");
        assert_eq!(advance.advance, Moment(1_000));
    }

    #[test]
    fn a_malformed_step_is_refused_with_its_line() {
        for line in [
            "nothing",
            "{\"key\": \"a\"}",
            "{\"topic\": \"a\", \"colour\": 1}",
            "{\"fire\": \"a\"}",
            "{\"advance\": \"tomorrow\"}",
        ] {
            let problem = read(&format!("\n{line}"), Path::new("a.jsonl")).unwrap_err();
            assert_eq!(problem.code, "E0511", "{line}");
            assert_eq!(problem.to_string(), "read step a.jsonl:2", "{line}");
        }
    }

    #[test]
    fn moments_are_text() {
        let moment = Moment::parse("2026-03-01T12:00:00.250Z").unwrap();
        assert_eq!(moment.text(), "2026-03-01T12:00:00.250Z");
        assert_eq!(Moment(1_000).text(), "1970-01-01T00:00:01Z");
        assert_eq!(Moment::parse("soon"), None);
        assert_eq!(Moment(u64::MAX).text(), u64::MAX.to_string());
    }
}

//! Owns what comes from outside: one event as it is published, and how those of the five systems
//! are mixed. The same seed makes the same input.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::SystemTime;

use serde_json::{Value, json};

use super::expected::Expected;
use super::{billing, commerce, pos, shipping, ticketing};
use crate::support::random::Random;

/// Where every event from outside says that it comes from.
pub(super) const SOURCE: &str = "/bench";
/// Seed of the input.
const SEED: u64 = 5;

/// One event from outside.
#[derive(Debug, Clone)]
pub(super) struct Event {
    /// Where it is published.
    pub(super) topic: &'static str,
    /// Its id, in its envelope too where it has one.
    pub(super) id: String,
    /// Its type.
    pub(super) kind: &'static str,
    /// Version of its type, where it says one.
    pub(super) version: Option<&'static str>,
    /// Its key, where no rule of the topic makes it.
    pub(super) key: Option<String>,
    /// When it happened.
    pub(super) time: String,
    /// Its payload.
    pub(super) data: Value,
    /// Whether some handler must give it up.
    pub(super) is_bad: bool,
}

impl Event {
    /// As it stands in a batch of CloudEvents.
    pub(super) fn cloud(&self) -> Value {
        let mut event = json!({
            "specversion": "1.0", "id": self.id, "source": SOURCE, "type": self.kind,
            "time": self.time, "data": self.data,
        });
        if let Some(version) = self.version {
            event["eventversion"] = json!(version);
        }
        if let Some(key) = &self.key {
            event["partitionkey"] = json!(key);
        }
        event
    }
}

/// One of the five systems: what its outside world does, and what has to come of that.
pub(super) trait System {
    /// What happens next.
    fn next(&mut self, random: &mut Random) -> Event;
}

/// What has to come of a system's events, worked out from the events alone.
pub(super) trait Model {
    /// Takes in the next event of the system.
    fn take(&mut self, event: &Event, expected: &mut Expected);
    /// Says what is left in the end.
    fn end(&self, expected: &mut Expected);
}

/// Shares of the mix, in a hundred.
pub(super) const SHARES: [(&str, u64); 5] =
    [("ticketing", 22), ("shipping", 22), ("billing", 12), ("pos", 20), ("commerce", 24)];

/// The mixed events of all five, each with the number of its system.
pub(super) struct Input {
    random: Random,
    systems: [Box<dyn System>; 5],
}

impl Input {
    /// From its beginning.
    pub(super) fn new() -> Self {
        let systems: [Box<dyn System>; 5] = [
            Box::new(ticketing::World::default()),
            Box::new(shipping::World::default()),
            Box::new(billing::World::default()),
            Box::new(pos::World::default()),
            Box::new(commerce::World::default()),
        ];
        Self { random: Random::new(SEED), systems }
    }
}

impl Iterator for Input {
    type Item = (usize, Event);

    fn next(&mut self) -> Option<Self::Item> {
        let mut drawn = self.random.within(0..=99);
        let number = SHARES.iter().position(|(_, share)| {
            let is_it = drawn < *share;
            drawn = drawn.saturating_sub(*share);
            is_it
        })?;
        let system = self.systems.get_mut(number)?;
        Some((number, system.next(&mut self.random)))
    }
}

/// What has to come of the first `count` events.
pub(super) fn expected(count: u64, mut expected: Expected) -> Expected {
    let mut models: [Box<dyn Model>; 5] = [
        Box::new(ticketing::Outcome::default()),
        Box::new(shipping::Outcome::default()),
        Box::new(billing::Outcome::default()),
        Box::new(pos::Outcome::default()),
        Box::new(commerce::Outcome::default()),
    ];
    for (number, event) in Input::new().take(usize::try_from(count).unwrap_or(usize::MAX)) {
        expected.came(&event);
        if let Some(model) = models.get_mut(number) {
            model.take(&event, &mut expected);
        }
    }
    for model in &models {
        model.end(&mut expected);
    }
    expected
}

/// The batches of a tick, by topic.
pub(super) fn batches(events: impl Iterator<Item = Event>) -> BTreeMap<&'static str, Vec<Value>> {
    let mut batches: BTreeMap<_, Vec<Value>> = BTreeMap::new();
    for event in events {
        batches.entry(event.topic).or_default().push(event.cloud());
    }
    batches
}

/// A moment of a year that is past, so many minutes after its first one.
pub(super) fn moment(minutes: u64) -> String {
    let (month, day) = (1 + minutes / 1_440 / 28 % 12, 1 + minutes / 1_440 % 28);
    let (hour, minute) = (minutes / 60 % 24, minutes % 60);
    format!("2025-{month:02}-{day:02}T{hour:02}:{minute:02}:00Z")
}

/// Text of an event's data.
pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The beginning of a day half a year ahead: a host sets no timer that is due in more than a year.
pub(super) static LATER: LazyLock<String> = LazyLock::new(|| {
    const DAY: u64 = 24 * 60 * 60;
    #[expect(clippy::disallowed_methods, reason = "the host that is measured goes by it as well")]
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    day(now.as_secs() / DAY + 180)
});

/// A day after 1970 (source: Howard Hinnant, "chrono-compatible low-level date algorithms",
/// `civil_from_days`, for days of these eras alone).
fn day(number: u64) -> String {
    let shifted = number + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let (day, month) = (of_year - (153 * month + 2) / 5 + 1, (month + 2) % 12 + 1);
    let year = year + era * 400 + u64::from(month <= 2);
    format!("{year}-{month:02}-{day:02}T00:00:00Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        for (number, date) in [(0, "1970-01-01"), (11_016, "2000-02-29"), (20_788, "2026-12-01")] {
            assert_eq!(day(number), format!("{date}T00:00:00Z"));
        }
    }

    #[test]
    fn every_system_takes_part_and_about_one_in_a_hundred_is_given_up() {
        let (mut counts, mut bad) = ([0; SHARES.len()], 0);
        for (system, event) in Input::new().take(50_000) {
            counts[system] += 1;
            bad += i32::from(event.is_bad);
        }
        assert!((400..700).contains(&bad), "{bad}");
        for (count, (system, share)) in counts.into_iter().zip(SHARES) {
            assert!((share * 450..share * 550).contains(&count), "{system}: {count}");
        }
    }

    #[test]
    fn the_input_is_the_same_each_time_and_no_id_comes_twice() {
        let input = || Input::new().take(5_000);
        let ids: std::collections::BTreeSet<_> =
            input().map(|(_, event)| (event.topic, event.id)).collect();
        assert_eq!(ids.len(), 5_000);
        assert!(input().zip(input()).all(|(one, other)| one.1.cloud() == other.1.cloud()));
    }
}

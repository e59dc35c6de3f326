//! Decides which events are published, from a seed alone. What each must lead to follows from the
//! event, so that nobody needs the host's word for it.

use std::collections::VecDeque;

use serde_json::{Value, json};

use crate::support::random::Random;

/// Keys that events are spread over. Few enough that lanes are long, many enough to run beside
/// each other.
const KEYS: u64 = 400;
/// An id is repeated within this many events.
const REPEATED_WITHIN: usize = 500;
/// Shares in a thousand.
const FAILING: u64 = 10;
const POISON: u64 = 5;
const TIMERS: u64 = 10;
const REPEATS: u64 = 20;

/// One event, and all that is asked of its handler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Identity, unique over all topics but for repeats.
    pub id: String,
    /// Key of its lane.
    pub key: String,
    /// Attempts that fail before one succeeds, 0 to 5.
    pub fails: u32,
    /// Whether it is rejected.
    pub poison: bool,
    /// Sets a timer this long after its own timestamp, in milliseconds.
    pub timer_ms: Option<u64>,
}

impl Event {
    /// The event as a structured CloudEvent.
    fn json(&self) -> Value {
        let Self { id, key, fails, poison, timer_ms } = self;
        json!({
            "specversion": "1.0",
            "id": id,
            "source": "/chaos",
            "type": "chaos.entry",
            "partitionkey": key,
            "data": { "id": id, "fails": fails, "poison": poison, "timer_ms": timer_ms },
        })
    }
}

/// A batch of events as one request carries it.
pub fn batch(events: &[Event]) -> String {
    events.iter().map(Event::json).collect::<Value>().to_string()
}

/// The events of one topic, without end.
#[derive(Debug, Clone)]
pub struct Input {
    topic: String,
    random: Random,
    next: u64,
    recent: VecDeque<Event>,
}

impl Input {
    /// Those of `topic` for a seed.
    pub fn new(topic: &str, random: Random) -> Self {
        Self { topic: topic.to_owned(), random, next: 0, recent: VecDeque::new() }
    }

    fn fresh(&mut self) -> Event {
        let id = format!("{}-{}", self.topic, self.next);
        self.next += 1;
        let random = &mut self.random;
        let key = format!("key-{}", random.within(0..=KEYS - 1));
        let mut event = Event { id, key, fails: 0, poison: false, timer_ms: None };
        if random.per_mille(FAILING) {
            event.fails = u32::try_from(random.within(1..=5)).unwrap_or(1);
        } else if random.per_mille(POISON) {
            event.poison = true;
        } else if random.per_mille(TIMERS) {
            event.timer_ms = Some(random.within(10..=2_000));
        }
        event
    }
}

impl Iterator for Input {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        let back = u64::try_from(self.recent.len()).unwrap_or(0);
        if back > 0 && self.random.per_mille(REPEATS) {
            let at = usize::try_from(self.random.within(0..=back - 1)).unwrap_or(0);
            return self.recent.get(at).cloned();
        }
        let event = self.fresh();
        self.recent.push_back(event.clone());
        if self.recent.len() > REPEATED_WITHIN {
            self.recent.pop_front();
        }
        Some(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_events_of_every_kind() {
        let take = || Input::new("t", Random::new(7)).take(20_000).collect::<Vec<_>>();
        let events = take();
        assert_eq!(events, take());
        let count = |wanted: fn(&Event) -> bool| events.iter().filter(|it| wanted(it)).count();
        for (what, count, about) in [
            ("failing", count(|it| it.fails > 0), 200),
            ("poison", count(|it| it.poison), 100),
            ("timers", count(|it| it.timer_ms.is_some()), 200),
        ] {
            assert!((about / 2..about * 2).contains(&count), "{count} are {what}");
        }
        let ids: std::collections::BTreeSet<_> = events.iter().map(|it| &it.id).collect();
        assert!((200..800).contains(&(events.len() - ids.len())), "{} repeats", ids.len());
    }

    #[test]
    fn a_batch_is_a_json_array() {
        let events: Vec<_> = Input::new("t", Random::new(1)).take(100).collect();
        let value: Value = serde_json::from_str(&batch(&events)).unwrap();
        assert_eq!(value.as_array().unwrap().len(), 100);
        assert_eq!(value[3]["data"]["id"], events[3].id.as_str());
    }
}

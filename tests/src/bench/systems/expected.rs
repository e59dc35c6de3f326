//! Holds what has to come of the input, small enough for millions of events: of each lane of a
//! topic how many events there are and a hash over their content in order; every dead letter; every
//! call of an outside party. It knows no system.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{Hash, Hasher};

use serde_json::Value;

use super::event::Event;
use super::topics::spec;

/// Of how many keys one has its state compared: each is a request.
const SAMPLE: u64 = 101;
/// Keys of a subscription whose state is compared, at most.
const SAMPLE_MAX: usize = 300;

/// What a lane of a topic holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Lane {
    /// Events.
    pub(super) count: u64,
    /// Over all of them, in their order.
    chain: u64,
}

/// A lane: a topic, and the hash of what events have in common that must keep their order.
pub(super) type Place = (&'static str, u64);

/// What a value of state holds: its name, a pointer into it, and what that leads to.
pub(super) type Kept = (&'static str, &'static str, Value);

/// What must be there, or is.
#[derive(Debug, Default)]
pub(super) struct Expected {
    /// Lanes of all topics.
    pub(super) lanes: HashMap<Place, Lane>,
    /// Lanes of which either all is there or nothing: which, is a race that both may win.
    pub(super) all_or_nothing: HashSet<Place>,
    /// Dead letters with how many there are: subscription, id and code of each.
    pub(super) letters: HashMap<(String, String, String), u64>,
    /// Calls of outside parties, by a hash of path and body.
    pub(super) calls: HashMap<u64, u64>,
    /// Values of state, by subscription and key.
    pub(super) state: BTreeMap<(&'static str, String), Vec<Kept>>,
    /// Events from outside, by topic.
    pub(super) published: BTreeMap<&'static str, u64>,
    /// Of those, how many some handler must give up.
    pub(super) bad: u64,
    /// Timers that are still set in the end.
    pub(super) timers: u64,
    /// Lanes whose events are told in full, for who looks at what differs.
    pub(super) watched: HashMap<Place, Vec<String>>,
    sampled: BTreeMap<&'static str, usize>,
}

impl Expected {
    /// Nothing, but what differs in these lanes is to be told in full.
    pub(super) fn watching(places: impl Iterator<Item = Place>) -> Self {
        let watched = places.map(|place| (place, Vec::new())).collect();
        Self { watched, ..Self::default() }
    }

    /// An event came from outside.
    pub(super) fn came(&mut self, event: &Event) {
        *self.published.entry(event.topic).or_default() += 1;
        self.bad += u64::from(event.is_bad);
    }

    /// A handler tells this.
    ///
    /// # Panics
    ///
    /// When nobody said what the topic is like.
    pub(super) fn told(&mut self, topic: &str, key: &str, (kind, data): (&str, &Value)) -> Place {
        let spec = spec(topic).unwrap_or_else(|| unreachable!("{topic} is described"));
        let place = spec.place(key, data);
        let content = spec.content(kind, data);
        let lane = self.lanes.entry(place).or_default();
        lane.count += 1;
        lane.chain = hash(&(lane.chain, content));
        if let Some(told) = self.watched.get_mut(&place) {
            told.push(format!("{key} {kind} {data}"));
        }
        place
    }

    /// The events of this lane are all there, or none.
    pub(super) fn allow_nothing(&mut self, place: Place) {
        self.all_or_nothing.insert(place);
    }

    /// A subscription gives up an event.
    pub(super) fn letter(&mut self, subscription: &str, id: &str, code: &str) {
        let letter = (subscription.to_owned(), id.to_owned(), code.to_owned());
        *self.letters.entry(letter).or_default() += 1;
    }

    /// A party is called.
    pub(super) fn called(&mut self, path: &str, body: &Value) {
        *self.calls.entry(call(path, body)).or_default() += 1;
    }

    /// In the state of a key a value is kept, or a part of one.
    pub(super) fn kept(&mut self, subscription: &'static str, key: &str, kept: Kept) {
        self.state.entry((subscription, key.to_owned())).or_default().push(kept);
    }

    /// Whether the state of a key is compared: that of one in so many, and of so many in all.
    pub(super) fn samples(&mut self, subscription: &'static str, key: &str) -> bool {
        let sampled = self.sampled.entry(subscription).or_default();
        if !hash(&key).is_multiple_of(SAMPLE) || *sampled >= SAMPLE_MAX {
            return false;
        }
        *sampled += 1;
        true
    }
}

/// What tells one call of a party from others.
pub(super) fn call(path: &str, body: &Value) -> u64 {
    hash(&(path, content(body, &[])))
}

/// A hash that is the same in every process.
pub(super) fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// A hash of JSON without these members, whatever the order of members and the form of numbers.
pub(super) fn content(value: &Value, without: &[&str]) -> u64 {
    match value {
        Value::Null => 0,
        Value::Bool(is) => hash(is),
        Value::Number(number) => hash(&number.as_f64().map(f64::to_bits)),
        Value::String(text) => hash(text),
        Value::Array(items) => {
            hash(&items.iter().map(|item| content(item, without)).collect::<Vec<_>>())
        }
        // Hashes of members are added up, so that their order does not count.
        Value::Object(members) => members
            .iter()
            .filter(|(name, _)| !without.contains(&name.as_str()))
            .fold(1, |sum: u64, (name, member)| {
                sum.wrapping_add(hash(&(name, content(member, without))))
            }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn content_goes_by_values_and_not_by_how_they_are_written() {
        let one: Value = serde_json::from_str(r#"{"a":1,"b":[2.0,null],"at":3}"#).unwrap();
        let other: Value = serde_json::from_str(r#"{"b":[2,null],"a":1.0,"at":4}"#).unwrap();
        assert_eq!(content(&one, &["at"]), content(&other, &["at"]));
        assert_ne!(content(&one, &[]), content(&other, &[]));
    }

    #[test]
    fn a_lane_differs_by_a_loss_a_repetition_a_change_and_another_order() {
        let lane = |numbers: &[u64]| {
            let mut expected = Expected::default();
            for number in numbers {
                expected.told("order-outcomes", "key", ("kind", &json!({ "n": number })));
            }
            expected.lanes
        };
        let whole = lane(&[1, 2, 3]);
        assert_eq!(whole, lane(&[1, 2, 3]));
        for other in [&[1, 2][..], &[1, 2, 3, 3], &[1, 2, 4], &[2, 1, 3]] {
            assert_ne!(whole, lane(other), "{other:?}");
        }
    }
}

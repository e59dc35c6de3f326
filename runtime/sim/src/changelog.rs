//! Says what a partition's changelog holds: every change of its state as a key and its value, the
//! last of which is true. It never decides what changes.

use std::collections::BTreeMap;

use gristmill_engine::{
    IdHash, Instant, KeyHash, Mark, StoredProgress, TimerEntry, TimerHash, TopicId,
};

use crate::topic::EventId;
use crate::world::durable::{Durable, Home, Place};

/// What a record of a changelog is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// Progress in a topic.
    Progress(TopicId),
    /// The mark of a business id.
    Mark(IdHash),
    /// A parked place.
    Parked(KeyHash, u64),
    /// A timer.
    Timer(TimerHash),
    /// The state of a lane.
    State(Option<KeyHash>),
}

/// What it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// See [`Key::Progress`].
    Progress(StoredProgress),
    /// See [`Key::Mark`].
    Mark(Mark),
    /// See [`Key::Parked`].
    Parked(Place),
    /// See [`Key::Timer`].
    Timer(TimerEntry),
    /// See [`Key::State`].
    State(Vec<EventId>),
}

/// Everything a changelog would say of a partition.
pub type Contents = BTreeMap<Key, Value>;

/// All that is durable of a partition.
#[must_use]
pub fn contents(of: &Durable, home: Home) -> Contents {
    let mut all = Contents::new();
    let cursors = (home.0, TopicId(0), home.1)..=(home.0, TopicId(u32::MAX), home.1);
    for ((_, topic, partition), progress) in of.progress.range(cursors) {
        if *partition == home.1 {
            all.insert(Key::Progress(*topic), Value::Progress(progress.clone()));
        }
    }
    let marks = (home, IdHash(0))..=(home, IdHash(u128::MAX));
    all.extend(of.marks.range(marks).map(|((_, id), mark)| (Key::Mark(*id), Value::Mark(*mark))));
    for ((key, sequence), place) in of.parked.get(&home).into_iter().flatten() {
        all.insert(Key::Parked(*key, *sequence), Value::Parked(place.clone()));
    }
    for (timer, entry) in of.timers.get(&home).into_iter().flatten() {
        all.insert(Key::Timer(*timer), Value::Timer(*entry));
    }
    let lanes = (home, None)..=(home, Some(KeyHash(u128::MAX)));
    for ((_, key), events) in of.state.range(lanes) {
        all.insert(Key::State(*key), Value::State(events.clone()));
    }
    all
}

/// What must be written to turn `before` into `after`.
#[must_use]
pub fn changes(before: &Contents, after: &Contents) -> Vec<(Key, Option<Value>)> {
    let gone = before.keys().filter(|key| !after.contains_key(key)).map(|key| (*key, None));
    let set = after.iter().filter(|(key, value)| before.get(key) != Some(value));
    gone.chain(set.map(|(key, value)| (*key, Some(value.clone())))).collect()
}

/// Takes over what a record says.
pub fn take(into: &mut Durable, home: Home, key: Key, value: Option<Value>) {
    match (key, value) {
        (Key::Progress(topic), Some(Value::Progress(progress))) => {
            into.progress.insert((home.0, topic, home.1), progress);
        }
        (Key::Progress(topic), _) => {
            into.progress.remove(&(home.0, topic, home.1));
        }
        (Key::Mark(id), Some(Value::Mark(mark))) => {
            into.marks.insert((home, id), mark);
        }
        (Key::Mark(id), _) => {
            into.marks.remove(&(home, id));
        }
        (Key::Parked(lane, sequence), Some(Value::Parked(place))) => {
            into.parked.entry(home).or_default().insert((lane, sequence), place);
        }
        (Key::Parked(lane, sequence), _) => {
            into.parked.entry(home).or_default().remove(&(lane, sequence));
        }
        (Key::Timer(timer), Some(Value::Timer(entry))) => {
            into.timers.entry(home).or_default().insert(timer, entry);
        }
        (Key::Timer(timer), _) => {
            into.timers.entry(home).or_default().remove(&timer);
        }
        (Key::State(lane), Some(Value::State(events))) => {
            into.state.insert((home, lane), events);
        }
        (Key::State(lane), _) => {
            into.state.remove(&(home, lane));
        }
    }
}

/// Empties a partition.
pub fn clear(of: &mut Durable, home: Home) {
    of.progress.retain(|(subscription, _, partition), _| (*subscription, *partition) != home);
    of.marks.retain(|(at, _), _| *at != home);
    of.parked.remove(&home);
    of.timers.remove(&home);
    of.state.retain(|(at, _), _| *at != home);
}

/// Puts `contents` in place of what there is of a partition.
pub fn put(into: &mut Durable, home: Home, contents: &Contents) {
    clear(into, home);
    for (key, value) in contents {
        take(into, home, *key, Some(value.clone()));
    }
}

/// A moment as the protocol counts the age of caches: a quarter of a second here is half a day
/// there.
#[must_use]
pub fn scaled(at: Instant) -> Instant {
    Instant(at.0.saturating_mul(172_800))
}

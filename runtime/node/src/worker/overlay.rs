//! Owns the uncommitted writes of one partition: what a lane's next attempt must see before the
//! checkpoint that carries it is durable. It never decides when that is.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use gristmill_engine::{CheckpointId, Instant, KeyHash, TimerHash};
use gristmill_store::{ParkedRecord, TimerRecord};

use super::Map;

/// A value with the moment it ends at, or none where it was deleted.
pub(crate) type StateValue = Option<(Bytes, Option<Instant>)>;

/// Uncommitted writes, a layer per checkpoint that carries them: one that is committing, one that
/// is filling. A commit takes its layer off as a whole.
#[derive(Debug, Default)]
pub(crate) struct Overlay {
    /// Oldest first; what is in a later one hides what is in an earlier.
    layers: VecDeque<Layer>,
}

/// The writes of one checkpoint.
#[derive(Debug)]
struct Layer {
    checkpoint: CheckpointId,
    state: Map<Bytes, Names>,
    timers: Map<TimerHash, Option<Arc<TimerRecord>>>,
    parked: Map<(KeyHash, u64), Arc<ParkedRecord>>,
}

/// The names written under one key: mostly one, and then without a tree of its own.
#[derive(Debug)]
enum Names {
    One(String, StateValue),
    More(BTreeMap<String, StateValue>),
}

impl Overlay {
    /// Remembers a state write or deletion carried by `checkpoint`.
    pub(crate) fn write_state(
        &mut self,
        checkpoint: CheckpointId,
        key: Bytes,
        name: String,
        value: StateValue,
    ) {
        match self.layer(checkpoint).state.entry(key) {
            Entry::Occupied(names) => names.into_mut().set(name, value),
            Entry::Vacant(place) => {
                place.insert(Names::One(name, value));
            }
        }
    }

    /// The uncommitted value of `name`; `None` when the store knows best.
    pub(crate) fn state(&self, key: &[u8], name: &str) -> Option<&StateValue> {
        self.newest(|layer| layer.state.get(key)?.get(name))
    }

    /// Uncommitted names under `key` that begin with `prefix` and follow `after`, in order, each
    /// with whether it holds a value at `now`.
    pub(crate) fn state_names(
        &self,
        key: &[u8],
        prefix: &str,
        after: Option<&str>,
        now: Instant,
    ) -> BTreeMap<String, bool> {
        let mut found = BTreeMap::new();
        let is_wanted =
            |name: &str| name.starts_with(prefix) && after.is_none_or(|after| name > after);
        for names in self.layers.iter().filter_map(|layer| layer.state.get(key)) {
            names.each(|name, value| {
                if is_wanted(name) {
                    found.insert(name.to_owned(), is_alive(value, now));
                }
            });
        }
        found
    }

    /// Remembers that a timer was set (`Some`) or ended (`None`).
    pub(crate) fn write_timer(
        &mut self,
        checkpoint: CheckpointId,
        timer: TimerHash,
        value: Option<Arc<TimerRecord>>,
    ) {
        self.layer(checkpoint).timers.insert(timer, value);
    }

    /// The uncommitted setting of a timer; `None` when the store knows best.
    pub(crate) fn timer(&self, timer: TimerHash) -> Option<&Option<Arc<TimerRecord>>> {
        self.newest(|layer| layer.timers.get(&timer))
    }

    /// Remembers a parked event until the store has it.
    pub(crate) fn write_parked(
        &mut self,
        checkpoint: CheckpointId,
        lane: KeyHash,
        sequence: u64,
        value: Arc<ParkedRecord>,
    ) {
        self.layer(checkpoint).parked.insert((lane, sequence), value);
    }

    /// A parked event the store does not have yet.
    pub(crate) fn parked(&self, lane: KeyHash, sequence: u64) -> Option<&Arc<ParkedRecord>> {
        self.newest(|layer| layer.parked.get(&(lane, sequence)))
    }

    /// Forgets what `checkpoint` and those before it made durable; later writes stay.
    pub(crate) fn committed(&mut self, checkpoint: CheckpointId) {
        while self.layers.front().is_some_and(|layer| layer.checkpoint <= checkpoint) {
            self.layers.pop_front();
        }
    }

    fn newest<'a, T>(&'a self, look: impl Fn(&'a Layer) -> Option<T>) -> Option<T> {
        self.layers.iter().rev().find_map(look)
    }

    /// The layer of `checkpoint`, which is never before that of an earlier write.
    fn layer(&mut self, checkpoint: CheckpointId) -> &mut Layer {
        let is_last = self.layers.back().is_some_and(|layer| layer.checkpoint == checkpoint);
        if !is_last {
            self.layers.push_back(Layer::new(checkpoint));
        }
        let last = self.layers.len().saturating_sub(1);
        &mut self.layers[last]
    }
}

impl Layer {
    fn new(checkpoint: CheckpointId) -> Self {
        let (state, timers, parked) = (Map::default(), Map::default(), Map::default());
        Self { checkpoint, state, timers, parked }
    }
}

impl Names {
    fn set(&mut self, name: String, value: StateValue) {
        match self {
            Self::One(other, held) if *other == name => *held = value,
            Self::One(other, held) => {
                let first = (std::mem::take(other), held.take());
                *self = Self::More(BTreeMap::from([first, (name, value)]));
            }
            Self::More(names) => {
                names.insert(name, value);
            }
        }
    }

    fn get(&self, name: &str) -> Option<&StateValue> {
        match self {
            Self::One(other, value) => (other == name).then_some(value),
            Self::More(names) => names.get(name),
        }
    }

    fn each(&self, mut take: impl FnMut(&str, &StateValue)) {
        match self {
            Self::One(name, value) => take(name, value),
            Self::More(names) => names.iter().for_each(|(name, value)| take(name, value)),
        }
    }
}

/// Up to `limit` names of state that `beneath` has, changed by writes that it does not know: each
/// with whether it holds a value.
pub(crate) fn overlaid<E>(
    writes: &BTreeMap<String, bool>,
    limit: u32,
    beneath: impl FnOnce(u32) -> Result<Vec<String>, E>,
) -> Result<Vec<String>, E> {
    // Every deletion can take one name away.
    let gone = writes.values().filter(|alive| !**alive).count();
    let more = limit.saturating_add(u32::try_from(gone).unwrap_or(u32::MAX));
    let mut names: BTreeSet<String> = beneath(more)?.into_iter().collect();
    for (name, alive) in writes {
        if *alive {
            names.insert(name.clone());
        } else {
            names.remove(name);
        }
    }
    Ok(names.into_iter().take(usize::try_from(limit).unwrap_or(usize::MAX)).collect())
}

/// The bytes of a state value, if it exists at `now`.
pub(crate) fn bytes_at(value: &StateValue, now: Instant) -> Option<Bytes> {
    value.as_ref().filter(|_| is_alive(value, now)).map(|(bytes, _)| bytes.clone())
}

/// Whether a state value exists at `now`: its time to live is over at the moment it names.
pub(crate) fn is_alive(value: &StateValue, now: Instant) -> bool {
    value.as_ref().is_some_and(|(_, expires)| expires.is_none_or(|expires| now < expires))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::unnecessary_wraps, reason = "a state value is an option")]
    fn value(text: &'static str) -> StateValue {
        let forever = None;
        Some((Bytes::from_static(text.as_bytes()), forever))
    }

    #[test]
    fn a_commit_forgets_its_writes_and_keeps_later_ones() {
        let mut overlay = Overlay::default();
        let key = Bytes::from_static(b"seat");
        overlay.write_state(CheckpointId(1), key.clone(), "a".into(), value("1"));
        overlay.write_state(CheckpointId(1), key.clone(), "b".into(), value("1"));
        overlay.write_state(CheckpointId(2), key.clone(), "a".into(), value("2"));
        overlay.committed(CheckpointId(1));
        assert_eq!(overlay.state(b"seat", "a"), Some(&value("2")));
        assert_eq!(overlay.state(b"seat", "b"), None);
        overlay.committed(CheckpointId(2));
        assert!(overlay.layers.is_empty());
    }

    #[test]
    fn a_later_checkpoint_hides_an_earlier_one() {
        let mut overlay = Overlay::default();
        let key = Bytes::from_static(b"k");
        overlay.write_state(CheckpointId(1), key.clone(), "a".into(), value("1"));
        overlay.write_state(CheckpointId(2), key.clone(), "a".into(), None);
        overlay.write_state(CheckpointId(2), key, "b".into(), value("2"));
        assert_eq!(overlay.state(b"k", "a"), Some(&None));
        let names = overlay.state_names(b"k", "", None, Instant(0));
        assert_eq!(
            names.into_iter().collect::<Vec<_>>(),
            [("a".into(), false), ("b".into(), true)]
        );
        let timer = TimerHash(7);
        overlay.write_timer(CheckpointId(2), timer, None);
        assert_eq!(overlay.timer(timer), Some(&None));
        overlay.committed(CheckpointId(2));
        assert_eq!((overlay.state(b"k", "b"), overlay.timer(timer)), (None, None));
    }

    #[test]
    fn names_are_listed_in_order_with_deletions_and_ends() {
        let mut overlay = Overlay::default();
        let key = Bytes::from_static(b"k");
        let ended = Some((Bytes::new(), Some(Instant(10))));
        for (name, value) in
            [("p/c", value("")), ("p/a", None), ("q", value("")), ("p/b", ended), ("p", value(""))]
        {
            overlay.write_state(CheckpointId(1), key.clone(), name.into(), value);
        }
        let listed = |after, now| -> Vec<_> {
            overlay.state_names(b"k", "p/", after, Instant(now)).into_iter().collect()
        };
        let named = |name: &str, alive| (name.to_owned(), alive);
        let all = [named("p/a", false), named("p/b", false), named("p/c", true)];
        assert_eq!(listed(None, 10), all);
        assert_eq!(listed(Some("p/a"), 9), [named("p/b", true), named("p/c", true)]);
        assert!(overlay.state_names(b"other", "p/", None, Instant(9)).is_empty());
    }
}

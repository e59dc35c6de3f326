//! Owns the uncommitted writes of one partition: what a lane's next attempt must see before the
//! checkpoint that carries it is durable. It never decides when that is.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use gristmill_engine::{CheckpointId, Instant, KeyHash, TimerHash};
use gristmill_store::{ParkedRecord, TimerRecord};

/// A value with the moment it ends at, or none where it was deleted.
pub(crate) type StateValue = Option<(Bytes, Option<Instant>)>;

/// Uncommitted writes, each with the last checkpoint that carries it.
#[derive(Debug, Default)]
pub(crate) struct Overlay {
    state: HashMap<Bytes, BTreeMap<String, Written<StateValue>>>,
    timers: HashMap<TimerHash, Written<Option<Arc<TimerRecord>>>>,
    parked: HashMap<(KeyHash, u64), Written<Arc<ParkedRecord>>>,
    log: VecDeque<(CheckpointId, Touched)>,
}

#[derive(Debug)]
struct Written<T> {
    checkpoint: CheckpointId,
    value: T,
}

/// What a log entry points at, so that a commit forgets exactly what it made durable.
#[derive(Debug)]
enum Touched {
    State(Bytes, String),
    Timer(TimerHash),
    Parked(KeyHash, u64),
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
        self.log.push_back((checkpoint, Touched::State(key.clone(), name.clone())));
        self.state.entry(key).or_default().insert(name, Written { checkpoint, value });
    }

    /// The uncommitted value of `name`; `None` when the store knows best.
    pub(crate) fn state(&self, key: &[u8], name: &str) -> Option<&StateValue> {
        Some(&self.state.get(key)?.get(name)?.value)
    }

    /// Uncommitted names under `key` that begin with `prefix` and follow `after`, in order, each
    /// with whether it holds a value at `now`.
    pub(crate) fn state_names<'a>(
        &'a self,
        key: &[u8],
        prefix: &'a str,
        after: Option<&str>,
        now: Instant,
    ) -> impl Iterator<Item = (&'a str, bool)> {
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after.to_owned()),
            _ => Bound::Included(prefix.to_owned()),
        };
        self.state
            .get(key)
            .into_iter()
            .flat_map(move |names| names.range((from.clone(), Bound::Unbounded)))
            .take_while(move |(name, _)| name.starts_with(prefix))
            .map(move |(name, written)| (name.as_str(), is_alive(&written.value, now)))
    }

    /// Remembers that a timer was set (`Some`) or ended (`None`).
    pub(crate) fn write_timer(
        &mut self,
        checkpoint: CheckpointId,
        timer: TimerHash,
        value: Option<Arc<TimerRecord>>,
    ) {
        self.log.push_back((checkpoint, Touched::Timer(timer)));
        self.timers.insert(timer, Written { checkpoint, value });
    }

    /// The uncommitted setting of a timer; `None` when the store knows best.
    pub(crate) fn timer(&self, timer: TimerHash) -> Option<&Option<Arc<TimerRecord>>> {
        Some(&self.timers.get(&timer)?.value)
    }

    /// Remembers a parked event until the store has it.
    pub(crate) fn write_parked(
        &mut self,
        checkpoint: CheckpointId,
        lane: KeyHash,
        sequence: u64,
        value: Arc<ParkedRecord>,
    ) {
        self.log.push_back((checkpoint, Touched::Parked(lane, sequence)));
        self.parked.insert((lane, sequence), Written { checkpoint, value });
    }

    /// A parked event the store does not have yet.
    pub(crate) fn parked(&self, lane: KeyHash, sequence: u64) -> Option<&Arc<ParkedRecord>> {
        Some(&self.parked.get(&(lane, sequence))?.value)
    }

    /// Forgets what `checkpoint` and those before it made durable; later writes stay.
    pub(crate) fn committed(&mut self, checkpoint: CheckpointId) {
        while let Some((carrier, touched)) = self.log.pop_front() {
            if carrier > checkpoint {
                self.log.push_front((carrier, touched));
                return;
            }
            self.forget(checkpoint, touched);
        }
    }

    fn forget(&mut self, checkpoint: CheckpointId, touched: Touched) {
        match touched {
            Touched::State(key, name) => {
                let Some(names) = self.state.get_mut(&key) else { return };
                if names.get(&name).is_some_and(|written| written.checkpoint <= checkpoint) {
                    names.remove(&name);
                }
                if names.is_empty() {
                    self.state.remove(&key);
                }
            }
            Touched::Timer(timer) => {
                if self.timers.get(&timer).is_some_and(|it| it.checkpoint <= checkpoint) {
                    self.timers.remove(&timer);
                }
            }
            Touched::Parked(lane, sequence) => {
                let place = (lane, sequence);
                if self.parked.get(&place).is_some_and(|it| it.checkpoint <= checkpoint) {
                    self.parked.remove(&place);
                }
            }
        }
    }

    #[cfg(test)]
    fn is_empty(&self) -> bool {
        self.state.is_empty()
            && self.timers.is_empty()
            && self.parked.is_empty()
            && self.log.is_empty()
    }
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
        assert!(overlay.is_empty());
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
        let listed: Vec<_> = overlay.state_names(b"k", "p/", None, Instant(10)).collect();
        assert_eq!(listed, [("p/a", false), ("p/b", false), ("p/c", true)]);
        let rest: Vec<_> = overlay.state_names(b"k", "p/", Some("p/a"), Instant(9)).collect();
        assert_eq!(rest, [("p/b", true), ("p/c", true)]);
        assert_eq!(overlay.state_names(b"other", "p/", None, Instant(9)).count(), 0);
    }
}

//! Brings what a snapshot has of a partition into the new state, and knows what it has besides:
//! how far it had come, which events were parked, and which ids had been handled.

use std::collections::BTreeMap;

use gristmill_engine::{
    EventRef, IdHash, Instant, Offset, OffsetRange, PartitionId, Position, StoredProgress,
    TimerEntry, TopicId,
};
use gristmill_store::snapshot::Reader;
use gristmill_store::{Batch, Change, Parked, Scope, Stored, changelog};

use super::RebuildError;
use crate::shared::Shared;

/// Changes that are written to the store at once.
const STEP: usize = 2_000;
/// Bytes after which they are written though they are fewer.
const STEP_BYTES: usize = 8 << 20;

/// What a new state begins with, besides values; nothing where it begins empty.
#[derive(Debug, Default)]
pub(super) struct Base {
    /// Up to where everything had been finished, by topic.
    pub(super) progress: BTreeMap<TopicId, StoredProgress>,
    /// Events that were parked, in the order of their lanes.
    pub(super) parked: BTreeMap<Position, Stored>,
    order: Vec<Position>,
    /// Timers that were set, or parked.
    pub(super) timers: Vec<TimerEntry>,
    /// Ids that were handled, the oldest first.
    pub(super) ids: Vec<(Instant, IdHash)>,
}

impl Base {
    /// Writes values and timers into the new state, and says what else there is. Waits.
    pub(super) fn load(
        shared: &Shared,
        reader: &mut Reader,
        new: Scope,
    ) -> Result<Self, RebuildError> {
        let mut base = Self::default();
        let mut marks = Vec::new();
        let (mut changes, mut bytes) = (Vec::new(), 0_usize);
        while let Some(entry) = reader.next_entry()? {
            let size = entry.value.as_ref().map_or(0, bytes::Bytes::len);
            bytes = bytes.saturating_add(size).saturating_add(entry.key.len());
            for change in changelog::decode(new, &entry.key, entry.value)? {
                base.take(change, &mut changes, &mut marks);
            }
            if changes.len() >= STEP || bytes >= STEP_BYTES {
                let changes = std::mem::take(&mut changes);
                bytes = 0;
                shared.write_store(Batch { changes, ..Batch::default() })?;
            }
        }
        shared.write_store(Batch { changes, ..Batch::default() })?;
        // What is parked has a mark of its own, and is still to be handled.
        let ids = marks.into_iter().filter(|(_, _, at)| !base.parked.contains_key(at));
        base.ids = ids.map(|(moment, id, _)| (moment, id)).collect();
        base.ids.sort_unstable();
        Ok(base)
    }

    fn take(
        &mut self,
        change: Change,
        changes: &mut Vec<Change>,
        marks: &mut Vec<(Instant, IdHash, Position)>,
    ) {
        match change {
            Change::StateSet { scope, key, name, value, expires } => {
                // Time there is that of the events which are replayed.
                changes.push(Change::StateKeep { scope, key, name, value, expires });
            }
            Change::TimerSet { scope, record } => {
                self.timers.push(record.entry);
                changes.push(Change::TimerSet { scope, record });
            }
            Change::ParkedPut { scope, record, lane: _ } => match record.source {
                Parked::Event { stored, .. } => {
                    if let EventRef::Record(position) = record.event.event {
                        self.order.push(position);
                        self.parked.insert(position, stored);
                    }
                }
                // It fires when the running one has fired it.
                Parked::Timer(timer) => {
                    self.timers.push(timer.entry);
                    changes.push(Change::TimerSet { scope, record: timer });
                }
            },
            Change::MarkSet { id, mark, at, scope: _ } => marks.push((at, id, mark.position)),
            Change::Progress { topic, progress, scope: _ } => {
                self.progress.insert(topic, progress);
            }
            // None of these is in a snapshot.
            Change::StateKeep { .. }
            | Change::StateMove { .. }
            | Change::StateDelete { .. }
            | Change::TimerDelete { .. }
            | Change::ParkedUpdate { .. }
            | Change::ParkedDelete { .. }
            | Change::SubscriptionClear { .. }
            | Change::Document { .. } => {}
        }
    }

    /// Events that were parked, in the order of their lanes; once.
    pub(super) fn take_parked(&mut self) -> Vec<(Position, Stored)> {
        let order = std::mem::take(&mut self.order);
        order.into_iter().filter_map(|at| Some((at, self.parked.get(&at)?.clone()))).collect()
    }

    /// Whether an event had been handled: it was finished, and not parked.
    pub(super) fn has_handled(&self, at: Position) -> bool {
        let come = self.progress.get(&at.topic);
        come.is_some_and(|come| has(come, at.offset)) && !self.parked.contains_key(&at)
    }

    /// Why it is not of what the running one has become, if it is not.
    pub(super) fn why_foreign(
        &self,
        partition: PartitionId,
        running: &[(TopicId, StoredProgress)],
    ) -> Option<String> {
        self.progress.iter().find_map(|(topic, then)| {
            let (_, now) = running.iter().find(|(it, _)| it == topic)?;
            let why = if then.incarnation != now.incarnation {
                "a topic was deleted and made anew since"
            } else if then.epoch != now.epoch {
                "its group was reset since"
            } else if !covers(now, then) {
                "it has come further than the subscription itself"
            } else {
                return None;
            };
            Some(format!("{why} (partition {})", partition.0))
        })
    }
}

/// Whether an offset was finished.
fn has(come: &StoredProgress, offset: Offset) -> bool {
    let is_within = |range: &OffsetRange| range.from <= offset && offset < range.to;
    offset < come.next || come.finished.iter().any(is_within)
}

/// Whether everything was finished by `now` that was by `then`.
fn covers(now: &StoredProgress, then: &StoredProgress) -> bool {
    let is_covered = |range: &OffsetRange| {
        range.to <= now.next
            || now
                .finished
                .iter()
                .any(|it| it.from <= range.from.max(now.next) && range.to <= it.to)
    };
    then.next <= now.next && then.finished.iter().all(is_covered)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn come(next: u64, finished: &[(u64, u64)]) -> StoredProgress {
        let range = |(from, to): &(u64, u64)| OffsetRange { from: Offset(*from), to: Offset(*to) };
        StoredProgress {
            incarnation: 1,
            epoch: 2,
            epoch_start: Offset(0),
            next: Offset(next),
            finished: finished.iter().map(range).collect(),
        }
    }

    #[test]
    fn a_snapshot_is_of_a_subscription_that_has_come_at_least_as_far() {
        let then = come(5, &[(7, 9), (11, 12)]);
        let reset = StoredProgress { epoch: 3, ..come(20, &[]) };
        let anew = StoredProgress { incarnation: 4, ..come(20, &[]) };
        for (now, expected) in [
            (then.clone(), None),
            (come(20, &[]), None),
            (come(9, &[(11, 14)]), None),
            (come(8, &[(8, 14)]), None),
            (come(6, &[(7, 12)]), None),
            (come(4, &[(5, 20)]), Some("further")),
            (come(5, &[(7, 8), (11, 12)]), Some("further")),
            (come(11, &[]), Some("further")),
            (reset, Some("reset")),
            (anew, Some("anew")),
        ] {
            let mut base = Base::default();
            base.progress.insert(TopicId(1), then.clone());
            let why = base.why_foreign(PartitionId(0), &[(TopicId(1), now.clone())]);
            let is_expected = match (&why, expected) {
                (None, None) => true,
                (Some(why), Some(word)) => why.contains(word),
                _ => false,
            };
            assert!(is_expected, "{now:?}: {why:?}");
        }
    }

    #[test]
    fn what_was_parked_had_not_been_handled() {
        let at = |offset: u64| Position {
            topic: TopicId(1),
            partition: PartitionId(0),
            offset: Offset(offset),
        };
        let mut base = Base::default();
        base.progress.insert(TopicId(1), come(5, &[(7, 9)]));
        let payload = None;
        let (timestamp, key, headers) = (Instant(0), None, [].into());
        let stored = Stored { offset: Offset(3), timestamp, key, headers, payload };
        base.parked.insert(at(3), stored);
        let handled: Vec<u64> = (0..10).filter(|it| base.has_handled(at(*it))).collect();
        assert_eq!(handled, [0, 1, 2, 4, 7, 8]);
    }
}

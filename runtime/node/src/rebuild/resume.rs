//! Goes on from what a snapshot has of a partition: its timers, the ids that were handled, events
//! that were parked, and how often dead letters had been handled before.

use gristmill_engine::{Bytes as Size, Offset, Position};
use gristmill_store::{ReadLimit, Scope};

use super::RebuildError;
use super::base::Base;
use super::partition::{Deferred, Rebuilding};
use crate::binding::{Binding, Role};
use crate::envelope;
use crate::shared::Shared;
use crate::snapshots::{Opened, SnapshotError};

/// How much of a redrive topic is looked at in one step.
const STEP_READ: ReadLimit = ReadLimit { events: 500, bytes: Size::mib(4) };

/// Brings what a snapshot has of a partition into the new state.
pub(super) fn begin(
    shared: &Shared,
    binding: &Binding,
    (scope, new): (Scope, Scope),
    snapshot: &mut Opened,
) -> Result<Base, RebuildError> {
    let (name, partition) = (snapshot.name.clone(), scope.partition);
    let lacks = || SnapshotError::Lacks { name, partitions: vec![partition.0] };
    let mut reader = snapshot.take(partition).ok_or_else(lacks)?;
    let base = Base::load(shared, &mut reader, new)?;
    let running = shared.store.progress(scope)?;
    match base.why_foreign(partition, &running) {
        None => Ok(base),
        Some(why) => Err(snapshot.foreign(&binding.name, why).into()),
    }
}

impl Rebuilding<'_> {
    /// Goes on from what the snapshot has.
    pub(super) fn resume(&mut self) -> Result<(), RebuildError> {
        let ids = std::mem::take(&mut self.base.ids);
        self.scratch.begin(&self.base.timers, ids);
        for (at, stored) in self.base.take_parked() {
            let index = self.sources.index(at.topic).ok_or_else(|| self.rebound())?;
            let lane = self.scratch.owner((&self.sources.cursor(index).name, at), &stored);
            let waits = Deferred { index, offset: at.offset, kept: Some(stored) };
            self.deferred.entry(lane).or_default().push_back(waits);
            self.deferred_count = self.deferred_count.saturating_add(1);
        }
        self.redriven()
    }

    /// Counts what had been redriven by the snapshot: with the first time, those were the first
    /// handlings of their events.
    fn redriven(&mut self) -> Result<(), RebuildError> {
        let again = self.binding().own(Role::Redrive).map(|source| source.topic);
        let Some((topic, come)) = again.and_then(|it| Some((it, self.base.progress.get(&it)?)))
        else {
            return Ok(());
        };
        let end = come.finished.last().map_or(come.next, |last| last.to.max(come.next));
        let partition = self.scope.partition;
        let mut next = Offset(0);
        while next < end {
            let read = self.shared().broker.read(topic, partition, next, STEP_READ)?;
            let Some(last) = read.last() else { break };
            next = last.offset.next();
            for mut stored in read {
                let at = Position { topic, partition, offset: stored.offset };
                let Some(origin) = envelope::unwrapped(&mut stored) else { continue };
                if self.base.has_handled(at) && origin.timer.is_none() {
                    let place = (origin.topic.to_string(), origin.partition, origin.offset);
                    let count = self.met.entry(place).or_default();
                    *count = count.saturating_add(1);
                }
            }
        }
        Ok(())
    }

    /// Whether the snapshot has the first handling of an event: 1 if so.
    pub(super) fn met_before(&self, (topic, partition, offset): &(String, u32, u64)) -> u32 {
        let source = self.binding().sources.iter().find(|source| *source.name == **topic);
        let is_met = source.is_some_and(|source| {
            let (topic, offset) = (source.topic, Offset(*offset));
            let at = Position { topic, partition: self.scope.partition, offset };
            *partition == self.scope.partition.0 && self.base.has_handled(at)
        });
        u32::from(is_met)
    }
}

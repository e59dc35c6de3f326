//! Decides when a checkpoint closes and what follows from its end. It never makes anything
//! durable.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::worker::{Drain, Place, Worker};
use crate::{
    Bytes, CheckpointId, Effect, Engine, Generation, Instant, Millis, SubscriptionId, Version,
    Violation, WorkerPolicy,
};

/// The filling checkpoint and the committing one.
#[derive(Debug, Clone)]
pub(crate) struct Checkpoints {
    filling: CheckpointId,
    events: u64,
    bytes: Bytes,
    /// When the filling one got its first content.
    since: Option<Instant>,
    touched: BTreeMap<Place, Generation>,
    /// Versions that take over when the filling one closes.
    pub(crate) upgrades: BTreeMap<SubscriptionId, Version>,
    pub(crate) committing: Option<Committing>,
    /// When the last commit began.
    begun: Option<Instant>,
    /// The last one that is durable.
    durable: CheckpointId,
}

/// A checkpoint on its way to being durable.
#[derive(Debug, Clone)]
pub(crate) struct Committing {
    pub(crate) id: CheckpointId,
    touched: BTreeMap<Place, Generation>,
    upgrades: BTreeMap<SubscriptionId, Version>,
}

impl Checkpoints {
    pub(crate) fn new() -> Self {
        Self {
            filling: CheckpointId(1),
            events: 0,
            bytes: Bytes(0),
            since: None,
            touched: BTreeMap::new(),
            upgrades: BTreeMap::new(),
            committing: None,
            begun: None,
            durable: CheckpointId(0),
        }
    }

    /// The checkpoint that fills now.
    pub(crate) fn filling(&self) -> CheckpointId {
        self.filling
    }

    /// Whether what was staged in `checkpoint` is durable.
    pub(crate) fn is_durable(&self, checkpoint: CheckpointId) -> bool {
        checkpoint <= self.durable
    }

    /// Counts something staged.
    pub(crate) fn add(&mut self, size: Bytes) -> CheckpointId {
        self.events = self.events.saturating_add(1);
        self.bytes = self.bytes.plus(size);
        self.filling
    }

    /// The filling checkpoint has something of this partition.
    pub(crate) fn touch(&mut self, place: Place, generation: Generation, now: Instant) {
        self.touched.insert(place, generation);
        self.since.get_or_insert(now);
    }

    /// A partition's share is taken out of the filling checkpoint.
    pub(crate) fn forget(&mut self, place: Place, events: u64, bytes: Bytes) {
        self.events = self.events.saturating_sub(events);
        self.bytes = self.bytes.minus(bytes);
        self.touched.remove(&place);
        if self.is_empty() {
            self.since = None;
        }
    }

    /// A version takes over when the filling checkpoint closes.
    pub(crate) fn upgrade(&mut self, subscription: SubscriptionId, version: Version, now: Instant) {
        self.upgrades.insert(subscription, version);
        self.since.get_or_insert(now);
    }

    /// All that was in the filling checkpoint was undone.
    fn clear(&mut self) {
        self.events = 0;
        self.bytes = Bytes(0);
        self.since = None;
        self.touched.clear();
    }

    /// Whether nothing is in the filling checkpoint.
    pub(crate) fn is_empty(&self) -> bool {
        self.touched.is_empty() && self.upgrades.is_empty()
    }

    /// Whether the filling checkpoint holds twice what it should while the other one commits.
    pub(crate) fn is_choked(&self, policy: &WorkerPolicy) -> bool {
        let events_max = u64::from(policy.checkpoint_events_max).saturating_mul(2);
        let bytes_max = policy.checkpoint_bytes_max.plus(policy.checkpoint_bytes_max);
        self.committing.is_some() && (self.events >= events_max || self.bytes >= bytes_max)
    }

    fn is_full(&self, policy: &WorkerPolicy) -> bool {
        self.events >= u64::from(policy.checkpoint_events_max)
            || self.bytes >= policy.checkpoint_bytes_max
    }
}

impl Worker {
    /// When the filling checkpoint is to close, if nothing else happens; `None` while it may not.
    pub(crate) fn commit_due(&self) -> Option<Instant> {
        let checkpoints = &self.checkpoints;
        if checkpoints.is_empty() || checkpoints.committing.is_some() {
            return None;
        }
        let since = checkpoints.since.unwrap_or_default();
        if self.is_commit_forced() {
            return Some(since);
        }
        let policy = &self.policy;
        let wait = if checkpoints.is_full(policy) || self.is_at_rest() {
            Millis(0)
        } else {
            policy.checkpoint_interval_max
        };
        let earliest = checkpoints
            .begun
            .map_or(Instant(0), |begun| begun.after(policy.checkpoint_interval_min));
        Some(since.after(wait).max(earliest))
    }

    /// Whether nothing runs and nothing could.
    pub(crate) fn is_at_rest(&self) -> bool {
        let is_shut = self.is_storage_low || self.drain != Drain::No;
        self.running.is_empty() && (is_shut || self.rotation.is_empty())
    }

    /// Upgrades, revoked partitions and the host's stop wait for no interval.
    fn is_commit_forced(&self) -> bool {
        let checkpoints = &self.checkpoints;
        self.drain != Drain::No
            || !checkpoints.upgrades.is_empty()
            || self.revoking.iter().any(|place| checkpoints.touched.contains_key(place))
    }
}

impl Engine {
    /// Closes the filling checkpoint when it is time.
    pub(crate) fn close_checkpoint(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if self.worker.commit_due().is_none_or(|due| due > now) {
            return;
        }
        let checkpoints = &mut self.worker.checkpoints;
        let id = checkpoints.filling;
        let touched = core::mem::take(&mut checkpoints.touched);
        let upgrades = core::mem::take(&mut checkpoints.upgrades);
        checkpoints.filling = CheckpointId(id.0.saturating_add(1));
        checkpoints.events = 0;
        checkpoints.bytes = Bytes(0);
        checkpoints.since = None;
        checkpoints.begun = Some(now);
        let mut progress = Vec::new();
        for place in touched.keys() {
            let Some(partition) = self.partition_mut(*place) else { continue };
            partition.book.is_touched = false;
            partition.book.is_committing = true;
            partition.book.committing_events = core::mem::take(&mut partition.book.staged_events);
            partition.book.staged_bytes = Bytes(0);
            let generation = partition.book.generation;
            for (topic, cursor) in partition.cursors.iter_mut().filter(|(_, it)| it.is_dirty) {
                cursor.is_dirty = false;
                progress.push(cursor.progress(*place, *topic, generation));
            }
        }
        effects.push(Effect::Commit { checkpoint: id, progress });
        self.activate(&upgrades, effects);
        self.worker.checkpoints.committing = Some(Committing { id, touched, upgrades });
    }

    /// The committing checkpoint is durable.
    pub(crate) fn committed(
        &mut self,
        now: Instant,
        checkpoint: CheckpointId,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Violation> {
        let committing = self.take_committing(checkpoint)?;
        self.worker.checkpoints.durable = checkpoint;
        for (place, generation) in committing.touched {
            self.visit(now, effects, place, |partition, scope| {
                if partition.book.generation == generation {
                    partition.book.is_committing = false;
                    partition.book.committing_events = 0;
                    partition.ids.commit(checkpoint);
                    partition.saved(scope);
                }
            });
        }
        Ok(())
    }

    /// The committing checkpoint will never be durable: undoes all that was built on it.
    pub(crate) fn aborted(
        &mut self,
        now: Instant,
        checkpoint: CheckpointId,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Violation> {
        let committing = self.take_committing(checkpoint)?;
        let mut undone = committing.touched;
        undone.extend(self.worker.checkpoints.touched.iter().map(|(place, of)| (*place, *of)));
        for (place, generation) in undone {
            let partition = self.partition_mut(place);
            if partition.is_some_and(|it| it.book.generation == generation) {
                self.undo(now, place, effects);
            }
        }
        let mut upgrades = committing.upgrades;
        upgrades.append(&mut self.worker.checkpoints.upgrades);
        self.worker.checkpoints.clear();
        for (subscription, version) in upgrades {
            self.stage_upgrade(now, subscription, version, effects);
        }
        Ok(())
    }

    fn take_committing(&mut self, checkpoint: CheckpointId) -> Result<Committing, Violation> {
        let committing = &mut self.worker.checkpoints.committing;
        match committing.take() {
            Some(taken) if taken.id == checkpoint => Ok(taken),
            other => {
                *committing = other;
                Err(Violation { what: "a checkpoint that is not committing ended" })
            }
        }
    }
}

#[cfg(test)]
mod tests;

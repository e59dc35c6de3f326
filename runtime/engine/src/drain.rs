//! Decides how partitions and the host come to rest: what may still run, for how long, and when
//! all is durable. It never stops anything itself.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use crate::partition::Partition;
use crate::worker::{Alarm, Drain, Place, Scope};
use crate::{Effect, Engine, Instant, Violation};

impl Engine {
    /// A partition is to be given back in order.
    pub(crate) fn revoked(
        &mut self,
        now: Instant,
        place: Place,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Violation> {
        let Some(found) = self.subscriptions.get(&place.0) else {
            return Err(Violation { what: "a partition of an unknown subscription was revoked" });
        };
        let Some(partition) = found.partitions.get(&place.1) else {
            // Rewound and not assigned again, or lost: nothing is held of it.
            let generation = found.generations.get(&place.1).copied().unwrap_or_default();
            let (subscription, partition) = place;
            effects.push(Effect::Released { subscription, partition, generation });
            return Ok(());
        };
        if partition.book.is_revoking {
            return Ok(());
        }
        let deadline = now.after(self.worker.policy.drain_max);
        self.visit(now, effects, place, |partition, scope| {
            partition.book.is_revoking = true;
            partition.book.revoke_due = Some(deadline);
            scope.desk.forget(place.1);
            scope.worker.revoking.insert(place);
            scope.worker.alarms.insert((deadline, Alarm::Revoke(place)));
            partition.watch_timers(scope);
        });
        Ok(())
    }

    /// A partition is gone already.
    pub(crate) fn lost(&mut self, now: Instant, place: Place, effects: &mut Vec<Effect>) {
        self.remove(now, place, End::Lost, effects);
    }

    /// What was built on an aborted checkpoint is undone. A partition on its way out is not read
    /// again here: its next owner begins at what is durable.
    pub(crate) fn undo(&mut self, now: Instant, place: Place, effects: &mut Vec<Effect>) {
        let is_leaving = self.worker.revoking.contains(&place);
        let end = if is_leaving { End::Abandoned } else { End::Rewound };
        self.remove(now, place, end, effects);
    }

    /// The host stops.
    pub(crate) fn drain(&mut self, now: Instant) {
        if self.worker.drain == Drain::No {
            self.worker.drain = Drain::Draining;
            let deadline = now.after(self.worker.policy.drain_max);
            self.worker.alarms.insert((deadline, Alarm::Drain));
        }
    }

    /// A revoked partition, or the host, had its time: what still runs is interrupted.
    pub(crate) fn interrupt(&mut self, now: Instant, of: Option<Place>, effects: &mut Vec<Effect>) {
        let running = self.worker.running.values().map(|running| running.place);
        let places: BTreeSet<Place> = match of {
            Some(place) => BTreeSet::from([place]),
            None => running.collect(),
        };
        for place in places {
            self.visit(now, effects, place, Partition::cancel_running);
        }
    }

    /// Reports what has come to rest.
    pub(crate) fn report_rest(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let at_rest: Vec<Place> = self.worker.revoking.iter().copied().collect();
        for place in at_rest {
            let is_at_rest = self.partition_mut(place).is_some_and(|partition| {
                let book = &partition.book;
                book.running.is_empty() && !book.is_touched && !book.is_committing
            });
            if is_at_rest {
                self.remove(now, place, End::Released, effects);
            }
        }
        let checkpoints = &self.worker.checkpoints;
        let is_durable = checkpoints.is_empty() && checkpoints.committing.is_none();
        if self.worker.drain == Drain::Draining && self.worker.running.is_empty() && is_durable {
            self.worker.drain = Drain::Drained;
            effects.push(Effect::Drained);
        }
    }

    fn remove(&mut self, now: Instant, place: Place, end: End, effects: &mut Vec<Effect>) {
        let Some(found) = self.subscriptions.get_mut(&place.0) else { return };
        let Some(mut removed) = found.partitions.remove(&place.1) else { return };
        let generation = removed.book.generation;
        let (subscription, partition) = place;
        let mut scope = Scope { now, effects, worker: &mut self.worker, desk: &mut found.desk };
        removed.cancel_running(&mut scope);
        if matches!(end, End::Lost | End::Abandoned) {
            scope.push(Effect::Discard { subscription, partition, generation });
        }
        removed.take_down(&mut scope);
        match end {
            End::Lost => {}
            End::Rewound => scope.push(Effect::Rewind { subscription, partition, generation }),
            End::Abandoned | End::Released => {
                scope.push(Effect::Released { subscription, partition, generation });
            }
        }
    }
}

/// Why a partition is not held any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// It was taken away.
    Lost,
    /// What was built on an aborted checkpoint is read again.
    Rewound,
    /// It was revoked, and what was left of it was aborted.
    Abandoned,
    /// It was revoked and is at rest.
    Released,
}

#[cfg(test)]
mod tests;

//! Checks that nothing is dispatched where dispatch was stopped: a paused subscription, short
//! storage, a revoked partition, a worker that drains.

use std::collections::BTreeSet;

use gristmill_engine::{Effect, Input, SubscriptionId};

use super::{Checker, Fact, Home, Scene, ensure};

/// Watches that what is stopped stands still.
#[derive(Debug, Default)]
pub(super) struct Pause {
    paused: BTreeSet<(usize, SubscriptionId)>,
    low: BTreeSet<usize>,
    draining: BTreeSet<usize>,
    revoked: BTreeSet<(usize, Home)>,
}

impl Checker for Pause {
    fn name(&self) -> &'static str {
        "pause"
    }

    fn see(&mut self, fact: Fact<'_>, _: Scene<'_>) -> Result<(), String> {
        match fact {
            Fact::Crashed => *self = Self::default(),
            Fact::Ended { worker } => {
                self.paused.retain(|(at, _)| *at != worker);
                self.revoked.retain(|(at, _)| *at != worker);
                self.low.remove(&worker);
                self.draining.remove(&worker);
            }
            Fact::Fed { worker, input } => self.fed(worker, input),
            Fact::Done {
                worker, effect: Effect::Invoke { subscription, partition, .. }, ..
            } => {
                let home = (*subscription, *partition);
                let at = || format!("an attempt of {home:?} begins on worker {worker}");
                ensure(!self.paused.contains(&(worker, home.0)), || format!("paused: {}", at()))?;
                ensure(!self.low.contains(&worker), || format!("storage is short: {}", at()))?;
                ensure(!self.draining.contains(&worker), || format!("draining: {}", at()))?;
                ensure(!self.revoked.contains(&(worker, home)), || format!("revoked: {}", at()))?;
            }
            Fact::Done { .. }
            | Fact::Durable(_)
            | Fact::Started { .. }
            | Fact::Gone { .. }
            | Fact::Written { .. }
            | Fact::Restored { .. }
            | Fact::Reset { .. }
            | Fact::Recreated { .. }
            | Fact::Trimmed { .. } => {}
        }
        Ok(())
    }
}

impl Pause {
    fn fed(&mut self, worker: usize, input: &Input) {
        if let Input::Paused { subscription } = input {
            self.paused.insert((worker, *subscription));
        } else if let Input::Resumed { subscription, .. } = input {
            self.paused.remove(&(worker, *subscription));
        } else if let Input::StorageLow(true) = input {
            self.low.insert(worker);
        } else if let Input::StorageLow(false) = input {
            self.low.remove(&worker);
        } else if let Input::Drain = input {
            self.draining.insert(worker);
        } else if let Input::Revoked { subscription, partition } = input {
            self.revoked.insert((worker, (*subscription, *partition)));
        } else if let Input::Assigned(assignment) = input {
            self.revoked.remove(&(worker, (assignment.subscription, assignment.partition)));
        }
    }
}

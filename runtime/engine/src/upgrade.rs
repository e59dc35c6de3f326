//! Decides when a new plugin version takes over: at the boundary after the checkpoint that
//! records it. It never loads a plugin.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::{
    Bytes, Effect, Engine, Generation, Instant, PartitionId, Staged, SubscriptionId, Version,
};

impl Engine {
    /// Stages the change of version, which closes the filling checkpoint as soon as may be.
    pub(crate) fn stage_upgrade(
        &mut self,
        now: Instant,
        subscription: SubscriptionId,
        version: Version,
        effects: &mut Vec<Effect>,
    ) {
        let checkpoints = &mut self.worker.checkpoints;
        checkpoints.upgrade(subscription, version, now);
        effects.push(Effect::Stage {
            checkpoint: checkpoints.add(Bytes(0)),
            subscription,
            partition: PartitionId(0),
            generation: Generation(0),
            staged: Staged::Upgraded { version },
        });
    }

    /// A checkpoint closed: attempts use the versions it records from here on.
    pub(crate) fn activate(
        &mut self,
        upgrades: &BTreeMap<SubscriptionId, Version>,
        effects: &mut Vec<Effect>,
    ) {
        for (id, version) in upgrades {
            let Some(subscription) = self.subscriptions.get_mut(id) else { continue };
            if subscription.desk.version != *version {
                subscription.desk.version = *version;
                effects.push(Effect::Activated { subscription: *id, version: *version });
            }
        }
    }
}

#[cfg(test)]
mod tests;

//! Checks that nothing made under a stale assignment is staged, attempted or becomes durable.

use std::collections::BTreeSet;

use gristmill_engine::{Effect, Staged};

use super::{Case, Checker, Fact, Home, Owners, Scene, ensure};
use crate::topic::EventId;
use crate::world::durable::Batch;

/// Watches generations.
#[derive(Debug, Default)]
pub(super) struct Generations {
    owners: Owners,
    present: BTreeSet<(Home, Case)>,
}

impl Checker for Generations {
    fn name(&self) -> &'static str {
        "generations"
    }

    fn see(&mut self, fact: Fact<'_>, scene: Scene<'_>) -> Result<(), String> {
        for home in self.owners.follow(fact) {
            self.present.retain(|(at, _)| *at != home);
        }
        if let Some((fetched, event)) = self.owners.fetched(fact, scene) {
            let home = (fetched.subscription, fetched.position.partition);
            self.present.insert((home, (home.0, event)));
        }
        if let Fact::Durable(batch) = fact {
            // In a cluster the promise is another's: fencing.
            return if scene.script.cluster { Ok(()) } else { self.check_batch(batch) };
        }
        let Fact::Done { worker, effect, event } = fact else { return Ok(()) };
        self.check_effect(worker, effect, event)
    }
}

impl Generations {
    fn check_batch(&self, batch: &Batch) -> Result<(), String> {
        let worker = batch.worker;
        for item in &batch.items {
            // An upgrade is the worker's own, not a partition's.
            if matches!(item.staged, Staged::Upgraded { .. }) {
                continue;
            }
            ensure(self.owners.holds(worker, item.home, item.generation), || {
                format!("stale and durable all the same: {item:?}")
            })?;
        }
        for claim in &batch.progress {
            let home = (claim.subscription, claim.partition);
            ensure(self.owners.holds(worker, home, claim.generation), || {
                format!("stale progress became durable: {claim:?}")
            })?;
        }
        Ok(())
    }

    fn check_effect(
        &self,
        worker: usize,
        effect: &Effect,
        event: Option<EventId>,
    ) -> Result<(), String> {
        if let Effect::Stage { staged: Staged::Upgraded { .. }, .. } = effect {
            return Ok(());
        }
        if let Effect::Stage { subscription, partition, generation, .. } = effect {
            let home = (*subscription, *partition);
            return ensure(self.owners.holds(worker, home, *generation), || {
                format!("staged under a stale assignment: {effect:?}")
            });
        }
        let Effect::Invoke { subscription, partition, parked: None, .. } = effect else {
            return Ok(());
        };
        let home = (*subscription, *partition);
        let own = self.owners.0.get(&home).is_some_and(|owner| owner.0 == worker);
        let known = event.is_some_and(|event| {
            matches!(event, EventId::Timer { .. })
                || self.present.contains(&(home, (home.0, event)))
        });
        ensure(own && known, || {
            format!("an attempt of what this assignment never read: {effect:?}")
        })
    }
}

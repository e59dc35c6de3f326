//! Checks that a plugin version takes over exactly at a checkpoint boundary, and that no lane
//! goes back to an older one.

use std::collections::BTreeMap;

use gristmill_engine::{Effect, Input, SubscriptionId, Version};

use super::{Checker, Fact, Home, Lane, Scene, ensure, lane_of};
use crate::world::durable::Item;

/// Watches plugin versions.
#[derive(Debug, Default)]
pub(super) struct Upgrade {
    active: BTreeMap<(usize, SubscriptionId), Active>,
    boundary: BTreeMap<usize, bool>,
    applied: BTreeMap<(usize, Home, Lane), Version>,
}

/// What a worker uses for a subscription.
#[derive(Debug, Clone, Copy)]
struct Active {
    version: Version,
    wanted: Version,
}

impl Checker for Upgrade {
    fn name(&self) -> &'static str {
        "upgrade"
    }

    fn see(&mut self, fact: Fact<'_>, scene: Scene<'_>) -> Result<(), String> {
        if let Fact::Fed { worker, input } = fact {
            self.boundary.insert(worker, false);
            if let Input::Subscribed { subscription, version, .. } = input {
                let active = Active { version: *version, wanted: *version };
                self.active.insert((worker, *subscription), active);
            }
            if let Input::Upgraded { subscription, version } = input
                && let Some(active) = self.active.get_mut(&(worker, *subscription))
            {
                active.wanted = *version;
            }
        }
        if let Fact::Durable(batch) = fact {
            for item in &batch.items {
                self.apply(batch.worker, item, scene)?;
            }
        }
        let Fact::Done { worker, effect, .. } = fact else { return Ok(()) };
        self.done(worker, effect)
    }
}

impl Upgrade {
    fn done(&mut self, worker: usize, effect: &Effect) -> Result<(), String> {
        if let Effect::Activated { subscription, version } = effect {
            let boundary = self.boundary.get(&worker).copied().unwrap_or(false);
            ensure(boundary, || format!("{version:?} takes over within a checkpoint"))?;
            let Some(active) = self.active.get_mut(&(worker, *subscription)) else {
                return Err(format!("{subscription:?} is unknown and has a new version"));
            };
            active.version = *version;
            let wanted = active.wanted;
            return ensure(*version == wanted, || {
                format!("{version:?} takes over, and {wanted:?} is wanted")
            });
        }
        self.boundary.insert(worker, matches!(effect, Effect::Commit { .. }));
        let Effect::Invoke { subscription, version, .. } = effect else { return Ok(()) };
        let active = self.active.get(&(worker, *subscription)).map(|active| active.version);
        ensure(active == Some(*version), || {
            format!("an attempt runs on {version:?} while {active:?} is in use: {effect:?}")
        })
    }

    fn apply(&mut self, worker: usize, item: &Item, scene: Scene<'_>) -> Result<(), String> {
        let (Some(version), Some(event)) = (item.version, item.event) else { return Ok(()) };
        let Some(lane) = lane_of(scene, item.home, event, item.key) else { return Ok(()) };
        let last = self.applied.insert((worker, item.home, lane), version);
        ensure(last.is_none_or(|last| last <= version), || {
            format!("{:?} was done by {version:?}, its lane had {last:?}", item.event)
        })
    }
}

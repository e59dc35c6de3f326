//! Checks that an event's bytes are in memory whenever an effect needs them, and that none are
//! left behind in the end.

use std::collections::BTreeSet;

use gristmill_engine::{Effect, Staged, SubscriptionId, Terminal};

use super::{Case, Checker, Fact, Owners, Scene, ensure};
use crate::topic::EventId;

/// Watches the slab.
#[derive(Debug, Default)]
pub(super) struct Bytes {
    owners: Owners,
    held: BTreeSet<Case>,
}

impl Checker for Bytes {
    fn name(&self) -> &'static str {
        "bytes"
    }

    fn see(&mut self, fact: Fact<'_>, scene: Scene<'_>) -> Result<(), String> {
        for home in self.owners.follow(fact) {
            self.held.retain(|(subscription, event)| {
                let EventId::Record { position, .. } = event else { return false };
                (*subscription, position.partition) != home
            });
        }
        if let Some((fetched, event)) = self.owners.fetched(fact, scene) {
            self.held.insert((fetched.subscription, event));
        }
        let Fact::Done { effect, event: Some(event), .. } = fact else { return Ok(()) };
        if let Effect::Release { subscription, .. } = effect {
            self.held.remove(&(*subscription, event));
        }
        match needed_by(effect) {
            Some(subscription) if matches!(event, EventId::Record { .. }) => {
                ensure(self.held.contains(&(subscription, event)), || {
                    format!("the bytes of {event:?} were released and are needed: {effect:?}")
                })
            }
            Some(_) | None => Ok(()),
        }
    }

    fn end(&mut self, _: Scene<'_>) -> Result<(), String> {
        ensure(self.held.is_empty(), || format!("bytes were never released: {:?}", self.held))
    }
}

/// The subscription whose slab `effect` takes bytes from, if from any.
fn needed_by(effect: &Effect) -> Option<SubscriptionId> {
    if let Effect::Invoke { subscription, parked: None, .. } = effect {
        return Some(*subscription);
    }
    let Effect::Stage { subscription, staged, .. } = effect else { return None };
    let dead = matches!(
        staged,
        Staged::Settled { outcome: Terminal::DeadLettered { .. }, parked: None, .. }
    );
    (dead || matches!(staged, Staged::Parked { .. })).then_some(*subscription)
}

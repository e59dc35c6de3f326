//! Checks that attempts start no oftener than the policy lets them.

use std::collections::BTreeMap;

use gristmill_engine::{Effect, Instant, SubscriptionId};

use super::{Checker, Fact, Scene, ensure};

/// Watches when attempts start.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// What each subscription of each worker has left, in millionths of an attempt, and since when.
    left: BTreeMap<(usize, SubscriptionId), (u64, Instant)>,
}

impl Checker for Pace {
    fn name(&self) -> &'static str {
        "pace"
    }

    fn see(&mut self, fact: Fact<'_>, scene: Scene<'_>) -> Result<(), String> {
        if let Fact::Crashed = fact {
            self.left.clear();
        } else if let Fact::Ended { worker } = fact {
            self.left.retain(|(at, _), _| *at != worker);
        }
        let Fact::Done { worker, effect: Effect::Invoke { subscription, .. }, .. } = fact else {
            return Ok(());
        };
        let Some(rate) = scene.script.subscription(*subscription).policy.rate else {
            return Ok(());
        };
        // A tenth of a second's attempts may be saved up, and one at least; and what a whole
        // millisecond brings beyond.
        let most = (rate * 100).max(1_000_000) + rate;
        let (left, since) = self.left.entry((worker, *subscription)).or_insert((most, scene.now));
        *left = (*left + scene.now.since(*since).0 * rate).min(most);
        *since = scene.now;
        let is_early = *left < 1_000_000;
        *left = left.saturating_sub(1_000_000);
        ensure(!is_early, || format!("an attempt of {subscription:?} starts too early"))
    }
}

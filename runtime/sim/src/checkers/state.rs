//! Checks that state and emissions are what the staged effects of durable checkpoints make them,
//! rebuilt here from the engine's effects alone.

use std::collections::BTreeMap;

use gristmill_engine::{
    CheckpointId, Effect, Generation, KeyHash, Staged, SubscriptionId, Terminal,
};

use super::{Checker, Fact, Home, Owners, Scene, ensure};
use crate::topic::EventId;

/// Watches state and emissions.
#[derive(Debug, Default)]
pub(super) struct State {
    owners: Owners,
    staged: BTreeMap<(usize, CheckpointId), Vec<Success>>,
    /// What commits in a cluster, whose hosts may die meanwhile.
    committing: BTreeMap<Commit, Vec<Success>>,
    lives: BTreeMap<usize, u64>,
    seen: BTreeMap<Home, Vec<EventId>>,
    emissions: Vec<(SubscriptionId, EventId)>,
}

/// A checkpoint of a worker in one of its lives.
type Commit = (usize, u64, CheckpointId);

/// A success that is staged.
#[derive(Debug, Clone, Copy)]
struct Success {
    home: Home,
    generation: Generation,
    event: EventId,
}

impl Checker for State {
    fn name(&self) -> &'static str {
        "state"
    }

    fn see(&mut self, fact: Fact<'_>, scene: Scene<'_>) -> Result<(), String> {
        self.owners.follow(fact);
        if let Fact::Started { worker, life } = fact {
            self.lives.insert(worker, life);
        }
        if let Fact::Done { worker, effect, event } = fact {
            self.done(worker, effect, event);
            if let Effect::Commit { checkpoint, .. } = effect
                && scene.script.cluster
            {
                let staged = self.staged.remove(&(worker, *checkpoint)).unwrap_or_default();
                let life = self.lives.get(&worker).copied().unwrap_or(0);
                self.committing.insert((worker, life, *checkpoint), staged);
            }
        } else if scene.script.cluster
            && let Some((place, is_durable)) = decided(fact)
        {
            let ours = self.committing.remove(&place).unwrap_or_default();
            for success in ours.into_iter().filter(|_| is_durable) {
                self.seen.entry(success.home).or_default().push(success.event);
                self.emissions.push((success.home.0, success.event));
            }
            return self.compare(scene);
        } else if let Fact::Gone { worker, checkpoint, .. } = fact {
            self.staged.remove(&(worker, checkpoint));
            return self.compare(scene);
        } else if let Fact::Durable(batch) = fact {
            let place = (batch.worker, batch.checkpoint);
            for success in self.staged.remove(&place).unwrap_or_default() {
                if self.owners.holds(batch.worker, success.home, success.generation) {
                    self.seen.entry(success.home).or_default().push(success.event);
                    self.emissions.push((success.home.0, success.event));
                }
            }
            return self.compare(scene);
        } else if let Fact::Crashed = fact {
            self.staged.clear();
        } else if let Fact::Ended { worker } = fact {
            self.staged.retain(|(at, _), _| *at != worker);
        }
        Ok(())
    }
}

/// The checkpoint that is decided by this, and whether it is durable.
fn decided(fact: Fact<'_>) -> Option<(Commit, bool)> {
    if let Fact::Durable(batch) = fact {
        return Some(((batch.worker, batch.life, batch.checkpoint), true));
    }
    let Fact::Gone { worker, life, checkpoint } = fact else { return None };
    Some(((worker, life, checkpoint), false))
}

impl State {
    fn done(&mut self, worker: usize, effect: &Effect, event: Option<EventId>) {
        if let Effect::Stage { checkpoint, subscription, partition, generation, staged } = effect
            && let Staged::Settled { outcome: Terminal::Succeeded { .. }, .. } = staged
            && let Some(event) = event
        {
            let home = (*subscription, *partition);
            let success = Success { home, generation: *generation, event };
            self.staged.entry((worker, *checkpoint)).or_default().push(success);
        }
        if let Effect::Discard { subscription, partition, generation }
        | Effect::Rewind { subscription, partition, generation } = effect
        {
            let stale = (*subscription, *partition, *generation);
            for ((at, _), staged) in &mut self.staged {
                if *at == worker {
                    staged.retain(|s| (s.home.0, s.home.1, s.generation) != stale);
                }
            }
        }
    }

    fn compare(&self, scene: Scene<'_>) -> Result<(), String> {
        // Topics of several subscriptions have no order among each other.
        for subscription in &scene.script.subscriptions {
            let of = |it: &&(SubscriptionId, EventId)| it.0 == subscription.id;
            let ours = self.emissions.iter().filter(of);
            let theirs = scene.durable.emissions.iter().filter(of);
            ensure(ours.clone().eq(theirs.clone()), || {
                let last = |n: usize| n.saturating_sub(4);
                let (ours, theirs): (Vec<_>, Vec<_>) = (ours.collect(), theirs.collect());
                format!(
                    "emitted, at the end: {:?}, should be: {:?}",
                    &theirs[last(theirs.len())..],
                    &ours[last(ours.len())..]
                )
            })?;
        }
        for (home, events) in &self.seen {
            let mut kept = Vec::new();
            let lanes = (*home, None::<KeyHash>)..=(*home, Some(KeyHash(u128::MAX)));
            for (_, lane) in scene.durable.state.range(lanes) {
                kept.extend(lane.iter().copied());
            }
            let (mut kept, mut events) = (kept, events.clone());
            kept.sort_unstable();
            events.sort_unstable();
            ensure(kept == events, || {
                format!("state of {home:?} has seen {kept:?}, and should have seen {events:?}")
            })?;
        }
        Ok(())
    }
}

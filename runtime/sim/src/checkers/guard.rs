//! Checks that too many dead letters pause their subscription, that nothing else passes for it,
//! and that it stays paused until somebody resumes it.

use std::collections::{BTreeMap, BTreeSet};

use gristmill_engine::{Effect, Input, Observation, Staged, SubscriptionId, Terminal};

use super::lately::Lately;
use super::{Checker, Fact, Scene, ensure};

type Place = (usize, SubscriptionId);

/// Watches guards.
#[derive(Debug, Default)]
pub(super) struct Guard {
    outcomes: BTreeMap<Place, Lately>,
    /// Those that must pause before anything else happens to them.
    due: BTreeSet<Place>,
    /// Those that may pause now.
    may: BTreeSet<Place>,
    paused: BTreeSet<Place>,
}

impl Checker for Guard {
    fn name(&self) -> &'static str {
        "guard"
    }

    fn see(&mut self, fact: Fact<'_>, scene: Scene<'_>) -> Result<(), String> {
        match fact {
            Fact::Crashed => *self = Self::default(),
            Fact::Ended { worker } => {
                self.outcomes.retain(|(at, _), _| *at != worker);
                for places in [&mut self.due, &mut self.may, &mut self.paused] {
                    places.retain(|(at, _)| *at != worker);
                }
            }
            Fact::Fed { worker, input } => return self.fed(worker, input),
            Fact::Done { worker, effect, .. } => return self.done(worker, effect, scene),
            Fact::Durable(_)
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

impl Guard {
    fn fed(&mut self, worker: usize, input: &Input) -> Result<(), String> {
        let late = self.due.iter().find(|(at, _)| *at == worker);
        ensure(late.is_none(), || format!("dead letters did not pause {late:?}"))?;
        self.may.retain(|(at, _)| *at != worker);
        if let Input::Paused { subscription } = input {
            self.paused.insert((worker, *subscription));
        } else if let Input::Resumed { subscription, .. } = input {
            self.paused.remove(&(worker, *subscription));
        }
        Ok(())
    }

    fn done(&mut self, worker: usize, effect: &Effect, scene: Scene<'_>) -> Result<(), String> {
        if let Effect::Stage { subscription, staged: Staged::Settled { outcome, .. }, .. } = effect
        {
            self.settled((worker, *subscription), outcome, scene);
        } else if let Effect::Invoke { subscription, .. } = effect {
            let place = (worker, *subscription);
            let is_stopped = self.paused.contains(&place) || self.due.contains(&place);
            return ensure(!is_stopped, || format!("an attempt of {place:?}, which is paused"));
        } else if let Effect::Observe(Observation::SubscriptionPaused { subscription, .. }) = effect
        {
            self.pause((worker, *subscription));
        } else if let Effect::Observe(Observation::TooManyDead { subscription }) = effect {
            let place = (worker, *subscription);
            ensure(self.may.contains(&place), || format!("{place:?} pauses without a reason"))?;
            self.outcomes.remove(&place);
            self.pause(place);
        }
        Ok(())
    }

    fn pause(&mut self, place: Place) {
        self.due.remove(&place);
        self.may.remove(&place);
        self.paused.insert(place);
    }

    fn settled(&mut self, place: Place, outcome: &Terminal, scene: Scene<'_>) {
        let Some(policy) = scene.script.subscription(place.1).policy.guard else { return };
        if self.paused.contains(&place) {
            return;
        }
        let is_dead = matches!(outcome, Terminal::DeadLettered { .. });
        if !is_dead && !matches!(outcome, Terminal::Succeeded { .. }) {
            return;
        }
        let outcomes = self.outcomes.entry(place).or_default();
        outcomes.add(scene.now, is_dead);
        let (may, must) = outcomes.ask(scene.now, policy.span, |all, dead| {
            all >= u64::from(policy.events_min) && dead * 1_000 > all * policy.dead_permille
        });
        // A pause of one outcome ends what the next would say.
        if is_dead && must {
            self.due.insert(place);
        }
        if is_dead && may {
            self.may.insert(place);
        }
    }
}

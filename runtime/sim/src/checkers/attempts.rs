//! Checks attempt numbers: each follows the counted failures before it, none passes the limit,
//! parked figures are true, and a crash repeats at most the inline budget.

use std::collections::BTreeMap;

use gristmill_engine::{
    AttemptId, Effect, FailureClass, Input, Instant, OnExhausted, Outcome, Staged, SubscriptionId,
};

use super::circuits::{Circuits, counts};
use super::{Case, Checker, Fact, Home, Owners, Resets, Scene, attempts_max, ensure, exhaustion};
use crate::topic::EventId;

/// An event, and its place while it is parked: after a reset both may exist at once.
type Instance = (Case, Option<u64>);

/// Watches attempts.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    owners: Owners,
    resets: Resets,
    circuits: Circuits,
    counts: BTreeMap<Instance, Count>,
    running: BTreeMap<(usize, AttemptId), (Home, Instance)>,
    failures: BTreeMap<Case, u32>,
    interruptions: BTreeMap<Home, u32>,
}

/// What is known of an instance.
#[derive(Debug, Clone, Default)]
struct Count {
    home: Option<Home>,
    counted: u32,
    last: Option<FailureClass>,
    first: Option<Instant>,
    /// Exhausted, and left to an operator.
    stuck: bool,
}

impl Checker for Attempts {
    fn name(&self) -> &'static str {
        "attempts"
    }

    fn see(&mut self, fact: Fact<'_>, scene: Scene<'_>) -> Result<(), String> {
        self.resets.follow(fact);
        for home in self.owners.follow(fact) {
            self.counts.retain(|_, count| count.home != Some(home));
            self.running.retain(|_, (at, _)| *at != home);
            *self.interruptions.entry(home).or_default() += 1;
        }
        if let Fact::Fed { worker, input } = fact {
            self.fed(worker, input, scene)?;
        }
        // What is wrong with a breaker is its own checker's to say.
        drop(self.circuits.follow(fact, scene));
        let Fact::Done { worker, effect, event } = fact else { return Ok(()) };
        if let Effect::Cancel { attempt } = effect {
            self.running.remove(&(worker, *attempt));
        }
        match event {
            Some(event) => self.done(worker, effect, event, scene),
            None => Ok(()),
        }
    }
}

impl Attempts {
    fn fed(&mut self, worker: usize, input: &Input, scene: Scene<'_>) -> Result<(), String> {
        if let Input::Assigned(assignment) = input {
            let home = (assignment.subscription, assignment.partition);
            for ((_, sequence), place) in scene.durable.parked.get(&home).into_iter().flatten() {
                let count = Count {
                    home: Some(home),
                    counted: place.figures.attempts,
                    last: None,
                    first: place.figures.first_failure,
                    stuck: place.figures.due == Instant::NEVER,
                };
                self.counts.insert(((home.0, place.event), Some(*sequence)), count);
            }
        } else if let Input::Resumed { subscription, .. } = input {
            self.resume(worker, *subscription);
        } else if let Input::Finished { attempt, outcome } = input
            && let Some((home, instance)) = self.running.remove(&(worker, *attempt))
            && let Outcome::Failed { class, .. } = outcome
            && !(self.circuits.is_probe(worker, *attempt) && counts(*class))
        {
            return self.fail(home, instance, *class, scene);
        }
        Ok(())
    }

    /// An operator gives everything that waits for one its chances back.
    fn resume(&mut self, worker: usize, subscription: SubscriptionId) {
        let owners = &self.owners.0;
        for count in self.counts.values_mut().filter(|count| count.stuck) {
            let here = |home: &Home| {
                home.0 == subscription && owners.get(home).is_some_and(|o| o.0 == worker)
            };
            if count.home.is_some_and(|home| here(&home)) {
                *count = Count { home: count.home, ..Count::default() };
            }
        }
    }

    fn fail(
        &mut self,
        home: Home,
        instance: Instance,
        class: FailureClass,
        scene: Scene<'_>,
    ) -> Result<(), String> {
        if class == FailureClass::Infrastructure {
            return Ok(());
        }
        let policy = &scene.script.subscription(home.0).policy;
        let pauses = matches!(
            exhaustion(scene, home.0, class),
            OnExhausted::PauseKey | OnExhausted::PauseSubscription
        );
        let count = self.counts.entry(instance).or_default();
        count.home = Some(home);
        count.counted += 1;
        count.last = Some(class);
        let first = *count.first.get_or_insert(scene.now);
        let exhausted = count.counted >= attempts_max(scene, home.0, class)
            || scene.now.since(first) >= policy.max_age;
        count.stuck = pauses && exhausted;
        let total = self.failures.entry(instance.0).or_default();
        *total += 1;
        let limit = policy.classes.keys().map(|class| attempts_max(scene, home.0, *class));
        let limit = limit.max().unwrap_or(0).max(policy.max_attempts);
        let interruptions = self.interruptions.get(&home).copied().unwrap_or(0);
        let lives = 1 + u32::try_from(self.resets.of(home.0, instance.0.1)).unwrap_or(0);
        let allowed = (limit + policy.inline_attempts * interruptions) * lives;
        let free = scene.script.subscription(home.0).policy.on_exhausted;
        let free = matches!(free, OnExhausted::PauseKey | OnExhausted::PauseSubscription);
        let total = *total;
        ensure(free || total <= allowed, || {
            format!("{instance:?} failed {total} times, {allowed} are allowed")
        })
    }

    fn done(
        &mut self,
        worker: usize,
        effect: &Effect,
        event: EventId,
        scene: Scene<'_>,
    ) -> Result<(), String> {
        if let Effect::Invoke { attempt, subscription, partition, parked, number, .. } = effect {
            let home = (*subscription, *partition);
            let instance = ((home.0, event), *parked);
            self.running.insert((worker, *attempt), (home, instance));
            return self.check(home, instance, *number, scene);
        }
        let Effect::Stage { subscription, partition, staged, .. } = effect else { return Ok(()) };
        let (home, case) = ((*subscription, *partition), (*subscription, event));
        if let Staged::Settled { parked, .. } = staged {
            // A place stays known: its end may yet be undone with its checkpoint.
            if parked.is_none() {
                self.counts.remove(&(case, None));
            }
            return Ok(());
        }
        if let Staged::Parked { sequence, attempts, due, .. } = staged {
            let count = self.counts.remove(&(case, None)).unwrap_or_default();
            let (counted, stuck) = (count.counted, count.stuck || *due == Instant::NEVER);
            let count = Count { home: Some(home), stuck, ..count };
            self.counts.insert((case, Some(*sequence)), count);
            return ensure(*attempts == counted, || {
                format!("{case:?} is parked with {attempts} attempts, it had {counted}")
            });
        }
        let Staged::Retried { sequence, attempts, due, .. } = staged else { return Ok(()) };
        let count = self.counts.entry((case, Some(*sequence))).or_default();
        count.stuck |= *due == Instant::NEVER;
        let counted = count.counted;
        ensure(*attempts == counted, || {
            format!("{case:?} is stored with {attempts} attempts, it had {counted}")
        })
    }

    /// Checks the number of an attempt that begins.
    fn check(
        &mut self,
        home: Home,
        instance: Instance,
        number: u32,
        scene: Scene<'_>,
    ) -> Result<(), String> {
        let count = self.counts.entry(instance).or_default();
        count.home = Some(home);
        let counted = count.counted;
        ensure(number == counted + 1, || {
            format!("attempt {number} of {instance:?} begins after {counted} counted failures")
        })?;
        let Some(class) = count.last else { return Ok(()) };
        let limit = attempts_max(scene, home.0, class);
        ensure(counted < limit, || {
            format!("{instance:?} failed {counted} times, last as {class:?}: {limit} are the limit")
        })
    }
}

//! Checks that an event is given up on only after rejection, exhaustion or as invalid, and that
//! what is written about it is true and complete.

use std::collections::BTreeMap;

use gristmill_engine::{
    AttemptId, Effect, FailureClass, Input, Instant, OnExhausted, Outcome, Staged, Terminal,
    Verdict,
};

use super::circuits::{Circuits, counts};
use super::{Case, Checker, Fact, Home, Owners, Scene, attempts_max, ensure, exhaustion};
use crate::topic::EventId;

/// An event, and its place while it is parked.
type Instance = (Case, Option<u64>);

/// Watches what is given up on.
#[derive(Debug, Default)]
pub(super) struct DeadLetters {
    owners: Owners,
    running: BTreeMap<(usize, AttemptId), (Home, Instance)>,
    failures: BTreeMap<Instance, Failures>,
    circuits: Circuits,
}

/// Counted failures of an instance.
#[derive(Debug, Clone, Copy, Default)]
struct Failures {
    home: Option<Home>,
    attempts: u32,
    first: Option<Instant>,
    last: Option<(Instant, FailureClass)>,
    stuck: bool,
}

impl Checker for DeadLetters {
    fn name(&self) -> &'static str {
        "dead letters"
    }

    fn see(&mut self, fact: Fact<'_>, scene: Scene<'_>) -> Result<(), String> {
        for home in self.owners.follow(fact) {
            self.failures.retain(|_, failures| failures.home != Some(home));
            self.running.retain(|_, (at, _)| *at != home);
        }
        if let Fact::Fed { worker, input } = fact {
            self.fed(worker, input, scene);
        }
        // What is wrong with a breaker is its own checker's to say.
        drop(self.circuits.follow(fact, scene));
        let Fact::Done { worker, effect, event: Some(event) } = fact else { return Ok(()) };
        if let Effect::Invoke { attempt, subscription, partition, parked, .. } = effect {
            let home = (*subscription, *partition);
            self.running.insert((worker, *attempt), (home, ((home.0, event), *parked)));
            // The engine does not store what a parked event is: its driver finds out again.
            let invalid = parked.is_none() && is_invalid(scene, home, event);
            return ensure(!invalid, || format!("{event:?} is invalid and is attempted"));
        }
        let Effect::Stage { subscription, partition, staged, .. } = effect else { return Ok(()) };
        self.staged((*subscription, *partition), staged, event, scene)
    }
}

impl DeadLetters {
    fn fed(&mut self, worker: usize, input: &Input, scene: Scene<'_>) {
        if let Input::Assigned(assignment) = input {
            let home = (assignment.subscription, assignment.partition);
            for ((_, sequence), place) in scene.durable.parked.get(&home).into_iter().flatten() {
                let failures = Failures {
                    home: Some(home),
                    attempts: place.figures.attempts,
                    first: place.figures.first_failure,
                    last: None,
                    stuck: place.figures.due == Instant::NEVER,
                };
                self.failures.insert(((home.0, place.event), Some(*sequence)), failures);
            }
        } else if let Input::Resumed { subscription, .. } = input {
            let owners = &self.owners.0;
            for failures in self.failures.values_mut().filter(|failures| failures.stuck) {
                let owner = failures.home.and_then(|home| owners.get(&home));
                let of = failures.home.is_some_and(|home| home.0 == *subscription);
                if of && owner.is_some_and(|owner| owner.0 == worker) {
                    *failures = Failures { home: failures.home, ..Failures::default() };
                }
            }
        } else if let Input::Finished { attempt, outcome } = input
            && let Some((home, instance)) = self.running.remove(&(worker, *attempt))
            && let Outcome::Failed { class, .. } = outcome
            && *class != FailureClass::Infrastructure
            && !(self.circuits.is_probe(worker, *attempt) && counts(*class))
        {
            let failures = self.failures.entry(instance).or_default();
            failures.home = Some(home);
            failures.attempts += 1;
            failures.first.get_or_insert(scene.now);
            failures.last = Some((scene.now, *class));
            let pauses = matches!(
                exhaustion(scene, home.0, *class),
                OnExhausted::PauseKey | OnExhausted::PauseSubscription
            );
            failures.stuck = pauses && failures.are_enough(home, *class, scene);
        }
    }

    fn staged(
        &mut self,
        home: Home,
        staged: &Staged,
        event: EventId,
        scene: Scene<'_>,
    ) -> Result<(), String> {
        let case = (home.0, event);
        if let Staged::Parked { sequence, due, .. } = staged {
            let mut failures = self.failures.remove(&(case, None)).unwrap_or_default();
            (failures.home, failures.stuck) = (Some(home), *due == Instant::NEVER);
            self.failures.insert((case, Some(*sequence)), failures);
            return Ok(());
        }
        if let Staged::Retried { sequence, due, .. } = staged {
            if let Some(failures) = self.failures.get_mut(&(case, Some(*sequence))) {
                failures.stuck = *due == Instant::NEVER;
            }
            return Ok(());
        }
        let Staged::Settled { outcome, parked, .. } = staged else { return Ok(()) };
        let failures = self.failures.remove(&(case, *parked)).unwrap_or_default();
        if let Terminal::DeadLettered { class, attempts, first_failure, last_failure } = outcome {
            let given_up = GivenUp { class: *class, attempts: *attempts, letter: true };
            given_up.check(home, event, &failures, scene)?;
            let first = failures.first.unwrap_or(scene.now);
            return ensure(*first_failure == first && *last_failure == scene.now, || {
                format!("{case:?} failed from {first:?} to {:?}: {outcome:?}", scene.now)
            });
        }
        if let Terminal::Discarded { class, attempts } = outcome {
            let given_up = GivenUp { class: *class, attempts: *attempts, letter: false };
            return given_up.check(home, event, &failures, scene);
        }
        Ok(())
    }
}

impl Failures {
    /// Whether the last one, of `class`, leaves no chance.
    fn are_enough(&self, home: Home, class: FailureClass, scene: Scene<'_>) -> bool {
        let age = self.first.map(|first| scene.now.since(first)).unwrap_or_default();
        let policy = &scene.script.subscription(home.0).policy;
        self.attempts >= attempts_max(scene, home.0, class) || age >= policy.max_age
    }
}

/// What an outcome claims of an event that was given up on.
struct GivenUp {
    class: FailureClass,
    attempts: u32,
    letter: bool,
}

impl GivenUp {
    fn check(
        &self,
        home: Home,
        event: EventId,
        failures: &Failures,
        scene: Scene<'_>,
    ) -> Result<(), String> {
        let wanted = if self.letter { OnExhausted::DeadLetter } else { OnExhausted::Discard };
        ensure(exhaustion(scene, home.0, self.class) == wanted, || {
            format!("{event:?}: policy has something else for {:?}", self.class)
        })?;
        let made = failures.attempts;
        ensure(self.attempts == made, || {
            format!("{event:?} is given up on with {} attempts, {made} were made", self.attempts)
        })?;
        if is_invalid(scene, home, event) {
            return ensure(self.class == FailureClass::Invalid, || {
                format!("{event:?} is invalid and is given up on as {:?}", self.class)
            });
        }
        let (at, class) = failures.last.ok_or_else(|| {
            format!("{event:?} is given up on as {:?} and did not fail", self.class)
        })?;
        ensure(at == scene.now && class == self.class, || {
            format!("{event:?} failed last at {at:?} as {class:?}, not as {:?}", self.class)
        })?;
        let exhausted = failures.are_enough(home, class, scene);
        ensure(exhausted, || format!("{event:?} is given up on with chances left: {failures:?}"))
    }
}

/// Whether an event must not reach the handler.
fn is_invalid(scene: Scene<'_>, home: Home, event: EventId) -> bool {
    let stateful = scene.script.subscription(home.0).policy.stateful;
    scene.topics.record(event).is_some_and(|record| {
        record.verdict == Verdict::Invalid || (stateful && record.key.is_none())
    })
}

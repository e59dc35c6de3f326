//! Computes how breakers must stand from what ended and when, with every attempt at its own
//! moment.

use std::collections::{BTreeMap, BTreeSet};

use gristmill_engine::{
    AttemptId, BreakerPolicy, Circuit, Effect, EventRef, FailureClass, Input, Instant, Millis,
    Observation, Outcome, Staged, SubscriptionId, Terminal,
};

use super::lately::Lately;
use super::{Fact, Scene, ensure};

/// Attempts of the last round of probes.
const ROUND_MAX: u32 = 8;

/// All breakers, by worker and subscription.
#[derive(Debug, Default)]
pub(super) struct Circuits {
    breakers: BTreeMap<(usize, SubscriptionId), Breaker>,
    /// Attempts that run, and whether at a parked event.
    running: BTreeMap<(usize, AttemptId), (SubscriptionId, bool)>,
}

#[derive(Debug, Default)]
struct Breaker {
    state: State,
    /// Attempts that ended while it was closed, and whether they count as failures.
    ended: Lately,
    outages: u32,
    openings: u32,
    /// Whether it may open at the present attempt, and whether it must.
    opens: (bool, bool),
    /// What must be told next.
    tells: Option<Circuit>,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Closed,
    Open(Instant),
    Waiting,
    Probing {
        round: u32,
        running: BTreeSet<AttemptId>,
        passed: u32,
    },
}

impl Circuits {
    /// Whether an attempt that runs is a probe.
    pub(super) fn is_probe(&self, worker: usize, attempt: AttemptId) -> bool {
        let of = self.running.get(&(worker, attempt));
        let breaker = of.and_then(|(subscription, _)| self.breakers.get(&(worker, *subscription)));
        breaker.is_some_and(|breaker| {
            matches!(&breaker.state, State::Probing { running, .. } if running.contains(&attempt))
        })
    }

    /// Follows one fact.
    pub(super) fn follow(&mut self, fact: Fact<'_>, scene: Scene<'_>) -> Result<(), String> {
        match fact {
            Fact::Crashed => *self = Self::default(),
            Fact::Ended { worker } => {
                self.breakers.retain(|(at, _), _| *at != worker);
                self.running.retain(|(at, _), _| *at != worker);
            }
            Fact::Fed { worker, input } => return self.fed(worker, input, scene),
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

    fn fed(&mut self, worker: usize, input: &Input, scene: Scene<'_>) -> Result<(), String> {
        for ((at, subscription), breaker) in &self.breakers {
            let is_late = *at == worker && breaker.state == State::Closed && breaker.opens.1;
            ensure(!is_late, || format!("{subscription:?} of worker {worker} did not open"))?;
            let is_due = *at == worker && breaker.tells.is_some();
            ensure(!is_due, || format!("{subscription:?} of worker {worker} did not tell"))?;
        }
        if let Input::Probed { subscription, .. } = input {
            let breaker = self.breakers.entry((worker, *subscription)).or_default();
            if breaker.state == State::Waiting {
                let running = BTreeSet::new();
                breaker.state = State::Probing { round: 1, running, passed: 0 };
                breaker.tells = Some(Circuit::HalfOpen);
            }
        } else if let Input::Finished { attempt, outcome } = input
            && let Some((subscription, is_parked)) = self.running.remove(&(worker, *attempt))
        {
            let breaker = self.breakers.entry((worker, subscription)).or_default();
            let policy = scene.script.subscription(subscription).policy.breaker;
            if let Some(policy) = policy {
                breaker.finished(scene.now, &policy, (*attempt, is_parked, outcome));
            }
        }
        Ok(())
    }

    fn done(&mut self, worker: usize, effect: &Effect, scene: Scene<'_>) -> Result<(), String> {
        if let Effect::Invoke { attempt, subscription, parked, .. } = effect {
            self.running.insert((worker, *attempt), (*subscription, parked.is_some()));
            return self.breakers.entry((worker, *subscription)).or_default().begun(*attempt);
        }
        if let Effect::Stage { subscription, staged, .. } = effect
            && let Staged::Settled { event, outcome: Terminal::FellBack, parked, .. } = staged
        {
            let policy = scene.script.subscription(*subscription).policy.breaker;
            let may = policy.is_some_and(|policy| policy.falls_back)
                && matches!(event, EventRef::Record(_))
                && parked.is_none()
                && self.breakers.get(&(worker, *subscription)).is_some_and(Breaker::is_open);
            return ensure(may, || format!("{event:?} falls back"));
        }
        if let Effect::Cancel { attempt } = effect
            && let Some((subscription, _)) = self.running.remove(&(worker, *attempt))
            && let Some(breaker) = self.breakers.get_mut(&(worker, subscription))
            && let State::Probing { running, .. } = &mut breaker.state
        {
            running.remove(attempt);
        } else if let Effect::Probe { subscription } = effect {
            let breaker = self.breakers.entry((worker, *subscription)).or_default();
            let is_due = matches!(breaker.state, State::Open(until) if until <= scene.now);
            breaker.state = State::Waiting;
            return ensure(is_due, || format!("{subscription:?} is probed too early"));
        } else if let Effect::Observe(Observation::Breaker { subscription, circuit }) = effect {
            let breaker = self.breakers.entry((worker, *subscription)).or_default();
            let policy = scene.script.subscription(*subscription).policy.breaker;
            return breaker.told(*circuit, scene.now, policy.as_ref());
        }
        Ok(())
    }
}

impl Breaker {
    fn is_open(&self) -> bool {
        matches!(self.state, State::Open(_) | State::Waiting)
    }

    fn begun(&mut self, attempt: AttemptId) -> Result<(), String> {
        match &mut self.state {
            State::Closed => ensure(!self.opens.1, || "an attempt when it must open".to_owned()),
            State::Open(until) => Err(format!("an attempt while it is open, until {until:?}")),
            State::Waiting => Err("an attempt before ends are known".to_owned()),
            State::Probing { round, running, passed } => {
                running.insert(attempt);
                let begun = running.len() + *passed as usize;
                ensure(begun <= *round as usize, || format!("{begun} probes of {round}"))
            }
        }
    }

    fn finished(
        &mut self,
        now: Instant,
        policy: &BreakerPolicy,
        (attempt, is_parked, outcome): (AttemptId, bool, &Outcome),
    ) {
        let class = match outcome {
            Outcome::Cancelled => {
                if let State::Probing { running, .. } = &mut self.state {
                    running.remove(&attempt);
                }
                return;
            }
            Outcome::Succeeded { .. } => None,
            Outcome::Failed { class, .. } => Some(*class),
        };
        let is_bad = class.is_some_and(counts);
        match &mut self.state {
            State::Closed if is_parked => self.opens = (false, false),
            State::Closed => {
                let is_outage = class == Some(FailureClass::Infrastructure);
                self.outages = if is_outage { self.outages + 1 } else { 0 };
                self.ended.add(now, is_bad);
                let is_out = self.outages >= policy.outages_max;
                let reached = self.ended.ask(now, policy.span, |all, bad| {
                    let share = all * policy.failures_permille;
                    all >= u64::from(policy.attempts_min) && bad * 1_000 >= share
                });
                let may = is_bad && (is_out || reached.0);
                self.opens = (may, may && (is_out || reached.1));
            }
            State::Open(_) | State::Waiting => {}
            State::Probing { round, running, passed } => {
                if !running.remove(&attempt) {
                    return;
                }
                if is_bad {
                    self.tells = Some(Circuit::Open);
                    self.open(now, policy);
                    return;
                }
                *passed += 1;
                if *passed == *round && *round == ROUND_MAX {
                    *self = Self { tells: Some(Circuit::Closed), ..Self::default() };
                } else if *passed == *round {
                    (*round, *passed) = (*round * 2, 0);
                }
            }
        }
    }

    fn open(&mut self, now: Instant, policy: &BreakerPolicy) {
        let pause = policy.pause.0.saturating_mul(1 << self.openings.min(40));
        let until = now.after(Millis(pause.min(policy.pause_max.0)));
        let (openings, tells) = (self.openings + 1, self.tells);
        *self = Self { state: State::Open(until), openings, tells, ..Self::default() };
    }

    fn told(
        &mut self,
        circuit: Circuit,
        now: Instant,
        policy: Option<&BreakerPolicy>,
    ) -> Result<(), String> {
        if let (State::Closed, Circuit::Open, Some(policy)) = (&self.state, circuit, policy) {
            let may = self.opens.0;
            self.open(now, policy);
            return ensure(may, || "it opens without a reason".to_owned());
        }
        let expected = self.tells.take();
        ensure(expected == Some(circuit), || format!("{circuit:?} was told, not {expected:?}"))
    }
}

/// Whether a failure of this class is one of more than its event.
pub(super) fn counts(class: FailureClass) -> bool {
    let own = [FailureClass::Rejected, FailureClass::Invalid, FailureClass::Output];
    !own.contains(&class)
}

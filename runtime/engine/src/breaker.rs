//! Decides when a subscription makes no attempts because too many fail, and when it tries again.
//! It never decides what a failure is worth for the event that failed.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use crate::partition::Partition;
use crate::share::Share;
use crate::subscription::Desk;
use crate::worker::{Alarm, Scope, count};
use crate::{
    AttemptId, BreakerPolicy, Circuit, Effect, Engine, FailureClass, Instant, Millis, Observation,
    Outcome, Position, SubscriptionId, Violation,
};

/// Attempts of the last round before it closes; rounds double from 1 (source: the contract).
const ROUND_MAX: u32 = 8;

/// The breaker of one subscription.
#[derive(Debug, Clone, Default)]
pub(crate) struct Breaker {
    state: State,
    share: Share,
    /// Infrastructure failures since an attempt that ended otherwise.
    outages: u32,
    /// Openings since it was closed.
    openings: u32,
}

/// Whether attempts are made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum State {
    /// They are.
    #[default]
    Closed,
    /// None before this moment.
    Open(Instant),
    /// None before it is known where the topics end.
    Waiting,
    /// So many, to find out: which run, and how many have gone well.
    Probing { round: u32, running: BTreeSet<AttemptId>, passed: u32 },
}

/// Whether a failure says that something is out of order beyond its event.
pub(crate) fn is_counted(class: FailureClass) -> bool {
    match class {
        FailureClass::Infrastructure
        | FailureClass::Timeout
        | FailureClass::Memory
        | FailureClass::Trap
        | FailureClass::Retryable => true,
        FailureClass::Rejected | FailureClass::Invalid | FailureClass::Output => false,
    }
}

impl Breaker {
    /// Whether one more attempt may start.
    pub(crate) fn has_room(&self) -> bool {
        match &self.state {
            State::Closed => true,
            State::Open(_) | State::Waiting => false,
            State::Probing { round, running, passed } => {
                count(running.len()).saturating_add(u64::from(*passed)) < u64::from(*round)
            }
        }
    }

    /// How it stands, for those who watch.
    pub(crate) fn circuit(&self) -> Circuit {
        match self.state {
            State::Closed => Circuit::Closed,
            State::Open(_) | State::Waiting => Circuit::Open,
            State::Probing { .. } => Circuit::HalfOpen,
        }
    }

    /// Whether nothing is attempted. Due timers wait outside of their lanes: what is read
    /// meanwhile may cancel them.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.state, State::Open(_) | State::Waiting)
    }

    /// An attempt starts.
    pub(crate) fn begin(&mut self, attempt: AttemptId) {
        if let State::Probing { running, .. } = &mut self.state {
            running.insert(attempt);
        }
    }

    /// An attempt is over, with or without an outcome.
    pub(crate) fn forget(&mut self, attempt: AttemptId) {
        if let State::Probing { running, .. } = &mut self.state {
            running.remove(&attempt);
        }
    }

    /// Takes note of how an attempt ended: what changed by it, if anything.
    fn note(
        &mut self,
        now: Instant,
        policy: &BreakerPolicy,
        (attempt, is_parked, class): (AttemptId, bool, Option<FailureClass>),
    ) -> Option<Circuit> {
        let is_bad = class.is_some_and(is_counted);
        match &mut self.state {
            // Known to fail, it says something of itself alone: a key that is poisoned must not
            // hold up the others.
            State::Closed if is_parked => None,
            State::Closed => {
                let is_outage = class == Some(FailureClass::Infrastructure);
                self.outages = if is_outage { self.outages.saturating_add(1) } else { 0 };
                self.share.add(now, policy.span, is_bad);
                let is_out = self.outages >= policy.outages_max;
                let is_reached =
                    self.share.has_reached(policy.attempts_min, policy.failures_permille);
                (is_bad && (is_out || is_reached)).then(|| self.open(now, policy))
            }
            // It began before, and says nothing of now.
            State::Open(_) | State::Waiting => None,
            State::Probing { round, running, passed } => {
                if !running.remove(&attempt) {
                    return None;
                }
                if is_bad {
                    return Some(self.open(now, policy));
                }
                *passed = passed.saturating_add(1);
                if *passed < *round {
                    return None;
                }
                (*round, *passed) = (round.saturating_mul(2), 0);
                (*round > ROUND_MAX).then(|| {
                    *self = Self::default();
                    Circuit::Closed
                })
            }
        }
    }

    fn open(&mut self, now: Instant, policy: &BreakerPolicy) -> Circuit {
        let doubled = 1_u64.checked_shl(self.openings).unwrap_or(u64::MAX);
        let pause = policy.pause.0.saturating_mul(doubled).min(policy.pause_max.0);
        self.openings = self.openings.saturating_add(1);
        self.share = Share::default();
        self.outages = 0;
        self.state = State::Open(now.after(Millis(pause)));
        Circuit::Open
    }
}

impl Desk {
    /// Whether records go elsewhere instead of being attempted.
    pub(crate) fn falls_back(&self) -> bool {
        self.breaker.is_open() && self.policy.breaker.is_some_and(|policy| policy.falls_back)
    }

    /// Lanes that could not fall back have their turn.
    fn release_held(&mut self) {
        let held = core::mem::take(&mut self.held);
        self.ready.extend(held);
    }

    /// Whether an attempt is made to find out: its failure says nothing about its event.
    pub(crate) fn is_probe(&self, attempt: AttemptId) -> bool {
        matches!(&self.breaker.state, State::Probing { running, .. } if running.contains(&attempt))
    }
}

impl Scope<'_> {
    /// The breaker hears of an attempt that ended, at an event in parking or not.
    pub(crate) fn note_attempt(&mut self, attempt: AttemptId, is_parked: bool, outcome: &Outcome) {
        let breaker = &mut self.desk.breaker;
        let class = match outcome {
            Outcome::Cancelled => return,
            Outcome::Succeeded { .. } => None,
            Outcome::Failed { class, .. } => Some(*class),
        };
        let Some(policy) = &self.desk.policy.breaker else { return };
        let Some(circuit) = breaker.note(self.now, policy, (attempt, is_parked, class)) else {
            return;
        };
        let subscription = self.desk.id;
        if let State::Open(until) = breaker.state {
            self.worker.alarms.insert((until, Alarm::Breaker(subscription)));
        }
        self.observe(Observation::Breaker { subscription, circuit });
    }
}

impl Engine {
    /// The pause of an open breaker is over. Timers that came due meanwhile wait for what lies in
    /// the topics before them, so where these end is asked first.
    pub(crate) fn wake_breaker(&mut self, id: SubscriptionId, effects: &mut Vec<Effect>) {
        let Some(found) = self.subscriptions.get_mut(&id) else { return };
        let state = &mut found.desk.breaker.state;
        if matches!(state, State::Open(_)) {
            *state = State::Waiting;
            effects.push(Effect::Probe { subscription: id });
        }
    }

    /// It is known where the topics end: attempts are made to find out.
    pub(crate) fn probe(
        &mut self,
        now: Instant,
        id: SubscriptionId,
        ends: &[Position],
        effects: &mut Vec<Effect>,
    ) -> Result<(), Violation> {
        let desk = &mut self.known(id)?.desk;
        if desk.breaker.state != State::Waiting {
            return Ok(());
        }
        desk.breaker.state = State::Probing { round: 1, running: BTreeSet::new(), passed: 0 };
        desk.release_held();
        let circuit = Circuit::HalfOpen;
        effects.push(Effect::Observe(Observation::Breaker { subscription: id, circuit }));
        self.hold_until(id, ends);
        self.visit_all(now, effects, id, Partition::watch_timers);
        Ok(())
    }

    /// The policy changed: without a breaker nothing is open.
    pub(crate) fn revise_breaker(&mut self, id: SubscriptionId, effects: &mut Vec<Effect>) {
        let Some(found) = self.subscriptions.get_mut(&id) else { return };
        let desk = &mut found.desk;
        desk.release_held();
        if desk.policy.breaker.is_some() || desk.breaker.state == State::Closed {
            return;
        }
        desk.breaker = Breaker::default();
        let circuit = Circuit::Closed;
        effects.push(Effect::Observe(Observation::Breaker { subscription: id, circuit }));
    }
}

#[cfg(test)]
mod tests;

//! Decides when a failed event is tried again and when it has had its chances. It owns no clock
//! and sleeps for nobody.

use crate::breaker::is_counted;
use crate::lane::{Event, State};
use crate::partition::Partition;
use crate::worker::Scope;
use crate::{FailureClass, Instant, KeyHash, Millis, Observation, Policy};

/// The engine's own source of randomness: `SplitMix64` (Steele, Lea and Flood, 2014).
#[derive(Debug, Clone)]
pub(crate) struct Jitter {
    state: u64,
}

impl Jitter {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// A span from zero up to and including `most`. Draws nothing when that is zero.
    fn up_to(&mut self, most: Millis) -> Millis {
        if most.0 == 0 {
            return most;
        }
        // The bias of the remainder is below 2^-40 for any span of use here.
        Millis(self.next().checked_rem(most.0.saturating_add(1)).unwrap_or(0))
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

/// What becomes of an event after a counted failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// Its chances are used up.
    GiveUp,
    /// It waits in memory.
    Wait(Millis),
    /// It waits in durable parking.
    Park(Millis),
}

impl Partition {
    /// The attempt of a lane's head failed.
    pub(crate) fn fail(
        &mut self,
        scope: &mut Scope<'_>,
        (key, is_probe): (KeyHash, bool),
        class: FailureClass,
        retry_after: Option<Millis>,
    ) {
        scope.observe(Observation::AttemptFailed { subscription: self.book.place.0, class });
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        let is_parked = lane.parking.as_ref().is_some_and(|it| !it.events.is_empty());
        let Some(event) = lane.head_mut() else { return };
        let (policy, jitter) = (&scope.desk.policy, &mut scope.worker.jitter);
        // What a probe finds is out of order beyond its event: neither costs it a chance.
        let is_outage = class == FailureClass::Infrastructure || (is_probe && is_counted(class));
        let next = if is_outage {
            event.outages = event.outages.saturating_add(1);
            Next::Wait(delay(policy, jitter, event.outages, retry_after))
        } else {
            event.outages = 0;
            event.attempts = event.attempts.saturating_add(1);
            event.first_failure.get_or_insert(scope.now);
            judge(policy, jitter, event, (class, retry_after), scope.now)
        };
        match next {
            Next::GiveUp => self.give_up(scope, key, class),
            Next::Wait(delay) | Next::Park(delay) if is_parked => {
                self.reschedule(scope, key, soon(scope.now, delay));
            }
            Next::Wait(delay) => {
                self.book.put(scope, key, lane, State::Asleep(soon(scope.now, delay)));
            }
            Next::Park(delay) => self.park(scope, key, soon(scope.now, delay)),
        }
    }
}

fn judge(
    policy: &Policy,
    jitter: &mut Jitter,
    event: &Event,
    (class, retry_after): (FailureClass, Option<Millis>),
    now: Instant,
) -> Next {
    let age = event.first_failure.map_or(Millis(0), |first| now.since(first));
    if event.attempts >= policy.attempts_max(class) || age >= policy.max_age {
        return Next::GiveUp;
    }
    let delay = delay(policy, jitter, event.attempts, retry_after);
    let is_long = event.attempts >= policy.inline_attempts
        || age >= policy.inline_time
        || delay > policy.inline_time;
    if is_long { Next::Park(delay) } else { Next::Wait(delay) }
}

/// Delay after failure number `failures`, from 1: grows by the multiplier up to the longest
/// interval, is extended by jitter, and is at least what the handler asked for.
fn delay(
    policy: &Policy,
    jitter: &mut Jitter,
    failures: u32,
    retry_after: Option<Millis>,
) -> Millis {
    let interval = interval(policy, failures);
    let extended =
        interval.0.saturating_add(jitter.up_to(interval.permille(policy.jitter_permille)).0);
    let asked = retry_after.map_or(0, |asked| asked.0.min(policy.retry_after_max.0));
    Millis(extended.max(asked))
}

/// The interval without jitter. Computed in 2^20ths of a millisecond, so that a multiplier
/// close to one still grows a short interval.
fn interval(policy: &Policy, failures: u32) -> Millis {
    const FINE: u128 = 1 << 20;
    let most = u128::from(policy.max_interval.0).saturating_mul(FINE);
    let mut fine = u128::from(policy.initial_interval.0).saturating_mul(FINE);
    for _ in 1..failures {
        let grown = fine.saturating_mul(u128::from(policy.multiplier_permille));
        let grown = grown.checked_div(1_000).unwrap_or(fine);
        if grown <= fine || fine >= most {
            break;
        }
        fine = grown;
    }
    let millis = fine.min(most).checked_div(FINE).unwrap_or(0);
    Millis(u64::try_from(millis).unwrap_or(u64::MAX))
}

/// `delay` from now, but never the moment that stands for an operator.
fn soon(now: Instant, delay: Millis) -> Instant {
    Instant(now.after(delay).0.min(Instant::NEVER.0.saturating_sub(1)))
}

#[cfg(test)]
mod tests;

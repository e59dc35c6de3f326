//! Decides how the handler of a simulated plugin ends each attempt. It keeps nothing: the end
//! follows from seed, subscription, event and attempt number, so a repeated attempt ends alike.

use gristmill_engine::{
    Bytes, FailureClass, Instant, KeyHash, Millis, Outcome, SubscriptionId, TimerChange, TimerHash,
};

use crate::random::{Random, mix};
use crate::script::Script;
use crate::topic::EventId;

/// Timer names a key can have.
const NAMES: u64 = 4;

/// Of a hundred fates, those whose emissions do not hold.
const OUTPUT: std::ops::Range<u64> = 92..94;
/// Of so many records, one has something emitted that no broker takes.
const UNDELIVERABLE: u64 = 50;

/// What an attempt is made of.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    /// The subscription whose handler runs.
    pub subscription: SubscriptionId,
    /// The event.
    pub event: EventId,
    /// Its key.
    pub key: Option<KeyHash>,
    /// Attempt number, from 1.
    pub number: u32,
    /// The record's timestamp, or the timer's due time.
    pub timestamp: Instant,
    /// Whether timers may be set.
    pub stateful: bool,
}

/// How long an attempt takes.
#[must_use]
pub fn duration(seed: u64, call: &Call) -> Millis {
    let mut random = Random::new(mix(&[fate(seed, call), u64::from(call.number), 1]));
    Millis(match random.below(100) {
        0..60 => random.below(6),
        60..97 => random.below(40),
        _ => random.between(100, 1_500),
    })
}

/// How an attempt that ends at `now` ends. A healed world has no failures.
#[must_use]
pub fn outcome(seed: u64, call: &Call, now: Instant, healed: bool) -> Outcome {
    let fate = fate(seed, call);
    let mut random = Random::new(fate);
    let kind = random.below(100);
    let fails = u32::try_from(random.between(1, 4)).unwrap_or(1);
    let class = match kind {
        0..55 => None,
        55..75 => (call.number <= fails).then_some(FailureClass::Retryable),
        75..80 => Some(FailureClass::Rejected),
        80..84 => (call.number == 1).then_some(FailureClass::Trap),
        84..86 => Some(FailureClass::Timeout),
        86..88 => Some(FailureClass::Memory),
        88..92 => Some(FailureClass::Retryable),
        _ if OUTPUT.contains(&kind) => Some(FailureClass::Output),
        _ => (now.0 < call.timestamp.0 + fate % 900).then_some(FailureClass::Infrastructure),
    };
    match class.filter(|_| !healed) {
        None => {
            Outcome::Succeeded { timers: timers(&mut random, call), size: Bytes(random.below(900)) }
        }
        Some(class) => {
            let advice = class == FailureClass::Retryable && random.chance(250);
            failed(class, advice.then(|| Millis(random.below(700))))
        }
    }
}

/// Whether the handler itself may say that an emission of this record does not hold.
#[must_use]
pub fn breaks_output(seed: u64, subscription: SubscriptionId, event: EventId) -> bool {
    let (key, number, timestamp, stateful) = (None, 1, Instant::default(), false);
    let call = Call { subscription, event, key, number, timestamp, stateful };
    OUTPUT.contains(&Random::new(fate(seed, &call)).below(100))
}

/// Whether a broker takes what a record has the handler emit: of some it is too large. A
/// subscription whose failures wait for an operator has none of these: nobody could help it.
#[must_use]
pub fn is_deliverable(script: &Script, subscription: SubscriptionId, event: EventId) -> bool {
    let EventId::Record { .. } = event else { return true };
    if script.subscription(subscription).waits_for_operator() {
        return true;
    }
    let (key, number, timestamp, stateful) = (None, 1, Instant::default(), false);
    let call = Call { subscription, event, key, number, timestamp, stateful };
    !mix(&[fate(script.seed, &call), 2]).is_multiple_of(UNDELIVERABLE)
}

fn failed(class: FailureClass, retry_after: Option<Millis>) -> Outcome {
    Outcome::Failed { class, retry_after }
}

fn timers(random: &mut Random, call: &Call) -> Vec<TimerChange> {
    let Some(key) = call.key.filter(|_| call.stateful) else { return Vec::new() };
    // A timer sets only timers of lower names, so that a chain of timers ends.
    let (count, names) = match call.event {
        EventId::Record { .. } => (random.pick(&[0, 0, 1, 1, 2]), NAMES),
        EventId::Timer { timer, .. } => (random.pick(&[0, 0, 1]), name_of(timer)),
    };
    (0..if names == 0 { 0 } else { count })
        .map(|_| {
            let timer = timer_of(key, random.below(names));
            if random.chance(200) {
                return TimerChange::Cancel { timer };
            }
            let delay = random.pick(&[0, 50, 400, 2_500]) + random.below(50);
            TimerChange::Set { timer, due: call.timestamp.after(Millis(delay)) }
        })
        .collect()
}

fn timer_of(key: KeyHash, name: u64) -> TimerHash {
    TimerHash(key.0 + u128::from(name))
}

fn name_of(timer: TimerHash) -> u64 {
    u64::try_from(timer.0 % u128::from(NAMES)).unwrap_or(0)
}

/// The number everything about an event's attempts follows from.
fn fate(seed: u64, call: &Call) -> u64 {
    let event = match call.event {
        EventId::Record { position, incarnation } => mix(&[
            u64::from(position.topic.0),
            u64::from(position.partition.0),
            position.offset.0,
            low(incarnation),
        ]),
        EventId::Timer { partition, timer, .. } => {
            mix(&[u64::from(partition.0), low(timer.0), low(timer.0 >> 64), call.timestamp.0])
        }
    };
    mix(&[seed, u64::from(call.subscription.0), event])
}

fn low(word: u128) -> u64 {
    u64::try_from(word & u128::from(u64::MAX)).unwrap_or(0)
}

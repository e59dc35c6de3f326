//! Owns every bound and every choice an operator can make for the engine. Values come checked
//! from configuration; the engine never doubts them.

use alloc::collections::BTreeMap;

use crate::{Bytes, Circuit, FailureClass, Instant, Millis};

/// How one subscription is treated. Defaults are those of the contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Which events wait for each other. Default [`Order::Key`].
    pub order: Order,
    /// Whether handlers keep state or timers; then an event without key is invalid.
    /// Default false.
    pub stateful: bool,
    /// Attempts running at once on this worker, 1 to 4,096. Default 64.
    pub concurrency: u32,
    /// Attempts started per 1,000 seconds on this worker, at least 1. Default none: no limit.
    pub rate: Option<u64>,
    /// When attempts stop because too many fail. Default some; none for never.
    pub breaker: Option<BreakerPolicy>,
    /// When the subscription pauses because too many events become dead letters. Default some;
    /// none for never.
    pub guard: Option<GuardPolicy>,
    /// Delay before the second attempt. Default 100 ms.
    pub initial_interval: Millis,
    /// Growth of the delay per attempt in thousandths, at least 1,000. Default 2,000.
    pub multiplier_permille: u64,
    /// Longest delay the policy itself asks for. Default 30 s.
    pub max_interval: Millis,
    /// Most that jitter adds to a delay, in thousandths of it. Default 200.
    pub jitter_permille: u64,
    /// Counted attempts before the event is exhausted, at least 1. Default 8.
    pub max_attempts: u32,
    /// Age after the first failed attempt at which the event is exhausted. Default 2 h.
    pub max_age: Millis,
    /// Longest delay a handler may ask for. Default 1 h.
    pub retry_after_max: Millis,
    /// Attempts made before the lane is parked. Default 3.
    pub inline_attempts: u32,
    /// Time after the first failure before the lane is parked. Default 1 s.
    pub inline_time: Millis,
    /// What happens to an exhausted event. Default [`OnExhausted::DeadLetter`].
    pub on_exhausted: OnExhausted,
    /// Whether a dead letter lets its lane go on. Default [`OnDead::Continue`].
    pub on_dead: OnDead,
    /// Per class, where it differs from the above.
    pub classes: BTreeMap<FailureClass, ClassPolicy>,
    /// Events of one partition in memory before its topics pause, 1 to 65,536. Default 1,024.
    pub window_events: u32,
    /// Bytes of one partition in memory before its topics pause. Default 8 MiB.
    pub window_bytes: Bytes,
    /// Events a parked lane holds before its partition pauses. Default 10,000.
    pub parked_events_max: u32,
    /// Bytes a parked lane holds before its partition pauses. Default 64 MiB.
    pub parked_bytes_max: Bytes,
}

/// When a subscription makes no attempts for a while. Failures of class retryable, trap, timeout,
/// memory and infrastructure count; attempts at parked events do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// Attempts within `span` before their failures say anything, at least 1. Default 20.
    pub attempts_min: u32,
    /// Failures at which it opens, in thousandths of the attempts, 1 to 1,000. Default 500.
    pub failures_permille: u64,
    /// How long an attempt counts, at least 15 ms. Default 30 s.
    pub span: Millis,
    /// Infrastructure failures in a row at which it opens, at least 1. Default 5.
    pub outages_max: u32,
    /// How long it stays open at first; doubles each time it opens again. Default 30 s.
    pub pause: Millis,
    /// How long it stays open at most. Default 5 min.
    pub pause_max: Millis,
    /// Whether records go elsewhere while it is open, instead of waiting. Default false.
    pub falls_back: bool,
}

impl Default for BreakerPolicy {
    fn default() -> Self {
        Self {
            attempts_min: 20,
            failures_permille: 500,
            span: Millis::seconds(30),
            outages_max: 5,
            pause: Millis::seconds(30),
            pause_max: Millis::seconds(300),
            falls_back: false,
        }
    }
}

/// When a subscription pauses because of its dead letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GuardPolicy {
    /// Events within `span` before their dead letters say anything, at least 1. Default 100.
    pub events_min: u32,
    /// Dead letters above which it pauses, in thousandths of the events, 0 to 1,000. Default 200.
    pub dead_permille: u64,
    /// How long an event counts, at least 15 ms. Default 60 s.
    pub span: Millis,
}

impl Default for GuardPolicy {
    fn default() -> Self {
        Self { events_min: 100, dead_permille: 200, span: Millis::seconds(60) }
    }
}

/// What differs for one failure class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClassPolicy {
    /// Counted attempts before the event is exhausted.
    pub max_attempts: Option<u32>,
    /// What happens then.
    pub on_exhausted: Option<OnExhausted>,
}

/// Which events wait for each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Events of one key and partition number, across the subscription's topics.
    Key,
    /// All events of one partition number.
    Partition,
    /// None.
    None,
}

/// What happens to an event whose attempts are used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnExhausted {
    /// It becomes a dead letter.
    DeadLetter,
    /// It is parked until an operator resumes the subscription.
    PauseKey,
    /// The subscription pauses; the event is ready again when it resumes.
    PauseSubscription,
    /// It is thrown away, and the audit log says so.
    Discard,
}

/// What a dead letter does to its lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDead {
    /// The lane goes on.
    Continue,
    /// The lane waits, parked, until an operator resumes the subscription.
    BlockKey,
}

impl Default for Policy {
    fn default() -> Self {
        let two = |attempts| ClassPolicy { max_attempts: Some(attempts), on_exhausted: None };
        Self {
            order: Order::Key,
            stateful: false,
            concurrency: 64,
            rate: None,
            breaker: Some(BreakerPolicy::default()),
            guard: Some(GuardPolicy::default()),
            initial_interval: Millis(100),
            multiplier_permille: 2_000,
            max_interval: Millis::seconds(30),
            jitter_permille: 200,
            max_attempts: 8,
            max_age: Millis::seconds(7_200),
            retry_after_max: Millis::seconds(3_600),
            inline_attempts: 3,
            inline_time: Millis::seconds(1),
            on_exhausted: OnExhausted::DeadLetter,
            on_dead: OnDead::Continue,
            classes: BTreeMap::from([
                (FailureClass::Rejected, two(1)),
                (FailureClass::Invalid, two(1)),
                (FailureClass::Output, two(1)),
                (FailureClass::Trap, two(2)),
                (FailureClass::Timeout, two(3)),
                (FailureClass::Memory, two(2)),
            ]),
            window_events: 4_096,
            window_bytes: Bytes::mib(8),
            parked_events_max: 10_000,
            parked_bytes_max: Bytes::mib(64),
        }
    }
}

impl Policy {
    /// Attempts of `class` before an event is exhausted.
    ///
    /// What cannot succeed by trying again has one attempt unless the policy names the class
    /// (source: the contract's table of failure classes).
    pub fn attempts_max(&self, class: FailureClass) -> u32 {
        let named = self.classes.get(&class).and_then(|differs| differs.max_attempts);
        let by_class = match class {
            FailureClass::Rejected | FailureClass::Invalid | FailureClass::Output => 1,
            FailureClass::Retryable
            | FailureClass::Trap
            | FailureClass::Timeout
            | FailureClass::Memory
            | FailureClass::Infrastructure => self.max_attempts,
        };
        named.unwrap_or(by_class)
    }
}

/// How one worker is treated, whatever its subscriptions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerPolicy {
    /// Attempts running at once on this worker, over all subscriptions. Default 256; the
    /// plugin host's instance pool is sized by it.
    pub attempts_max: u32,
    /// Least time between two checkpoints. Default 0 (embedded); 5 ms on Kafka.
    pub checkpoint_interval_min: Millis,
    /// A checkpoint at the latest this long after something was staged. Default 100 ms.
    pub checkpoint_interval_max: Millis,
    /// A checkpoint at once when this many events are staged; twice this many, while another
    /// commits, stop dispatch. Default 10,000.
    pub checkpoint_events_max: u32,
    /// The same by size of effects. Default 8 MiB.
    pub checkpoint_bytes_max: Bytes,
    /// How long running attempts may go on after revoke or drain. Default 5 s.
    pub drain_max: Millis,
}

impl Default for WorkerPolicy {
    fn default() -> Self {
        Self {
            attempts_max: 256,
            checkpoint_interval_min: Millis(0),
            checkpoint_interval_max: Millis(100),
            checkpoint_events_max: 10_000,
            checkpoint_bytes_max: Bytes::mib(8),
            drain_max: Millis::seconds(5),
        }
    }
}

/// What a worker holds now, for metrics. Counted, not sampled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// Lanes with anything in memory that are not parked.
    pub lanes_active: u64,
    /// Lanes in durable parking.
    pub lanes_parked: u64,
    /// Events in durable parking.
    pub parked_events: u64,
    /// When the oldest parked event first failed.
    pub oldest_parked: Option<Instant>,
    /// Attempts running.
    pub events_in_flight: u64,
    /// Lanes whose head waits for its next attempt, in memory or parked.
    pub retries_scheduled: u64,
    /// Timers set.
    pub timers_pending: u64,
    /// Outcomes that are decided and whose checkpoint is not durable yet.
    pub outcomes_uncommitted: u64,
    /// How the breaker stands.
    pub circuit: Circuit,
}

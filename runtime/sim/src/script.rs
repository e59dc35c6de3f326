//! Decides what a history is about: subscriptions and their policies, what is appended when, how
//! each attempt of each event ends, which faults strike. Everything follows from the seed; it
//! never sees what the engine makes of it.

use std::collections::BTreeMap;

use gristmill_engine::{
    BreakerPolicy, Bytes, ClassPolicy, FailureClass, GuardPolicy, IdHash, Instant, KeyHash, Millis,
    Offset, OnDead, OnExhausted, Order, PartitionId, Policy, SubscriptionId, TopicId, Verdict,
    WorkerPolicy,
};

use crate::random::Random;
use crate::topic::Record;

/// First topic number of the internal topics that dead letters come back through.
const REDRIVE_TOPICS: u32 = 100;

/// Keys are hashes in the engine's eyes: these stay clear of the small numbers it names the lanes
/// of events without key by.
pub(crate) const KEY_SHIFT: u32 = 110;

/// The end of a topic of which that is not known yet.
pub(crate) const UNKNOWN: Offset = Offset(u64::MAX);

/// Moment at which every history begins.
pub const DAWN: Instant = Instant(1_000_000);

/// A subscription of a history.
#[derive(Debug, Clone)]
pub struct Subscription {
    /// Its number.
    pub id: SubscriptionId,
    /// Source topics, then its own topic of redriven dead letters.
    pub topics: Vec<TopicId>,
    /// Where its first topic ends is told only a while after all else, as it is of a topic that
    /// others still forward to.
    pub ends_late: bool,
    /// How it is treated.
    pub policy: Policy,
}

impl Subscription {
    /// Where `topic` ends, as it is told at first.
    #[must_use]
    pub fn told_end(&self, topic: TopicId, end: Offset) -> Offset {
        if self.ends_late && self.topics[0] == topic { UNKNOWN } else { end }
    }

    /// Whether an event whose emission is refused for good is left to an operator.
    #[must_use]
    pub fn waits_for_operator(&self) -> bool {
        let class = self.policy.classes.get(&FailureClass::Output);
        let named = class.and_then(|class| class.on_exhausted);
        matches!(
            named.unwrap_or(self.policy.on_exhausted),
            OnExhausted::PauseKey | OnExhausted::PauseSubscription
        )
    }

    /// The internal topic its redriven dead letters come through.
    #[must_use]
    pub fn redrive_topic(&self) -> TopicId {
        TopicId(REDRIVE_TOPICS + self.id.0)
    }
}

/// A record to be appended.
#[derive(Debug, Clone, Copy)]
pub struct Arrival {
    /// The topic.
    pub topic: TopicId,
    /// The partition.
    pub partition: PartitionId,
    /// Offsets before it that compaction emptied.
    pub gap: u64,
    /// The record.
    pub record: Record,
}

/// A fault, or something an operator does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The process dies.
    Crash,
    /// A partition is given back in order and goes to any worker.
    Revoke,
    /// A partition is taken away and goes to any worker.
    Lose,
    /// A subscription is paused, and resumed a while later.
    Pause,
    /// Storage is short for a while.
    StorageLow,
    /// A worker is stopped in order and started again.
    Drain,
    /// A new plugin version is ready.
    Upgrade,
    /// A group's committed offset is set back.
    Reset,
    /// A topic is deleted and created again.
    Recreate,
    /// Dead letters are sent back.
    Redrive,
    /// Retention removes the oldest records.
    Trim,
    /// A host of a cluster stands still for a while.
    Freeze,
    /// What a host of a cluster reads a partition from fails.
    ReadAnew,
}

const FAULTS: [Fault; 11] = [
    Fault::Crash,
    Fault::Revoke,
    Fault::Lose,
    Fault::Pause,
    Fault::StorageLow,
    Fault::Drain,
    Fault::Upgrade,
    Fault::Reset,
    Fault::Recreate,
    Fault::Redrive,
    Fault::Trim,
];

/// What befalls a cluster above all.
const CLUSTER_FAULTS: [Fault; 6] =
    [Fault::Crash, Fault::Lose, Fault::Freeze, Fault::Freeze, Fault::Reset, Fault::ReadAnew];

/// How bad the network of a cluster is, in thousandths.
#[derive(Debug, Clone, Copy)]
pub struct Network {
    /// What is sent never arrives.
    pub lost: u64,
    /// It takes its time.
    pub late: u64,
}

/// How hostile the world is, in thousandths.
#[derive(Debug, Clone, Copy)]
pub struct Rates {
    /// A crash while the effects of one step are executed.
    pub crash_per_step: u64,
    /// A commit ends as aborted.
    pub abort: u64,
    /// A commit is durable and the process dies before it is told.
    pub crash_after_commit: u64,
    /// The process dies with nothing of the commit durable.
    pub crash_before_commit: u64,
}

/// Everything a history is about.
#[derive(Debug, Clone)]
pub struct Script {
    /// What it was made from.
    pub seed: u64,
    /// Workers, 1 or 2.
    pub workers: usize,
    /// Partitions of every topic, 2 or 3.
    pub partitions: u32,
    /// How the workers are treated.
    pub worker_policy: WorkerPolicy,
    /// The subscriptions.
    pub subscriptions: Vec<Subscription>,
    /// What is appended, by time.
    pub arrivals: Vec<(Instant, Arrival)>,
    /// What strikes, by time.
    pub faults: Vec<(Instant, Fault)>,
    /// How hostile the world is before `heal_at`.
    pub rates: Rates,
    /// When faults stop.
    pub heal_at: Instant,
    /// Whether the group's offset is kept apart from progress, as on Kafka.
    pub group_offsets: bool,
    /// Whether several hosts share a cluster, instead of workers a process.
    pub cluster: bool,
    /// How bad the cluster's network is before `heal_at`.
    pub network: Network,
}

impl Script {
    /// The script of `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let partitions = u32::from(random.chance(400)) + 2;
        let sources: Vec<TopicId> = (0..2 + u32::from(random.chance(300))).map(TopicId).collect();
        let subscriptions = (0..2 + u32::from(random.chance(200)))
            .map(|id| subscription(&mut random, SubscriptionId(id), &sources))
            .collect();
        let heal_at = Instant(DAWN.0 + random.between(500, 3_000));
        let script = Self {
            seed,
            workers: 1 + random.index(2),
            partitions,
            worker_policy: worker_policy(&mut random),
            subscriptions,
            arrivals: arrivals(&mut random, &sources, partitions, heal_at),
            faults: faults(&mut random, heal_at),
            rates: rates(&mut random),
            heal_at,
            group_offsets: random.chance(500),
            cluster: false,
            network: Network { lost: 0, late: 0 },
        };
        if random.chance(500) { script.in_cluster(&mut random) } else { script }
    }

    /// The same with hosts that share a cluster.
    fn in_cluster(mut self, random: &mut Random) -> Self {
        self.cluster = true;
        self.group_offsets = true;
        self.workers = 2 + random.index(2);
        self.rates.crash_per_step = self.rates.crash_per_step.min(5);
        self.network =
            Network { lost: random.pick(&[0, 2, 10, 30]), late: random.pick(&[0, 10, 30, 100]) };
        let span = self.heal_at.since(DAWN).0;
        for _ in 0..random.below(10) {
            let at = DAWN.after(Millis(random.below(span)));
            self.faults.push((at, random.pick(&CLUSTER_FAULTS)));
        }
        self
    }

    /// The subscription of this number.
    ///
    /// # Panics
    ///
    /// When there is no such subscription.
    #[must_use]
    pub fn subscription(&self, id: SubscriptionId) -> &Subscription {
        self.subscriptions.iter().find(|s| s.id == id).unwrap_or(&self.subscriptions[0])
    }

    /// All partition numbers.
    pub fn partition_ids(&self) -> impl Iterator<Item = PartitionId> + use<> {
        (0..self.partitions).map(PartitionId)
    }
}

/// Records of one topic partition, made up afresh: `count` of them, at `from` and later.
pub fn records(
    random: &mut Random,
    partition: PartitionId,
    count: u64,
    from: Instant,
) -> Vec<(u64, Record)> {
    let mut at = from;
    (0..count)
        .map(|_| {
            at = at.after(Millis(random.below(40)));
            let gap = if random.chance(100) { random.between(1, 3) } else { 0 };
            (gap, record(random, partition, at))
        })
        .collect()
}

fn record(random: &mut Random, partition: PartitionId, timestamp: Instant) -> Record {
    let place = u128::from(partition.0);
    let key = u128::from(random.below(4));
    // Few enough ids that twins are common, in one partition as across two topics of it.
    let id = u128::from(random.below(40));
    let verdict = match random.below(100) {
        0..8 => Verdict::Filtered,
        8..12 => Verdict::Invalid,
        12..24 => Verdict::Forwarded,
        _ => Verdict::Accepted,
    };
    // Who an event is, is found out where it belongs.
    let has_id = random.chance(700) && verdict != Verdict::Forwarded;
    Record {
        key: (!random.chance(60)).then_some(KeyHash((place * 100 + key + 1) << KEY_SHIFT)),
        id: has_id.then_some(IdHash(place * 1_000 + id + 1)),
        size: Bytes(random.between(1, 2_000)),
        verdict,
        redriven: false,
        timestamp,
    }
}

fn arrivals(
    random: &mut Random,
    sources: &[TopicId],
    partitions: u32,
    heal_at: Instant,
) -> Vec<(Instant, Arrival)> {
    let mut all = Vec::new();
    for topic in sources {
        for partition in (0..partitions).map(PartitionId) {
            let count = random.between(2, 14);
            let backlog = random.below(count);
            let made = records(random, partition, count, DAWN);
            for (number, (gap, mut record)) in (0..).zip(made) {
                let late = DAWN.after(Millis(random.below(heal_at.since(DAWN).0)));
                let at = if number < backlog { DAWN } else { late };
                record.timestamp = at;
                all.push((at, Arrival { topic: *topic, partition, gap, record }));
            }
        }
    }
    all
}

fn faults(random: &mut Random, heal_at: Instant) -> Vec<(Instant, Fault)> {
    let count = if random.chance(150) { 0 } else { random.between(1, 12) };
    let span = heal_at.since(DAWN).0;
    (0..count).map(|_| (DAWN.after(Millis(random.below(span))), random.pick(&FAULTS))).collect()
}

fn rates(random: &mut Random) -> Rates {
    if random.chance(200) {
        return Rates {
            crash_per_step: 0,
            abort: 0,
            crash_after_commit: 0,
            crash_before_commit: 0,
        };
    }
    Rates {
        crash_per_step: random.pick(&[0, 0, 2, 5, 15]),
        abort: random.pick(&[0, 20, 100, 250]),
        crash_after_commit: random.pick(&[0, 0, 20, 60]),
        crash_before_commit: random.pick(&[0, 0, 20, 60]),
    }
}

fn worker_policy(random: &mut Random) -> WorkerPolicy {
    WorkerPolicy {
        attempts_max: random.pick(&[1, 3, 8, 256]),
        checkpoint_interval_min: Millis(random.pick(&[0, 0, 5])),
        checkpoint_interval_max: Millis(random.pick(&[5, 20, 100])),
        checkpoint_events_max: random.pick(&[1, 4, 20, 10_000]),
        checkpoint_bytes_max: Bytes(random.pick(&[1_000, 8_388_608])),
        drain_max: Millis(random.pick(&[20, 200, 1_000])),
    }
}

fn subscription(random: &mut Random, id: SubscriptionId, sources: &[TopicId]) -> Subscription {
    let mut topics = sources.to_vec();
    if id.0 > 0 && random.chance(300) {
        topics.truncate(1);
    }
    topics.push(TopicId(REDRIVE_TOPICS + id.0));
    let stateful = id.0 == 0 || random.chance(300);
    let orders = [Order::Key, Order::Key, Order::Key, Order::Partition, Order::None];
    let order = random.pick(if stateful { &orders[..4] } else { &orders[..] });
    let ends_late = random.chance(250);
    Subscription { id, topics, ends_late, policy: policy(random, order, stateful) }
}

fn policy(random: &mut Random, order: Order, stateful: bool) -> Policy {
    let on_exhausted = match random.below(10) {
        0..7 => OnExhausted::DeadLetter,
        7 => OnExhausted::PauseKey,
        8 => OnExhausted::PauseSubscription,
        _ => OnExhausted::Discard,
    };
    Policy {
        order,
        stateful,
        concurrency: random.pick(&[1, 2, 4, 64]),
        initial_interval: Millis(random.pick(&[5, 20, 100])),
        max_interval: Millis(random.pick(&[50, 400])),
        max_attempts: random.pick(&[1, 2, 4, 6]),
        max_age: Millis(random.pick(&[300, 7_200_000, 7_200_000])),
        retry_after_max: Millis(random.pick(&[50, 500])),
        inline_attempts: random.pick(&[1, 2, 3]),
        inline_time: Millis(random.pick(&[30, 200, 1_000])),
        on_exhausted,
        on_dead: if random.chance(150) { OnDead::BlockKey } else { OnDead::Continue },
        classes: classes(random),
        window_events: random.pick(&[1, 4, 16, 1_024]),
        window_bytes: Bytes(random.pick(&[2_000, 8_388_608])),
        parked_events_max: random.pick(&[1, 3, 10_000]),
        parked_bytes_max: Bytes(random.pick(&[3_000, 67_108_864])),
        rate: random.chance(150).then(|| random.pick(&[20_000, 200_000])),
        breaker: random.chance(400).then(|| breaker(random)),
        guard: random.chance(200).then(|| guard(random)),
        ..Policy::default()
    }
}

fn breaker(random: &mut Random) -> BreakerPolicy {
    BreakerPolicy {
        attempts_min: random.pick(&[1, 3, 8]),
        failures_permille: random.pick(&[200, 500, 1_000]),
        span: Millis(random.pick(&[15, 300, 5_000])),
        outages_max: random.pick(&[1, 2, 5]),
        pause: Millis(random.pick(&[20, 200])),
        pause_max: Millis(random.pick(&[20, 600])),
        falls_back: random.chance(300),
    }
}

fn guard(random: &mut Random) -> GuardPolicy {
    GuardPolicy {
        events_min: random.pick(&[2, 10]),
        dead_permille: random.pick(&[0, 200, 500]),
        span: Millis(random.pick(&[15, 500, 60_000])),
    }
}

fn classes(random: &mut Random) -> BTreeMap<FailureClass, ClassPolicy> {
    let mut classes = Policy::default().classes;
    // What is invalid stays invalid: paused, it would wait for an operator for ever.
    let invalid =
        ClassPolicy { max_attempts: Some(1), on_exhausted: Some(OnExhausted::DeadLetter) };
    classes.insert(FailureClass::Invalid, invalid);
    if random.chance(100) {
        let discard =
            ClassPolicy { max_attempts: Some(1), on_exhausted: Some(OnExhausted::Discard) };
        classes.insert(FailureClass::Output, discard);
    }
    classes
}

#[cfg(test)]
mod tests {
    use super::Script;

    #[test]
    fn a_seed_is_a_script() {
        assert_eq!(format!("{:?}", Script::new(3)), format!("{:?}", Script::new(3)));
        assert_ne!(format!("{:?}", Script::new(3)), format!("{:?}", Script::new(4)));
    }

    #[test]
    fn every_history_has_two_subscriptions_topics_and_partitions() {
        for seed in 0..50 {
            let script = Script::new(seed);
            assert!(script.subscriptions.len() >= 2 && script.partitions >= 2);
            assert!(script.subscriptions[0].topics.len() >= 3, "two sources and the redriven");
        }
    }
}

//! The effects of the engine: everything a driver can be told to do, one variant each. Owns no
//! behaviour.

use alloc::vec::Vec;

use crate::{
    AttemptId, CheckpointId, EventRef, FailureClass, Generation, IdHash, Instant, KeyHash, Offset,
    OffsetRange, PartitionId, SubscriptionId, TopicId, Version,
};

/// What must be done. Executed in the order appended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the line of each variant names its fields")]
pub enum Effect {
    /// Call the plugin. Answered by exactly one [`Input::Finished`](crate::Input), unless
    /// cancelled. `parked` is the event's place in its parked lane when its bytes are there.
    ///
    /// `key` is the event's own; of a parked event, the key its lane was parked under, which is
    /// another one where the lane is not the key's (`order` partition or none, null key). An
    /// event loaded from parking is decoded again: one that is invalid fails with that class.
    Invoke {
        attempt: AttemptId,
        subscription: SubscriptionId,
        partition: PartitionId,
        key: Option<KeyHash>,
        event: EventRef,
        /// Place in the parked lane, when the event's bytes must be loaded from there.
        parked: Option<u64>,
        /// 1 for the first counted attempt.
        number: u32,
        version: Version,
    },
    /// Interrupt an attempt; its effects are void and its end is not waited for.
    Cancel { attempt: AttemptId },
    /// Add to the filling checkpoint. Nothing of it may be visible outside its lane before the
    /// checkpoint is durable.
    Stage {
        checkpoint: CheckpointId,
        subscription: SubscriptionId,
        partition: PartitionId,
        generation: Generation,
        staged: Staged,
    },
    /// Make everything staged in `checkpoint`, and `progress`, durable in one step; answered by
    /// `Committed` or `Aborted`. Effects after this one belong to the next checkpoint.
    Commit { checkpoint: CheckpointId, progress: Vec<Progress> },
    /// Take everything staged for this partition out of the filling checkpoint.
    Discard { subscription: SubscriptionId, partition: PartitionId, generation: Generation },
    /// Forget everything uncommitted of this partition (buffers, overlays, fetch position) and
    /// answer with `Assigned` from what is durable, under a greater generation.
    Rewind { subscription: SubscriptionId, partition: PartitionId, generation: Generation },
    /// Read a topic partition from `from` on, under this generation: follows every `Assigned`,
    /// once per cursor, because the engine decides where an epoch begins.
    Fetch {
        subscription: SubscriptionId,
        topic: TopicId,
        partition: PartitionId,
        generation: Generation,
        from: Offset,
    },
    /// Stop reading a topic partition until `ResumeFetch`; a few records more do no harm.
    PauseFetch { subscription: SubscriptionId, topic: TopicId, partition: PartitionId },
    /// Read on.
    ResumeFetch { subscription: SubscriptionId, topic: TopicId, partition: PartitionId },
    /// The bytes of this event are not needed in memory any more, if they are there: follows the
    /// staging of every outcome, parking and parked failure, records and timers alike.
    Release { subscription: SubscriptionId, event: EventRef },
    /// A revoked partition is drained and durable; it may be given back.
    Released { subscription: SubscriptionId, partition: PartitionId, generation: Generation },
    /// Attempts use `version` from here on.
    Activated { subscription: SubscriptionId, version: Version },
    /// An open breaker wants to try again: answer with [`Input::Probed`](crate::Input).
    Probe { subscription: SubscriptionId },
    /// All is drained and durable; the process may end.
    Drained,
    /// Something worth counting happened.
    Observe(Observation),
}

/// A change that becomes durable with its checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the line of each variant names its fields")]
pub enum Staged {
    /// An event reached its terminal outcome. With `mark`, its dedupe mark is written. A timer is
    /// deleted (before the attempt's own timer changes apply). With `parked`, its place in the
    /// parked lane is deleted, and `key` is the key it was parked under.
    Settled {
        event: EventRef,
        key: Option<KeyHash>,
        outcome: Terminal,
        mark: Option<IdHash>,
        /// Epoch of the event's topic partition, for the mark.
        epoch: u32,
        parked: Option<u64>,
    },
    /// An event is moved to, or appended to, a parked lane: store its bytes and these figures.
    /// A timer is deleted from the timers: it lives in the lane now. `key` names the lane: the
    /// event's key, or one of the engine's making where the lane is not the key's.
    Parked {
        event: EventRef,
        key: KeyHash,
        sequence: u64,
        attempts: u32,
        first_failure: Option<Instant>,
        due: Instant,
        id: Option<IdHash>,
        redriven: bool,
    },
    /// A parked event failed again: new figures for its place.
    Retried {
        key: KeyHash,
        sequence: u64,
        attempts: u32,
        first_failure: Option<Instant>,
        due: Instant,
    },
    /// The subscription uses this plugin version from the next checkpoint on. Staged under
    /// partition and generation 0, which mean nothing here; staged again after an abort.
    Upgraded { version: Version },
}

/// Terminal outcomes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the line of each variant names its fields")]
pub enum Terminal {
    /// The attempt's effects apply. Its `n`-th timer setting, from 0 and cancellations not
    /// counted, has sequence `timer_sequence + n`.
    Succeeded { attempt: AttemptId, timer_sequence: u64 },
    /// An event with this business id is settled already.
    Duplicate,
    /// The filter did not want it.
    Filtered,
    /// It belongs to another partition: append it there. Those of one topic partition are
    /// staged in the order of their offsets.
    Forwarded,
    /// The breaker is open: append it to where its subscription falls back to. Attempts there
    /// were before count for nothing more.
    FellBack,
    /// Given up on: write the dead letter.
    DeadLettered {
        class: FailureClass,
        attempts: u32,
        first_failure: Instant,
        last_failure: Instant,
    },
    /// Thrown away because policy says so; audited.
    Discarded { class: FailureClass, attempts: u32 },
}

/// Progress of one topic partition, committed with its checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The subscription.
    pub subscription: SubscriptionId,
    /// The topic.
    pub topic: TopicId,
    /// The partition.
    pub partition: PartitionId,
    /// Assignment it was made under; a stale one is dropped and counted.
    pub generation: Generation,
    /// Incarnation of the topic.
    pub incarnation: u128,
    /// Counts resets, from 0.
    pub epoch: u32,
    /// Offset the epoch began at.
    pub epoch_start: Offset,
    /// Every offset below is finished.
    pub next: Offset,
    /// Finished offsets above `next`: ascending, disjoint, not adjacent.
    pub finished: Vec<OffsetRange>,
}

/// What telemetry wants to know and no other effect tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the line of each variant names its fields")]
pub enum Observation {
    /// An input of an older generation was dropped.
    Stale { subscription: SubscriptionId },
    /// An attempt failed.
    AttemptFailed { subscription: SubscriptionId, class: FailureClass },
    /// A lane was parked.
    LaneParked { subscription: SubscriptionId },
    /// The breaker of a subscription is closed, open or half-open from now on.
    Breaker { subscription: SubscriptionId, circuit: Circuit },
    /// Too many events became dead letters, which paused the subscription; `Resumed` ends that.
    TooManyDead { subscription: SubscriptionId },
    /// An exhausted event paused its subscription, as its policy has it; `Resumed` ends that.
    SubscriptionPaused { subscription: SubscriptionId, class: FailureClass },
    /// A record at a finished position was read again and dropped.
    AlreadyFinished { subscription: SubscriptionId },
    /// Retention removed records before they were read; `count` offsets were skipped.
    Skipped { subscription: SubscriptionId, topic: TopicId, partition: PartitionId, count: u64 },
    /// A new epoch began: the group was reset or the topic re-created.
    EpochBegan { subscription: SubscriptionId, topic: TopicId, partition: PartitionId, epoch: u32 },
}

/// How a breaker stands, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Circuit {
    /// Attempts are made.
    #[default]
    Closed,
    /// A few are, to find out.
    HalfOpen,
    /// None is.
    Open,
}

//! Names the things the engine speaks of. Owns no meaning beyond identity and order; the driver
//! maps these numbers to names, digests and bytes.

/// A subscription, numbered by the driver; stable while the process lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubscriptionId(pub u32);

/// A topic, numbered by the driver; stable while the process lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicId(pub u32);

/// A partition number, shared by all topics of a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionId(pub u32);

/// A record's place in its partition, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Offset(pub u64);

impl Offset {
    /// The offset after this one, saturating.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// Offsets from `from` up to but not including `to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OffsetRange {
    /// First offset in the range.
    pub from: Offset,
    /// First offset past the range.
    pub to: Offset,
}

/// 128-bit keyed hash of an event's key: all the engine knows of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyHash(pub u128);

/// 128-bit keyed hash of an event's business id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdHash(pub u128);

/// 128-bit keyed hash of a timer's key and name: one timer of one lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimerHash(pub u128);

/// Counts the assignments of a partition to this worker, from 1; what an older one did is stale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Generation(pub u64);

/// Counts a worker's checkpoints, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct CheckpointId(pub u64);

/// Counts a worker's attempts, from 1; never reused while the process lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct AttemptId(pub u64);

/// One loaded plugin version (digest and manifest), numbered by the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u32);

/// Where a record stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The topic.
    pub topic: TopicId,
    /// The partition of the topic.
    pub partition: PartitionId,
    /// The offset in the partition.
    pub offset: Offset,
}

/// What a lane holds: a record, or a timer of the lane's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventRef {
    /// A record of a topic.
    Record(Position),
    /// A timer that came due. `sequence` tells one setting of the timer from the next.
    Timer {
        /// Partition of the lane.
        partition: PartitionId,
        /// The timer.
        timer: TimerHash,
        /// The number its setting was given.
        sequence: u64,
    },
}

//! Owns what readers and compaction need to know without reading disk: topics with their chunks,
//! scopes with their cells, the log of marks. Only the writer changes it, and only after a sync.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use bytestring::ByteString;
use gristmill_engine::{Bytes as Size, Instant, Millis, Offset, PartitionId, TopicId};

use crate::{
    Bounds, Error, Scope, Topic, TopicFigures,
    disk::Kind,
    recent::{Recent, Recents},
};

/// What is known without reading disk.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    topics: RwLock<Topics>,
    scopes: RwLock<Scopes>,
    /// Set when everything is loaded; until then compaction removes nothing.
    pub(crate) ready: AtomicBool,
    /// The last checkpoint readers can see; stored after everything else of it.
    pub(crate) published: AtomicU64,
    recents: Mutex<Recents>,
    /// What nobody owns any more and whose tables are still to be dropped.
    abandoned: Mutex<Vec<Abandoned>>,
}

impl Memory {
    pub(crate) fn topics(&self) -> RwLockReadGuard<'_, Topics> {
        // A panic while the lock was held cannot leave a half-made change: each is one assignment.
        self.topics.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn topics_mut(&self) -> RwLockWriteGuard<'_, Topics> {
        self.topics.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn scopes(&self) -> RwLockReadGuard<'_, Scopes> {
        self.scopes.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn scopes_mut(&self) -> RwLockWriteGuard<'_, Scopes> {
        self.scopes.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn recents(&self) -> MutexGuard<'_, Recents> {
        self.recents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that nobody owns something any more.
    pub(crate) fn abandon(&self, what: Abandoned) {
        self.abandoned.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    }

    /// Takes what was given up since the last call.
    pub(crate) fn take_abandoned(&self) -> Vec<Abandoned> {
        std::mem::take(&mut *self.abandoned.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The log of a topic.
    pub(crate) fn log(&self, topic: TopicId) -> Result<Arc<Log>, Error> {
        let found = self.topics().by_id.get(&topic).map(Arc::clone);
        found.ok_or_else(|| Error::TopicUnknown { topic: topic.0.to_string() })
    }
}

/// Something whose keys are all dead. Forgotten at a restart: compaction finds it later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Abandoned {
    Topic(TopicId),
    Cell(Kind, u32),
}

/// All topics.
#[derive(Debug, Default)]
pub(crate) struct Topics {
    pub(crate) by_id: BTreeMap<TopicId, Arc<Log>>,
    pub(crate) by_name: BTreeMap<ByteString, TopicId>,
    /// Number of the next topic.
    pub(crate) next: u32,
}

/// A topic and its partitions.
#[derive(Debug)]
pub(crate) struct Log {
    topic: RwLock<Topic>,
    pub(crate) partitions: Vec<Partition>,
}

impl Log {
    pub(crate) fn new(topic: Topic) -> Self {
        let partitions = (0..topic.partitions).map(|_| Partition::default()).collect();
        Self { topic: RwLock::new(topic), partitions }
    }

    pub(crate) fn topic(&self) -> Topic {
        self.topic.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_topic(&self, topic: Topic) {
        *self.topic.write().unwrap_or_else(PoisonError::into_inner) = topic;
    }

    pub(crate) fn partition(&self, number: PartitionId) -> Result<&Partition, Error> {
        let index = usize::try_from(number.0).unwrap_or(usize::MAX);
        let topic = || self.topic.read().unwrap_or_else(PoisonError::into_inner).id;
        let found = self.partitions.get(index);
        found.ok_or_else(|| Error::PartitionUnknown { topic: topic(), partition: number })
    }

    /// Partitions with their numbers.
    pub(crate) fn numbered(&self) -> impl Iterator<Item = (PartitionId, &Partition)> {
        (0..).map(PartitionId).zip(&self.partitions)
    }

    pub(crate) fn figures(&self) -> TopicFigures {
        let mut figures = TopicFigures::default();
        for partition in &self.partitions {
            for chunk in partition.chunks().iter().filter(|chunk| chunk.events > 0) {
                figures.events += chunk.events;
                figures.bytes = figures.bytes.plus(Size(chunk.bytes));
                let oldest = figures.oldest.map_or(chunk.oldest, |at| at.0.min(chunk.oldest));
                figures.oldest = Some(Instant(oldest));
            }
        }
        figures
    }
}

/// One partition of a topic.
#[derive(Debug, Default)]
pub(crate) struct Partition {
    start: AtomicU64,
    end: AtomicU64,
    /// By base; they leave no offset out. Empty only before the first event.
    chunks: Mutex<VecDeque<Chunk>>,
    /// Its last events, for whoever keeps up.
    pub(crate) recent: Recent,
    /// Every event below was compacted once; nothing is kept of a key that has a later one.
    pub(crate) cleaned: AtomicU64,
    /// When the oldest tombstone the last pass left may go; `u64::MAX` when it left none.
    pub(crate) tombstone_due: AtomicU64,
}

impl Partition {
    pub(crate) fn bounds(&self) -> Bounds {
        // Start first: it never passes an end that is read later.
        let start = Offset(self.start.load(Ordering::Acquire));
        Bounds { start, end: Offset(self.end.load(Ordering::Acquire)) }
    }

    pub(crate) fn chunks(&self) -> MutexGuard<'_, VecDeque<Chunk>> {
        self.chunks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes `chunks` the chunks of this partition, and its bounds what follows from them.
    pub(crate) fn set_chunks(&self, chunks: VecDeque<Chunk>) {
        let mut held = self.chunks();
        *held = chunks;
        self.set_bounds(&held);
    }

    /// Takes over the chunks that a commit filled: the first may be a fuller form of the last.
    pub(crate) fn grow(&self, filled: &[Chunk]) {
        let mut held = self.chunks();
        for chunk in filled {
            if held.back().is_some_and(|last| last.base == chunk.base) {
                held.pop_back();
            }
            held.push_back(chunk.clone());
        }
        self.set_bounds(&held);
    }

    /// Takes `count` chunks off the front; `next` follows when none is left.
    pub(crate) fn drop_front(&self, count: usize, next: Option<Chunk>) {
        let mut held = self.chunks();
        held.drain(..count);
        held.extend(next);
        self.set_bounds(&held);
    }

    fn set_bounds(&self, chunks: &VecDeque<Chunk>) {
        self.end.store(chunks.back().map_or(0, |chunk| chunk.end), Ordering::Release);
        self.start.store(chunks.front().map_or(0, |chunk| chunk.base), Ordering::Release);
    }
}

/// A run of offsets of a partition, the unit of retention.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chunk {
    /// Its first offset.
    pub(crate) base: u64,
    /// One past its last offset.
    pub(crate) end: u64,
    /// Events it still holds: compaction takes some.
    pub(crate) events: u64,
    /// Their size.
    pub(crate) bytes: u64,
    /// Least timestamp ever put in.
    pub(crate) oldest: u64,
    /// Greatest timestamp ever put in.
    pub(crate) youngest: u64,
    /// When its first event was put in, by the store's clock.
    pub(crate) opened: u64,
}

impl Chunk {
    pub(crate) fn empty(base: u64, now: Instant) -> Self {
        let (oldest, youngest) = (u64::MAX, 0);
        Self { base, end: base, events: 0, bytes: 0, oldest, youngest, opened: now.0 }
    }

    /// Adds an event at the end and gives its offset.
    pub(crate) fn add(&mut self, size: u64, timestamp: Instant) -> Offset {
        let offset = Offset(self.end);
        self.end += 1;
        self.events += 1;
        self.bytes = self.bytes.saturating_add(size);
        self.oldest = self.oldest.min(timestamp.0);
        self.youngest = self.youngest.max(timestamp.0);
        offset
    }
}

/// When a chunk is full.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ChunkLimit {
    bytes: u64,
    span: u64,
}

impl ChunkLimit {
    /// Most bytes of a chunk, so that a hundred gigabytes are a hundred thousand of them.
    const BYTES: u64 = 1_024 * 1_024;
    /// Most offsets of a chunk, so that a search by time reads few of them.
    const EVENTS: u64 = 16_384;
    /// A chunk is this part of a retention limit, so that retention is that exact.
    const PART: u64 = 16;

    pub(crate) fn of(topic: &Topic) -> Self {
        let part = |limit: u64| (limit / Self::PART).max(1);
        let of_bytes =
            |size: Size| part(size.0 / u64::from(topic.partitions.max(1))).min(Self::BYTES);
        Self {
            bytes: topic.retention.bytes.map_or(Self::BYTES, of_bytes),
            span: topic.retention.age.map_or(u64::MAX, |age: Millis| part(age.0)),
        }
    }

    pub(crate) fn reached(self, chunk: &Chunk, now: Instant) -> bool {
        chunk.events > 0
            && (chunk.bytes >= self.bytes
                || chunk.end - chunk.base >= Self::EVENTS
                || now.0.saturating_sub(chunk.opened) >= self.span)
    }
}

/// Where what a scope owns lies: a number per kind, in front of every key. To forget everything
/// of a kind is to take a new number; compaction removes what has an old one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cells {
    pub(crate) state: u32,
    pub(crate) timers: u32,
    pub(crate) parked: u32,
    pub(crate) marks: u32,
    pub(crate) progress: u32,
}

impl Cells {
    pub(crate) fn of(&self, kind: Kind) -> u32 {
        match kind {
            Kind::State => self.state,
            Kind::Timers => self.timers,
            Kind::Parked => self.parked,
            Kind::Marks => self.marks,
            Kind::Progress => self.progress,
        }
    }

    pub(crate) fn set(&mut self, kind: Kind, cell: u32) {
        let slot = match kind {
            Kind::State => &mut self.state,
            Kind::Timers => &mut self.timers,
            Kind::Parked => &mut self.parked,
            Kind::Marks => &mut self.marks,
            Kind::Progress => &mut self.progress,
        };
        *slot = cell;
    }

    pub(crate) fn all(&self) -> [u32; 5] {
        [self.state, self.timers, self.parked, self.marks, self.progress]
    }
}

/// All scopes, subscriptions and logs of marks.
#[derive(Debug, Default)]
pub(crate) struct Scopes {
    pub(crate) cells: BTreeMap<Scope, Cells>,
    /// Number of the next cell.
    pub(crate) next_cell: u32,
    pub(crate) subscriptions: BTreeMap<String, u32>,
    /// Number of the next subscription.
    pub(crate) next_subscription: u32,
    /// By cell.
    pub(crate) marks: BTreeMap<u32, MarkLog>,
}

/// Which checkpoints' marks a cell still holds, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct MarkLog {
    pub(crate) buckets: VecDeque<Bucket>,
    pub(crate) held: u64,
    /// Marks forgotten before their age since the store was opened.
    pub(crate) evicted: u64,
}

impl MarkLog {
    /// Whether marks of this checkpoint are still held.
    pub(crate) fn holds(&self, checkpoint: u64) -> bool {
        self.buckets.front().is_some_and(|bucket| bucket.first <= checkpoint)
    }
}

/// Marks of some checkpoints in a row: they are forgotten together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bucket {
    /// Its first checkpoint.
    pub(crate) first: u64,
    pub(crate) count: u64,
    pub(crate) oldest: u64,
    pub(crate) youngest: u64,
}

#[cfg(test)]
mod tests {
    use gristmill_engine::{Bytes as Size, Instant, Millis, Offset, TopicId};

    use super::{Chunk, ChunkLimit, Partition};
    use crate::{Retention, Topic};

    fn topic(bytes: Option<u64>, age: Option<u64>) -> Topic {
        Topic {
            id: TopicId(1),
            name: "t".into(),
            partitions: 1,
            retention: Retention { age: age.map(Millis), bytes: bytes.map(Size) },
            compacted: false,
            created: Instant(0),
        }
    }

    #[test]
    fn a_chunk_is_full_at_its_limit_and_not_before() {
        // Retention bytes, retention age, events put in, their size, time passed, full.
        let rows = [
            (None, None, 0, 0, u64::MAX, false),
            (None, None, 1, 1_048_575, 0, false),
            (None, None, 1, 1_048_576, 0, true),
            (None, None, 16_383, 0, 0, false),
            (None, None, 16_384, 0, 0, true),
            (Some(1_600), None, 1, 99, 0, false),
            (Some(1_600), None, 1, 100, 0, true),
            (None, Some(1_600), 1, 1, 99, false),
            (None, Some(1_600), 1, 1, 100, true),
            (Some(1), Some(1), 1, 0, 0, false),
            (Some(1), Some(1), 1, 1, 0, true),
        ];
        for row in rows {
            let (bytes, age, events, size, passed, full) = row;
            let mut chunk = Chunk::empty(0, Instant(0));
            for _ in 0..events {
                chunk.add(size, Instant(5));
            }
            let limit = ChunkLimit::of(&topic(bytes, age));
            assert_eq!(limit.reached(&chunk, Instant(passed)), full, "{row:?}");
        }
    }

    #[test]
    fn a_partition_grows_by_fuller_and_new_chunks() {
        let partition = Partition::default();
        let mut first = Chunk::empty(0, Instant(0));
        first.add(1, Instant(1));
        partition.grow(&[first.clone()]);
        assert_eq!(partition.bounds().end, Offset(1));
        first.add(1, Instant(2));
        let mut second = Chunk::empty(2, Instant(0));
        second.add(1, Instant(3));
        partition.grow(&[first, second]);
        assert_eq!(partition.chunks().len(), 2);
        assert_eq!(partition.bounds().end, Offset(3));
        assert_eq!(partition.bounds().start, Offset(0));
    }
}

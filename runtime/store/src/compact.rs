//! Decides which events of a compacted topic are superseded: all of a key but the last, and
//! tombstones that are old enough. The newest event of a partition always stays.

use std::{
    collections::{BTreeMap, HashMap},
    hash::{BuildHasher, RandomState},
    sync::atomic::Ordering,
};

use gristmill_engine::{Bytes as Size, Instant, Offset, PartitionId, TopicId};

use crate::{
    Error, ReadLimit, Stored,
    codec::Encoder,
    commit::Commit,
    disk::Place,
    key::{self, meta},
    log,
    memory::{Chunk, Log, Partition},
    open::encode_chunk,
    record,
    shared::Shared,
};

/// Keys one pass knows: 4 MiB of memory. More keys take more passes.
const KEYS_MAX: usize = 100_000;
/// Events read, and at most removed, in one slice.
const SLICE: ReadLimit = ReadLimit { events: 1_000, bytes: Size(4 * 1_024 * 1_024) };

/// One pass over one partition.
pub(crate) struct Pass {
    topic: TopicId,
    partition: PartitionId,
    /// Where the next slice begins.
    at: Offset,
    /// Every event below was looked at when the pass is done.
    end: Offset,
    /// Last offset of each key among the events no pass has seen.
    last: HashMap<u128, Offset>,
    hasher: Hasher,
    now: Instant,
    /// When the oldest tombstone this pass leaves may go.
    tombstone_due: u64,
}

/// Two independent keyed hashes: 128 bits that nobody outside can steer, for two keys with one
/// hash would cost an event.
#[derive(Default)]
struct Hasher(RandomState, RandomState);

impl Hasher {
    fn hash(&self, key: &[u8]) -> u128 {
        u128::from(self.0.hash_one(key)) << 64 | u128::from(self.1.hash_one(key))
    }
}

impl Pass {
    /// Begins a pass if one is due: when at least half of the events are new, or a tombstone has
    /// become old enough.
    pub(crate) fn begin(
        shared: &Shared,
        log: &Log,
        number: PartitionId,
    ) -> Result<Option<Self>, Error> {
        let partition = log.partition(number)?;
        let bounds = partition.bounds();
        let now = (shared.settings.clock)();
        let from = Offset(partition.cleaned.load(Ordering::Relaxed)).max(bounds.start);
        let fresh = bounds.end.0.saturating_sub(from.0);
        let held: u64 = partition.chunks().iter().map(|chunk| chunk.events).sum();
        // Zero is what a partition begins with: no pass has left a tombstone.
        let due = partition.tombstone_due.load(Ordering::Relaxed);
        let tombstone = due > 0 && due <= now.0;
        if !(tombstone || fresh > 0 && fresh.saturating_mul(2) >= held) {
            return Ok(None);
        }
        let mut pass = Self {
            topic: log.topic().id,
            partition: number,
            at: bounds.start,
            end: from,
            last: HashMap::new(),
            hasher: Hasher::default(),
            now,
            tombstone_due: u64::MAX,
        };
        while pass.end < bounds.end && pass.last.len() < KEYS_MAX {
            let events = log::read(shared, pass.topic, number, pass.end, SLICE)?;
            let Some(last) = events.last() else { break };
            pass.end = last.offset.next();
            for (key, offset) in
                events.iter().filter_map(|one| Some((one.key.as_ref()?, one.offset)))
            {
                pass.last.insert(pass.hasher.hash(key), offset);
            }
        }
        Ok(Some(pass))
    }

    /// Looks at the next events and removes what is superseded; false when none are left.
    pub(crate) fn slice(&mut self, shared: &Shared) -> Result<bool, Error> {
        let events = log::read(shared, self.topic, self.partition, self.at, SLICE)?;
        let Some(last) = events.last() else { return Ok(false) };
        self.at = last.offset.next();
        let newest = shared.memory.log(self.topic)?.partition(self.partition)?.bounds().end;
        let (mut gone, end) = (Vec::new(), self.end);
        for event in events.iter().take_while(|event| event.offset < end) {
            if event.offset.next() < newest && self.goes(shared, event) {
                gone.push((event.offset, record::stored_size(event)));
            }
        }
        if !gone.is_empty() {
            let (topic, partition) = (self.topic, self.partition);
            shared.run(move |commit| remove(commit, topic, partition, &gone))?;
        }
        Ok(self.at < self.end)
    }

    fn goes(&mut self, shared: &Shared, event: &Stored) -> bool {
        let Some(key) = &event.key else { return false };
        let superseded =
            self.last.get(&self.hasher.hash(key)).is_some_and(|last| *last > event.offset);
        let due = event.timestamp.after(shared.settings.tombstone_age);
        let tombstone = event.payload.is_none();
        if tombstone && !superseded && due > self.now {
            self.tombstone_due = self.tombstone_due.min(due.0);
        }
        superseded || tombstone && due <= self.now
    }

    /// Notes how far the pass came, so that a restart does not begin again.
    pub(crate) fn finish(self, shared: &Shared) -> Result<(), Error> {
        shared.run(move |commit| {
            let Ok(log) = commit.shared.memory.log(self.topic) else { return Ok(()) };
            let mut row = Encoder::default();
            row.u64(self.end.0).u64(self.tombstone_due);
            commit.put_meta(meta::cleaned(self.topic, self.partition), row.finish());
            commit.after.push(Box::new(move |_| {
                if let Ok(partition) = log.partition(self.partition) {
                    partition.cleaned.store(self.end.0, Ordering::Relaxed);
                    partition.tombstone_due.store(self.tombstone_due, Ordering::Relaxed);
                }
            }));
            Ok(())
        })
    }
}

/// Removes events, on the writer: the newest is known there, and chunks do not grow meanwhile.
fn remove(
    commit: &mut Commit<'_>,
    topic: TopicId,
    number: PartitionId,
    gone: &[(Offset, u64)],
) -> Result<(), Error> {
    let Ok(log) = commit.shared.memory.log(topic) else { return Ok(()) };
    let partition = log.partition(number)?;
    let bounds = partition.bounds();
    let mut changed: BTreeMap<u64, Chunk> = BTreeMap::new();
    let mut count = 0;
    for (offset, size) in gone {
        if *offset < bounds.start || offset.next() >= bounds.end {
            continue;
        }
        let Some(held) = chunk_of(partition, *offset) else { continue };
        let chunk = changed.entry(held.base).or_insert(held);
        chunk.events = chunk.events.saturating_sub(1);
        chunk.bytes = chunk.bytes.saturating_sub(*size);
        count += 1;
        commit.delete(Place::Log, key::log(topic, number, *offset));
    }
    let below = gone.last().map_or(0, |(offset, _)| offset.0 + 1);
    for chunk in changed.values() {
        commit.put_meta(meta::chunk(topic, number, chunk.base), encode_chunk(chunk));
    }
    commit.shared.counters.compacted.fetch_add(count, Ordering::Relaxed);
    commit.after.push(Box::new(move |_| {
        if let Ok(partition) = log.partition(number) {
            partition.recent.forget(below);
            for held in partition.chunks().iter_mut() {
                if let Some(chunk) = changed.remove(&held.base) {
                    *held = chunk;
                }
            }
        }
    }));
    Ok(())
}

fn chunk_of(partition: &Partition, offset: Offset) -> Option<Chunk> {
    let chunks = partition.chunks();
    let after = chunks.partition_point(|chunk| chunk.base <= offset.0);
    chunks.get(after.checked_sub(1)?).cloned()
}

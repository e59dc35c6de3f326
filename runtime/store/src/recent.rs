//! Owns the events that were written last, as far as memory has room for them: whoever keeps up
//! reads them here and not from disk. It decides nothing about what a reader may see.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use fjall::Slice;
use gristmill_engine::{Bytes as Size, Offset, PartitionId};

use crate::{Error, ReadLimit, Stored, codec::Decoder, memory::Log, record};

/// What an event counts against the room for recent ones beside its bytes: its place in the run
/// and what the allocator adds.
const EVENT_BYTES: u64 = 64;

/// The events that a partition got last, without a gap.
#[derive(Debug, Default)]
pub(crate) struct Recent(Mutex<Run>);

#[derive(Debug, Default)]
struct Run {
    /// Offset of the first one.
    base: u64,
    /// As they are stored.
    events: VecDeque<Slice>,
}

impl Run {
    fn end(&self) -> u64 {
        self.base.saturating_add(u64::try_from(self.events.len()).unwrap_or(u64::MAX))
    }
}

impl Recent {
    fn run(&self) -> MutexGuard<'_, Run> {
        // Whatever a panic left here is still a run of events: each change of it is one.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds events, the first of which has this offset.
    fn push(&self, first: u64, events: Vec<Slice>) {
        let mut run = self.run();
        if run.end() != first {
            *run = Run { base: first, events: VecDeque::new() };
        }
        run.events.extend(events);
    }

    /// Forgets the events below an offset.
    pub(crate) fn forget(&self, below: u64) {
        let mut run = self.run();
        let count = below.min(run.end()).saturating_sub(run.base);
        run.events.drain(..usize::try_from(count).unwrap_or(usize::MAX));
        run.base = run.base.saturating_add(count);
    }

    /// Events from `from` up to `end`, as many as the limit allows; `None` if the first of them is
    /// not here.
    pub(crate) fn read(
        &self,
        (from, end): (Offset, Offset),
        limit: ReadLimit,
    ) -> Result<Option<Vec<Stored>>, Error> {
        let found: Vec<Slice> = {
            let run = self.run();
            let Some(skip) = from.0.checked_sub(run.base).filter(|_| from.0 < run.end()) else {
                return Ok(None);
            };
            let count = end.0.saturating_sub(from.0).min(u64::from(limit.events.max(1)));
            let [skip, count] = [skip, count].map(|it| usize::try_from(it).unwrap_or(usize::MAX));
            run.events.iter().skip(skip).take(count).cloned().collect()
        };
        let (mut events, mut bytes) = (Vec::with_capacity(found.len()), 0_u64);
        for (offset, event) in (from.0..).zip(found) {
            let event = record::decode_event(Offset(offset), &mut Decoder::of("event", event))?;
            bytes = bytes.saturating_add(record::stored_size(&event));
            events.push(event);
            if bytes >= limit.bytes.0 {
                break;
            }
        }
        Ok(Some(events))
    }
}

/// What all partitions hold of recent events, the oldest first. Only the writer changes it.
#[derive(Debug, Default)]
pub(crate) struct Recents {
    added: VecDeque<Added>,
    bytes: u64,
}

/// Events that a partition got in one commit.
#[derive(Debug)]
struct Added {
    log: Arc<Log>,
    partition: PartitionId,
    end: u64,
    bytes: u64,
}

impl Recents {
    /// Adds what a partition got in a commit, and forgets the oldest of all while there is more
    /// than `room`.
    pub(crate) fn add(
        &mut self,
        (log, partition): (&Arc<Log>, PartitionId),
        (first, events): (u64, Vec<Slice>),
        room: Size,
    ) {
        let Ok(found) = log.partition(partition) else { return };
        let count = u64::try_from(events.len()).unwrap_or(u64::MAX);
        let size = |event: &Slice| u64::try_from(event.len()).unwrap_or(u64::MAX);
        let bytes = events.iter().map(|event| size(event).saturating_add(EVENT_BYTES)).sum();
        found.recent.push(first, events);
        self.bytes = self.bytes.saturating_add(bytes);
        let (log, end) = (Arc::clone(log), first.saturating_add(count));
        self.added.push_back(Added { log, partition, end, bytes });
        while self.bytes > room.0 {
            let Some(oldest) = self.added.pop_front() else { break };
            self.bytes = self.bytes.saturating_sub(oldest.bytes);
            if let Ok(partition) = oldest.log.partition(oldest.partition) {
                partition.recent.forget(oldest.end);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use gristmill_engine::{Bytes as Size, Instant, Offset, PartitionId, TopicId};

    use super::*;
    use crate::{Append, Retention, Topic};

    fn log() -> Arc<Log> {
        let retention = Retention { age: None, bytes: None };
        let (id, name, created) = (TopicId(1), "t".into(), Instant(0));
        Arc::new(Log::new(Topic { id, name, partitions: 2, retention, compacted: false, created }))
    }

    /// Ten bytes of payload each: 20 stored, 84 with what it counts beside.
    fn events(count: usize) -> Vec<Slice> {
        let append = Append {
            topic: TopicId(1),
            partition: PartitionId(0),
            timestamp: Instant(7),
            key: None,
            headers: [].into(),
            payload: Some(Bytes::from_static(b"0123456789")),
        };
        let event = Slice::from(record::encode_append(&append, record::size(&append)));
        vec![event; count]
    }

    fn offsets(log: &Log, partition: u32, from: u64, limit: ReadLimit) -> Option<Vec<u64>> {
        let partition = log.partition(PartitionId(partition)).unwrap();
        let read = partition.recent.read((Offset(from), Offset(100)), limit).unwrap();
        read.map(|events| events.iter().map(|event| event.offset.0).collect())
    }

    const ALL: ReadLimit = ReadLimit { events: 100, bytes: Size::mib(1) };

    #[test]
    fn what_was_added_last_is_read_and_nothing_before() {
        let (log, mut recents) = (log(), Recents::default());
        let room = Size::mib(1);
        recents.add((&log, PartitionId(0)), (5, events(2)), room);
        recents.add((&log, PartitionId(0)), (7, events(1)), room);
        assert_eq!(offsets(&log, 0, 5, ALL), Some(vec![5, 6, 7]));
        assert_eq!(offsets(&log, 0, 7, ALL), Some(vec![7]));
        assert_eq!(offsets(&log, 0, 4, ALL), None, "it may be on disk");
        assert_eq!(offsets(&log, 0, 8, ALL), None, "it may be on disk by now");
        assert_eq!(offsets(&log, 1, 5, ALL), None);
        // After a gap nothing before it is here.
        recents.add((&log, PartitionId(0)), (9, events(1)), room);
        assert_eq!(offsets(&log, 0, 7, ALL), None);
        assert_eq!(offsets(&log, 0, 9, ALL), Some(vec![9]));
    }

    #[test]
    fn a_read_ends_at_its_limits() {
        let (log, mut recents) = (log(), Recents::default());
        recents.add((&log, PartitionId(0)), (0, events(9)), Size::mib(1));
        let limit = |events, bytes| ReadLimit { events, bytes: Size(bytes) };
        assert_eq!(offsets(&log, 0, 1, limit(3, 1_000)), Some(vec![1, 2, 3]));
        assert_eq!(offsets(&log, 0, 1, limit(0, 1_000)), Some(vec![1]));
        assert_eq!(offsets(&log, 0, 1, limit(9, 20)), Some(vec![1, 2]));
        assert_eq!(offsets(&log, 0, 1, limit(9, 21)), Some(vec![1, 2, 3]), "one more is whole");
        let partition = log.partition(PartitionId(0)).unwrap();
        let read = partition.recent.read((Offset(1), Offset(3)), ALL).unwrap().unwrap();
        assert_eq!(read.len(), 2, "readers see no further than the end");
    }

    #[test]
    fn the_oldest_of_all_partitions_go_where_room_is_short() {
        let (log, mut recents) = (log(), Recents::default());
        let size = 20 + EVENT_BYTES;
        assert_eq!(events(1)[0].len(), 20);
        let room = Size(4 * size);
        recents.add((&log, PartitionId(0)), (0, events(2)), room);
        recents.add((&log, PartitionId(1)), (0, events(2)), room);
        assert_eq!(offsets(&log, 0, 0, ALL), Some(vec![0, 1]), "all have room");
        recents.add((&log, PartitionId(1)), (2, events(1)), room);
        assert_eq!(offsets(&log, 0, 0, ALL), None, "one is too many");
        assert_eq!(offsets(&log, 1, 0, ALL), Some(vec![0, 1, 2]));
        // More than all the room is not held at all.
        recents.add((&log, PartitionId(0)), (2, events(5)), room);
        assert_eq!(offsets(&log, 0, 2, ALL), None);
        assert_eq!(offsets(&log, 1, 0, ALL), None);
        assert_eq!(recents.bytes, 0);
    }

    #[test]
    fn what_was_removed_is_forgotten() {
        let (log, mut recents) = (log(), Recents::default());
        recents.add((&log, PartitionId(0)), (3, events(3)), Size::mib(1));
        let recent = &log.partition(PartitionId(0)).unwrap().recent;
        recent.forget(2);
        assert_eq!(offsets(&log, 0, 3, ALL), Some(vec![3, 4, 5]));
        recent.forget(5);
        assert_eq!(offsets(&log, 0, 4, ALL), None);
        assert_eq!(offsets(&log, 0, 5, ALL), Some(vec![5]));
        recent.forget(50);
        assert_eq!(offsets(&log, 0, 5, ALL), None);
        recents.add((&log, PartitionId(0)), (6, events(1)), Size::mib(1));
        assert_eq!(offsets(&log, 0, 6, ALL), Some(vec![6]), "and what comes next is held");
    }
}

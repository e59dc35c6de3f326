//! Decides when disk space of what was removed is taken back. Nothing here is needed for what
//! readers see: starts, cells and topics alone decide that.
//!
//! Three things take space back. Compaction leaves out what is dead, whenever it runs. Whole
//! tables of dead keys are dropped at once. And when dead events outweigh the live ones and
//! nothing is written, the log is compacted as a whole (measured: ADR
//! `2026-11-21-store-keyspaces-and-retention`).

use std::collections::BTreeMap;

use fjall::AbstractTree;
use gristmill_engine::{Offset, PartitionId, TopicId};

use crate::{Error, key, memory::Abandoned, retain::Removed, shared::Shared};

/// Bytes removed from a partition before its tables are looked at: a table is about this large.
const DROP: u64 = 16 * 1_024 * 1_024;
/// Dead bytes of the log before it is compacted as a whole, while there is room and while not.
const DEAD: u64 = 64 * 1_024 * 1_024;
const DEAD_LOW: u64 = 8 * 1_024 * 1_024;
/// What the engine adds to each event.
const OVERHEAD: u64 = 40;

/// What was removed and may still take space.
#[derive(Debug, Default)]
pub(crate) struct Reclaim {
    /// New start and bytes removed since tables were last dropped.
    trimmed: BTreeMap<(TopicId, PartitionId), (u64, u64)>,
    /// Bytes of the log on disk after it was last compacted as a whole.
    settled: u64,
}

impl Reclaim {
    /// Notes what retention removed.
    pub(crate) fn trimmed(&mut self, topic: TopicId, removed: &[Removed]) {
        for one in removed {
            let (start, bytes) = self.trimmed.entry((topic, one.partition)).or_default();
            *start = one.start;
            *bytes = bytes.saturating_add(one.bytes);
        }
    }

    /// Takes space back where it is worth it.
    pub(crate) fn reclaim(&mut self, shared: &Shared) -> Result<(), Error> {
        let failed = |source: fjall::LsmError| Error::Write {
            checkpoint: shared.memory.published.load(std::sync::atomic::Ordering::Relaxed),
            source: fjall::Error::from(source).into(),
        };
        let log = &shared.disk.log;
        let (worth, later) = std::mem::take(&mut self.trimmed)
            .into_iter()
            .partition(|(_, (_, bytes))| *bytes >= DROP);
        self.trimmed = later;
        let worth: BTreeMap<_, _> = worth;
        for ((topic, partition), (start, _)) in worth {
            let from = key::log(topic, partition, Offset(0));
            let to = key::log(topic, partition, Offset(start));
            log.tree.drop_range(from..to).map_err(failed)?;
        }
        for what in shared.memory.take_abandoned() {
            match what {
                Abandoned::Topic(topic) => {
                    let range = topic.0.to_be_bytes()..topic.0.saturating_add(1).to_be_bytes();
                    log.tree.drop_range(range).map_err(failed)?;
                }
                Abandoned::Cell(kind, cell) => {
                    let range = cell.to_be_bytes()..cell.saturating_add(1).to_be_bytes();
                    shared.disk.kind(kind).tree.drop_range(range).map_err(failed)?;
                }
            }
        }
        self.compact(shared)
    }

    /// Compacts the log as a whole when dead events outweigh the live ones. Each byte removed is
    /// paid for by at most one live byte written.
    fn compact(&mut self, shared: &Shared) -> Result<(), Error> {
        let topics = shared.memory.topics();
        let held = topics.by_id.values().map(|log| log.figures());
        let live: u64 = held.map(|held| held.bytes.0 + held.events * OVERHEAD).sum();
        drop(topics);
        let disk = shared.disk.log.disk_space();
        let least = if shared.room.space().low { DEAD_LOW } else { DEAD };
        let dead = disk.saturating_sub(live);
        // What the last time did not take back, the next will not either.
        if dead < live.max(least) || disk <= self.settled.saturating_add(least) {
            return Ok(());
        }
        let failed = |source: fjall::Error| Error::Write {
            checkpoint: shared.memory.published.load(std::sync::atomic::Ordering::Relaxed),
            source: source.into(),
        };
        shared.disk.log.major_compact().map_err(failed)?;
        self.settled = shared.disk.log.disk_space();
        Ok(())
    }
}

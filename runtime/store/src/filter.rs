//! Decides what compaction may leave out: events that retention removed, and whatever lies in a
//! cell nobody owns. It removes nothing a reader could still see.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
};

use fjall::compaction::filter::{CompactionFilter, Context, Factory, ItemAccessor, Verdict};

use crate::{
    key,
    memory::{Cells, Memory},
};

/// Makes the filter of one keyspace for each compaction.
pub(crate) struct Filters {
    memory: Arc<Memory>,
    what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Events,
    Cells,
    Marks,
}

impl Filters {
    /// The factory for a keyspace, if anything in it is ever left out.
    pub(crate) fn for_keyspace(name: &str, memory: &Arc<Memory>) -> Option<Arc<dyn Factory>> {
        let what = match name {
            "log" => What::Events,
            "state" | "timers" | "parked" | "progress" => What::Cells,
            "marks" => What::Marks,
            _ => return None,
        };
        Some(Arc::new(Self { memory: Arc::clone(memory), what }))
    }
}

impl Factory for Filters {
    fn name(&self) -> &'static str {
        "gristmill"
    }

    fn make_filter(&self, _: &Context) -> Box<dyn CompactionFilter> {
        // Compaction begins while the store is still being opened, when nothing is known to be
        // live: then everything stays.
        if !self.memory.ready.load(Ordering::Acquire) {
            return Box::new(KeepAll);
        }
        match self.what {
            What::Events => Box::new(Events::new(&self.memory)),
            What::Cells => Box::new(Owned::new(&self.memory, false)),
            What::Marks => Box::new(Owned::new(&self.memory, true)),
        }
    }
}

type Filtered = Result<Verdict, fjall::LsmError>;

struct KeepAll;

impl CompactionFilter for KeepAll {
    fn filter_item(&mut self, _: ItemAccessor<'_>, _: &Context) -> Filtered {
        Ok(Verdict::Keep)
    }
}

/// Leaves out events below the start of their partition, as it was when compaction began.
///
/// `Destroy` leaves no tombstone. That is right: nothing below a start is ever read again, so no
/// older form of an event can come to light.
struct Events {
    /// Start of each partition, by topic.
    starts: BTreeMap<u32, Vec<u64>>,
    /// Topics from here on were created after compaction began.
    next: u32,
}

impl Events {
    fn new(memory: &Memory) -> Self {
        let topics = memory.topics();
        let starts = topics.by_id.iter().map(|(id, log)| {
            let starts = log.partitions.iter().map(|partition| partition.bounds().start.0);
            (id.0, starts.collect())
        });
        Self { starts: starts.collect(), next: topics.next }
    }

    fn keeps(&self, key: &[u8]) -> bool {
        let Some((topic, partition, offset)) = key::log_parts(key) else { return true };
        if topic.0 >= self.next {
            return true;
        }
        let index = usize::try_from(partition.0).unwrap_or(usize::MAX);
        let start = self.starts.get(&topic.0).and_then(|starts| starts.get(index));
        start.is_some_and(|start| offset.0 >= *start)
    }
}

impl CompactionFilter for Events {
    fn filter_item(&mut self, item: ItemAccessor<'_>, _: &Context) -> Filtered {
        Ok(if self.keeps(item.key()) { Verdict::Keep } else { Verdict::Destroy })
    }
}

/// Leaves out what lies in a cell that was given up, and marks whose checkpoint is forgotten.
///
/// `Destroy` is right here too: cells are never used again, and a mark that is set again carries
/// a later checkpoint, so its older forms are forgotten before it is.
struct Owned {
    /// First checkpoint held, by cell that is owned; 0 for all but marks.
    held: BTreeMap<u32, u64>,
    /// Cells from here on were given after compaction began.
    next: u32,
    marks: bool,
}

impl Owned {
    fn new(memory: &Memory, marks: bool) -> Self {
        // Read before the scopes: a cell without marks had none up to this checkpoint.
        let published = memory.published.load(Ordering::Acquire);
        let scopes = memory.scopes();
        let cells = scopes.cells.values().flat_map(Cells::all);
        let front = |cell| scopes.marks.get(&cell).and_then(|log| log.buckets.front());
        let first = |cell| {
            if marks { front(cell).map_or(published + 1, |bucket| bucket.first) } else { 0 }
        };
        let held = cells.map(|cell| (cell, first(cell))).collect();
        Self { held, next: scopes.next_cell, marks }
    }

    fn keeps(&self, key: &[u8], checkpoint: impl FnOnce() -> Option<u64>) -> bool {
        let Some(cell) = key::cell(key) else { return true };
        if cell >= self.next {
            return true;
        }
        match self.held.get(&cell) {
            None => false,
            Some(0) => true,
            Some(first) => checkpoint().is_none_or(|checkpoint| checkpoint >= *first),
        }
    }
}

impl CompactionFilter for Owned {
    fn filter_item(&mut self, item: ItemAccessor<'_>, _: &Context) -> Filtered {
        let value = if self.marks { Some(item.value()?) } else { None };
        let checkpoint =
            || value.and_then(|value| value.last_chunk::<8>().map(|at| u64::from_be_bytes(*at)));
        Ok(if self.keeps(item.key(), checkpoint) { Verdict::Keep } else { Verdict::Destroy })
    }
}

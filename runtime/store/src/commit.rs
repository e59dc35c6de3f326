//! Decides what one commit writes: gives offsets and cells, keeps chunks and the log of marks,
//! and says what readers see once it is durable. It syncs nothing.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use fjall::{OwnedWriteBatch, Slice};
use gristmill_engine::{
    Bytes as Size, IdHash, Instant, Mark, Offset, PartitionId, SubscriptionId, TopicId,
};

use crate::{
    Cleared, Error, Scope,
    disk::{Kind, Place},
    key::{self, meta},
    memory::{Abandoned, Bucket, Cells, Chunk, ChunkLimit, Log, Memory},
    open::{encode_bucket, encode_cells, encode_chunk},
    prepare::{Prepared, PreparedAppend, Write},
    record,
    shared::Shared,
};

/// Bytes one mark counts against `marks_bytes`: key, value and what the engine adds.
const MARK_BYTES: u64 = 64;
/// Marks of a cell are forgotten in this many steps at most.
const BUCKETS: u64 = 64;
/// A bucket of marks covers this much time at most, in milliseconds.
const BUCKET_SPAN: u64 = 60_000;

/// Something to do to memory once the commit is durable.
pub(crate) type After = Box<dyn FnOnce(&Memory) + Send>;

/// A commit that is being filled.
pub(crate) struct Commit<'a> {
    pub(crate) shared: &'a Shared,
    /// Its number.
    pub(crate) number: u64,
    pub(crate) now: Instant,
    pub(crate) events: u64,
    pub(crate) after: Vec<After>,
    /// Whether it gives up what compaction then takes off the disk. Such a commit is always
    /// synced: were it lost after that, what is left would be no state the store ever had.
    pub(crate) gives_up: bool,
    items: Vec<Item>,
    growing: Vec<Growing>,
    /// Where in `growing` a partition is.
    places: HashMap<(TopicId, PartitionId), usize>,
    cells: BTreeMap<Scope, Cells>,
    next_cell: Option<u32>,
    marks: BTreeMap<u32, Marking>,
}

/// One key written or, without a value, deleted.
struct Item {
    place: Place,
    key: Slice,
    value: Option<Slice>,
}

/// A partition that gets events in this commit.
struct Growing {
    topic: TopicId,
    partition: PartitionId,
    log: Arc<Log>,
    limit: ChunkLimit,
    /// Never empty; the last one takes the next event.
    filled: Vec<Chunk>,
    /// Offset of the first event of this commit, once there is one.
    first: u64,
    /// Events of this commit, as they are stored.
    added: Vec<Slice>,
}

impl Growing {
    /// Lets readers see what was added.
    fn show(self, memory: &Memory, room: Size) {
        let Self { partition, log, filled, first, added, .. } = self;
        // Before readers are told of the new end, so that they find it here and not on disk.
        memory.recents().add((&log, partition), (first, added), room);
        if let Ok(partition) = log.partition(partition) {
            partition.grow(&filled);
        }
    }
}

/// A cell that gets marks in this commit.
struct Marking {
    bucket: Bucket,
    added: u64,
}

impl<'a> Commit<'a> {
    pub(crate) fn new(shared: &'a Shared, number: u64) -> Self {
        Self {
            shared,
            number,
            now: (shared.settings.clock)(),
            events: 0,
            after: Vec::new(),
            gives_up: false,
            items: Vec::new(),
            growing: Vec::new(),
            places: HashMap::new(),
            cells: BTreeMap::new(),
            next_cell: None,
            marks: BTreeMap::new(),
        }
    }

    /// Whether there is anything to write.
    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub(crate) fn put(&mut self, place: Place, key: impl Into<Slice>, value: impl Into<Slice>) {
        self.items.push(Item { place, key: key.into(), value: Some(value.into()) });
    }

    pub(crate) fn delete(&mut self, place: Place, key: impl Into<Slice>) {
        self.items.push(Item { place, key: key.into(), value: None });
    }

    pub(crate) fn put_meta(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.put(Place::Meta, key, value);
    }

    pub(crate) fn delete_meta(&mut self, key: Vec<u8>) {
        self.delete(Place::Meta, key);
    }

    /// Adds a batch and gives the offsets of its appends. A refused batch leaves nothing behind.
    pub(crate) fn add(&mut self, batch: Prepared) -> Result<Vec<Offset>, Error> {
        // All places first, so that nothing is half done when one is missing.
        for append in &batch.appends {
            self.place(append)?;
        }
        let mut offsets = Vec::with_capacity(batch.appends.len());
        for append in batch.appends {
            let place = self.place(&append)?;
            offsets.push(self.append(place, append));
        }
        for write in batch.writes {
            self.write(write);
        }
        Ok(offsets)
    }

    fn place(&mut self, append: &PreparedAppend) -> Result<usize, Error> {
        let at = (append.topic, append.partition);
        // Events of a batch mostly go where the one before went.
        if let Some(last) = self.growing.last()
            && (last.topic, last.partition) == at
        {
            return Ok(self.growing.len() - 1);
        }
        if let Some(place) = self.places.get(&at) {
            return Ok(*place);
        }
        let log = self.shared.memory.log(append.topic)?;
        let limit = ChunkLimit::of(&log.topic());
        let last = log.partition(append.partition)?.chunks().back().cloned();
        let first = last.unwrap_or_else(|| Chunk::empty(0, self.now));
        let (topic, partition) = at;
        self.growing.push(Growing {
            topic,
            partition,
            log,
            limit,
            filled: vec![first],
            first: 0,
            added: Vec::new(),
        });
        self.places.insert(at, self.growing.len() - 1);
        Ok(self.growing.len() - 1)
    }

    fn append(&mut self, place: usize, append: PreparedAppend) -> Offset {
        let Some(growing) = self.growing.get_mut(place) else { return Offset(0) };
        let last = match growing.filled.pop() {
            Some(chunk) if growing.limit.reached(&chunk, self.now) => {
                let next = Chunk::empty(chunk.end, self.now);
                growing.filled.push(chunk);
                next
            }
            Some(chunk) => chunk,
            None => Chunk::empty(0, self.now),
        };
        growing.filled.push(last);
        let chunk = growing.filled.last_mut();
        let offset = chunk.map_or(Offset(0), |chunk| {
            if chunk.events == 0 {
                chunk.opened = self.now.0;
            }
            chunk.add(append.size, append.timestamp)
        });
        if growing.added.is_empty() {
            growing.first = offset.0;
        }
        growing.added.push(append.value.clone());
        let key = key::log(append.topic, append.partition, offset);
        self.put(Place::Log, key, append.value);
        self.events += 1;
        offset
    }

    fn write(&mut self, write: Write) {
        match write {
            Write::Put { scope, kind, mut key, value } => {
                key::set_cell(&mut key, self.cells(scope).of(kind));
                self.put(kind.into(), key, value);
            }
            Write::Delete { scope, kind, mut key } => {
                key::set_cell(&mut key, self.cells(scope).of(kind));
                self.delete(kind.into(), key);
            }
            Write::Expiring { scope, mut key, value, expires } => {
                key::set_cell(&mut key, self.cells(scope).state);
                self.put(Place::Expiry, key::expiry(expires.0, &key), Slice::default());
                self.put(Place::State, key, value);
            }
            Write::Mark { scope, id, mark, at } => self.mark(scope, id, &mark, at),
            Write::Clear { subscription, partition, what } => {
                self.clear(subscription, partition, what);
            }
            Write::Move { from, to } => self.move_state(from, to),
            Write::Meta { key, value: Some(value) } => self.put(Place::Meta, key, value),
            Write::Meta { key, value: None } => self.delete(Place::Meta, key),
        }
    }

    /// Cells of a scope, new ones on its first use.
    fn cells(&mut self, scope: Scope) -> Cells {
        if let Some(cells) = self.cells.get(&scope) {
            return *cells;
        }
        let known = self.shared.memory.scopes().cells.get(&scope).copied();
        let cells = known.unwrap_or_else(|| {
            let cells = Cells {
                state: self.new_cell(),
                timers: self.new_cell(),
                parked: self.new_cell(),
                marks: self.new_cell(),
                progress: self.new_cell(),
            };
            self.put_meta(meta::scope(scope), encode_cells(&cells));
            cells
        });
        self.cells.insert(scope, cells);
        cells
    }

    fn new_cell(&mut self) -> u32 {
        let cell = self.next_cell.unwrap_or_else(|| self.shared.memory.scopes().next_cell);
        self.next_cell = Some(cell.saturating_add(1));
        cell
    }

    fn marks_max(&self) -> u64 {
        (self.shared.settings.marks_bytes.0 / MARK_BYTES).max(1)
    }

    fn mark(&mut self, scope: Scope, id: IdHash, mark: &Mark, at: Instant) {
        let cell = self.cells(scope).marks;
        let (number, full) = (self.number, (self.marks_max() / BUCKETS).max(1));
        let memory = &self.shared.memory;
        let marking = self.marks.entry(cell).or_insert_with(|| {
            let scopes = memory.scopes();
            let last = scopes.marks.get(&cell).and_then(|log| log.buckets.back());
            let open = last
                .filter(|last| last.count < full && at.0.saturating_sub(last.oldest) < BUCKET_SPAN);
            let empty = Bucket { first: number, count: 0, oldest: at.0, youngest: at.0 };
            Marking { bucket: open.cloned().unwrap_or(empty), added: 0 }
        });
        marking.added += 1;
        marking.bucket.count += 1;
        marking.bucket.oldest = marking.bucket.oldest.min(at.0);
        marking.bucket.youngest = marking.bucket.youngest.max(at.0);
        let value = record::encode_mark(mark, self.number);
        self.put(Place::Marks, key::hashed(cell, id.0), value);
    }

    fn clear(
        &mut self,
        subscription: SubscriptionId,
        partition: Option<PartitionId>,
        what: Cleared,
    ) {
        let wanted = |scope: &Scope| {
            scope.subscription == subscription
                && partition.is_none_or(|partition| scope.partition == partition)
        };
        let mut scopes: Vec<Scope> = self.cells.keys().copied().filter(wanted).collect();
        scopes.extend(self.shared.memory.scopes().cells.keys().copied().filter(wanted));
        scopes.sort_unstable();
        scopes.dedup();
        for scope in scopes {
            let old = self.cells(scope);
            let mut new = old;
            let choices = [
                (what.state, Kind::State),
                (what.timers, Kind::Timers),
                (what.parked, Kind::Parked),
                (what.marks, Kind::Marks),
                (what.progress, Kind::Progress),
            ];
            for (_, kind) in choices.into_iter().filter(|(chosen, _)| *chosen) {
                let cell = self.new_cell();
                new.set(kind, cell);
                let given_up = Abandoned::Cell(kind, old.of(kind));
                self.gives_up = true;
                self.after.push(Box::new(move |memory| memory.abandon(given_up)));
            }
            if what.marks {
                self.forget_marks(old.marks);
            }
            self.put_meta(meta::scope(scope), encode_cells(&new));
            self.cells.insert(scope, new);
        }
    }

    /// Gives `to` the cells of state and timers that `from` has, and `from` new ones.
    fn move_state(&mut self, from: Scope, to: Scope) {
        let (mut giving, mut taking) = (self.cells(from), self.cells(to));
        for kind in [Kind::State, Kind::Timers] {
            let given_up = Abandoned::Cell(kind, taking.of(kind));
            taking.set(kind, giving.of(kind));
            giving.set(kind, self.new_cell());
            self.gives_up = true;
            self.after.push(Box::new(move |memory| memory.abandon(given_up)));
        }
        for (scope, cells) in [(from, giving), (to, taking)] {
            self.put_meta(meta::scope(scope), encode_cells(&cells));
            self.cells.insert(scope, cells);
        }
    }

    fn forget_marks(&mut self, cell: u32) {
        self.marks.remove(&cell);
        let scopes = self.shared.memory.scopes();
        let firsts: Vec<u64> = scopes
            .marks
            .get(&cell)
            .map(|log| log.buckets.iter().map(|bucket| bucket.first).collect())
            .unwrap_or_default();
        drop(scopes);
        for first in firsts {
            self.delete_meta(meta::marks(cell, first));
        }
        self.after.push(Box::new(move |memory| drop(memory.scopes_mut().marks.remove(&cell))));
    }

    /// Writes numbers of topics, subscriptions and cells that come next.
    pub(crate) fn put_counters(&mut self, topic: u32, subscription: u32, cell: u32) {
        let value: Vec<u8> =
            [topic, subscription, cell].into_iter().flat_map(u32::to_be_bytes).collect();
        self.put_meta(meta::COUNTERS.to_vec(), value);
    }

    /// Ends filling: gives what is to be written, and what to do once it is.
    pub(crate) fn seal(mut self) -> Sealed {
        let mut grown = Vec::with_capacity(self.growing.len());
        for growing in
            std::mem::take(&mut self.growing).into_iter().filter(|one| !one.added.is_empty())
        {
            grown.push((growing.topic, growing.partition));
            for chunk in &growing.filled {
                let key = meta::chunk(growing.topic, growing.partition, chunk.base);
                self.put_meta(key, encode_chunk(chunk));
            }
            let room = self.shared.settings.recent;
            self.after.push(Box::new(move |memory| growing.show(memory, room)));
        }
        for (cell, marking) in std::mem::take(&mut self.marks) {
            self.seal_marks(cell, marking);
        }
        let cells = std::mem::take(&mut self.cells);
        if let Some(next_cell) = self.next_cell {
            let next_subscription = self.shared.memory.scopes().next_subscription;
            let next_topic = self.shared.memory.topics().next;
            self.put_counters(next_topic, next_subscription, next_cell);
            self.after.push(Box::new(move |memory| {
                let mut scopes = memory.scopes_mut();
                scopes.cells.extend(cells);
                scopes.next_cell = next_cell;
            }));
        }
        let number = self.number.to_be_bytes();
        self.put(Place::Meta, meta::CHECKPOINT, number);
        Sealed {
            number: self.number,
            items: self.sorted(),
            after: std::mem::take(&mut self.after),
            gives_up: self.gives_up,
            grown,
        }
    }

    /// What is written, by keyspace and key, each key once as it was last set. Neighbours in the
    /// engine's memtable are then found in the processor's cache (measured with
    /// `examples/store_throughput.rs`: 7.7 to 6.6 µs of the writer's time per event).
    fn sorted(&mut self) -> OwnedWriteBatch {
        let mut items = std::mem::take(&mut self.items);
        items.sort_by(|a, b| a.place.cmp(&b.place).then_with(|| a.key.cmp(&b.key)));
        let disk = &self.shared.disk;
        let mut batch = disk.database.batch();
        let mut items = items.into_iter().peekable();
        while let Some(Item { place, key, value }) = items.next() {
            if items.peek().is_some_and(|next| next.place == place && next.key == key) {
                continue;
            }
            match value {
                Some(value) => batch.insert(disk.at(place), key, value),
                None => batch.remove(disk.at(place), key),
            }
        }
        batch
    }

    /// Notes the marks of a cell in its log, and forgets the oldest where they are too many.
    fn seal_marks(&mut self, cell: u32, marking: Marking) {
        let max = self.marks_max();
        let key = meta::marks(cell, marking.bucket.first);
        self.put_meta(key, encode_bucket(&marking.bucket));
        let mut gone = Vec::new();
        if let Some(log) = self.shared.memory.scopes().marks.get(&cell) {
            let mut held = log.held + marking.added;
            for bucket in &log.buckets {
                if held <= max || bucket.first == marking.bucket.first {
                    break;
                }
                held -= bucket.count;
                gone.push(bucket.first);
            }
        }
        self.gives_up |= !gone.is_empty();
        for first in &gone {
            self.delete_meta(meta::marks(cell, *first));
        }
        self.after.push(Box::new(move |memory| {
            let mut scopes = memory.scopes_mut();
            let log = scopes.marks.entry(cell).or_default();
            for bucket in log.buckets.drain(..gone.len()) {
                log.held -= bucket.count;
                log.evicted += bucket.count;
            }
            if log.buckets.back().is_some_and(|last| last.first == marking.bucket.first) {
                log.buckets.pop_back();
            }
            log.buckets.push_back(marking.bucket);
            log.held += marking.added;
        }));
    }
}

/// A commit that is ready to be written.
pub(crate) struct Sealed {
    pub(crate) number: u64,
    pub(crate) items: OwnedWriteBatch,
    pub(crate) after: Vec<After>,
    /// Whether it must be synced even where others are not.
    pub(crate) gives_up: bool,
    /// Partitions that grew.
    pub(crate) grown: Vec<(TopicId, PartitionId)>,
}

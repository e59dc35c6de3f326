//! Keeps one partition as a log: records of transactions that are open, count or do not, the marks
//! of their ends, and what compaction left of all that.

use std::collections::{BTreeMap, BTreeSet};

use gristmill_engine::{Instant, Offset};

use super::{Id, Producer, Record};
use crate::changelog::Key;

/// A partition.
#[derive(Debug, Clone, Default)]
pub struct Log {
    slots: Vec<Slot>,
    /// First offset of each open transaction.
    open: BTreeMap<Id, usize>,
    /// Last batch of each producer, and where its last record went.
    last: BTreeMap<Producer, (u64, Offset)>,
}

#[derive(Debug, Clone)]
enum Slot {
    Record {
        id: Id,
        at: Instant,
        state: State,
        record: Box<Record>,
    },
    /// The end of a transaction.
    Mark,
    /// Compaction removed what was here.
    Empty,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Committed,
    Aborted,
}

/// What a reader gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// Its offset.
    pub offset: Offset,
    /// The record.
    pub record: Record,
}

impl Log {
    /// Writes a batch of an open transaction. The offset of its last record.
    pub(super) fn append(
        &mut self,
        at: Instant,
        producer: Producer,
        sequence: u64,
        records: Vec<Record>,
    ) -> Offset {
        // A batch that came already.
        if let Some((_, offset)) = self.last.get(&producer).filter(|(it, _)| *it >= sequence) {
            return *offset;
        }
        let id = producer.id;
        self.open.entry(id).or_insert(self.slots.len());
        let state = State::Open;
        let boxed = records.into_iter().map(Box::new);
        self.slots.extend(boxed.map(|record| Slot::Record { id, at, state, record }));
        let last = offset_of(self.slots.len().saturating_sub(1));
        self.last.insert(producer, (sequence, last));
        last
    }

    /// Notes how the open transaction of an id ended.
    pub(super) fn end(&mut self, of: Id, committed: bool) {
        let Some(from) = self.open.remove(&of) else { return };
        let ended = if committed { State::Committed } else { State::Aborted };
        for slot in &mut self.slots[from..] {
            if let Slot::Record { id, state, .. } = slot
                && *id == of
                && *state == State::Open
            {
                *state = ended;
            }
        }
        self.slots.push(Slot::Mark);
    }

    /// What the open transaction of an id wrote.
    pub(super) fn open_of(&self, of: Id) -> impl Iterator<Item = &Record> {
        self.slots.iter().filter_map(move |slot| match slot {
            Slot::Record { id, state: State::Open, record, .. } if *id == of => Some(&**record),
            Slot::Record { .. } | Slot::Mark | Slot::Empty => None,
        })
    }

    /// Where it ends, what is undecided included.
    #[must_use]
    pub fn end_offset(&self) -> Offset {
        offset_of(self.slots.len())
    }

    /// Below this every transaction has ended.
    #[must_use]
    pub fn stable(&self) -> Offset {
        self.open.values().min().map_or(self.end_offset(), |first| offset_of(*first))
    }

    /// Up to `most` records from `from` that count; those that are open or do not count as well
    /// where `all` are wanted.
    #[must_use]
    pub fn read(&self, from: Offset, most: usize, all: bool) -> Vec<Read> {
        let end = if all { self.end_offset() } else { self.stable() };
        let range = from.0..end.0.max(from.0);
        let offsets = range.filter_map(|offset| usize::try_from(offset).ok());
        let records = offsets.filter_map(|at| match self.slots.get(at)? {
            Slot::Record { state, record, .. } if all || *state == State::Committed => {
                Some(Read { offset: offset_of(at), record: (**record).clone() })
            }
            Slot::Record { .. } | Slot::Mark | Slot::Empty => None,
        });
        records.take(most).collect()
    }

    /// Removes what later records replace, what does not count, and deletions written before
    /// `deletions`.
    pub fn compact(&mut self, deletions: Instant) {
        let stable = usize::try_from(self.stable().0).unwrap_or(0);
        let mut seen: BTreeSet<Key> = BTreeSet::new();
        for slot in self.slots[..stable].iter_mut().rev() {
            let Slot::Record { at, state, record, .. } = slot else { continue };
            let Record::Entry(key, value) = &**record else { continue };
            let is_replaced = *state == State::Committed && !seen.insert(*key);
            let is_over = value.is_none() && *at < deletions;
            if is_replaced || is_over || *state == State::Aborted {
                *slot = Slot::Empty;
            }
        }
    }

    /// Whether nothing is open in it.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.open.is_empty()
    }
}

fn offset_of(index: usize) -> Offset {
    Offset(u64::try_from(index).unwrap_or(u64::MAX))
}

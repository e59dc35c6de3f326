//! Owns what one host of a cluster holds: its producer and what that waits for, its memberships,
//! and the cache of its partitions' state. It decides nothing.

use std::collections::{BTreeMap, BTreeSet};

use gristmill_engine::takeover::{Barrier, Cache, Takeover};
use gristmill_engine::transaction::{Committing, Failure, Guarantee};
use gristmill_engine::{Instant, Millis, Offset, Staged, SubscriptionId, Terminal};

use crate::broker::{Id, Producer, Record, Request, Shelf};
use crate::changelog::{self, Contents};
use crate::topic::{EventId, Topics};
use crate::world::durable::{Batch, CursorId, Durable, Home};

/// How old a transaction may become before the coordinator ends it.
pub(super) const TIMEOUT: Millis = Millis(80);

/// Which time a host held a partition number.
pub(super) type Term = u64;

/// One host's connection with the cluster, and its cache.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) id: Id,
    pub(super) committing: Committing<&'static str>,
    pub(super) epoch: Option<u32>,
    pub(super) sequence: u64,
    /// The checkpoint that commits.
    pub(super) work: Option<Work>,
    /// Requests without an answer, by ticket.
    pub(super) outstanding: BTreeMap<u64, Request>,
    /// The one whose answer the present step waits for.
    pub(super) waiting: Option<Waiting>,
    /// Whether a connection failed since the producer was made.
    pub(super) has_failed: bool,
    /// Since when the present step waits for writes, as a ticket of that wait.
    pub(super) flushing: Option<u64>,
    /// Why a write was not acknowledged.
    pub(super) refused: Option<Failure<&'static str>>,
    pub(super) store: Durable,
    pub(super) caches: BTreeMap<Home, Cache>,
    /// What the cache had when its partitions were taken over: all that is left of it where the
    /// disk lost what was not synced.
    pub(super) synced: BTreeMap<Home, (Contents, Cache)>,
    pub(super) held: BTreeMap<Home, Term>,
    pub(super) generations: BTreeMap<SubscriptionId, u32>,
    /// What it lost and has not learnt yet, with the generation that says so.
    pub(super) losses: Vec<(u32, Home, Term)>,
    pub(super) finished: BTreeMap<CursorId, Offset>,
    pub(super) restores: BTreeMap<Home, Restore>,
    /// Events whose emissions no broker takes, as far as it found out.
    pub(super) undeliverable: BTreeSet<(SubscriptionId, EventId)>,
    /// Keeps takeovers apart from the checkpoint that commits.
    pub(super) barrier: Barrier<Home>,
}

/// A request whose answer a step waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Waiting {
    /// As it was sent the last time.
    pub(super) request: u64,
    /// As it was sent first: from then on the wait is timed.
    pub(super) since: u64,
}

/// A checkpoint whose transaction is not decided.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) batch: Batch,
    /// Records it has yet to make count, all of them in one transaction.
    pub(super) left: usize,
}

/// A partition whose state is brought here.
#[derive(Debug)]
pub(super) struct Restore {
    pub(super) ticket: u64,
    pub(super) takeover: Takeover,
    pub(super) committed: BTreeMap<CursorId, Offset>,
    pub(super) was_empty: bool,
}

/// How far a checkpoint is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// It waits for a producer, or for its turn.
    Queued,
    /// Its steps are taken.
    Begun,
    /// Whether it becomes true is not for its host alone to say.
    Flying,
}

/// A checkpoint on its way to the cluster.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) batch: Batch,
    pub(super) stage: Stage,
    pub(super) groups: Vec<GroupOffsets>,
    pub(super) records: Vec<(Shelf, Vec<Record>)>,
    /// What the cache has of each partition afterwards.
    pub(super) after: BTreeMap<Home, Contents>,
    /// Last offset written to each partition.
    pub(super) lasts: BTreeMap<Shelf, Offset>,
}

impl Work {
    /// Which of the records is this one of a batch.
    pub(super) fn index_of(&self, to: Shelf, index: usize) -> usize {
        let before = self.records.iter().take_while(|(shelf, _)| *shelf != to);
        before.map(|(_, records)| records.len()).sum::<usize>() + index
    }

    /// The record of this number.
    pub(super) fn record(&self, index: usize) -> Option<&Record> {
        self.records.iter().flat_map(|(_, records)| records).nth(index)
    }

    /// Has brokers refuse what is too large.
    pub(super) fn enlarge(&mut self, is_deliverable: impl Fn(SubscriptionId, EventId) -> bool) {
        for record in self.records.iter_mut().flat_map(|(_, records)| records) {
            if let Record::Emission(of, event) = record
                && !is_deliverable(*of, *event)
            {
                *record = Record::Oversized(*of, *event);
            }
        }
    }
}

/// Offsets of one group.
#[derive(Debug, Clone)]
pub(super) struct GroupOffsets {
    pub(super) group: SubscriptionId,
    pub(super) offsets: Vec<(CursorId, Offset)>,
    /// The terms in which the work was begun.
    pub(super) held: Vec<(Home, Term)>,
}

impl Link {
    pub(super) fn new(id: Id) -> Self {
        let mut committing = Committing::new(Guarantee::ExactlyOnce, TIMEOUT);
        committing.prepare();
        Self {
            id,
            committing,
            epoch: None,
            sequence: 0,
            work: None,
            outstanding: BTreeMap::new(),
            waiting: None,
            has_failed: false,
            flushing: None,
            refused: None,
            store: Durable { group_offsets: true, ..Durable::default() },
            caches: BTreeMap::new(),
            synced: BTreeMap::new(),
            held: BTreeMap::new(),
            generations: BTreeMap::new(),
            losses: Vec::new(),
            finished: BTreeMap::new(),
            restores: BTreeMap::new(),
            undeliverable: BTreeSet::new(),
            barrier: Barrier::default(),
        }
    }

    /// The host died: its disk is all there is.
    pub(super) fn restart(&mut self) {
        let fresh = Self::new(self.id);
        let before = std::mem::replace(self, fresh);
        (self.store, self.caches, self.synced) = (before.store, before.caches, before.synced);
    }

    /// The disk is another.
    pub(super) fn wipe(&mut self) {
        self.store = Durable { group_offsets: true, ..Durable::default() };
        self.caches.clear();
        self.synced.clear();
    }

    /// The disk lost what was written since partitions were taken over.
    pub(super) fn lose_unsynced(&mut self) {
        for (home, (contents, cache)) in &self.synced {
            changelog::put(&mut self.store, *home, contents);
            self.caches.insert(*home, *cache);
        }
    }

    /// The producer, once initialised.
    pub(super) fn producer(&self) -> Option<Producer> {
        self.epoch.map(|epoch| Producer { id: self.id, epoch })
    }

    /// Whether some writes have no answer yet.
    pub(super) fn is_writing(&self) -> bool {
        self.outstanding.values().any(|request| matches!(request, Request::Write { .. }))
    }

    /// Whether this host holds what work was begun with.
    pub(super) fn holds(&self, group: &GroupOffsets) -> bool {
        group.held.iter().all(|(home, term)| self.held.get(home) == Some(term))
    }

    /// Learns of a generation of a group, and what was lost by then.
    pub(super) fn learn(&mut self, group: SubscriptionId, generation: u32) {
        let known = self.generations.entry(group).or_default();
        *known = (*known).max(generation);
        let known = *known;
        self.losses.retain(|(since, home, term)| {
            let is_learnt = home.0 == group && *since <= known;
            if is_learnt && self.held.get(home) == Some(term) {
                self.held.remove(home);
            }
            !is_learnt
        });
    }

    /// A partition is not to be brought here any more.
    pub(super) fn call_off(&mut self, home: Home) {
        self.restores.remove(&home);
        self.barrier.call_off(home);
    }

    /// Forgets a partition that is not this host's any more.
    pub(super) fn forget(&mut self, home: Home) {
        self.call_off(home);
        self.finished.retain(|cursor, _| (cursor.0, cursor.2) != home);
    }

    /// What a checkpoint has the cluster make true.
    pub(super) fn work(&mut self, batch: Batch, topics: &Topics) -> Work {
        for one in &batch.progress {
            self.finished.insert((one.subscription, one.topic, one.partition), one.next);
        }
        let homes = homes_of(&batch);
        let (mut before, mut after) = (BTreeMap::new(), Durable::default());
        for home in &homes {
            let contents = changelog::contents(&self.store, *home);
            changelog::put(&mut after, *home, &contents);
            before.insert(*home, contents);
        }
        after.apply(&batch, topics);
        let mut records = outputs(&batch, &after);
        let after: BTreeMap<Home, Contents> =
            homes.iter().map(|home| (*home, changelog::contents(&after, *home))).collect();
        for home in &homes {
            let changes = changelog::changes(&before[home], &after[home]);
            let entries = changes.into_iter().map(|(key, value)| Record::Entry(key, value));
            records.push((Shelf::Changelog(*home), entries.collect()));
        }
        records.retain(|(_, records): &(_, Vec<Record>)| !records.is_empty());
        let groups = self.groups(&homes);
        Work { batch, stage: Stage::Queued, groups, records, after, lasts: BTreeMap::new() }
    }

    /// The offsets of every partition that was touched, moved or not: they are what fences.
    fn groups(&self, homes: &BTreeSet<Home>) -> Vec<GroupOffsets> {
        let mut groups: BTreeMap<SubscriptionId, GroupOffsets> = BTreeMap::new();
        for home in homes {
            let group = groups.entry(home.0).or_insert_with(|| GroupOffsets {
                group: home.0,
                offsets: Vec::new(),
                held: Vec::new(),
            });
            let own = self.finished.iter().filter(|(cursor, _)| (cursor.0, cursor.2) == *home);
            group.offsets.extend(own.map(|(cursor, offset)| (*cursor, *offset)));
            group.held.push((*home, self.held.get(home).copied().unwrap_or(0)));
        }
        groups.into_values().filter(|group| !group.offsets.is_empty()).collect()
    }

    /// The cache follows what became true.
    pub(super) fn follow(&mut self, work: &Work, now: Instant) {
        for (home, contents) in &work.after {
            changelog::put(&mut self.store, *home, contents);
            let known = self.caches.get(home).map(|cache| cache.next).unwrap_or_default();
            let last = work.lasts.get(&Shelf::Changelog(*home));
            let next = last.map_or(known, |last| last.next());
            self.caches.insert(*home, Cache { next, at: now });
        }
    }
}

/// Every partition a checkpoint touches.
pub(super) fn homes_of(batch: &Batch) -> BTreeSet<Home> {
    let is_homed = |staged: &Staged| !matches!(staged, Staged::Upgraded { .. });
    let items = batch.items.iter().filter(|item| is_homed(&item.staged)).map(|item| item.home);
    items.chain(batch.progress.iter().map(|one| (one.subscription, one.partition))).collect()
}

/// What goes to others: of each success its emission, of what was given up on its dead letter.
pub(super) fn outputs(batch: &Batch, after: &Durable) -> Vec<(Shelf, Vec<Record>)> {
    let mut by_shelf: BTreeMap<Shelf, Vec<Record>> = BTreeMap::new();
    let mut letters = after.dead_letters.iter();
    for item in &batch.items {
        let (Staged::Settled { outcome, .. }, Some(event)) = (&item.staged, item.event) else {
            continue;
        };
        let records = by_shelf.entry(Shelf::Output(item.home.0)).or_default();
        if let Terminal::Succeeded { .. } = outcome {
            records.push(Record::Emission(item.home.0, event));
        } else if let Terminal::DeadLettered { .. } = outcome {
            records.extend(letters.next().map(|letter| Record::Letter(*letter)));
        }
    }
    by_shelf.into_iter().collect()
}

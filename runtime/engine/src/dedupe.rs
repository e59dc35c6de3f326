//! Decides which event of a business id runs and which are its duplicates, within one partition
//! and until the durable mark can be seen. It never looks a mark up.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use crate::{CheckpointId, IdHash, KeyHash};

/// What is known of the ids of a partition's events.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ids {
    entries: BTreeMap<IdHash, Entry>,
    /// Ids by the checkpoint that settles them, in order.
    settled: VecDeque<(CheckpointId, IdHash)>,
}

/// What is known of one id.
#[derive(Debug, Clone, Default)]
struct Entry {
    /// Events that carry it and are not finished.
    holders: u32,
    /// Lane whose head was dispatched first and is not terminal.
    owner: Option<KeyHash>,
    /// Checkpoint of the latest terminal outcome.
    settled: Option<CheckpointId>,
    /// Whether that checkpoint is durable.
    is_durable: bool,
    /// Twins, which are rare: apart, because an entry is moved around a lot.
    twins: Option<Box<Twins>>,
}

/// What an event that wants to run is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Claim {
    /// Run: the id is yours until you are terminal.
    Granted,
    /// A twin is terminal: you are a duplicate.
    Settled,
    /// A twin runs, waits for its next attempt or is parked: wait.
    Busy,
}

/// Who is concerned when an id is settled.
#[derive(Debug, Clone, Default)]
pub(crate) struct Twins {
    /// Lanes whose head waits for the owner.
    pub(crate) waiters: Vec<KeyHash>,
    /// Parked events: lane and place. Settled with the owner, because after a restart nobody
    /// would look their mark up.
    pub(crate) parked: Vec<(KeyHash, u64)>,
}

impl Ids {
    /// An event of this id came into memory.
    pub(crate) fn hold(&mut self, id: IdHash) {
        let entry = self.entries.entry(id).or_default();
        entry.holders = entry.holders.saturating_add(1);
    }

    /// An event of this id is finished. The entry stays while a mark is not durable yet, so that
    /// a twin read before the commit is still caught.
    pub(crate) fn let_go(&mut self, id: IdHash) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        entry.holders = entry.holders.saturating_sub(1);
        if entry.holders == 0 && (entry.settled.is_none() || entry.is_durable) {
            self.entries.remove(&id);
        }
    }

    /// The head of `lane` wants to run.
    pub(crate) fn claim(&mut self, id: IdHash, lane: KeyHash, redriven: bool) -> Claim {
        let entry = self.entries.entry(id).or_default();
        match entry.owner {
            Some(owner) if owner == lane => Claim::Granted,
            Some(_) => {
                let twins = entry.twins.get_or_insert_default();
                if !twins.waiters.contains(&lane) {
                    twins.waiters.push(lane);
                }
                Claim::Busy
            }
            None if entry.settled.is_some() && !redriven => Claim::Settled,
            None => {
                entry.owner = Some(lane);
                Claim::Granted
            }
        }
    }

    /// The restored head of `lane` had been dispatched: the id is its own, unless it has an owner.
    pub(crate) fn own(&mut self, id: IdHash, lane: KeyHash) {
        self.entries.entry(id).or_default().owner.get_or_insert(lane);
    }

    /// Whether an event of this id is terminal already.
    pub(crate) fn is_settled(&self, id: IdHash) -> bool {
        self.entries.get(&id).is_some_and(|entry| entry.settled.is_some() && entry.owner.is_none())
    }

    /// The owner is terminal in `checkpoint`.
    pub(crate) fn settle(&mut self, id: IdHash, checkpoint: CheckpointId) -> Option<Box<Twins>> {
        let entry = self.entries.entry(id).or_default();
        entry.owner = None;
        entry.settled = Some(checkpoint);
        entry.is_durable = false;
        self.settled.push_back((checkpoint, id));
        entry.twins.take()
    }

    /// An event of this id was put into a parked lane.
    pub(crate) fn park(&mut self, id: IdHash, lane: KeyHash, sequence: u64) {
        let entry = self.entries.entry(id).or_default();
        entry.twins.get_or_insert_default().parked.push((lane, sequence));
    }

    /// An event of this id left its parked lane.
    pub(crate) fn unpark(&mut self, id: IdHash, lane: KeyHash, sequence: u64) {
        if let Some(twins) = self.entries.get_mut(&id).and_then(|it| it.twins.as_mut()) {
            twins.parked.retain(|place| *place != (lane, sequence));
        }
    }

    /// `checkpoint` is durable: its marks are seen from now on.
    pub(crate) fn commit(&mut self, checkpoint: CheckpointId) {
        while let Some((settled, id)) = self.settled.front().copied() {
            if settled > checkpoint {
                break;
            }
            self.settled.pop_front();
            let Some(entry) = self.entries.get_mut(&id) else { continue };
            // Settled again since, by a redriven event: that mark is not durable yet.
            if entry.settled != Some(settled) {
                continue;
            }
            entry.is_durable = true;
            if entry.holders == 0 {
                self.entries.remove(&id);
            }
        }
    }
}

#[cfg(test)]
mod tests;

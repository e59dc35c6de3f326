//! Lies as a Kafka broker does: partitions as logs with transactions open and ended in them, a
//! coordinator per transactional id, groups. It answers at once and keeps no time; whoever asks
//! delays, loses and repeats. What it decides is the old protocol's (before KIP-890), with the
//! coordinator asked whether a partition belongs to a transaction (KIP-890, part 1).

mod coordinator;
mod group;
mod log;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use gristmill_engine::{Instant, Offset, SubscriptionId};

use crate::changelog::{Key, Value};
use crate::topic::EventId;
use crate::world::durable::{CursorId, DeadLetter, Home};

pub use coordinator::Target;
use coordinator::{Coordinator, State};
use group::Group;
pub use log::{Log, Read};

/// A transactional id.
pub type Id = usize;

/// A partition of a topic that transactions write to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shelf {
    /// A partition's changelog.
    Changelog(Home),
    /// What a subscription emits, dead letters included.
    Output(SubscriptionId),
}

/// A record of such a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// A key of a changelog has this value now, or none.
    Entry(Key, Option<Value>),
    /// What a success emits.
    Emission(SubscriptionId, EventId),
    /// What a success emits, and is too large for its topic.
    Oversized(SubscriptionId, EventId),
    /// What was given up on.
    Letter(DeadLetter),
}

/// Who asks: a producer of this id, in this life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Producer {
    /// Its transactional id.
    pub id: Id,
    /// How often the id had been initialised.
    pub epoch: u32,
}

/// What a broker is asked to do.
#[derive(Debug, Clone)]
pub enum Request {
    /// Fence what had the id and end what it left open.
    Initialise(Id),
    /// Take offsets into a transaction.
    Offsets {
        /// Who asks.
        producer: Producer,
        /// The group.
        group: SubscriptionId,
        /// As which generation's member; `None` for nobody's, which is not fenced.
        generation: Option<u32>,
        /// The offsets.
        offsets: Vec<(CursorId, Offset)>,
    },
    /// Write records in a transaction.
    Write {
        /// Who asks.
        producer: Producer,
        /// Where to.
        to: Shelf,
        /// Number of the batch among those of the producer there: one that came already is known.
        sequence: u64,
        /// What.
        records: Vec<Record>,
    },
    /// End a transaction.
    End {
        /// Who asks.
        producer: Producer,
        /// Whether it is to count.
        commit: bool,
    },
}

/// What a broker says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// The id is initialised, with this epoch.
    Initialised(u32),
    /// Done.
    Done,
    /// Written, the last record at this offset.
    Written(Offset),
    /// The transaction before is still being ended: ask again.
    Busy,
    /// Another producer has the id.
    Fenced,
    /// No such generation of the group.
    Stale,
    /// Nothing of a batch is written, because of this one, which never will be.
    Refused(usize),
    /// There is no such transaction, or it did not end so.
    Invalid,
}

/// A transaction that was decided: nothing will change that any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// Whose.
    pub producer: Producer,
    /// Whether it counts.
    pub committed: bool,
    /// What it wrote, in order.
    pub records: Vec<(Shelf, Record)>,
    /// Offsets it took.
    pub offsets: Vec<(CursorId, Offset)>,
    /// Where that must be told yet.
    pub targets: Vec<Target>,
}

/// What comes of a request.
#[derive(Debug)]
pub struct Response {
    /// The answer.
    pub reply: Reply,
    /// What was decided by it.
    pub decided: Option<Decided>,
    /// The transaction that began with it, by its number.
    pub began: Option<u64>,
}

/// A simulated broker.
#[derive(Debug, Clone, Default)]
pub struct Broker {
    logs: BTreeMap<Shelf, Log>,
    ids: BTreeMap<Id, Coordinator>,
    groups: BTreeMap<SubscriptionId, Group>,
}

impl Broker {
    /// Does what is asked.
    pub fn handle(&mut self, now: Instant, request: Request) -> Response {
        let (reply, decided, began) = match request {
            Request::Initialise(id) => self.initialise(id),
            Request::Offsets { producer, group, generation, offsets } => {
                self.take_offsets(producer, group, generation, offsets)
            }
            Request::Write { producer, to, sequence, records } => {
                self.write(now, producer, (to, sequence), records)
            }
            Request::End { producer, commit } => self.end(producer, commit),
        };
        Response { reply, decided, began }
    }

    /// Ends a transaction that is too old, if it is still this one.
    pub fn expire(&mut self, id: Id, number: u64) -> Option<Decided> {
        let coordinator = self.ids.get_mut(&id)?;
        if coordinator.number != number || coordinator.state != State::Ongoing {
            return None;
        }
        let producer = Producer { id, epoch: coordinator.epoch };
        coordinator.epoch += 1;
        Some(self.decide(producer, false))
    }

    /// Tells one partition how a transaction ended. The last one frees the id.
    pub fn mark(&mut self, id: Id, target: Target) {
        let Some(coordinator) = self.ids.get_mut(&id) else { return };
        let Some(committed) = coordinator.mark(target) else { return };
        match target {
            Target::Log(to) => self.logs.entry(to).or_default().end(id, committed),
            Target::Group(group) => self.groups.entry(group).or_default().end(id, committed),
        }
    }

    /// The log of a partition.
    pub fn log(&mut self, to: Shelf) -> &mut Log {
        self.logs.entry(to).or_default()
    }

    /// All logs.
    pub fn logs(&self) -> impl Iterator<Item = (Shelf, &Log)> {
        self.logs.iter().map(|(to, log)| (*to, log))
    }

    /// The present generation of a group.
    #[must_use]
    pub fn generation(&self, group: SubscriptionId) -> u32 {
        self.groups.get(&group).map_or(0, |group| group.generation)
    }

    /// The members of a group change: what was sent under the generation before is refused.
    pub fn rebalance(&mut self, group: SubscriptionId) -> u32 {
        let group = self.groups.entry(group).or_default();
        group.generation += 1;
        group.generation
    }

    /// What a group has committed of a partition number, or nothing while some of it is undecided
    /// and only what is `stable` is wanted.
    #[must_use]
    pub fn committed(&self, home: Home, stable: bool) -> Option<BTreeMap<CursorId, Offset>> {
        let Some(group) = self.groups.get(&home.0) else { return Some(BTreeMap::new()) };
        if stable && group.is_undecided(home) {
            return None;
        }
        Some(group.of(home))
    }

    /// Sets a group's offset, as an operator does.
    pub fn set_offset(&mut self, cursor: CursorId, to: Offset) {
        self.groups.entry(cursor.0).or_default().offsets.insert(cursor, to);
    }

    /// Forgets what groups committed of a topic.
    pub fn forget(&mut self, is_gone: impl Fn(&CursorId) -> bool) {
        for group in self.groups.values_mut() {
            group.offsets.retain(|cursor, _| !is_gone(cursor));
        }
    }

    /// Whether no transaction is open or being ended.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.ids.values().all(|coordinator| coordinator.state == State::Empty)
    }
}

//! Coordinates the transactions of each id: one at a time, decided once, and told to every
//! partition it touched only after that.

use std::collections::BTreeSet;

use gristmill_engine::{Instant, Offset, SubscriptionId};

use super::{Broker, Decided, Id, Producer, Record, Reply, Shelf};
use crate::world::durable::CursorId;

/// A partition that must be told how a transaction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// One that it wrote to.
    Log(Shelf),
    /// That of a group's offsets.
    Group(SubscriptionId),
}

/// The transactions of one id.
#[derive(Debug, Clone, Default)]
pub(super) struct Coordinator {
    pub(super) epoch: u32,
    pub(super) state: State,
    /// Counts transactions.
    pub(super) number: u64,
    targets: BTreeSet<Target>,
    /// How the last one ended, by whose word.
    last: Option<(u32, bool)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum State {
    /// Nothing is open.
    #[default]
    Empty,
    /// Something is.
    Ongoing,
    /// It is decided, and partitions are told.
    Ending(bool),
}

type Outcome = (Reply, Option<Decided>, Option<u64>);

impl Coordinator {
    /// A partition takes part. The number of the transaction where it begins with that.
    fn add(&mut self, target: Target) -> Option<u64> {
        self.targets.insert(target);
        if self.state == State::Ongoing {
            return None;
        }
        self.state = State::Ongoing;
        self.number += 1;
        Some(self.number)
    }

    /// A partition is told: how it ended, where it was not told before.
    pub(super) fn mark(&mut self, target: Target) -> Option<bool> {
        let State::Ending(committed) = self.state else { return None };
        let is_new = self.targets.remove(&target);
        if self.targets.is_empty() {
            self.state = State::Empty;
        }
        is_new.then_some(committed)
    }

    /// What is said to a producer that may not go on now.
    fn refuse(&self, epoch: u32) -> Option<Reply> {
        if epoch != self.epoch {
            return Some(Reply::Fenced);
        }
        matches!(self.state, State::Ending(_)).then_some(Reply::Busy)
    }
}

impl Broker {
    pub(super) fn initialise(&mut self, id: Id) -> Outcome {
        let coordinator = self.ids.entry(id).or_default();
        match coordinator.state {
            State::Empty => {
                coordinator.epoch += 1;
                (Reply::Initialised(coordinator.epoch), None, None)
            }
            State::Ending(_) => (Reply::Busy, None, None),
            State::Ongoing => {
                let producer = Producer { id, epoch: coordinator.epoch };
                coordinator.epoch += 1;
                (Reply::Busy, Some(self.decide(producer, false)), None)
            }
        }
    }

    pub(super) fn take_offsets(
        &mut self,
        producer: Producer,
        group: SubscriptionId,
        generation: Option<u32>,
        offsets: Vec<(CursorId, Offset)>,
    ) -> Outcome {
        let coordinator = self.ids.entry(producer.id).or_default();
        if let Some(reply) = coordinator.refuse(producer.epoch) {
            return (reply, None, None);
        }
        // The coordinator has the group take part before the group is asked.
        let began = coordinator.add(Target::Group(group));
        let present = self.groups.entry(group).or_default();
        if generation.is_some_and(|generation| generation != present.generation) {
            return (Reply::Stale, None, began);
        }
        present.pending.entry(producer.id).or_default().extend(offsets);
        (Reply::Done, None, began)
    }

    pub(super) fn write(
        &mut self,
        now: Instant,
        producer: Producer,
        (to, sequence): (Shelf, u64),
        records: Vec<Record>,
    ) -> Outcome {
        let coordinator = self.ids.entry(producer.id).or_default();
        if let Some(reply) = coordinator.refuse(producer.epoch) {
            return (reply, None, None);
        }
        let began = coordinator.add(Target::Log(to));
        let is_oversized = |record: &Record| matches!(record, Record::Oversized(..));
        if let Some(index) = records.iter().position(is_oversized) {
            return (Reply::Refused(index), None, began);
        }
        let log = self.logs.entry(to).or_default();
        (Reply::Written(log.append(now, producer, sequence, records)), None, began)
    }

    pub(super) fn end(&mut self, producer: Producer, commit: bool) -> Outcome {
        let coordinator = self.ids.entry(producer.id).or_default();
        if coordinator.epoch != producer.epoch {
            return (Reply::Fenced, None, None);
        }
        match coordinator.state {
            State::Ongoing => (Reply::Done, Some(self.decide(producer, commit)), None),
            State::Ending(committed) if committed == commit => (Reply::Busy, None, None),
            State::Empty if !commit => (Reply::Done, None, None),
            State::Empty if coordinator.last == Some((producer.epoch, true)) => {
                (Reply::Done, None, None)
            }
            State::Ending(_) | State::Empty => (Reply::Invalid, None, None),
        }
    }

    /// Decides the open transaction of a producer.
    pub(super) fn decide(&mut self, producer: Producer, committed: bool) -> Decided {
        let id = producer.id;
        let coordinator = self.ids.entry(id).or_default();
        coordinator.state = State::Ending(committed);
        coordinator.last = Some((producer.epoch, committed));
        let targets: Vec<Target> = coordinator.targets.iter().copied().collect();
        let (mut records, mut offsets) = (Vec::new(), Vec::new());
        for target in &targets {
            match target {
                Target::Log(to) => {
                    let log = self.logs.entry(*to).or_default();
                    records.extend(log.open_of(id).map(|record| (*to, record.clone())));
                }
                Target::Group(group) => {
                    let group = self.groups.entry(*group).or_default();
                    offsets.extend(group.pending.get(&id).into_iter().flatten().copied());
                }
            }
        }
        Decided { producer, committed, records, offsets, targets }
    }
}

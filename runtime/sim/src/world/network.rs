//! Decides when what is sent arrives, if it does, and to whom it goes then. A host that stands
//! still finds everything when it goes on; the broker never stands still.

use gristmill_engine::{Input, Instant, Millis, SubscriptionId};

use crate::broker::{Id, Reply, Request, Target};
use crate::checkers::Failure;
use crate::script::Network;
use crate::world::World;
use crate::world::durable::Home;
use crate::world::happenings::Happening;

/// Something that happens in a cluster. `life` tells a host's life: what was meant for an older
/// one is dropped. What a dead host had sent arrives all the same.
#[derive(Debug, Clone)]
pub(super) enum Event {
    /// A host goes on with its transaction.
    Drive { worker: usize, life: u64 },
    /// A request comes to the broker.
    Deliver { from: (usize, u64, u64), request: Request },
    /// An answer comes back.
    Reply { worker: usize, life: u64, ticket: u64, reply: Reply },
    /// A host asks the same again.
    Again { worker: usize, life: u64, ticket: u64 },
    /// The connection that a request was sent on turns out to be broken.
    Broken { worker: usize, life: u64, ticket: u64 },
    /// A host waits no longer.
    Timeout { worker: usize, life: u64, ticket: u64 },
    /// A host's cache follows its transaction.
    Settle { worker: usize, life: u64 },
    /// A partition is told how a transaction ended.
    Mark { id: Id, target: Target },
    /// A transaction becomes too old.
    Expire { id: Id, number: u64 },
    /// A host asks on, to take a partition over.
    Ask { worker: usize, life: u64, home: Home, ticket: u64 },
    /// A host learns of a new generation of a group.
    Joined { worker: usize, life: u64, group: SubscriptionId, generation: u32 },
    /// A host that stands still is taken for dead.
    Evict { worker: usize, life: u64 },
    /// A host goes on.
    Thaw { worker: usize },
    /// Changelogs are compacted.
    Compact,
    /// A host is told what it could not be told while it stood still.
    Tell { worker: usize, life: u64, input: Box<Input> },
}

impl Event {
    /// The host it is for, in which of its lives.
    pub(super) fn host(&self) -> Option<(usize, u64)> {
        match self {
            Self::Drive { worker, life }
            | Self::Reply { worker, life, .. }
            | Self::Again { worker, life, .. }
            | Self::Broken { worker, life, .. }
            | Self::Timeout { worker, life, .. }
            | Self::Settle { worker, life }
            | Self::Ask { worker, life, .. }
            | Self::Joined { worker, life, .. }
            | Self::Tell { worker, life, .. } => Some((*worker, *life)),
            Self::Deliver { .. }
            | Self::Mark { .. }
            | Self::Expire { .. }
            | Self::Evict { .. }
            | Self::Thaw { .. }
            | Self::Compact => None,
        }
    }
}

impl World {
    pub(super) fn at_net(&mut self, at: Instant, event: Event) {
        self.at(at, Happening::Net(event));
    }

    /// Whether something sent now never arrives.
    pub(super) fn is_lost(&mut self) -> bool {
        !self.healed && self.random.chance(self.script.network.lost)
    }

    /// Whether something takes its time.
    pub(super) fn is_late(&mut self) -> bool {
        !self.healed && self.random.chance(self.script.network.late)
    }

    /// Whether the connection that something is sent on breaks, unless its answer is faster.
    pub(super) fn breaks(&mut self) -> bool {
        let Network { lost, late } = self.script.network;
        !self.healed && lost + late > 0 && self.random.chance(500)
    }

    /// How long something is on its way.
    pub(super) fn delay(&mut self) -> Millis {
        let span = if self.is_late() { 250 } else { 3 };
        Millis(self.random.below(span))
    }

    pub(super) fn happen_net(&mut self, event: Event) -> Result<(), Failure> {
        if let Some((worker, life)) = event.host()
            && self.drivers[worker].life != life
        {
            return Ok(());
        }
        match event {
            Event::Drive { worker, .. } => self.drive(worker),
            Event::Deliver { from, request } => self.deliver(from, request),
            Event::Reply { worker, ticket, reply, .. } => self.replied(worker, ticket, reply),
            Event::Again { worker, ticket, .. } => {
                self.dispatch(worker, ticket);
                Ok(())
            }
            Event::Broken { worker, ticket, .. } => {
                self.broken(worker, ticket);
                Ok(())
            }
            Event::Timeout { worker, ticket, .. } => self.timed_out(worker, ticket),
            Event::Settle { worker, .. } => self.settle_work(worker),
            Event::Mark { id, target } => {
                self.mark(id, target);
                Ok(())
            }
            Event::Expire { id, number } => self.expire(id, number),
            Event::Ask { worker, home, ticket, .. } => self.ask_on(worker, home, ticket),
            Event::Joined { worker, group, generation, .. } => {
                self.joined(worker, group, generation);
                Ok(())
            }
            Event::Evict { worker, life } => self.evict(worker, life),
            Event::Thaw { worker } => {
                self.thaw(worker);
                Ok(())
            }
            Event::Compact => {
                self.compact();
                Ok(())
            }
            Event::Tell { worker, life, input } => self.tell(worker, life, *input),
        }
    }
}

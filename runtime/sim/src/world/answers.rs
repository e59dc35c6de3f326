//! Brings requests to the simulated broker and its answers back to the hosts that asked. What an
//! answer means for a transaction, the engine's `transaction` decides.

use gristmill_engine::Millis;
use gristmill_engine::transaction::Failure as Failed;

use super::cluster::gone;
use super::link::TIMEOUT;
use super::network::Event;
use crate::broker::{Producer, Reply, Request};
use crate::checkers::{Failure, IDENTITY};
use crate::world::World;

/// Time after faults stopped in which what they did may still show.
const CALM_MS: u64 = 700;
/// Wait before the same is asked again.
const AGAIN_MS: u64 = 2;

impl World {
    /// A request comes to the broker.
    pub(super) fn deliver(
        &mut self,
        (worker, life, ticket): (usize, u64, u64),
        request: Request,
    ) -> Result<(), Failure> {
        let now = self.now;
        let Some(cluster) = &mut self.cluster else { return Ok(()) };
        let id = cluster.links[worker].id;
        let response = cluster.broker.handle(now, request);
        self.note(|| format!("broker answers {ticket} of host {worker}: {:?}", response.reply));
        match response.reply {
            Reply::Fenced => {
                self.tally.net.fenced += 1;
                self.fenced(worker)?;
            }
            Reply::Stale => self.tally.net.stale += 1,
            Reply::Initialised(_)
            | Reply::Done
            | Reply::Written(_)
            | Reply::Busy
            | Reply::Refused(_)
            | Reply::Invalid => {}
        }
        if let Some(number) = response.began {
            self.at_net(now.after(TIMEOUT), Event::Expire { id, number });
        }
        if !self.is_lost() {
            let (delay, reply) = (self.delay(), response.reply);
            self.at_net(now.after(delay), Event::Reply { worker, life, ticket, reply });
        }
        response.decided.map_or(Ok(()), |decided| self.decided(decided))
    }

    /// A host is fenced. Long after faults stopped that happens once at most, by what was late.
    fn fenced(&mut self, worker: usize) -> Result<(), Failure> {
        let Some(cluster) = &mut self.cluster else { return Ok(()) };
        if self.now <= self.script.heal_at.after(Millis(CALM_MS)) {
            return Ok(());
        }
        if cluster.fenced.insert(worker) {
            return Ok(());
        }
        let what = format!("host {worker} is fenced again, and nothing is wrong any more");
        Err(Failure { checker: IDENTITY, what })
    }

    /// An answer comes back.
    pub(super) fn replied(
        &mut self,
        worker: usize,
        ticket: u64,
        reply: Reply,
    ) -> Result<(), Failure> {
        let life = self.drivers[worker].life;
        let Some(link) = self.link(worker) else { return Ok(()) };
        let Some(request) = link.outstanding.get(&ticket).cloned() else { return Ok(()) };
        if reply == Reply::Busy {
            let Some(ticket) = self.renew(worker, ticket) else { return Ok(()) };
            let at = self.now.after(Millis(AGAIN_MS));
            self.at_net(at, Event::Again { worker, life, ticket });
            return Ok(());
        }
        link.outstanding.remove(&ticket);
        let is_awaited = link.waiting.take_if(|it| it.request == ticket).is_some();
        let answer = match (&request, reply) {
            (Request::Initialise(_), Reply::Initialised(epoch)) if is_awaited => {
                self.initialised(worker, epoch)?;
                Ok(())
            }
            (Request::Write { to, .. }, Reply::Written(last)) => {
                if let Some(work) = &mut link.work {
                    work.lasts.insert(*to, last);
                }
                Ok(())
            }
            (Request::Write { to, .. }, Reply::Refused(index)) => {
                let index = link.work.as_ref().map(|work| work.index_of(*to, index));
                Err(Failed::Record(index.unwrap_or(0), "too large"))
            }
            (_, Reply::Done) => Ok(()),
            (_, Reply::Fenced) => Err(Failed::Fenced("fenced")),
            (_, Reply::Stale) => Err(Failed::Abort("rebalance", "no such generation")),
            (_, _) => Err(Failed::Reset("answer", "not what was asked for")),
        };
        if is_awaited {
            self.answered(worker, answer);
        } else if let (Err(failure), Some(link)) = (answer, self.link(worker)) {
            link.refused.get_or_insert(failure);
        }
        self.drive(worker)
    }

    /// A producer is initialised: what the ones before left open was decided, or never will be.
    fn initialised(&mut self, worker: usize, epoch: u32) -> Result<(), Failure> {
        let Some(cluster) = &mut self.cluster else { return Ok(()) };
        let link = &mut cluster.links[worker];
        link.epoch = Some(epoch);
        let id = link.id;
        let older = Producer { id, epoch: 0 }..Producer { id, epoch };
        let gone: Vec<Producer> = cluster.flights.range(older).map(|(it, _)| *it).collect();
        gone.into_iter().try_for_each(|producer| self.give_up(producer))
    }

    /// A transaction that never came to be decided.
    pub(super) fn give_up(&mut self, producer: Producer) -> Result<(), Failure> {
        let flight = self.cluster.as_mut().and_then(|cluster| cluster.flights.remove(&producer));
        flight.map_or(Ok(()), |flight| self.show(gone(&flight.batch)))
    }
}

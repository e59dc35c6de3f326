//! Lies as Kafka's client library does: a request whose connection breaks is sent again on another,
//! as often as it takes, and whoever waits learns only how the last one was answered. The first may
//! come to the broker all the same, at any time later.

use gristmill_engine::Millis;
use gristmill_engine::transaction::Failure as Failed;

use super::link::Waiting;
use super::network::Event;
use crate::broker::Request;
use crate::checkers::Failure;
use crate::planted::Planted;
use crate::world::World;

/// Longest wait for one answer. Beyond it nobody can say what became of a request.
const ANSWER_MS: u64 = 50;
/// Longest time in which it is noticed that a connection broke.
const BREAK_MS: u64 = 40;

impl World {
    /// Sends a request; the present step waits for its answer where `waits`.
    pub(super) fn send(&mut self, worker: usize, request: Request, waits: bool) {
        let life = self.drivers[worker].life;
        let Some(cluster) = &mut self.cluster else { return };
        let ticket = cluster.ticket();
        let link = &mut cluster.links[worker];
        link.outstanding.insert(ticket, request);
        if waits {
            link.waiting = Some(Waiting { request: ticket, since: ticket });
            let at = self.now.after(Millis(ANSWER_MS));
            self.at_net(at, Event::Timeout { worker, life, ticket });
        }
        self.dispatch(worker, ticket);
    }

    /// Puts a request on the wire, whose connection may break.
    pub(super) fn dispatch(&mut self, worker: usize, ticket: u64) {
        let life = self.drivers[worker].life;
        let request = self.link(worker).and_then(|link| link.outstanding.get(&ticket).cloned());
        let Some(request) = request else { return };
        self.note(|| format!("host {worker} asks {ticket}: {request:?}"));
        if self.breaks() {
            let at = self.now.after(Millis(self.random.between(1, BREAK_MS)));
            self.at_net(at, Event::Broken { worker, life, ticket });
        }
        if self.is_lost() {
            return;
        }
        let delay = self.delay();
        let from = (worker, life, ticket);
        self.at_net(self.now.after(delay), Event::Deliver { from, request });
    }

    /// The connection broke before there was an answer: the request goes out again.
    pub(super) fn broken(&mut self, worker: usize, ticket: u64) {
        let Some(ticket) = self.renew(worker, ticket) else { return };
        self.tally.net.repeated += 1;
        if let Some(link) = self.link(worker) {
            link.has_failed = true;
        }
        self.dispatch(worker, ticket);
    }

    /// Has a request go by another ticket: answers to the one before are nobody's.
    pub(super) fn renew(&mut self, worker: usize, old: u64) -> Option<u64> {
        let cluster = self.cluster.as_mut()?;
        let ticket = cluster.ticket();
        let link = &mut cluster.links[worker];
        let request = link.outstanding.remove(&old)?;
        link.outstanding.insert(ticket, request);
        if let Some(waiting) = link.waiting.as_mut().filter(|waiting| waiting.request == old) {
            waiting.request = ticket;
        }
        Some(ticket)
    }

    /// Before a checkpoint: a producer one of whose connections failed is said to be in doubt.
    pub(super) fn tell_doubt(&mut self, worker: usize) {
        let is_planted = self.options.planted == Some(Planted::FailedReused);
        let Some(link) = self.link(worker) else { return };
        if link.has_failed && !is_planted && link.committing.doubt() {
            self.tally.net.doubted += 1;
        }
    }

    /// Nobody answered in time.
    pub(super) fn timed_out(&mut self, worker: usize, ticket: u64) -> Result<(), Failure> {
        let Some(link) = self.link(worker) else { return Ok(()) };
        if link.flushing == Some(ticket) {
            link.flushing = None;
            self.answered(worker, Err(Failed::Reset("flush", "not acknowledged")));
            return self.drive(worker);
        }
        let Some(waiting) = link.waiting.take_if(|waiting| waiting.since == ticket) else {
            return Ok(());
        };
        let request = link.outstanding.remove(&waiting.request);
        if let Some(Request::Initialise(id)) = request {
            // It is tried until there is a broker, each time with another producer.
            link.has_failed = false;
            self.send(worker, Request::Initialise(id), true);
            return Ok(());
        }
        let planted = self.options.planted == Some(Planted::AmbiguityIgnored);
        let is_commit = matches!(request, Some(Request::End { commit: true, .. }));
        if is_commit {
            self.tally.net.ambiguous += 1;
            let is_open = self.cluster.as_ref().is_some_and(|it| it.is_flying(worker));
            self.tally.net.ambiguous_committed += u64::from(!is_open);
        }
        if planted && is_commit {
            self.answered(worker, Ok(()));
        } else {
            self.answered(worker, Err(Failed::Reset("answer", "nobody answered")));
        }
        self.drive(worker)
    }
}

//! Takes the steps of every host's transactions against the simulated broker, and shows what is
//! decided there. Requests and answers are late, lost or come twice; which steps there are, and
//! what an answer means, the engine's `transaction` decides, as it does for a real host.

use std::collections::{BTreeMap, BTreeSet};

use gristmill_engine::transaction::{Ended, Failure as Failed, Step, as_member};
use gristmill_engine::{CheckpointId, Input, Instant, Millis, Staged};

use super::link::{Link, Stage, TIMEOUT, homes_of, outputs};
use super::network::Event;
use crate::broker::{Broker, Decided, Producer, Record, Reply, Request, Shelf, Target};
use crate::changelog;
use crate::checkers::{Fact, Failure, IDENTITY};
use crate::planted::Planted;
use crate::world::World;
use crate::world::durable::{Batch, Durable, Home, Item};
use crate::world::happenings::Happening;

/// Longest wait for one answer. Beyond it nobody can say what became of a request.
const ANSWER_MS: u64 = 50;
/// Longest wait for writes to be acknowledged.
const FLUSH_MS: u64 = 60;
/// Time after faults stopped in which what they did may still show.
const CALM_MS: u64 = 700;
/// Wait before the same is asked again.
const AGAIN_MS: u64 = 2;

/// The broker and the hosts' connections with it.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) broker: Broker,
    pub(super) links: Vec<Link>,
    /// Checkpoints whose transactions are not decided.
    pub(super) flights: BTreeMap<Producer, Batch>,
    /// Hosts that stand still, and until when.
    pub(super) frozen: BTreeMap<usize, Instant>,
    /// What they find when they go on, in order.
    inboxes: BTreeMap<usize, Vec<Happening>>,
    /// Hosts that were fenced long after faults stopped.
    pub(super) fenced: BTreeSet<usize>,
    pub(super) terms: u64,
    pub(super) tickets: u64,
}

type Answer = Result<(), Failed<&'static str>>;

impl Cluster {
    pub(super) fn new(hosts: usize, planted: Option<Planted>) -> Self {
        let is_shared = planted == Some(Planted::SharedId);
        let link = |worker| Link::new(if is_shared { 0 } else { worker });
        Self {
            broker: Broker::default(),
            links: (0..hosts).map(link).collect(),
            flights: BTreeMap::new(),
            frozen: BTreeMap::new(),
            inboxes: BTreeMap::new(),
            fenced: BTreeSet::new(),
            terms: 0,
            tickets: 0,
        }
    }

    pub(super) fn ticket(&mut self) -> u64 {
        self.tickets += 1;
        self.tickets
    }

    /// Whether the transaction of a host's producer is not decided.
    fn is_flying(&self, worker: usize) -> bool {
        self.links[worker].producer().is_some_and(|it| self.flights.contains_key(&it))
    }

    /// Whether every transaction has ended, and every partition's state is where it is to be.
    pub(super) fn is_settled(&self) -> bool {
        self.flights.is_empty()
            && self.broker.is_settled()
            && self.links.iter().all(|link| link.restores.is_empty() && link.work.is_none())
    }

    /// Whether a transaction about a partition is not decided, or not told to it.
    pub(super) fn is_undecided(&self, home: Home) -> bool {
        let is_about = |batch: &Batch| homes_of(batch).contains(&home);
        self.flights.values().any(is_about)
            || self.broker.committed(home, true).is_none()
            || self
                .broker
                .logs()
                .any(|(shelf, log)| shelf == Shelf::Changelog(home) && !log.is_settled())
    }

    /// Keeps what happens to a host that stands still.
    pub(super) fn keep(&mut self, worker: usize, happening: Happening) {
        self.inboxes.entry(worker).or_default().push(happening);
    }

    /// What a host finds that goes on.
    pub(super) fn open_inbox(&mut self, worker: usize) -> Vec<Happening> {
        self.inboxes.remove(&worker).unwrap_or_default()
    }

    /// Until when a host stands still, if it does.
    pub(super) fn frozen_until(&self, worker: usize, now: Instant) -> Option<Instant> {
        self.frozen.get(&worker).copied().filter(|until| *until > now)
    }
}

impl World {
    /// Hands a checkpoint to the cluster.
    pub(super) fn transact(&mut self, worker: usize) -> Result<(), Failure> {
        let Some(batch) = self.drivers[worker].committing.clone() else { return Ok(()) };
        let Some(cluster) = &mut self.cluster else { return Ok(()) };
        let mut work = cluster.links[worker].work(batch, &self.topics);
        let is_local = work.records.is_empty() && work.groups.is_empty();
        let batch = is_local.then(|| work.batch.clone());
        work.stage = if is_local { Stage::Flying } else { Stage::Queued };
        cluster.links[worker].work = Some(work);
        match batch {
            // Nothing of it is anybody else's.
            Some(batch) => {
                self.install(&batch);
                self.show(Fact::Durable(&batch))?;
                self.settle_soon(worker);
                Ok(())
            }
            None => self.drive(worker),
        }
    }

    /// Takes a host's steps as far as they go without an answer.
    pub(super) fn drive(&mut self, worker: usize) -> Result<(), Failure> {
        let life = self.drivers[worker].life;
        loop {
            let now = self.now;
            let Some(cluster) = &mut self.cluster else { return Ok(()) };
            if let Some(until) = cluster.frozen_until(worker, now) {
                self.at_net(until, Event::Drive { worker, life });
                return Ok(());
            }
            let link = &mut cluster.links[worker];
            if link.waiting.is_some() {
                return Ok(());
            }
            let Some(step) = link.committing.next() else { break };
            let Some(answer) = self.step(worker, step)? else { return Ok(()) };
            self.answered(worker, answer);
        }
        let Some(cluster) = &mut self.cluster else { return Ok(()) };
        let link = &mut cluster.links[worker];
        if let Some(ended) = link.committing.ended() {
            return self.ended(worker, ended);
        }
        if let Some(work) = link.work.as_mut().filter(|work| work.stage == Stage::Queued) {
            work.stage = Stage::Begun;
            link.committing.commit(work.groups.len(), self.now);
            return self.drive(worker);
        }
        Ok(())
    }

    fn answered(&mut self, worker: usize, answer: Answer) {
        let now = self.now;
        let note = format!("{answer:?}");
        let Some(link) = self.link(worker) else { return };
        link.committing.replied(now, answer);
        let next = link.committing.next();
        self.note(|| format!("host {worker} {note}, next {next:?}"));
    }

    /// The link of a host, where there is a cluster.
    pub(super) fn link(&mut self, worker: usize) -> Option<&mut Link> {
        self.cluster.as_mut().map(|cluster| &mut cluster.links[worker])
    }

    /// Takes one step; what it came to, unless that is still to be said.
    fn step(&mut self, worker: usize, step: Step) -> Result<Option<Answer>, Failure> {
        let planted = self.options.planted;
        let Some(link) = self.link(worker) else { return Ok(None) };
        match step {
            Step::Initialise => {
                if planted == Some(Planted::UncertainKept) && link.epoch.is_some() {
                    return Ok(Some(Ok(())));
                }
                let id = link.id;
                (link.epoch, link.sequence) = (None, 0);
                link.outstanding.clear();
                self.send(worker, Request::Initialise(id), true);
                Ok(None)
            }
            Step::Begin => Ok(Some(self.begin(worker))),
            Step::Offsets(group) => Ok(self.send_offsets(worker, group)),
            Step::HandOver(_) => {
                self.hand_over_records(worker);
                Ok(Some(Ok(())))
            }
            Step::Await(_) if planted == Some(Planted::WritesUnawaited) => Ok(Some(Ok(()))),
            Step::Await(_) | Step::Blame => Ok(self.flush(worker)),
            Step::Commit if planted == Some(Planted::CommitAssumed) => {
                self.send_end(worker, true);
                if let Some(link) = self.link(worker) {
                    link.waiting = None;
                }
                Ok(Some(Ok(())))
            }
            Step::Commit => {
                self.send_end(worker, true);
                Ok(None)
            }
            Step::Reason => Ok(Some(Err(Failed::Reset("write", "over")))),
            Step::Trace => Ok(Some(Ok(()))),
            Step::Abort => {
                // What is on its way must have come first.
                match self.flush(worker) {
                    None => return Ok(None),
                    Some(Err(Failed::Reset(reason, what))) => {
                        return Ok(Some(Err(Failed::Reset(reason, what))));
                    }
                    Some(_) => {}
                }
                self.send_end(worker, false);
                Ok(None)
            }
        }
    }

    fn begin(&mut self, worker: usize) -> Answer {
        let Some(cluster) = &mut self.cluster else { return Ok(()) };
        let link = &mut cluster.links[worker];
        let (Some(producer), Some(work)) = (link.producer(), &mut link.work) else {
            return Err(Failed::Reset("begin", "nothing to begin"));
        };
        link.refused = None;
        work.stage = Stage::Flying;
        cluster.flights.insert(producer, work.batch.clone());
        Ok(())
    }

    fn send_offsets(&mut self, worker: usize, group: usize) -> Option<Answer> {
        let planted = self.options.planted;
        let link = self.link(worker)?;
        let (Some(producer), Some(work)) = (link.producer(), &link.work) else {
            return Some(Err(Failed::Reset("offsets", "no producer")));
        };
        let Some(group) = work.groups.get(group) else { return Some(Ok(())) };
        if planted == Some(Planted::OffsetsMissing) {
            return Some(Ok(()));
        }
        let membership = as_member(
            || link.generations.get(&group.group).copied(),
            || planted == Some(Planted::HeldUnasked) || link.holds(group),
        );
        let mut offsets = group.offsets.clone();
        if planted == Some(Planted::OffsetsAhead) {
            for (_, offset) in &mut offsets {
                *offset = offset.next();
            }
        }
        let group = group.group;
        if planted == Some(Planted::FenceSkipped) {
            self.send(
                worker,
                Request::Offsets { producer, group, generation: None, offsets },
                true,
            );
            return None;
        }
        if membership.is_none() {
            return Some(Err(Failed::Abort("rebalance", "not held")));
        }
        let request = Request::Offsets { producer, group, generation: membership, offsets };
        self.send(worker, request, true);
        None
    }

    fn hand_over_records(&mut self, worker: usize) {
        let Some(link) = self.link(worker) else { return };
        let Some(producer) = link.producer() else { return };
        let mut records = link.work.as_ref().map(|work| work.records.clone()).unwrap_or_default();
        if self.options.planted == Some(Planted::BufferedEarly) {
            records.extend(early(self.drivers[worker].buffered()));
        }
        for (shelf, records) in records {
            let Some(link) = self.link(worker) else { return };
            link.sequence += 1;
            let sequence = link.sequence;
            self.send(worker, Request::Write { producer, shelf, sequence, records }, false);
        }
    }

    /// Waits for writes; what they came to, once none is left.
    fn flush(&mut self, worker: usize) -> Option<Answer> {
        let life = self.drivers[worker].life;
        let ticket = self.cluster.as_mut()?.ticket();
        let link = self.link(worker)?;
        if let Some(failure) = link.refused.clone() {
            link.flushing = None;
            return Some(Err(failure));
        }
        if !link.is_writing() {
            link.flushing = None;
            return Some(Ok(()));
        }
        if link.flushing.is_none() {
            link.flushing = Some(ticket);
            let at = self.now.after(Millis(FLUSH_MS));
            self.at_net(at, Event::Timeout { worker, life, ticket });
        }
        None
    }

    fn send_end(&mut self, worker: usize, commit: bool) {
        let producer = self.link(worker).and_then(|link| link.producer());
        if let Some(producer) = producer {
            self.send(worker, Request::End { producer, commit }, true);
        }
    }

    /// Sends a request; the present step waits for its answer where `waits`.
    fn send(&mut self, worker: usize, request: Request, waits: bool) {
        let life = self.drivers[worker].life;
        let Some(cluster) = &mut self.cluster else { return };
        let ticket = cluster.ticket();
        let link = &mut cluster.links[worker];
        link.outstanding.insert(ticket, request.clone());
        if waits {
            link.waiting = Some(ticket);
            let at = self.now.after(Millis(ANSWER_MS));
            self.at_net(at, Event::Timeout { worker, life, ticket });
        }
        self.dispatch((worker, life, ticket), request);
    }

    /// Puts a request on the wire.
    fn dispatch(&mut self, from: (usize, u64, u64), request: Request) {
        self.note(|| format!("host {} asks {}: {request:?}", from.0, from.2));
        if self.is_lost() {
            return;
        }
        // One that is written twice is known by its number; of other requests the connection
        // takes care, as far as there is one.
        if matches!(request, Request::Write { .. }) && self.is_late() {
            let delay = self.delay();
            let request = request.clone();
            self.at_net(self.now.after(delay), Event::Deliver { from, request });
        }
        let delay = self.delay();
        self.at_net(self.now.after(delay), Event::Deliver { from, request });
    }

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
            let at = self.now.after(Millis(AGAIN_MS));
            self.at_net(at, Event::Again { worker, life, ticket });
            return Ok(());
        }
        link.outstanding.remove(&ticket);
        let is_awaited = link.waiting == Some(ticket);
        if is_awaited {
            link.waiting = None;
        }
        let answer = match (&request, reply) {
            (Request::Initialise(_), Reply::Initialised(epoch)) if is_awaited => {
                self.initialised(worker, epoch)?;
                Ok(())
            }
            (Request::Write { shelf, .. }, Reply::Written(last)) => {
                if let Some(work) = &mut link.work {
                    work.lasts.insert(*shelf, last);
                }
                Ok(())
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
    fn give_up(&mut self, producer: Producer) -> Result<(), Failure> {
        let flight = self.cluster.as_mut().and_then(|cluster| cluster.flights.remove(&producer));
        flight.map_or(Ok(()), |Batch { worker, checkpoint, .. }| {
            self.show(Fact::Gone { worker, checkpoint })
        })
    }

    /// Asks the same again.
    pub(super) fn ask_again(&mut self, worker: usize, ticket: u64) {
        let life = self.drivers[worker].life;
        let request = self.link(worker).and_then(|link| link.outstanding.get(&ticket).cloned());
        if let Some(request) = request {
            self.dispatch((worker, life, ticket), request);
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
        if link.waiting != Some(ticket) {
            return Ok(());
        }
        link.waiting = None;
        let request = link.outstanding.remove(&ticket);
        if let Some(Request::Initialise(id)) = request {
            // It is tried until there is a broker.
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

    /// A checkpoint ended, as its host sees it.
    fn ended(&mut self, worker: usize, ended: Ended<&'static str>) -> Result<(), Failure> {
        self.note(|| format!("host {worker} ends its transaction: {ended:?}"));
        match ended {
            Ended::Committed => {
                self.settle_soon(worker);
                Ok(())
            }
            Ended::Aborted(..) | Ended::Undeliverable(..) => {
                let Some(link) = self.link(worker) else { return Ok(()) };
                let (work, producer) = (link.work.take(), link.producer());
                if let Some(producer) = producer {
                    self.give_up(producer)?;
                }
                self.drivers[worker].committing = None;
                let Some(work) = work else { return Ok(()) };
                self.feed(worker, Input::Aborted { checkpoint: work.batch.checkpoint })
            }
            // The host cannot go on.
            Ended::Failed(_) => self.die(worker),
        }
    }

    fn settle_soon(&mut self, worker: usize) {
        let life = self.drivers[worker].life;
        let span = if self.random.chance(50) { 30 } else { 2 };
        let delay = Millis(self.random.below(span + 1));
        self.at_net(self.now.after(delay), Event::Settle { worker, life });
    }

    /// The cache follows a transaction, and the engine is told.
    pub(super) fn settle_work(&mut self, worker: usize) -> Result<(), Failure> {
        let now = self.now;
        let Some(link) = self.link(worker) else { return Ok(()) };
        let Some(work) = link.work.take() else { return Ok(()) };
        link.follow(&work, now);
        self.drivers[worker].committing = None;
        self.feed(worker, Input::Committed { checkpoint: work.batch.checkpoint })
    }

    /// Shows what the broker decided, and has it told to every partition.
    pub(super) fn decided(&mut self, decided: Decided) -> Result<(), Failure> {
        let Decided { producer, committed, records, offsets, targets } = decided;
        self.note(|| format!("decided: {producer:?} committed {committed}"));
        for target in targets {
            let delay = if self.is_late() { self.random.below(60) } else { self.random.below(8) };
            let at = self.now.after(Millis(delay));
            self.at_net(at, Event::Mark { id: producer.id, target });
        }
        let flight = self.cluster.as_mut().and_then(|cluster| cluster.flights.remove(&producer));
        let net = &mut self.tally.net;
        (net.committed, net.aborted) =
            (net.committed + u64::from(committed), net.aborted + u64::from(!committed));
        if committed {
            for (shelf, record) in records {
                self.show(Fact::Written { shelf, record: &record })?;
                self.take_record(shelf, record);
            }
            self.durable.committed.extend(offsets);
        }
        let Some(batch) = flight else { return Ok(()) };
        if !committed {
            return self.show(Fact::Gone { worker: batch.worker, checkpoint: batch.checkpoint });
        }
        self.tally.checkpoints += 1;
        self.install(&batch);
        self.show(Fact::Durable(&batch))
    }

    fn take_record(&mut self, shelf: Shelf, record: Record) {
        match (shelf, record) {
            (Shelf::Changelog(home), Record::Entry(key, value)) => {
                changelog::take(&mut self.durable, home, key, value);
            }
            (_, Record::Emission(of, event)) => self.durable.emissions.push((of, event)),
            (_, Record::Letter(letter)) => self.durable.dead_letters.push(letter),
            (Shelf::Output(_), Record::Entry(..)) => {}
        }
    }

    /// Plugin versions are the host's own.
    fn install(&mut self, batch: &Batch) {
        for item in &batch.items {
            if let Staged::Upgraded { version } = &item.staged {
                self.durable.versions.insert((batch.worker, item.home.0), *version);
            }
        }
    }

    /// Tells a partition how a transaction ended.
    pub(super) fn mark(&mut self, id: usize, target: Target) {
        if let Some(cluster) = &mut self.cluster {
            cluster.broker.mark(id, target);
        }
    }

    /// The coordinator ends a transaction that is too old.
    pub(super) fn expire(&mut self, id: usize, number: u64) -> Result<(), Failure> {
        let decided = self.cluster.as_mut().and_then(|it| it.broker.expire(id, number));
        decided.map_or(Ok(()), |decided| self.decided(decided))
    }
}

/// What the next checkpoint will hand over.
fn early(items: Vec<Item>) -> Vec<(Shelf, Vec<Record>)> {
    let (checkpoint, progress) = (CheckpointId(0), Vec::new());
    outputs(&Batch { worker: 0, checkpoint, items, progress }, &Durable::default())
}

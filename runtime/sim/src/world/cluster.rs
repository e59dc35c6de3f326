//! Takes the steps of every host's transactions against the simulated broker, and shows what is
//! decided there. Requests and answers are late, lost or come twice; which steps there are, and
//! what an answer means, the engine's `transaction` decides, as it does for a real host.

use std::collections::{BTreeMap, BTreeSet};

use gristmill_engine::transaction::{Ended, Failure as Failed, Step, as_member};
use gristmill_engine::{CheckpointId, Input, Instant, Millis, Staged};

use super::link::{Flight, Link, Stage, homes_of, outputs};
use super::network::Event;
use crate::broker::{Broker, Decided, Producer, Record, Request, Shelf, Target};
use crate::changelog;
use crate::checkers::{Fact, Failure};
use crate::planted::Planted;
use crate::plugin;
use crate::world::World;
use crate::world::durable::{Batch, Durable, Home, Item};
use crate::world::happenings::Happening;

/// Longest wait for writes to be acknowledged.
const FLUSH_MS: u64 = 60;

/// The broker and the hosts' connections with it.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) broker: Broker,
    pub(super) links: Vec<Link>,
    /// Checkpoints whose transactions are not decided.
    pub(super) flights: BTreeMap<Producer, Flight>,
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
    pub(super) fn is_flying(&self, worker: usize) -> bool {
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
        let is_about = |flight: &Flight| homes_of(&flight.batch).contains(&home);
        self.flights.values().any(is_about)
            || self.broker.committed(home, true).is_none()
            || self.broker.logs().any(|(to, log)| to == Shelf::Changelog(home) && !log.is_settled())
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
        let script = &self.script;
        work.enlarge(|of, event| plugin::is_deliverable(script, of, event));
        let is_local = work.records.is_empty() && work.groups.is_empty();
        if !is_local {
            cluster.links[worker].barrier.begun(homes_of(&work.batch));
        }
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
            let Some(answer) = self.step(worker, step) else { return Ok(()) };
            self.answered(worker, answer);
        }
        let Some(cluster) = &mut self.cluster else { return Ok(()) };
        let link = &mut cluster.links[worker];
        if let Some(ended) = link.committing.ended() {
            return self.ended(worker, &ended);
        }
        let Some(work) = link.work.as_mut().filter(|work| work.stage == Stage::Queued) else {
            return Ok(());
        };
        work.stage = Stage::Begun;
        let groups = work.groups.len();
        self.tell_doubt(worker);
        let now = self.now;
        if let Some(link) = self.link(worker) {
            link.committing.commit(groups, now);
        }
        self.drive(worker)
    }

    pub(super) fn answered(&mut self, worker: usize, answer: Answer) {
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
    fn step(&mut self, worker: usize, step: Step) -> Option<Answer> {
        let planted = self.options.planted;
        let link = self.link(worker)?;
        match step {
            Step::Initialise => {
                if planted == Some(Planted::UncertainKept) && link.epoch.is_some() {
                    return Some(Ok(()));
                }
                let id = link.id;
                (link.epoch, link.sequence, link.has_failed) = (None, 0, false);
                link.outstanding.clear();
                self.send(worker, Request::Initialise(id), true);
                None
            }
            Step::Begin => Some(self.begin(worker)),
            Step::Offsets(group) => self.send_offsets(worker, group),
            Step::HandOver(_) => {
                self.hand_over_records(worker);
                Some(Ok(()))
            }
            Step::Await(_) if planted == Some(Planted::WritesUnawaited) => Some(Ok(())),
            Step::Await(_) | Step::Blame => self.flush(worker),
            Step::Commit if planted == Some(Planted::CommitAssumed) => {
                self.send_end(worker, true);
                if let Some(link) = self.link(worker) {
                    link.waiting = None;
                }
                Some(Ok(()))
            }
            Step::Commit => {
                self.send_end(worker, true);
                None
            }
            Step::Reason => Some(Err(Failed::Reset("write", "over"))),
            Step::Trace => Some(Ok(())),
            Step::Abort => {
                // What is on its way must have come first, whatever becomes of it.
                link.refused = None;
                if let Err(reset @ Failed::Reset(..)) = self.flush(worker)? {
                    return Some(Err(reset));
                }
                self.send_end(worker, false);
                None
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
        let left = work.records.iter().map(|(_, records)| records.len()).sum();
        cluster.flights.insert(producer, Flight { batch: work.batch.clone(), left });
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
        for (to, records) in records {
            let Some(link) = self.link(worker) else { return };
            link.sequence += 1;
            let sequence = link.sequence;
            self.send(worker, Request::Write { producer, to, sequence, records }, false);
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

    /// A checkpoint ended, as its host sees it.
    fn ended(&mut self, worker: usize, ended: &Ended<&'static str>) -> Result<(), Failure> {
        self.note(|| format!("host {worker} ends its transaction: {ended:?}"));
        match ended {
            Ended::Committed => {
                self.settle_soon(worker);
                Ok(())
            }
            Ended::Aborted(..) | Ended::Undeliverable(..) => {
                if let Ended::Undeliverable(index, _) = ended {
                    self.blame(worker, *index);
                }
                let Some(link) = self.link(worker) else { return Ok(()) };
                let (work, producer) = (link.work.take(), link.producer());
                if let Some(producer) = producer {
                    self.give_up(producer)?;
                }
                self.drivers[worker].committing = None;
                self.take_over_waiting(worker);
                let Some(work) = work else { return Ok(()) };
                self.feed(worker, Input::Aborted { checkpoint: work.batch.checkpoint })
            }
            // The host cannot go on.
            Ended::Failed(_) => self.die(worker),
        }
    }

    /// The event of a record that was refused for good fails when it runs again.
    fn blame(&mut self, worker: usize, index: usize) {
        let planted = self.options.planted;
        let index = if planted == Some(Planted::OthersBlamed) { 0 } else { index };
        let Some(link) = self.link(worker) else { return };
        let record = link.work.as_ref().and_then(|work| work.record(index));
        if let Some(Record::Oversized(of, event) | Record::Emission(of, event)) = record
            && planted != Some(Planted::BlameForgotten)
        {
            link.undeliverable.insert((*of, *event));
            self.tally.net.refused += 1;
        }
    }

    fn settle_soon(&mut self, worker: usize) {
        let life = self.drivers[worker].life;
        let span = if self.random.chance(50) { 300 } else { 2 };
        let delay = Millis(self.random.below(span + 1));
        self.at_net(self.now.after(delay), Event::Settle { worker, life });
    }

    /// The cache follows a transaction, and the engine is told.
    pub(super) fn settle_work(&mut self, worker: usize) -> Result<(), Failure> {
        let (now, planted) = (self.now, self.options.planted);
        let is_forgotten = planted == Some(Planted::CacheForgotten);
        let Some(link) = self.link(worker) else { return Ok(()) };
        let Some(work) = link.work.take() else { return Ok(()) };
        if !is_forgotten {
            link.follow(&work, now);
        }
        for item in &work.batch.items {
            if let (Staged::Settled { .. }, Some(event)) = (&item.staged, item.event) {
                link.undeliverable.remove(&(item.home.0, event));
            }
        }
        self.drivers[worker].committing = None;
        self.take_over_waiting(worker);
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
        let net = &mut self.tally.net;
        (net.committed, net.aborted) =
            (net.committed + u64::from(committed), net.aborted + u64::from(!committed));
        if !committed {
            return self.give_up(producer);
        }
        let made = records.len();
        for (to, record) in records {
            self.show(Fact::Written { to, record: &record })?;
            self.take_record(to, record);
        }
        self.durable.committed.extend(offsets);
        let Some(cluster) = &mut self.cluster else { return Ok(()) };
        let Some(flight) = cluster.flights.get_mut(&producer) else { return Ok(()) };
        flight.left = flight.left.saturating_sub(made);
        if flight.left > 0 {
            // Half a transaction came to count: the other half may yet.
            return Ok(());
        }
        let Some(Flight { batch, .. }) = cluster.flights.remove(&producer) else { return Ok(()) };
        self.tally.checkpoints += 1;
        self.install(&batch);
        self.show(Fact::Durable(&batch))
    }

    fn take_record(&mut self, to: Shelf, record: Record) {
        match (to, record) {
            (Shelf::Changelog(home), Record::Entry(key, value)) => {
                changelog::take(&mut self.durable, home, key, value);
            }
            (_, Record::Emission(of, event)) => self.durable.emissions.push((of, event)),
            (_, Record::Letter(letter)) => self.durable.dead_letters.push(letter),
            (Shelf::Output(_), Record::Entry(..)) | (_, Record::Oversized(..)) => {}
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

/// A checkpoint will never be durable.
pub(super) fn gone(batch: &Batch) -> Fact<'static> {
    let Batch { worker, life, checkpoint, .. } = *batch;
    Fact::Gone { worker, life, checkpoint }
}

/// What the next checkpoint will hand over.
fn early(items: Vec<Item>) -> Vec<(Shelf, Vec<Record>)> {
    let (checkpoint, progress) = (CheckpointId(0), Vec::new());
    outputs(&Batch { worker: 0, life: 0, checkpoint, items, progress }, &Durable::default())
}

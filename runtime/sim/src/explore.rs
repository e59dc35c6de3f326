//! Explores every interleaving of a small cluster: two hosts, one partition, two checkpoints, the
//! second of which is buffered while the first commits, one death, one answer that never comes,
//! one connection that breaks, one partition that changes hands. Hosts take the engine's steps
//! against the simulated broker.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use gristmill_engine::takeover::{Answer, Ask, Takeover};
use gristmill_engine::transaction::{Committing, Ended, Failure, Guarantee, Step, as_member};
use gristmill_engine::{
    Instant, Millis, Offset, PartitionId, Position, StoredProgress, SubscriptionId, TopicId,
};

use crate::broker::{Broker, Decided, Id, Producer, Record, Reply, Request, Shelf, Target};
use crate::changelog::{Key, Value};
use crate::topic::EventId;
use crate::world::durable::{CursorId, Home};

const HOME: Home = (SubscriptionId(0), PartitionId(0));
const CURSOR: CursorId = (SubscriptionId(0), TopicId(0), PartitionId(0));
const LOG: Shelf = Shelf::Changelog(HOME);
const OUTPUT: Shelf = Shelf::Output(SubscriptionId(0));
/// Events there are to handle, each in a checkpoint of its own.
const EVENTS: u64 = 2;
/// Time stands still: nothing here is decided by it.
const NOW: Instant = Instant(0);

/// What may still go wrong; nothing by default.
#[derive(Debug, Clone, Copy, Default)]
pub struct Budget {
    /// Times the first host may die.
    pub deaths: u32,
    /// Answers that may never come.
    pub silences: u32,
    /// Connections that may break: the request is sent again, and the first may arrive as well.
    pub breaks: u32,
    /// Times the partition may go to the other host.
    pub moves: u32,
    /// Whether a takeover leaves out to wait for what is open: a bug, to prove the exploration.
    pub hasty: bool,
    /// Whether a producer goes on with which a connection broke: a bug, to the same end.
    pub reused: bool,
}

/// What an exploration came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Explored {
    /// States that differ.
    pub states: usize,
    /// States in which nothing is left to happen.
    pub ends: usize,
}

/// Explores everything that may happen.
///
/// # Errors
///
/// What is wrong in a state, and how it came to that.
pub fn explore(budget: Budget) -> Result<Explored, String> {
    let mut seen = BTreeSet::new();
    let mut waiting = vec![(World::new(budget), Vec::new())];
    let mut ends = 0;
    while let Some((world, path)) = waiting.pop() {
        let moves = world.moves();
        if moves.is_empty() {
            ends += 1;
            world.check_end().map_err(|what| format!("{what} after {path:?}"))?;
        }
        for one in moves {
            let mut next = world.clone();
            let mut path: Vec<Move> = path.clone();
            path.push(one);
            next.make(one).map_err(|what| format!("{what} after {path:?}"))?;
            if seen.insert(next.digest()) {
                waiting.push((next, path));
            }
        }
    }
    Ok(Explored { states: seen.len(), ends })
}

/// Something that may happen next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Move {
    /// A host takes its next step.
    Go(usize),
    /// A request comes to the broker.
    Arrive(usize),
    /// The answer to it comes back.
    Return(usize),
    /// Nobody waits for it any more; it may arrive all the same.
    GiveUp(usize),
    /// The connection breaks before the answer is there, and the request goes out again.
    Break(usize),
    /// A partition is told how a transaction ended.
    Tell(Id, Target),
    /// The first host dies and comes back.
    Die,
    /// The partition goes to the other host.
    Change,
}

/// A request on its way, or its answer.
#[derive(Debug, Clone)]
struct Wire {
    host: usize,
    /// The life of the host that waits for it, if it still does.
    life: Option<u32>,
    request: Request,
    reply: Option<Reply>,
}

#[derive(Debug, Clone)]
struct Host {
    life: u32,
    committing: Committing<&'static str>,
    epoch: Option<u32>,
    sequence: u64,
    /// Generation it knows, and whether it holds the partition.
    generation: u32,
    holds: bool,
    takeover: Option<Takeover>,
    /// Events it knows to be finished; none until it has taken the partition over.
    next: Option<u64>,
    restored: u64,
    is_waiting: bool,
    is_refused: bool,
    /// Requests that were sent again since its producer was made.
    repeated: u32,
}

#[derive(Debug, Clone)]
struct World {
    broker: Broker,
    hosts: Vec<Host>,
    wires: BTreeMap<usize, Wire>,
    tickets: usize,
    marks: Vec<(Id, Target)>,
    owner: usize,
    /// Whether the owner has taken over.
    has_read: bool,
    /// Events whose effects count, in order.
    emitted: Vec<u64>,
    budget: Budget,
}

impl Host {
    fn new(life: u32) -> Self {
        let mut committing = Committing::new(Guarantee::ExactlyOnce, Millis(u64::MAX));
        committing.prepare();
        Self {
            life,
            committing,
            epoch: None,
            sequence: 0,
            generation: 0,
            holds: false,
            takeover: None,
            next: None,
            restored: 0,
            is_waiting: false,
            is_refused: false,
            repeated: 0,
        }
    }

    fn grant(&mut self, generation: u32) {
        self.generation = generation;
        self.holds = true;
        self.take_over();
    }

    fn take_over(&mut self) {
        self.takeover = Some(Takeover::new(true));
        (self.next, self.restored) = (None, 0);
    }

    fn has_work(&self) -> bool {
        self.holds && self.next.is_some_and(|next| next < EVENTS)
    }
}

impl World {
    fn new(budget: Budget) -> Self {
        let mut hosts = vec![Host::new(0), Host::new(0)];
        hosts[0].grant(0);
        Self {
            broker: Broker::default(),
            hosts,
            wires: BTreeMap::new(),
            tickets: 0,
            marks: Vec::new(),
            owner: 0,
            has_read: false,
            emitted: Vec::new(),
            budget,
        }
    }

    fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        // Which number a request has says nothing.
        let wires: Vec<&Wire> = self.wires.values().collect();
        let all = (&self.broker, &self.hosts, wires, &self.marks, self.owner);
        format!("{all:?} {} {:?} {:?}", self.has_read, self.emitted, self.budget).hash(&mut hasher);
        hasher.finish()
    }

    fn moves(&self) -> Vec<Move> {
        let mut moves = Vec::new();
        for (number, host) in self.hosts.iter().enumerate() {
            let can_go = !host.is_waiting && (host.committing.next().is_some() || host.has_work())
                || host.takeover.is_some() && self.can_ask(number);
            if can_go {
                moves.push(Move::Go(number));
            }
        }
        for (ticket, wire) in &self.wires {
            let awaited = wire.life == Some(self.hosts[wire.host].life);
            match wire.reply {
                None => moves.push(Move::Arrive(*ticket)),
                Some(_) if awaited => moves.push(Move::Return(*ticket)),
                Some(_) => {}
            }
            if awaited && self.budget.silences > 0 {
                moves.push(Move::GiveUp(*ticket));
            }
            if awaited && self.budget.breaks > 0 {
                moves.push(Move::Break(*ticket));
            }
        }
        moves.extend(self.marks.iter().map(|(id, target)| Move::Tell(*id, *target)));
        if self.budget.deaths > 0 {
            moves.push(Move::Die);
        }
        if self.budget.moves > 0 {
            moves.push(Move::Change);
        }
        moves
    }

    /// Whether the answer to a takeover's question would be another than before.
    fn can_ask(&self, host: usize) -> bool {
        let Some(takeover) = &self.hosts[host].takeover else { return false };
        match takeover.next() {
            Some(Ask::Committed) => self.broker.committed(HOME, true).is_some(),
            Some(Ask::Bounds) => self.stable() >= takeover.end(),
            Some(Ask::End | Ask::Known { .. } | Ask::Read(_)) | None => true,
        }
    }

    fn stable(&self) -> Offset {
        let log = self.broker.logs().find(|(to, _)| *to == LOG);
        log.map_or(Offset(0), |(_, log)| log.stable())
    }

    fn make(&mut self, one: Move) -> Result<(), String> {
        match one {
            Move::Go(host) => self.go(host),
            Move::Arrive(ticket) => self.arrive(ticket),
            Move::Return(ticket) => {
                let Some(Wire { host, reply, request, .. }) = self.wires.remove(&ticket) else {
                    return Ok(());
                };
                self.answer(host, &request, reply);
                Ok(())
            }
            Move::GiveUp(ticket) => {
                self.budget.silences -= 1;
                let Some((host, request)) = self.abandon(ticket) else { return Ok(()) };
                self.answer(host, &request, None);
                Ok(())
            }
            Move::Break(ticket) => {
                self.budget.breaks -= 1;
                let Some((host, request)) = self.abandon(ticket) else { return Ok(()) };
                let was_waiting = self.hosts[host].is_waiting;
                self.send(host, request);
                self.hosts[host].is_waiting = was_waiting;
                self.hosts[host].repeated += 1;
                Ok(())
            }
            Move::Tell(id, target) => {
                self.marks.retain(|mark| *mark != (id, target));
                self.broker.mark(id, target);
                Ok(())
            }
            Move::Die => {
                self.budget.deaths -= 1;
                self.hosts[0] = Host::new(self.hosts[0].life + 1);
                if self.owner == 0 {
                    self.has_read = false;
                    let generation = self.broker.rebalance(HOME.0);
                    self.hosts[0].grant(generation);
                }
                Ok(())
            }
            Move::Change => {
                self.budget.moves -= 1;
                self.hosts[self.owner].holds = false;
                self.hosts[self.owner].takeover = None;
                self.owner = 1 - self.owner;
                self.has_read = false;
                let generation = self.broker.rebalance(HOME.0);
                // The former owner learns of it by its requests alone.
                self.hosts[self.owner].grant(generation);
                Ok(())
            }
        }
    }

    /// Nobody hears the answer to a request any more; it may yet come to the broker.
    fn abandon(&mut self, ticket: usize) -> Option<(usize, Request)> {
        let wire = self.wires.get_mut(&ticket)?;
        wire.life = None;
        let (host, request) = (wire.host, wire.request.clone());
        if wire.reply.is_some() {
            self.wires.remove(&ticket);
        }
        Some((host, request))
    }

    /// A host asks on where it takes over, else goes on with its transactions.
    fn go(&mut self, number: usize) -> Result<(), String> {
        if self.hosts[number].takeover.is_some() && self.can_ask(number) {
            return self.ask(number);
        }
        let host = &mut self.hosts[number];
        let Some(step) = host.committing.next() else {
            if host.repeated > 0 && !self.budget.reused {
                host.committing.doubt();
            }
            host.committing.commit(1, NOW);
            return Ok(());
        };
        self.step(number, step);
        Ok(())
    }

    fn step(&mut self, number: usize, step: Step) {
        let id = number;
        let host = &mut self.hosts[number];
        let producer = Producer { id, epoch: host.epoch.unwrap_or(0) };
        let event = host.next.unwrap_or(0);
        match step {
            Step::Initialise => {
                host.repeated = 0;
                self.send(number, Request::Initialise(id));
            }
            Step::Begin => {
                host.is_refused = false;
                self.reply(number, Ok(()));
            }
            Step::Offsets(_) => {
                let generation = as_member(|| Some(host.generation), || host.holds);
                // A host that froze before it learnt sends what it knew.
                let generation = Some(generation.unwrap_or(host.generation));
                let offsets = vec![(CURSOR, Offset(event + 1))];
                self.send(
                    number,
                    Request::Offsets { producer, group: HOME.0, generation, offsets },
                );
            }
            Step::HandOver(_) => {
                let emission = Record::Emission(HOME.0, event_of(event));
                let entry = Record::Entry(Key::Progress(TopicId(0)), Some(progress(event + 1)));
                for (to, records) in [(OUTPUT, vec![emission]), (LOG, vec![entry])] {
                    self.hosts[number].sequence += 1;
                    let sequence = self.hosts[number].sequence;
                    self.send(number, Request::Write { producer, to, sequence, records });
                }
                self.hosts[number].is_waiting = false;
                self.reply(number, Ok(()));
            }
            Step::Await(_) | Step::Blame => {
                let is_refused = host.is_refused;
                if self.is_writing(number) {
                    self.hosts[number].is_waiting = true;
                } else if is_refused {
                    self.reply(number, Err(Failure::Reset("write", "refused")));
                } else {
                    self.reply(number, Ok(()));
                }
            }
            Step::Commit => self.send(number, Request::End { producer, commit: true }),
            Step::Abort => self.send(number, Request::End { producer, commit: false }),
            Step::Reason | Step::Trace => self.reply(number, Ok(())),
        }
    }

    fn is_writing(&self, number: usize) -> bool {
        let life = Some(self.hosts[number].life);
        self.wires.values().any(|wire| {
            wire.host == number
                && wire.life == life
                && matches!(wire.request, Request::Write { .. })
        })
    }

    fn send(&mut self, host: usize, request: Request) {
        self.tickets += 1;
        self.hosts[host].is_waiting = true;
        let life = Some(self.hosts[host].life);
        self.wires.insert(self.tickets, Wire { host, life, request, reply: None });
    }

    fn arrive(&mut self, ticket: usize) -> Result<(), String> {
        let Some(wire) = self.wires.get_mut(&ticket) else { return Ok(()) };
        let response = self.broker.handle(NOW, wire.request.clone());
        wire.reply = Some(response.reply);
        let is_awaited = wire.life == Some(self.hosts[wire.host].life);
        if !is_awaited {
            self.wires.remove(&ticket);
        } else if response.reply == Reply::Busy {
            // It is asked again.
            wire.reply = None;
        }
        response.decided.map_or(Ok(()), |decided| self.decide(decided))
    }

    fn decide(&mut self, decided: Decided) -> Result<(), String> {
        let Decided { producer, committed, records, offsets, targets } = decided;
        self.marks.extend(targets.into_iter().map(|target| (producer.id, target)));
        if !committed {
            return Ok(());
        }
        let before = u64::try_from(self.emitted.len()).unwrap_or(u64::MAX);
        // Offsets that were sent again are there twice, and say the same.
        let progress = (CURSOR, Offset(before + 1));
        let whole = records.contains(&(OUTPUT, Record::Emission(HOME.0, event_of(before))))
            && records.len() == 2
            && !offsets.is_empty()
            && offsets.iter().all(|it| *it == progress);
        self.emitted.push(before);
        if !whole {
            return Err(format!("{producer:?} made {records:?} and {offsets:?} true"));
        }
        if self.has_read && producer.id != self.owner {
            return Err(format!("{producer:?} wrote after its successor had read"));
        }
        Ok(())
    }

    /// An answer to a request, or none.
    fn answer(&mut self, number: usize, request: &Request, reply: Option<Reply>) {
        let host = &mut self.hosts[number];
        if matches!(request, Request::Write { .. }) {
            host.is_refused |= !matches!(reply, Some(Reply::Written(_)));
            if host.is_waiting && matches!(host.committing.next(), Some(Step::Await(_))) {
                host.is_waiting = false;
            }
            return;
        }
        host.is_waiting = false;
        let answer = match reply {
            Some(Reply::Initialised(epoch)) => {
                host.epoch = Some(epoch);
                Ok(())
            }
            Some(Reply::Done) => Ok(()),
            Some(Reply::Fenced) => Err(Failure::Fenced("fenced")),
            Some(Reply::Stale) => Err(Failure::Abort("rebalance", "stale")),
            None if matches!(request, Request::Initialise(_)) => {
                return self.send(number, request.clone());
            }
            Some(Reply::Written(_) | Reply::Busy | Reply::Refused(_) | Reply::Invalid) | None => {
                Err(Failure::Reset("answer", "uncertain"))
            }
        };
        self.reply(number, answer);
    }

    fn reply(&mut self, number: usize, answer: Result<(), Failure<&'static str>>) {
        let host = &mut self.hosts[number];
        host.committing.replied(NOW, answer);
        match host.committing.ended() {
            Some(Ended::Committed) => host.next = host.next.map(|next| next + 1),
            // What was built on it is undone, and read again.
            Some(Ended::Aborted(..) | Ended::Undeliverable(..)) if host.holds => host.take_over(),
            Some(Ended::Aborted(..) | Ended::Undeliverable(..)) => host.next = None,
            Some(Ended::Failed(_)) => {
                *host = Host { generation: host.generation, ..Host::new(host.life + 1) };
                if self.owner == number {
                    self.hosts[number].holds = true;
                    self.hosts[number].take_over();
                }
            }
            None => {}
        }
    }

    fn ask(&mut self, number: usize) -> Result<(), String> {
        let (is_hasty, stable) = (self.budget.hasty, self.stable());
        let Some(takeover) = &self.hosts[number].takeover else { return Ok(()) };
        let ask = takeover.next();
        let answer = match ask {
            Some(Ask::Committed) => Answer::Committed,
            Some(Ask::End) if is_hasty => Answer::End(stable),
            Some(Ask::End) => Answer::End(self.broker.log(LOG).end_offset()),
            Some(Ask::Bounds) => Answer::Bounds { start: Offset(0), stable },
            Some(Ask::Known { start, .. }) => Answer::Known(start),
            Some(Ask::Read(from)) => {
                let read = self.broker.log(LOG).read(from, 10, false);
                let last = read.last().map(|read| read.offset);
                for read in read {
                    if let Record::Entry(_, Some(Value::Progress(progress))) = read.record {
                        self.hosts[number].restored = progress.next.0;
                    }
                }
                Answer::Read(last)
            }
            None => return Ok(()),
        };
        let host = &mut self.hosts[number];
        let Some(takeover) = &mut host.takeover else { return Ok(()) };
        takeover.answered(answer);
        if takeover.next().is_some() {
            return Ok(());
        }
        host.takeover = None;
        host.next = Some(host.restored);
        self.has_read |= number == self.owner;
        let emitted = u64::try_from(self.emitted.len()).unwrap_or(u64::MAX);
        let restored = self.hosts[number].restored;
        if number == self.owner && restored != emitted {
            return Err(format!("{restored} of {emitted} events were restored"));
        }
        Ok(())
    }

    fn check_end(&self) -> Result<(), String> {
        let all: Vec<u64> = (0..EVENTS).collect();
        if self.emitted == all { Ok(()) } else { Err(format!("only {:?} count", self.emitted)) }
    }
}

fn event_of(number: u64) -> EventId {
    let position =
        Position { topic: TopicId(0), partition: PartitionId(0), offset: Offset(number) };
    EventId::Record { position, incarnation: 1 }
}

fn progress(next: u64) -> Value {
    Value::Progress(StoredProgress {
        incarnation: 1,
        epoch: 0,
        epoch_start: Offset(0),
        next: Offset(next),
        finished: Vec::new(),
    })
}

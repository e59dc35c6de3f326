//! Follows what consumer groups give to this worker and take from it: state first, then reading;
//! first what is under way, then the way back. Whether an event is read is the engine's decision.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gristmill_engine::takeover::Barrier;
use gristmill_engine::{
    CheckpointId, EventRef, Generation, Input, Offset, PartitionId, Position, SubscriptionId,
};
use gristmill_kafka::{Committer, Group, Read, Term};
use gristmill_store::Stored;

use super::backlog::held_end;
use super::fetch::CursorId;
use super::filling::Cause;
use super::stage::{Place, scope};
use super::takeover::{Ready, Takeover};
use super::{Command, Map, Worker};
use crate::Error;
use crate::binding::Binding;
use crate::broker::Failed;

/// What a worker is told of topics that live in a cluster.
#[derive(Debug)]
pub(crate) enum Told {
    /// This host is a member of a subscription's group from now on.
    Joined(SubscriptionId, Arc<Group>),
    /// A number is this worker's, for this term.
    Granted(Place, Term),
    /// It is to be given back.
    Revoked(Place),
    /// It is gone already.
    Lost(Place),
    /// Its state is here; the number tells which takeover it was.
    Ready(Place, u64, Result<Option<Ready>, Failed>),
    /// A partition has something to read.
    Readable(CursorId),
    /// The ends of a subscription's topics were asked for.
    Ends(Ask, SubscriptionId, Vec<Position>),
    /// The backlog of a subscription that this number of a watch was for has been forwarded, and
    /// ends there.
    Forwarded(SubscriptionId, u64, Vec<Position>),
    /// A checkpoint will never be true.
    Aborted(CheckpointId, &'static str, gristmill_kafka::Error),
    /// A checkpoint will never be true, because of one append.
    Undeliverable(CheckpointId, usize, gristmill_kafka::Error),
    /// The host cannot go on.
    Failed(gristmill_kafka::Error),
}

/// Why ends are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    /// An operator resumes the subscription.
    ToResume,
    /// Its breaker wants to try again.
    ToProbe,
}

/// What a worker holds where topics live in a cluster.
#[derive(Debug)]
pub(super) struct Ownership {
    pub(super) committer: Committer,
    memberships: BTreeMap<SubscriptionId, Membership>,
    /// Numbers whose state is being brought here.
    takeovers: BTreeMap<Place, Ticket>,
    tickets: u64,
    /// Numbers the group asked back.
    revoking: BTreeSet<Place>,
    /// Which events the appends of the committing checkpoint are of.
    pub(super) causes: Vec<Cause>,
    /// Keeps takeovers apart from the committing checkpoint.
    pub(super) barrier: Barrier<Place>,
    /// Events whose effects Kafka will never take, and why: they fail when they run again.
    undeliverable: Map<(Place, EventRef), Undeliverable>,
}

#[derive(Debug)]
struct Membership {
    group: Arc<Group>,
    owned: BTreeMap<PartitionId, Term>,
}

/// One takeover, and how to call it off.
#[derive(Debug)]
struct Ticket {
    number: u64,
    is_cancelled: Arc<AtomicBool>,
    binding: Arc<Binding>,
}

/// Why nobody takes an emission.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) code: &'static str,
    pub(super) text: String,
}

#[derive(Debug, Default)]
struct Undeliverable {
    /// Why an emission cannot be delivered.
    emission: Option<Refused>,
    /// Whether its dead letter was refused as well.
    letter: bool,
}

impl Ownership {
    pub(super) fn new(committer: Committer) -> Self {
        Self {
            committer,
            memberships: BTreeMap::new(),
            takeovers: BTreeMap::new(),
            tickets: 0,
            revoking: BTreeSet::new(),
            causes: Vec::new(),
            barrier: Barrier::default(),
            undeliverable: Map::default(),
        }
    }

    /// The group of a subscription, once joined.
    pub(super) fn group(&self, subscription: SubscriptionId) -> Option<&Arc<Group>> {
        self.memberships.get(&subscription).map(|membership| &membership.group)
    }

    /// Numbers of a subscription this worker holds, whether they can be read yet or not.
    pub(super) fn owned(&self, subscription: SubscriptionId) -> Vec<PartitionId> {
        let membership = self.memberships.get(&subscription);
        membership.map(|it| it.owned.keys().copied().collect()).unwrap_or_default()
    }

    /// The term in which this worker holds a number.
    pub(super) fn term(&self, (subscription, partition): Place) -> Option<Term> {
        self.memberships.get(&subscription)?.owned.get(&partition).copied()
    }

    /// Whether the group asked a number back.
    pub(super) fn is_asked_back(&self, place: Place) -> bool {
        self.revoking.contains(&place)
    }

    /// Calls a takeover off, if there is one.
    fn call_off(&mut self, place: Place) {
        self.barrier.call_off(place);
        if let Some(ticket) = self.takeovers.remove(&place) {
            ticket.is_cancelled.store(true, Ordering::Relaxed);
        }
    }

    /// Calls every takeover of a subscription off.
    pub(super) fn call_off_all(&mut self, subscription: SubscriptionId) {
        for partition in self.owned(subscription) {
            self.call_off((subscription, partition));
        }
    }

    /// The committing checkpoint is true: what was refused before has been dealt with.
    pub(super) fn committed(&mut self) {
        for cause in std::mem::take(&mut self.causes) {
            self.undeliverable.remove(&(cause.place, cause.event));
        }
    }
}

impl Worker {
    pub(super) fn hear(&mut self, told: Told) -> Result<(), Error> {
        match told {
            Told::Joined(subscription, group) => {
                if let Some(kafka) = &mut self.kafka {
                    let membership = Membership { group, owned: BTreeMap::new() };
                    kafka.memberships.insert(subscription, membership);
                }
                Ok(())
            }
            Told::Granted(place, term) => {
                self.granted(place, term);
                Ok(())
            }
            Told::Revoked(place) => self.revoked(place),
            Told::Lost(place) => self.lost(place),
            Told::Ready(place, ticket, ready) => self.ready(place, ticket, ready),
            Told::Readable(cursor) => {
                self.readable.insert(cursor);
                Ok(())
            }
            Told::Ends(Ask::ToResume, subscription, ends) => {
                self.feed(Input::Resumed { subscription, ends })
            }
            Told::Ends(Ask::ToProbe, subscription, ends) => {
                self.feed(Input::Probed { subscription, ends })
            }
            Told::Forwarded(subscription, watch, ends) => self.forwarded(subscription, watch, ends),
            Told::Aborted(checkpoint, reason, error) => self.aborted(checkpoint, reason, &error),
            Told::Undeliverable(checkpoint, append, error) => {
                self.undeliverable(checkpoint, append, error)
            }
            Told::Failed(error) => Err(Error::Kafka(error)),
        }
    }

    fn membership(&mut self, of: SubscriptionId) -> Option<&mut Membership> {
        self.kafka.as_mut()?.memberships.get_mut(&of)
    }

    fn granted(&mut self, place: Place, term: Term) {
        let (subscription, partition) = place;
        if let Some(membership) = self.membership(subscription) {
            membership.owned.insert(partition, term);
        }
        if let Some(binding) = self.current.get(&subscription).map(Arc::clone) {
            self.take_over(&binding, partition);
        }
    }

    fn revoked(&mut self, place: Place) -> Result<(), Error> {
        let (subscription, partition) = place;
        let Some(kafka) = &mut self.kafka else { return Ok(()) };
        kafka.revoking.insert(place);
        kafka.call_off(place);
        self.feed(Input::Revoked { subscription, partition })
    }

    fn lost(&mut self, place: Place) -> Result<(), Error> {
        let (subscription, partition) = place;
        let Some(kafka) = &mut self.kafka else { return Ok(()) };
        kafka.call_off(place);
        kafka.revoking.remove(&place);
        self.holds.remove(&place);
        if let Some(membership) = self.membership(subscription) {
            membership.owned.remove(&partition);
        }
        self.shared.progress.forget(subscription, partition);
        self.feed(Input::Lost { subscription, partition })?;
        // It may have been the last that new topics waited for.
        self.assign_when_released(subscription)?;
        self.feed_pending()
    }

    /// Begins to bring a number's state here; reading begins when it is. While others are given
    /// back for the sake of other topics it waits for those.
    pub(super) fn take_over(&mut self, binding: &Arc<Binding>, partition: PartitionId) {
        let place = (binding.subscription, partition);
        if self.rebinding.contains_key(&binding.subscription) || self.is_held(place) {
            return;
        }
        let Some(kafka) = &mut self.kafka else { return };
        kafka.call_off(place);
        if !kafka.barrier.admits(place) {
            return;
        }
        let Some(group) = kafka.group(binding.subscription).map(Arc::clone) else { return };
        kafka.tickets = kafka.tickets.saturating_add(1);
        let (number, is_cancelled) = (kafka.tickets, Arc::new(AtomicBool::new(false)));
        let ticket = Ticket {
            number,
            is_cancelled: Arc::clone(&is_cancelled),
            binding: Arc::clone(binding),
        };
        kafka.takeovers.insert(place, ticket);
        for source in binding.sources.iter().filter(|it| partition.0 < it.partitions) {
            self.shared.progress.expect((binding.subscription, source.topic, partition));
        }
        let takeover = Takeover {
            shared: Arc::clone(&self.shared),
            group,
            binding: Arc::clone(binding),
            scope: scope(place),
            is_cancelled,
        };
        let answer = self.sender.clone();
        tokio::task::spawn_blocking(move || {
            let ready = takeover.run();
            // The worker has ended when nobody takes it.
            drop(answer.send(Command::Told(Told::Ready(place, number, ready))));
        });
    }

    /// The committing checkpoint has ended: what waited for that is taken over.
    pub(super) fn take_over_waiting(&mut self) {
        let waiting = self.kafka.as_mut().map(|kafka| kafka.barrier.ended()).unwrap_or_default();
        for (subscription, partition) in waiting {
            if let Some(binding) = self.current.get(&subscription).map(Arc::clone) {
                self.take_over(&binding, partition);
            }
        }
    }

    fn ready(
        &mut self,
        place: Place,
        ticket: u64,
        ready: Result<Option<Ready>, Failed>,
    ) -> Result<(), Error> {
        let Some(kafka) = &mut self.kafka else { return Ok(()) };
        if kafka.takeovers.get(&place).is_none_or(|waiting| waiting.number != ticket) {
            return Ok(());
        }
        let Some(Ticket { binding, .. }) = kafka.takeovers.remove(&place) else { return Ok(()) };
        let Some(Ready { standing, found }) = ready? else { return Ok(()) };
        tracing::debug!(subscription = %binding.name, partition = place.1.0, next = standing.next,
            ?found, "a partition is taken over");
        self.enter(&binding, place.1, found)?;
        if let Some(part) = self.parts.get_mut(&place) {
            part.changelog = standing;
        }
        self.feed_pending()
    }

    /// The engine has let go of a number: it goes back to the group, or is read anew.
    pub(super) fn let_go(&mut self, place: Place) -> Result<(), Error> {
        let (subscription, partition) = place;
        let Some(kafka) = &mut self.kafka else { return Ok(()) };
        kafka.call_off(place);
        let is_asked_back = kafka.revoking.remove(&place);
        let Some(membership) = kafka.memberships.get_mut(&subscription) else { return Ok(()) };
        if is_asked_back {
            self.shared.progress.forget(subscription, partition);
            membership.owned.remove(&partition);
            membership.group.release(partition.0).map_err(Error::Kafka)?;
        }
        Ok(())
    }

    /// Begins to read a partition where the engine says.
    pub(super) fn begin_reading(&mut self, id: CursorId, from: Offset) {
        let (subscription, partition, topic) = id;
        let Some(name) = self.shared.broker.topic_by_id(topic).map(|topic| topic.name) else {
            tracing::warn!(topic = topic.0, "a topic was deleted before it was read");
            return;
        };
        let Some(group) = self.kafka.as_ref().and_then(|kafka| kafka.group(subscription)) else {
            return;
        };
        let sender = self.sender.clone();
        let wake = Box::new(move || drop(sender.send(Command::Told(Told::Readable(id)))));
        match group.read((&name, partition.0), from, wake) {
            Ok(reading) => {
                if let Some(cursor) = self.cursor(id, None) {
                    cursor.reading = reading;
                }
            }
            Err(error) => {
                let place = (subscription, partition);
                self.tell_unreadable(place, &error);
                self.read_anew(place);
            }
        }
    }

    /// Reads one turn of a partition of a cluster. True when anything was read.
    pub(super) fn fetch_records(&mut self, id: CursorId) -> Result<bool, Error> {
        let (subscription, partition, topic) = id;
        let Some(cursor) = self.cursor(id, None) else { return Ok(false) };
        let is_wanted = cursor.next.is_some() && !cursor.is_paused;
        let Some(reading) = cursor.reading.as_mut().filter(|_| is_wanted) else {
            return Ok(false);
        };
        let mut read = Vec::new();
        if !reading.take(|item| read.push(item)) {
            return Ok(false);
        }
        // There may be more; an empty turn ends this.
        self.readable.insert(id);
        let place = (subscription, partition);
        let generation = self.parts.get(&place).map_or(Generation(0), |part| part.generation);
        for item in read {
            // The engine may take the partition away in the middle of a turn.
            if self.parts.get(&place).is_none_or(|part| part.generation != generation) {
                break;
            }
            match item {
                Read::Record(record) => self.take_record(id, generation, stored(record))?,
                Read::End(offset) => {
                    let end = Position { topic, partition, offset };
                    self.feed(Input::Reached { subscription, generation, end })?;
                }
                Read::OutOfRange => {
                    self.read_anew(place);
                    self.feed_pending()?;
                }
                Read::Failed(error) => self.tell_unreadable(place, &error),
            }
        }
        Ok(true)
    }

    fn tell_unreadable(&self, (subscription, partition): Place, error: &gristmill_kafka::Error) {
        let name = self.current.get(&subscription).map(|binding| Arc::clone(&binding.name));
        tracing::warn!(
            code = error.code(),
            subscription = name.as_deref().unwrap_or_default(),
            partition = partition.0,
            error = crate::error::chain(error),
            "a partition cannot be read now"
        );
    }

    /// What a partition is read from is gone: it is taken over again, from what there is.
    fn read_anew(&mut self, (subscription, partition): Place) {
        let Some(binding) = self.current.get(&subscription).map(Arc::clone) else { return };
        if self.rebinding.contains_key(&subscription) {
            // It is being given back, and then read anew.
            return;
        }
        self.holds.remove(&(subscription, partition));
        self.inputs.push_back(Input::Lost { subscription, partition });
        self.take_over(&binding, partition);
    }

    /// What a checkpoint was to make true is undone, and read again.
    fn aborted(
        &mut self,
        checkpoint: CheckpointId,
        reason: &'static str,
        error: &gristmill_kafka::Error,
    ) -> Result<(), Error> {
        tracing::info!(
            worker = self.index,
            reason,
            error = crate::error::chain(error),
            "a transaction was aborted; what it held is done again"
        );
        self.shared.metrics.transaction_aborted(reason);
        self.tally.drop(checkpoint);
        if let Some(spans) = &mut self.spans {
            spans.drop(checkpoint);
        }
        if let Some(kafka) = &mut self.kafka {
            kafka.causes.clear();
        }
        self.take_over_waiting();
        self.feed(Input::Aborted { checkpoint })
    }

    /// Kafka will never take one append: its event fails when it runs again, the rest is done
    /// again as it was.
    fn undeliverable(
        &mut self,
        checkpoint: CheckpointId,
        append: usize,
        error: gristmill_kafka::Error,
    ) -> Result<(), Error> {
        let Some(kafka) = &mut self.kafka else { return Ok(()) };
        let Some(cause) = kafka.causes.get(append).copied() else {
            // What the host itself writes of a partition's state must always fit.
            return Err(Error::Kafka(error));
        };
        let known = kafka.undeliverable.entry((cause.place, cause.event)).or_default();
        if cause.is_letter {
            if known.letter {
                return Err(Error::Kafka(error));
            }
            known.letter = true;
        } else {
            let text = crate::error::chain(&error);
            known.emission = Some(Refused { code: error.code(), text });
        }
        self.aborted(checkpoint, "undeliverable", &error)
    }

    /// Why an emission of this event was refused for good, if one was.
    pub(super) fn refused_emission(&self, place: Place, event: EventRef) -> Option<&Refused> {
        let refused = self.kafka.as_ref()?.undeliverable.get(&(place, event))?;
        refused.emission.as_ref()
    }

    /// Whether the dead letter of this event was refused as it is.
    pub(super) fn is_letter_refused(&self, place: Place, event: EventRef) -> bool {
        let refused = self.kafka.as_ref().map(|kafka| &kafka.undeliverable);
        refused.and_then(|refused| refused.get(&(place, event))).is_some_and(|it| it.letter)
    }

    /// An open breaker wants to know where its topics end.
    pub(super) fn look_for_ends(&mut self, subscription: SubscriptionId) -> Result<(), Error> {
        if self.kafka.is_some() {
            self.ask_for_ends(Ask::ToProbe, subscription);
        } else {
            let ends = self.ends_of(subscription)?;
            self.inputs.push_back(Input::Probed { subscription, ends });
        }
        Ok(())
    }

    /// Has it told where the topics of a subscription end: overdue timers wait for what lies
    /// before.
    pub(super) fn ask_for_ends(&self, ask: Ask, subscription: SubscriptionId) {
        let places: Vec<Position> = self.positions_of(subscription);
        let Some(binding) = self.current.get(&subscription).map(Arc::clone) else { return };
        let (shared, answer) = (Arc::clone(&self.shared), self.sender.clone());
        tokio::task::spawn_blocking(move || {
            let ends = places.into_iter().map(|place| {
                // Where the end is not to be had, what was known of it holds.
                let bounds = shared.broker.bounds(place.topic, place.partition);
                let end = bounds.map_or(place.offset, |bounds| bounds.end);
                Position { offset: held_end(&binding, place.topic, end), ..place }
            });
            let ends = ends.collect();
            drop(answer.send(Command::Told(Told::Ends(ask, subscription, ends))));
        });
    }
}

/// A record as everything behind the broker sees it.
fn stored(record: gristmill_kafka::Record) -> Stored {
    Stored {
        offset: record.offset,
        timestamp: gristmill_engine::Instant(record.timestamp_ms),
        key: record.key,
        headers: record.headers.into(),
        payload: record.payload,
    }
}

//! Runs one replication: reads what its slots have, hands it over in transactions, one after the
//! other, and begins anew from what the other cluster remembers whenever one did not come true. It
//! looks around in [`look`](super::look).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant as Moment};

use bytestring::ByteString;
use gristmill_config::{OnRefused, ReplicationConfig};
use gristmill_engine::{Bytes as Size, Instant};
use gristmill_kafka::{Committer, Ended, Error as KafkaError, Group, Hook, Membered};
use gristmill_store::ReadLimit;

use super::batch::{Batch, Portion};
use super::error::{Error, LEFT_OUT, MADE_AGAIN};
use super::flow::Flow;
use super::look::{There, TopicHere};
use super::progress::{Place, Progress};
use super::provenance::Way;
use super::report::{State, View};
use super::slots::{Slots, Standing};
use super::source::Source;
use super::target::{Settled, Target};
use crate::shared::Shared;

/// Records of one partition read at once, so that others have their turn.
const PORTION: ReadLimit = ReadLimit { events: 2_000, bytes: Size::mib(2) };
/// How often the ends of partitions are asked for while there is nothing to do.
const ENDS_PAUSE: Duration = Duration::from_millis(100);
/// Between two looks whether a slot is settled.
const TAKE_PAUSE: Duration = Duration::from_millis(50);
/// Before this host's topics are read again when they could not be.
const READ_PAUSE: Duration = Duration::from_millis(500);
/// A group is polled at least this often, whatever it says: it takes a silent member for stuck.
const POLL_PAUSE: Duration = Duration::from_secs(1);
/// Before something that was refused is tried again.
pub(super) const REFUSED_PAUSE: Duration = Duration::from_secs(5);
/// How long a host that stops waits for the transaction in hand.
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// What happens to a replication.
#[derive(Debug)]
pub(super) enum Event {
    /// The group over there is to be polled.
    Due,
    /// The group over there says something.
    Told(Membered),
    /// The transaction in hand has ended.
    Ended(Ended),
    /// Topics here may have grown.
    Grown,
    /// The host stops.
    Stop,
}

/// What is there once the other cluster was reached.
pub(super) struct Link {
    pub(super) group: Arc<Group>,
    pub(super) committer: Committer,
}

/// One replication.
pub(super) struct Runner {
    pub(super) shared: Arc<Shared>,
    pub(super) name: String,
    pub(super) config: ReplicationConfig,
    pub(super) way: Way,
    pub(super) source: Source,
    pub(super) target: Target,
    pub(super) view: Arc<View>,
    pub(super) told: Sender<Event>,
    events: Receiver<Event>,
    pub(super) hook: Hook,
    pub(super) link: Option<Link>,
    pub(super) slots: Slots,
    pub(super) progress: Progress,
    pub(super) topics: BTreeMap<String, TopicHere>,
    pub(super) flows: BTreeMap<Place, Flow>,
    /// The partition that is read next.
    turn: Option<Place>,
    pub(super) filling: Batch,
    in_flight: Option<Batch>,
    pub(super) state: (State, Instant),
    pub(super) error: Option<Error>,
    pub(super) looked: Option<Moment>,
    /// Whether the topics of this host were seen.
    pub(super) has_seen: bool,
    ends_looked: Moment,
    polled: Moment,
    is_poll_due: bool,
    /// Before which nothing is tried again.
    pub(super) rests_until: Moment,
    is_stopping: bool,
}

impl Runner {
    pub(super) fn new(
        shared: &Arc<Shared>,
        (name, config): (&str, &ReplicationConfig),
        (target, host_id): (Target, &str),
        (told, events): (Sender<Event>, Receiver<Event>),
        hook: Hook,
    ) -> Self {
        let (now, moment) = (shared.clock.now(), Moment::now());
        let state = (State::Starts, now);
        Self {
            view: Arc::new(View::new(super::look::blank((name, config), state))),
            way: Way {
                cluster: config.cluster.clone(),
                to_cluster: config.to_cluster.clone(),
                relay: config.relay,
            },
            source: Source::new(shared, host_id.to_owned()),
            shared: Arc::clone(shared),
            name: name.to_owned(),
            config: config.clone(),
            target,
            told,
            events,
            hook,
            link: None,
            slots: Slots::default(),
            progress: Progress::default(),
            topics: BTreeMap::new(),
            flows: BTreeMap::new(),
            turn: None,
            filling: Batch::default(),
            in_flight: None,
            state,
            error: None,
            looked: None,
            has_seen: false,
            ends_looked: moment,
            polled: moment,
            is_poll_due: false,
            rests_until: moment,
            is_stopping: false,
        }
    }

    /// What operators are shown.
    pub(super) fn view(&self) -> Arc<View> {
        Arc::clone(&self.view)
    }

    /// Copies until the host stops.
    pub(super) fn run(mut self) {
        self.source.tell_growth(&self.told);
        while !self.is_stopping {
            self.work();
            match self.events.recv_timeout(self.patience()) {
                Ok(event) => self.happened(event),
                Err(RecvTimeoutError::Timeout) => {}
                // It holds a sender itself.
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.hear();
        }
        self.drain();
    }

    /// Takes notice of what happened.
    fn hear(&mut self) {
        while let Ok(event) = self.events.try_recv() {
            self.happened(event);
        }
    }

    fn work(&mut self) {
        if let Some(link) = &self.link
            && (self.is_poll_due || self.polled.elapsed() >= POLL_PAUSE)
        {
            self.is_poll_due = false;
            self.polled = Moment::now();
            link.group.poll();
            // What the group says is heard before anything is done.
            self.hear();
        }
        self.look();
        self.take_over();
        self.release();
        self.fill();
        self.commit();
    }

    /// How long to wait for what happens next.
    fn patience(&self) -> Duration {
        let is_resting = Moment::now() < self.rests_until;
        // What is tried alone waits for the transaction in hand, whose end is told.
        let can_read = || match self.lone() {
            Some(_) => self.is_idle(),
            None => !self.filling.is_full() && self.next_readable().is_some(),
        };
        if self.link.is_some() && !is_resting && can_read() {
            return Duration::ZERO;
        }
        if self.slots.standing(Standing::Taking).is_empty() { ENDS_PAUSE } else { TAKE_PAUSE }
    }

    fn happened(&mut self, event: Event) {
        match event {
            Event::Due => self.is_poll_due = true,
            Event::Grown => self.look_at_ends(),
            Event::Told(told) => {
                tracing::info!(replication = self.name, ?told, "group of a replication");
                let is_lost = matches!(told, Membered::Lost(_));
                match self.slots.told(told) {
                    Some(error) => self.held_up(error),
                    // What was read of other slots with it is read again.
                    None if is_lost => self.retake(),
                    None => self.unplace(),
                }
            }
            Event::Ended(ended) => self.ended(ended),
            Event::Stop => self.is_stopping = true,
        }
    }

    /// Gives the membership and the producer up; a later look makes them anew.
    pub(super) fn part(&mut self) {
        self.link = None;
        self.in_flight = None;
        self.filling = Batch::default();
        self.slots = Slots::default();
        self.rests_until = Moment::now() + REFUSED_PAUSE;
        self.unplace();
    }

    /// Partitions whose slot is not up to date are read by nobody.
    fn unplace(&mut self) {
        for flow in self.flows.values_mut() {
            if self.slots.of(flow.slot) == Some(Standing::Taking) {
                flow.unplace();
            }
        }
    }

    /// Learns what whoever had a slot before wrote.
    fn take_over(&mut self) {
        // While nobody answers, the look finds out when somebody does.
        if self.state.0 == State::Away || !self.has_seen {
            return;
        }
        for slot in self.slots.standing(Standing::Taking) {
            let Some(link) = &self.link else { return };
            // Of what is under way itself nobody can say yet whether it will be true.
            if self.in_flight.as_ref().is_some_and(|it| it.slots(&self.progress).contains(&slot)) {
                continue;
            }
            match self.target.take_over(&link.group, &mut self.progress, slot) {
                Ok(Settled::Yes) => self.begin(slot),
                Ok(Settled::NotYet) => {}
                Err(error) => return self.note(Error::there(error)),
            }
        }
        self.place_flows();
    }

    /// Gives slots back that the group asked for, once nothing of them is under way.
    fn release(&mut self) {
        let leaving = self.slots.standing(Standing::Leaving);
        let Some(link) = self.link.as_ref().filter(|_| !leaving.is_empty()) else { return };
        self.filling.drop_slots(&self.progress, &leaving);
        let busy: BTreeSet<u32> =
            self.in_flight.as_ref().map(|it| it.slots(&self.progress)).unwrap_or_default();
        for slot in leaving.into_iter().filter(|slot| !busy.contains(slot)) {
            if let Err(error) = link.group.release(slot) {
                tracing::debug!(replication = self.name, %error, "give a slot back");
            }
            self.slots.left(slot);
        }
    }

    /// Whether nothing is under way.
    fn is_idle(&self) -> bool {
        self.filling.is_empty() && self.in_flight.is_none()
    }

    /// A partition whose refused record is to be tried again, with nothing else beside it.
    fn lone(&self) -> Option<&Place> {
        let is_due = |(place, flow): &(&Place, &Flow)| flow.is_due() && self.is_copied(place, flow);
        self.flows.iter().find(is_due).map(|(place, _)| place)
    }

    /// Whether this host copies a partition, and its topic is over there.
    fn is_copied(&self, place: &Place, flow: &Flow) -> bool {
        let is_there = self.topics.get(&place.topic).is_some_and(|it| it.there.is_ready());
        is_there && self.slots.of(flow.slot) == Some(Standing::Ready)
    }

    /// Whether something of a partition is to be read.
    fn is_readable(&self, place: &Place, flow: &Flow) -> bool {
        self.is_copied(place, flow) && flow.readable(self.is_idle()).is_some()
    }

    /// The partition whose turn it is.
    fn next_readable(&self) -> Option<&Place> {
        let from = self.turn.as_ref();
        let after = self.flows.iter().filter(|(place, _)| Some(*place) > from);
        let before = self.flows.iter().filter(|(place, _)| Some(*place) <= from);
        let found = after.chain(before).find(|(place, flow)| self.is_readable(place, flow));
        found.map(|(place, _)| place)
    }

    /// Reads of every partition in turn, until the next transaction is full.
    fn fill(&mut self) {
        if self.link.is_none() || Moment::now() < self.rests_until {
            return;
        }
        if let Some(place) = self.lone().cloned() {
            if self.is_idle() {
                self.try_read(&place);
            }
            return;
        }
        let mut rounds = self.flows.len().max(1);
        while rounds > 0 && !self.filling.is_full() {
            let Some(place) = self.next_readable().cloned() else {
                return self.look_at_ends_again();
            };
            self.turn = Some(place.clone());
            if !self.try_read(&place) {
                return;
            }
            rounds -= 1;
        }
    }

    /// Reads of a partition; says what is wrong where it cannot.
    fn try_read(&mut self, place: &Place) -> bool {
        let read = self.read(place);
        if let Err(error) = read {
            self.rests_until = Moment::now() + READ_PAUSE;
            self.looked = None;
            self.note(Error::Here(error));
            return false;
        }
        true
    }

    fn read(&mut self, place: &Place) -> Result<(), crate::broker::Error> {
        let is_idle = self.is_idle();
        let Some(flow) = self.flows.get_mut(place) else { return Ok(()) };
        let Some(topic) = self.topics.get(&place.topic) else { return Ok(()) };
        let Some(readable) = flow.readable(is_idle) else { return Ok(()) };
        let limit = if readable.is_alone { ReadLimit { events: 1, ..PORTION } } else { PORTION };
        let mut records = self.source.read(&flow.topic, place, readable.from, limit)?;
        records.retain(|record| record.offset.0 < readable.before);
        let first = records.first().map(|first| (first.offset.0, first.timestamp.0));
        if first.is_some_and(|(offset, _)| offset > readable.from) {
            // Either nothing was there, or it was removed since the last look: then that is told.
            let asked = [(&flow.topic, place.partition)];
            let bounds = self.source.bounds(&asked)?.into_iter().next();
            flow.bound(bounds.unwrap_or_else(|| flow.bounds()));
            if flow.bounds().start.0 > readable.from {
                self.looked = None;
                return Ok(());
            }
        }
        let Some(last) = records.last().map(|record| record.offset.next().0) else {
            flow.nothing_before(readable.before);
            return Ok(());
        };
        flow.read_to(last, first);
        let (to, skip) = (&topic.to, flow.skip());
        self.filling.push(Portion { place, id: &flow.id, to, records, skip }, &self.way);
        if readable.is_alone {
            self.filling.close();
        }
        Ok(())
    }

    /// Asks for the ends of partitions again, unless that was a moment ago.
    fn look_at_ends_again(&mut self) {
        if !self.source.tells() && self.ends_looked.elapsed() >= ENDS_PAUSE {
            self.look_at_ends();
        }
    }

    /// Asks where the partitions end that this host copies.
    fn look_at_ends(&mut self) {
        self.ends_looked = Moment::now();
        let is_own = |flow: &&mut Flow| self.slots.of(flow.slot) == Some(Standing::Ready);
        let mut own: Vec<(u32, &mut Flow)> = Vec::new();
        for (place, flow) in &mut self.flows {
            own.extend(Some((place.partition, flow)).filter(|(_, flow)| is_own(flow)));
        }
        let asked: Vec<_> =
            own.iter().map(|(number, flow)| (flow.topic.clone(), *number)).collect();
        let asked: Vec<_> = asked.iter().map(|(topic, number)| (topic, *number)).collect();
        match self.source.ends(&asked) {
            Ok(ends) => {
                for ((_, flow), end) in own.into_iter().zip(ends) {
                    flow.end_at(end);
                }
            }
            // A topic that was deleted is noticed by the next look.
            Err(error) => tracing::debug!(replication = self.name, %error, "look at ends"),
        }
    }

    /// Hands over what was read, when the transaction before has ended.
    fn commit(&mut self) {
        if self.in_flight.is_some() || self.filling.is_empty() {
            return;
        }
        let Some(link) = &self.link else { return };
        let mut batch = std::mem::take(&mut self.filling);
        let known = (&self.progress, &self.slots);
        let Some(transaction) = batch.transaction(&self.target.progress, known, &link.group) else {
            // A slot of it went meanwhile.
            return self.retake();
        };
        let told = self.told.clone();
        // The thread has ended when nobody takes it.
        let done = Box::new(move |ended| drop(told.send(Event::Ended(ended))));
        link.committer.commit(transaction, done);
        self.in_flight = Some(batch);
    }

    /// Begins anew from what the other cluster remembers.
    fn retake(&mut self) {
        self.filling = Batch::default();
        self.slots.retake();
        self.unplace();
    }

    fn ended(&mut self, ended: Ended) {
        let Some(batch) = self.in_flight.take() else { return };
        match ended {
            Ended::Committed(offsets) => return self.committed(batch, &offsets),
            Ended::Aborted(reason, error) => {
                self.shared.metrics.transaction_aborted(reason);
                tracing::info!(replication = self.name, reason, %error,
                    "a transaction was aborted over there; what it held is copied again");
            }
            Ended::Undeliverable(index, error) => {
                self.shared.metrics.transaction_aborted("undeliverable");
                match batch.origin(index).cloned() {
                    Some((place, offset)) => self.refused(&place, offset, error),
                    None => self.held_up(error),
                }
            }
            Ended::Failed(error) => self.held_up(error),
        }
        self.retake();
    }

    fn committed(&mut self, batch: Batch, offsets: &[gristmill_engine::Offset]) {
        let (records, slots) = batch.progress_slots(&self.progress);
        for (slot, offset) in slots.into_iter().zip(offsets.iter().skip(records)) {
            self.progress.pass(slot, offset.next());
        }
        let (parts, begun) = batch.into_parts();
        for (slot, entry) in begun {
            self.progress.note_begun(slot, entry);
        }
        for (place, part) in parts {
            let counted = (part.copied, part.looped, part.refused);
            self.shared.metrics.replicated(&self.name, &place.topic, counted);
            if let Some(flow) = self.flows.get_mut(&place).filter(|it| it.id == part.mark.id)
                && flow.is_placed()
            {
                if part.refused > 0
                    && let Some(refused) = flow.refused()
                {
                    tracing::warn!(
                        code = LEFT_OUT,
                        replication = self.name,
                        topic = place.topic,
                        partition = place.partition,
                        offset = refused.offset,
                        error = crate::error::chain(&refused.error),
                        "a record was left out: the other cluster would never take it"
                    );
                }
                flow.copied(part.mark.next);
            }
            self.progress.note(place, part.mark);
        }
    }

    /// A record is not taken: for what it is, or for what its topic is over there.
    fn refused(&mut self, place: &Place, offset: u64, source: KafkaError) {
        let is_of_topic = matches!(
            source,
            KafkaError::TopicUnknown { .. }
                | KafkaError::PartitionUnknown { .. }
                | KafkaError::Unauthorised { .. }
        );
        if is_of_topic {
            let Some(topic) = self.topics.get_mut(&place.topic) else { return };
            if matches!(source, KafkaError::TopicUnknown { .. }) {
                tracing::warn!(
                    code = MADE_AGAIN,
                    replication = self.name,
                    topic = &*topic.to,
                    "a topic is not there any more in the other cluster; it is made again"
                );
            }
            topic.there = There::refused(Error::There(source));
            return;
        }
        let partition = place.partition;
        let skips = self.config.on_refused == OnRefused::Skip;
        let error = Error::Record { partition, offset, source };
        let Some(flow) = self.flows.get_mut(place) else { return };
        let is_known = flow.refused().is_some_and(|known| known.offset == offset);
        if !is_known && !skips {
            tracing::warn!(
                code = error.code(),
                replication = self.name,
                topic = place.topic,
                partition,
                offset,
                error = crate::error::chain(&error),
                "the other cluster does not take a record; its partition waits for it"
            );
        }
        flow.refuse(offset, error, skips);
    }

    /// Nothing can be committed until something changes.
    fn held_up(&mut self, error: KafkaError) {
        self.note(Error::there(error));
        self.part();
    }

    /// Lets the transaction in hand end, and gives the slots to others.
    fn drain(&mut self) {
        let began = Moment::now();
        while self.in_flight.is_some() {
            let left = DRAIN_MAX.saturating_sub(began.elapsed());
            match self.events.recv_timeout(left) {
                Ok(Event::Ended(ended)) => self.ended(ended),
                Ok(Event::Due | Event::Told(_) | Event::Grown | Event::Stop) => {}
                Err(_late) => return,
            }
        }
    }

    /// The name of a topic over there.
    pub(super) fn name_there(&self, topic: &str) -> ByteString {
        let own = self.shared.config.topics.names.own(topic);
        match &self.config.rename {
            Some(rename) => rename.fill(own).into(),
            None => topic.into(),
        }
    }
}

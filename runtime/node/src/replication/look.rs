//! Looks around now and then: which topics there are here, whether the other cluster answers, and
//! whether topics are there as they must be. What is wrong is said once, and looked at again.

use std::time::{Duration, Instant as Moment};

use bytestring::ByteString;
use gristmill_config::{CopyFrom, ReplicationConfig, TopicSelector};
use gristmill_engine::transaction::Guarantee;
use gristmill_engine::{Instant, Millis};
use gristmill_kafka::{Committer, Error as KafkaError, Group, NewTopic};
use gristmill_store::{Bounds, Topic};

use super::error::Error;
use super::flow::Flow;
use super::progress::Place;
use super::report::{Report, State};
use super::runner::{Event, Link, REFUSED_PAUSE, Runner};
use super::slots::Standing;
use super::source::Found;
use crate::broker;

/// Between two looks.
const LOOK_PAUSE: Duration = Duration::from_secs(2);
/// Between two looks at a topic over there that is as it must be.
const TOPIC_PAUSE: Duration = Duration::from_secs(30);

/// A topic that is copied.
#[derive(Debug)]
pub(super) struct TopicHere {
    pub(super) found: Found,
    /// Its name over there.
    pub(super) to: ByteString,
    pub(super) there: There,
    /// How long it is kept here, where that was asked, and when.
    pub(super) retention: Option<(Moment, Option<Millis>)>,
}

/// How a topic is over there.
#[derive(Debug)]
pub(super) enum There {
    /// Nobody has looked.
    Unknown,
    /// As it must be, as of then.
    Ready(Moment),
    /// Nothing can be copied to it, as of then.
    Refused(Error, Moment),
}

impl There {
    pub(super) fn refused(error: Error) -> Self {
        // It is looked at again at once: what is not there is made.
        let long_ago = Moment::now().checked_sub(REFUSED_PAUSE).unwrap_or_else(Moment::now);
        Self::Refused(error, long_ago)
    }

    pub(super) fn is_ready(&self) -> bool {
        matches!(self, Self::Ready(_))
    }

    fn is_due(&self) -> bool {
        match self {
            Self::Unknown => true,
            Self::Ready(at) => at.elapsed() >= TOPIC_PAUSE,
            Self::Refused(_, at) => at.elapsed() >= REFUSED_PAUSE,
        }
    }
}

/// What is shown of a replication before its first look.
pub(super) fn blank(
    (name, config): (&str, &ReplicationConfig),
    (state, since): (State, Instant),
) -> Report {
    Report {
        name: name.to_owned(),
        cluster: config.cluster.clone(),
        to_cluster: config.to_cluster.clone(),
        brokers: config.brokers.clone(),
        state,
        since_ms: since.0,
        error: None,
        slots_held: 0,
        slots: 0,
        topics: Vec::new(),
    }
}

impl Runner {
    /// Looks around, unless that was a moment ago.
    pub(super) fn look(&mut self) {
        if self.looked.is_some_and(|at| at.elapsed() < LOOK_PAUSE) {
            return;
        }
        let here = self.look_here().map_err(Error::Here);
        match self.look_there().and(here) {
            Ok(()) => self.runs(),
            Err(error) => self.note(error),
        }
        self.judge();
        self.show();
        self.looked = Some(Moment::now());
    }

    /// Which topics there are here, and where their partitions begin and end.
    fn look_here(&mut self) -> Result<(), broker::Error> {
        let mut found = self.source.topics(&self.config.topics);
        self.topics.retain(|name, topic| found.get(name).is_some_and(|it| it.id == topic.found.id));
        let all: Vec<(Place, Found)> = found.values().flat_map(places).collect();
        let asked: Vec<(&Topic, u32)> =
            all.iter().map(|(place, found)| (&found.topic, place.partition)).collect();
        let bounds = self.source.bounds(&asked).inspect_err(|_| self.source.refresh())?;
        let mut before = std::mem::take(&mut self.flows);
        for ((place, found), bounds) in all.into_iter().zip(bounds) {
            let known = before.remove(&place).filter(|flow| flow.id == found.id);
            let flow = self.flow((place.clone(), &found), known, bounds);
            self.flows.insert(place, flow);
        }
        for (name, found) in std::mem::take(&mut found) {
            let to = self.name_there(&name);
            let here = || TopicHere { found, to, there: There::Unknown, retention: None };
            self.topics.entry(name).or_insert_with(here);
        }
        self.has_seen = true;
        Ok(())
    }

    fn flow(&self, (place, found): (Place, &Found), known: Option<Flow>, bounds: Bounds) -> Flow {
        let slot = self.progress.slot_of(&place);
        let mut flow = known.unwrap_or_else(|| Flow::new(found, slot, bounds));
        flow.topic.partitions = found.topic.partitions;
        flow.slot = slot;
        flow.bound(bounds);
        if !self.slots.tells_of(slot) {
            let mark = self.progress.mark(&place).filter(|mark| mark.id == flow.id);
            flow.seen(mark.map(|mark| mark.next));
        }
        flow
    }

    /// Whether the other cluster answers, how far others have come, and how topics are there.
    fn look_there(&mut self) -> Result<(), Error> {
        if self.link.is_none() {
            if Moment::now() < self.rests_until {
                return self.error.clone().map_or(Ok(()), Err);
            }
            self.link = Some(self.join()?);
        }
        let held = |slot: &u32| {
            let standing = self.slots.of(*slot);
            standing.is_some_and(|standing| standing != Standing::Lost)
        };
        let others: Vec<u32> = (0..self.progress.slots()).filter(|slot| !held(slot)).collect();
        let followed = match &*others {
            [] => self.target.answers(),
            others => self.target.follow(&mut self.progress, others),
        };
        if let Err(KafkaError::TopicUnknown { .. }) = &followed {
            // It was deleted: what it said is gone, and copying begins anew.
            self.part();
        }
        followed.map_err(Error::there)?;
        self.look_at_topics_there()
    }

    /// Reaches the other cluster for the first time, or again after a refusal.
    fn join(&mut self) -> Result<Link, Error> {
        let id = self.target.cluster.probe().map_err(Error::there)?.cluster_id;
        let own = self.source.cluster_id();
        if let (Some(id), true, None) = (&id, id == own, &self.config.rename) {
            return Err(Error::SameCluster { id: id.clone() });
        }
        self.progress = self.target.open()?;
        let told = self.told.clone();
        // The thread has ended when nobody takes it.
        let listener = Box::new(move |it| drop(told.send(Event::Told(it))));
        let told = self.told.clone();
        let ready = Box::new(move || drop(told.send(Event::Due)));
        let (cluster, target) = (&self.target.cluster, &self.target);
        let group = Group::join(cluster, (&target.group, &target.progress), listener, ready);
        let group = group.map_err(Error::there)?.into();
        let hook = std::sync::Arc::clone(&self.hook);
        let committer =
            Committer::start(cluster, &target.transactional, Guarantee::ExactlyOnce, hook);
        let committer = committer.map_err(Error::there)?;
        Ok(Link { group, committer })
    }

    /// Makes topics that are not there, and looks at those that are.
    fn look_at_topics_there(&mut self) -> Result<(), Error> {
        let due = self.topics.iter().filter(|(_, topic)| topic.there.is_due());
        let due: Vec<String> = due.map(|(name, _)| name.clone()).collect();
        for name in due {
            let Some(topic) = self.topics.get(&name) else { continue };
            let there = match self.topic_there(topic) {
                Ok(()) => There::Ready(Moment::now()),
                Err(error) if error.passes() => return Err(error),
                Err(error) => There::Refused(error, Moment::now()),
            };
            self.tell_topic(&name, &there);
            if let Some(topic) = self.topics.get_mut(&name) {
                topic.there = there;
            }
        }
        Ok(())
    }

    fn topic_there(&self, topic: &TopicHere) -> Result<(), Error> {
        let wanted = topic.found.topic.partitions;
        let has = if let Some(has) = self.target.partitions(&topic.to).map_err(Error::there)? {
            has
        } else {
            let configs = self.source.kept(&topic.found.topic).map_err(Error::Here)?;
            let name = topic.to.clone();
            let new = NewTopic { name, partitions: wanted, replication: None, configs };
            self.target.ensure(new).map_err(Error::there)?
        };
        if has < wanted {
            return Err(Error::Partitions { topic: topic.to.to_string(), has, wanted });
        }
        Ok(())
    }

    /// Says once that a topic is not copied, and that it is again.
    fn tell_topic(&self, name: &str, there: &There) {
        let Some(before) = self.topics.get(name).map(|topic| &topic.there) else { return };
        let code = |there: &There| match there {
            There::Refused(error, _) => Some(error.code()),
            There::Unknown | There::Ready(_) => None,
        };
        if code(before) == code(there) {
            return;
        }
        let replication = &self.name;
        match there {
            There::Refused(error, _) => {
                let (code, text) = (error.code(), crate::error::chain(error));
                tracing::warn!(
                    code,
                    replication,
                    topic = name,
                    error = text,
                    "a topic is not copied until somebody changes that"
                );
            }
            There::Unknown | There::Ready(_) => {
                tracing::info!(replication, topic = name, "a topic is copied again");
            }
        }
    }

    /// A slot is up to date. What its entries of `topics` select from now on came later.
    pub(super) fn begin(&mut self, slot: u32) {
        self.slots.ready(slot);
        for entry in self.config.topics.iter().map(TopicSelector::as_str) {
            if !self.progress.has_begun(slot, entry) {
                self.filling.begin(slot, entry);
            }
        }
    }

    /// Decides from where partitions are copied whose slots are up to date.
    pub(super) fn place_flows(&mut self) {
        let (slots, progress) = (&self.slots, &self.progress);
        let is_due =
            |flow: &Flow| !flow.is_placed() && slots.of(flow.slot) == Some(Standing::Ready);
        for (place, flow) in self.flows.iter_mut().filter(|(_, flow)| is_due(flow)) {
            let Bounds { start, end } = flow.bounds();
            let is_later =
                self.config.topics.iter().any(|it| {
                    it.selects(&place.topic) && progress.has_begun(flow.slot, it.as_str())
                });
            let next = match progress.mark(place) {
                Some(mark) if mark.id == flow.id => {
                    flow.place(mark.next);
                    continue;
                }
                Some(_) => {
                    tracing::info!(
                        replication = self.name,
                        topic = place.topic,
                        partition = place.partition,
                        "a topic was made anew, and is copied from its beginning"
                    );
                    start.0
                }
                None if self.config.from == CopyFrom::Latest && !is_later => end.0,
                None => start.0,
            };
            flow.place(next);
            self.filling.mark(place, &flow.id, next);
        }
    }

    /// Something is in the way.
    pub(super) fn note(&mut self, error: Error) {
        let state = match &error {
            Error::Away(_) | Error::Here(_) => State::Away,
            Error::There(_)
            | Error::Progress { .. }
            | Error::SameCluster { .. }
            | Error::Partitions { .. }
            | Error::Record { .. } => State::Refused,
        };
        let is_news = self.state.0 != state
            || self.error.as_ref().is_none_or(|before| before.code() != error.code());
        if is_news {
            let (code, text) = (error.code(), crate::error::chain(&error));
            let name = &self.name;
            match error {
                Error::Away(_) => tracing::warn!(
                    code,
                    replication = name,
                    error = text,
                    "the other cluster does not answer; what comes meanwhile is copied when it does"
                ),
                // Whoever uses the cluster of this host is told.
                Error::Here(_) => tracing::info!(
                    code,
                    replication = name,
                    error = text,
                    "topics of this host cannot be read"
                ),
                Error::There(_)
                | Error::Progress { .. }
                | Error::SameCluster { .. }
                | Error::Partitions { .. }
                | Error::Record { .. } => tracing::warn!(
                    code,
                    replication = name,
                    error = text,
                    "nothing is copied until somebody changes that"
                ),
            }
            self.state = (state, self.shared.clock.now());
        }
        self.error = Some(error);
    }

    /// Nothing is in the way.
    fn runs(&mut self) {
        if self.state.0 == State::Runs {
            return;
        }
        if self.error.take().is_some() {
            tracing::info!(replication = self.name, "the replication goes on");
        }
        self.state = (State::Runs, self.shared.clock.now());
    }
}

/// The partitions of a topic.
fn places(found: &Found) -> Vec<(Place, Found)> {
    let topic = || found.topic.name.to_string();
    let place = |partition| (Place { topic: topic(), partition }, found.clone());
    (0..found.topic.partitions).map(place).collect()
}

//! Reads what is copied: this host's own topics, wherever they live. It changes nothing there.

use std::collections::BTreeMap;
use std::sync::mpsc::Sender;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use gristmill_config::TopicSelector;
use gristmill_engine::{Millis, Offset, PartitionId};
use gristmill_kafka::{Cluster, Reader, Sought};
use gristmill_store::{Bounds, ReadLimit, Stored, Topic};

use super::progress::Place;
use super::runner::Event;
use crate::broker::{Broker, Error, stored};
use crate::shared::Shared;
use crate::topics;

/// Longest wait for one answer of this host's own cluster.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// This host's topics, for one replication.
pub(super) struct Source {
    shared: Arc<Shared>,
    /// Name of this data directory, which numbers of its topics mean nothing without.
    host_id: String,
    /// The cluster, where topics live in one, with a reader that nobody else waits for.
    kafka: Option<(Cluster, Reader)>,
}

/// A topic that is selected.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) topic: Topic,
    /// Which of its name it is: one that is made anew has another.
    pub(super) id: String,
}

impl Source {
    pub(super) fn new(shared: &Arc<Shared>, host_id: String) -> Self {
        let cluster = shared.broker.kafka().map(|kafka| kafka.cluster().within(ANSWER_MAX));
        let kafka = cluster.map(|cluster| (cluster.clone(), Reader::new(&cluster)));
        Self { shared: Arc::clone(shared), host_id, kafka }
    }

    /// The cluster's id, where topics live in one that says it. Waits.
    pub(super) fn cluster_id(&self) -> Option<String> {
        let (cluster, _) = self.kafka.as_ref()?;
        // Where it does not answer, nothing can be copied from it either.
        cluster.probe().ok()?.cluster_id
    }

    /// Looks anew which topics there are, where that is a cluster's to say. Waits.
    pub(super) fn refresh(&self) {
        if let Some(kafka) = self.shared.broker.kafka()
            && let Err(error) = kafka.look()
        {
            tracing::debug!(code = error.code(), %error, "look at the cluster's topics");
        }
    }

    /// Has `told` hear when topics grow, where the store says so. Several times at once are once.
    pub(super) fn tell_growth(&self, told: &Sender<Event>) {
        if self.tells() {
            let told = std::sync::Mutex::new(told.clone());
            self.shared.store.on_append(Box::new(move |_grown| {
                let told = told.lock().unwrap_or_else(PoisonError::into_inner);
                // The thread has ended when nobody takes it.
                drop(told.send(Event::Grown));
            }));
        }
    }

    /// Whether it says by itself that there is more to read.
    pub(super) fn tells(&self) -> bool {
        self.kafka.is_none()
    }

    /// The topics that there are of these, without those that are the host's own. From memory.
    pub(super) fn topics(&self, selectors: &[TopicSelector]) -> BTreeMap<String, Found> {
        let own = |topic: &Topic| topic.name.starts_with(topics::INTERNAL);
        let found = self.shared.broker.topics().into_iter().filter(|topic| !own(topic));
        let found = found.filter(|topic| selectors.iter().any(|it| it.selects(&topic.name)));
        let found = found.filter_map(|topic| {
            let id = self.id_of(&topic)?;
            Some((topic.name.to_string(), Found { topic, id }))
        });
        found.collect()
    }

    fn id_of(&self, topic: &Topic) -> Option<String> {
        match &self.shared.broker {
            Broker::Embedded(_) => Some(format!("{}.{}", self.host_id, topic.id.0)),
            Broker::Kafka(kafka) => kafka.uuid(&topic.name).map(|id| format!("{id:032x}")),
        }
    }

    /// Where partitions begin and end, in their order. Waits.
    pub(super) fn bounds(&self, places: &[(&Topic, u32)]) -> Result<Vec<Bounds>, Error> {
        let Some((cluster, _)) = &self.kafka else {
            let bounds = |(topic, partition): &(&Topic, u32)| {
                self.shared.broker.bounds(topic.id, PartitionId(*partition))
            };
            return places.iter().map(bounds).collect();
        };
        let asked = named(places);
        let starts = cluster.offsets(&asked, Sought::Start)?;
        let ends = cluster.offsets(&asked, Sought::End)?;
        let bounds = |(start, end): (Option<Offset>, Option<Offset>)| {
            let start = start.unwrap_or_default();
            Bounds { start, end: end.unwrap_or(start) }
        };
        Ok(starts.into_iter().zip(ends).map(bounds).collect())
    }

    /// Where partitions end, in their order. Waits.
    pub(super) fn ends(&self, places: &[(&Topic, u32)]) -> Result<Vec<Offset>, Error> {
        match &self.kafka {
            None => Ok(self.bounds(places)?.into_iter().map(|bounds| bounds.end).collect()),
            Some((cluster, _)) => {
                let ends = cluster.offsets(&named(places), Sought::End)?;
                Ok(ends.into_iter().map(Option::unwrap_or_default).collect())
            }
        }
    }

    /// Reads from `from` on: what is there now, and at least one record if there is one. Waits.
    pub(super) fn read(
        &self,
        topic: &Topic,
        place: &Place,
        from: u64,
        limit: ReadLimit,
    ) -> Result<Vec<Stored>, Error> {
        let Some((_, reader)) = &self.kafka else {
            let partition = PartitionId(place.partition);
            return self.shared.broker.read(topic.id, partition, Offset(from), limit);
        };
        let limit = gristmill_kafka::ReadLimit { events: limit.events, bytes: limit.bytes };
        let at = (&*place.topic, place.partition);
        let read = reader.read(at, Offset(from), limit, Duration::ZERO)?;
        Ok(read.into_iter().map(stored).collect())
    }

    /// How a topic is kept: it is made so over there. Waits.
    pub(super) fn kept(&self, topic: &Topic) -> Result<BTreeMap<String, String>, Error> {
        let Some((cluster, _)) = &self.kafka else {
            let config = self.shared.config.topics.settings(&topic.name);
            let largest = ("max.message.bytes".to_owned(), batch_of(config.max_event_bytes.0));
            let spec = gristmill_store::TopicSpec {
                name: topic.name.to_string(),
                partitions: topic.partitions,
                retention: topic.retention,
                compacted: topic.compacted,
            };
            return Ok(crate::broker::settings(&spec).into_iter().chain([largest]).collect());
        };
        let mut kept = cluster.configs(&topic.name)?;
        kept.retain(|name, _| KEPT.contains(&&**name));
        Ok(kept)
    }

    /// How long a topic keeps records, if not for ever. Waits.
    pub(super) fn retention(&self, topic: &Topic) -> Result<Option<Millis>, Error> {
        Ok(self.shared.broker.described(topic)?.retention.age)
    }
}

/// Settings that a topic has over there as here.
const KEPT: [&str; 4] = ["cleanup.policy", "max.message.bytes", "retention.bytes", "retention.ms"];
/// What a batch of one record has beside key, headers and payload, and the header that is added.
const BATCH_EXTRA: u64 = 64 * 1024;

/// The largest batch for events of this size.
fn batch_of(bytes: u64) -> String {
    bytes.saturating_add(BATCH_EXTRA).to_string()
}

fn named<'a>(places: &[(&'a Topic, u32)]) -> Vec<(&'a str, u32)> {
    places.iter().map(|(topic, partition)| (&*topic.name, *partition)).collect()
}

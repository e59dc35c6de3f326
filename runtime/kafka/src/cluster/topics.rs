//! Asks for topics and changes them: created, grown, deleted, each until the cluster shows it.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    time::{Duration, Instant},
};

use bytestring::ByteString;
use gristmill_engine::Offset;
use rdkafka::{
    TopicPartitionList,
    admin::{NewPartitions, NewTopic as Native, ResourceSpecifier, TopicReplication, TopicResult},
    consumer::Consumer,
    error::{KafkaError, RDKafkaErrorCode as Code},
    metadata::MetadataTopic,
    topic_partition_list::Offset as Place,
};

use super::{Cluster, wait};
use crate::{
    error::{About, Cause, Error},
    ffi::topic_ids::{self, Described},
};

/// By then every broker that is up knows of a topic that was made, changed or deleted.
pub(super) const SETTLED: Duration = Duration::from_secs(1);

/// Topics in one request for their identities; a name is at most 249 bytes.
const DESCRIBED_MAX: usize = 1_000;

/// A topic that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicDescription {
    /// Its name.
    pub name: ByteString,
    /// Its id; no other topic ever has it, not even a later one of the same name.
    pub id: u128,
    /// Its partitions, those without a leader included.
    pub partitions: u32,
}

/// A topic to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name: 1 to 249 of `a-z A-Z 0-9 . _ -`.
    pub name: ByteString,
    /// Its partitions, from 1.
    pub partitions: u32,
    /// Copies of each record, from 1; `None` for the cluster's default.
    pub replication: Option<u32>,
    /// Its settings, such as `cleanup.policy`; the cluster's defaults for the others.
    pub configs: BTreeMap<String, String>,
}

impl Cluster {
    /// All topics, the cluster's internal ones included, by name.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] when no broker answers in time; [`Error::Unauthorised`] for a topic
    /// that may be listed but not described.
    pub fn topics(&self) -> Result<Vec<TopicDescription>, Error> {
        let asked = self.inner.committed.fetch_metadata(None, self.timeout);
        let metadata = self.answer("list topics", asked, About::Cluster)?;
        // A set, because a request names each topic once.
        let names: BTreeSet<&str> = metadata.topics().iter().map(MetadataTopic::name).collect();
        let names: Vec<&str> = names.into_iter().collect();
        let mut topics = Vec::with_capacity(names.len());
        for names in names.chunks(DESCRIBED_MAX) {
            topics.extend(self.describe(names)?.iter().map(TopicDescription::from));
        }
        Ok(topics)
    }

    /// The topic of that name; `None` when there is none.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] when no broker answers in time, [`Error::Unauthorised`].
    pub fn topic(&self, name: &str) -> Result<Option<TopicDescription>, Error> {
        Ok(self.described(name)?.as_ref().map(TopicDescription::from))
    }

    /// Whether this user may write to a topic. True too where brokers do not say.
    ///
    /// # Errors
    ///
    /// [`Error::TopicUnknown`]; [`Error::Unavailable`] when no broker answers in time.
    pub(crate) fn may_write(&self, name: &str) -> Result<bool, Error> {
        let doing = || format!("ask for rights to topic \"{name}\"");
        let client = self.inner.admin.inner();
        self.persistently(client, |slice| match topic_ids::may_write(client, name, slice) {
            Ok(may) => Ok(may.unwrap_or(true)),
            // Who may not even see it may not write to it.
            Err(Code::TopicAuthorizationFailed) => Ok(false),
            Err(code) => Err(self.refused(doing(), code, About::Topic(name))),
        })
    }

    /// Makes a topic, and waits until the cluster shows it with a leader for each partition, and
    /// for a second at most until all brokers do.
    ///
    /// # Errors
    ///
    /// [`Error::TopicExists`]; [`Error::TopicInvalid`] for a name, a number or a setting that the
    /// cluster does not take; [`Error::Unauthorised`]; [`Error::Unavailable`] when that does not
    /// happen in time: it may exist all the same.
    pub fn create(&self, topic: &NewTopic) -> Result<TopicDescription, Error> {
        let doing = || format!("create topic \"{}\"", topic.name);
        let count = i32::try_from(topic.partitions).unwrap_or(i32::MAX);
        // -1 asks for the default (source: KIP-464).
        let copies = topic.replication.map_or(-1, |it| i32::try_from(it).unwrap_or(i32::MAX));
        let mut native = Native::new(&topic.name, count, TopicReplication::Fixed(copies));
        for (name, value) in &topic.configs {
            native = native.set(name, value);
        }
        let asked =
            wait::block_on(self.inner.admin.create_topics([&native], &self.change_options()?));
        self.changed(doing(), asked, &topic.name)?;
        self.led(&topic.name, topic.partitions, doing)
    }

    /// The same, but a topic that exists is as good, also one that another host made meanwhile,
    /// and whatever its partitions and settings are.
    ///
    /// # Errors
    ///
    /// As [`Cluster::create`] without [`Error::TopicExists`].
    pub fn ensure(&self, topic: &NewTopic) -> Result<TopicDescription, Error> {
        if let Some(found) = self.topic(&topic.name)? {
            return Ok(found);
        }
        match self.create(topic) {
            Err(Error::TopicExists { .. }) => {
                let doing = || format!("wait for topic \"{}\"", topic.name);
                self.led(&topic.name, 1, doing)
            }
            made => made,
        }
    }

    /// Deletes a topic with all its records, and waits until the cluster does not show it.
    ///
    /// # Errors
    ///
    /// [`Error::TopicUnknown`]; [`Error::TopicInvalid`] when the cluster forbids it;
    /// [`Error::Unauthorised`]; [`Error::Unavailable`] when that does not happen in time.
    pub fn delete(&self, name: &str) -> Result<(), Error> {
        let doing = || format!("delete topic \"{name}\"");
        let asked =
            wait::block_on(self.inner.admin.delete_topics(&[name], &self.change_options()?));
        self.changed(doing(), asked, name)?;
        let gone = wait::until(self.timeout, || Ok(self.described(name)?.is_none().then_some(())))?;
        let late = || self.refused(doing(), Code::OperationTimedOut, About::Topic(name));
        gone.ok_or_else(late)?;
        self.settle(name, |found| found.is_none());
        Ok(())
    }

    /// Adds partitions until there are `partitions`, and waits until each has a leader. Keys
    /// change their partitions by that.
    ///
    /// # Errors
    ///
    /// [`Error::TopicUnknown`]; [`Error::TopicInvalid`] when it has more; [`Error::Unauthorised`];
    /// [`Error::Unavailable`] when that does not happen in time.
    pub fn grow(&self, name: &str, partitions: u32) -> Result<TopicDescription, Error> {
        let doing = || format!("give topic \"{name}\" {partitions} partitions");
        let Some(topic) = self.topic(name)? else {
            return Err(Error::TopicUnknown { topic: name.to_owned() });
        };
        if topic.partitions > partitions {
            let source = Cause::new(format!("it has {}", topic.partitions));
            return Err(Error::TopicInvalid { doing: doing(), source });
        }
        if topic.partitions < partitions {
            let count = usize::try_from(partitions).unwrap_or(usize::MAX);
            let more = NewPartitions::new(name, count);
            let asked = self.inner.admin.create_partitions([&more], &self.change_options()?);
            self.changed(doing(), wait::block_on(asked), name)?;
        }
        self.led(name, partitions, doing)
    }

    /// Removes the records of a topic that lie before an offset of their partition: those of the
    /// partitions named. Whoever has not read them never will.
    ///
    /// # Errors
    ///
    /// [`Error::TopicUnknown`], [`Error::PartitionUnknown`], [`Error::Unauthorised`],
    /// [`Error::Unavailable`]; some may be removed all the same.
    pub fn trim(&self, name: &str, before: &[(u32, Offset)]) -> Result<(), Error> {
        let doing = || format!("remove records of topic \"{name}\"");
        let mut list = TopicPartitionList::with_capacity(before.len());
        for (partition, offset) in before {
            let number = i32::try_from(*partition).unwrap_or(i32::MAX);
            let offset = Place::Offset(i64::try_from(offset.0).unwrap_or(i64::MAX));
            let added = list.add_partition_offset(name, number, offset);
            self.answer(doing(), added, About::Topic(name))?;
        }
        let asked = self.inner.admin.delete_records(&list, &self.change_options()?);
        let answer = self.answer(doing(), wait::block_on(asked), About::Topic(name))?;
        let refused = answer.elements().into_iter().find_map(|it| it.error().err());
        self.answer(doing(), refused.map_or(Ok(()), Err), About::Topic(name))
    }

    /// All settings of a topic that have a value, its own and the cluster's defaults:
    /// `cleanup.policy`, `retention.ms`, `retention.bytes`, `max.message.bytes`,
    /// `delete.retention.ms` and others.
    ///
    /// # Errors
    ///
    /// [`Error::TopicUnknown`], [`Error::Unauthorised`], [`Error::Unavailable`].
    pub fn configs(&self, name: &str) -> Result<BTreeMap<String, String>, Error> {
        // rdkafka gives no settings and no reason for a topic that is unknown or forbidden, and
        // a broker that does not know it yet gives none either.
        let found = wait::until(self.timeout.min(SETTLED), || {
            let configs = self.asked_configs(name)?;
            if configs.is_empty() && self.topic(name)?.is_none() {
                return Err(Error::TopicUnknown { topic: name.to_owned() });
            }
            Ok((!configs.is_empty()).then_some(configs))
        })?;
        let forbidden = || {
            self.refused(
                format!("ask for the settings of topic \"{name}\""),
                Code::TopicAuthorizationFailed,
                About::Topic(name),
            )
        };
        found.ok_or_else(forbidden)
    }

    fn asked_configs(&self, name: &str) -> Result<BTreeMap<String, String>, Error> {
        let doing = || format!("ask for the settings of topic \"{name}\"");
        let wanted = [ResourceSpecifier::Topic(name)];
        let answer = self.persistently(self.inner.admin.inner(), |slice| {
            let options = Self::options(slice);
            let asked = wait::block_on(self.inner.admin.describe_configs(&wanted, &options));
            self.answer(doing(), asked, About::Topic(name))
        })?;
        let mut configs = BTreeMap::new();
        for resource in answer {
            let resource =
                resource.map_err(|code| self.refused(doing(), code, About::Topic(name)))?;
            let entries = resource.entries.into_iter();
            configs.extend(entries.filter_map(|entry| Some((entry.name, entry.value?))));
        }
        Ok(configs)
    }

    /// Waits until the topic has at least `partitions` and each has a leader.
    fn led(
        &self,
        name: &str,
        partitions: u32,
        doing: impl Fn() -> String,
    ) -> Result<TopicDescription, Error> {
        let is_led = |found: &Described| {
            let enough = TopicDescription::from(found).partitions >= partitions;
            enough && found.leaders.iter().all(|led| *led)
        };
        let led = wait::until(self.timeout, || {
            Ok::<_, Error>(self.described(name)?.filter(|found| is_led(found)))
        })?;
        let late = || self.refused(doing(), Code::LeaderNotAvailable, About::Topic(name));
        let led = led.ok_or_else(late)?;
        self.settle(name, |found| found.is_some_and(is_led));
        Ok(TopicDescription::from(&led))
    }

    /// Waits until every broker sees of a topic what one does; not for long, because one that is
    /// down sees nothing.
    fn settle(&self, name: &str, seen: impl Fn(Option<&Described>) -> bool) {
        let began = Instant::now();
        let Ok(probe) = self.probe() else { return };
        for broker in probe.brokers {
            let left = SETTLED.saturating_sub(began.elapsed());
            if left.is_zero() {
                return;
            }
            let look = || {
                let asked =
                    topic_ids::describe(self.inner.admin.inner(), Some(broker.id), &[name], left);
                let settled = asked.is_ok_and(|found| seen(found.first()));
                Ok::<_, Infallible>(settled.then_some(()))
            };
            let Ok(Some(()) | None) = wait::until(left, look);
        }
    }

    fn described(&self, name: &str) -> Result<Option<Described>, Error> {
        Ok(self.describe(&[name])?.into_iter().next())
    }

    fn describe(&self, names: &[&str]) -> Result<Vec<Described>, Error> {
        let client = self.inner.admin.inner();
        self.persistently(client, |slice| match topic_ids::describe(client, None, names, slice) {
            // Such a name no topic can have.
            Err((Code::InvalidTopic, Some(_))) => Ok(Vec::new()),
            Err((code, name)) => {
                let about = name.as_deref().map_or(About::Cluster, About::Topic);
                let doing = match names {
                    [name] => format!("describe topic \"{name}\""),
                    _ => format!("describe {} topics", names.len()),
                };
                Err(self.refused(doing, code, about))
            }
            Ok(found) => Ok(found),
        })
    }

    /// What a change of one topic came to.
    fn changed(
        &self,
        doing: String,
        asked: Result<Vec<TopicResult>, KafkaError>,
        name: &str,
    ) -> Result<(), Error> {
        let answer = self.answer(doing.clone(), asked, About::Topic(name))?;
        match answer.into_iter().find_map(Result::err) {
            Some((_, code)) => Err(Error::of_code(doing, code, About::Topic(name))),
            None => Ok(()),
        }
    }
}

impl From<&Described> for TopicDescription {
    fn from(found: &Described) -> Self {
        Self {
            name: ByteString::from(found.name.as_str()),
            id: found.id,
            partitions: u32::try_from(found.leaders.len()).unwrap_or(u32::MAX),
        }
    }
}

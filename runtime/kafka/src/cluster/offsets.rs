//! Asks for the offsets of partitions: where they begin, how far they are committed, how far they
//! are written, and what was written when.

use std::time::{Duration, Instant};

use gristmill_engine::Offset;
use rdkafka::{
    TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode as Code},
    metadata::Metadata,
    topic_partition_list::Offset as Place,
};

use super::{Cluster, SLICE, topics::SETTLED, wait};
use crate::{
    context::Context,
    error::{About, Cause, Error},
};

/// Which offset of a partition is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sought {
    /// Its first.
    Start,
    /// The last stable one: see [`Cluster::bounds`].
    End,
    /// That of the first record whose timestamp is this or later, in milliseconds since 1970.
    At(u64),
}

impl Cluster {
    /// The same offset of many partitions, in their order, by one request to each leader; `None`
    /// where every record is earlier than [`Sought::At`].
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] when a leader does not answer in time, [`Error::Unauthorised`], and
    /// [`Error::TopicUnknown`] or [`Error::PartitionUnknown`] when one of them does not exist.
    pub fn offsets(
        &self,
        partitions: &[(&str, u32)],
        sought: Sought,
    ) -> Result<Vec<Option<Offset>>, Error> {
        if partitions.is_empty() {
            return Ok(Vec::new());
        }
        let watcher = &self.inner.committed;
        let began = Instant::now();
        let found = wait::patiently(self.timeout, |left| {
            let asked = self.asked_offsets(partitions, sought, left.min(SLICE));
            let is_new = match &asked {
                Err(Error::TopicUnknown { .. } | Error::PartitionUnknown { .. }) => {
                    began.elapsed() < SETTLED
                }
                Err(error) if error.is_retriable() => false,
                _ => return asked,
            };
            // It came since the client last looked, or a broker does not know it yet; or another
            // leads it now.
            let looked = watcher.fetch_metadata(None, left.min(SLICE));
            self.answer("list topics", looked, About::Cluster)?;
            if is_new { self.asked_offsets(partitions, sought, left.min(SLICE)) } else { asked }
        });
        found.map_err(|error| self.told_apart(error))
    }

    /// What is the matter with a partition that is unknown: the library says no more of one whose
    /// topic does not exist, or may not be seen.
    fn told_apart(&self, error: Error) -> Error {
        let Error::PartitionUnknown { topic, partition } = &error else { return error };
        let about = About::Partition(topic, *partition);
        match self.inner.committed.fetch_metadata(Some(topic), SLICE) {
            Ok(looked) => {
                let doing = format!("find partition {partition} of topic \"{topic}\"");
                self.refused(doing, missing(&looked, *partition), about)
            }
            Err(_unanswered) => error,
        }
    }

    fn asked_offsets(
        &self,
        partitions: &[(&str, u32)],
        sought: Sought,
        timeout: Duration,
    ) -> Result<Vec<Option<Offset>>, Error> {
        let doing = || format!("ask for offsets of {} partitions", partitions.len());
        // The protocol has both ends of a partition as times before 1970.
        let time = match sought {
            Sought::Start => Place::Beginning,
            Sought::End => Place::End,
            Sought::At(unix_ms) => Place::Offset(i64::try_from(unix_ms).unwrap_or(i64::MAX)),
        };
        let mut times = TopicPartitionList::with_capacity(partitions.len());
        let mut about = About::Cluster;
        for (topic, partition) in partitions {
            about = About::Partition(topic, *partition);
            times
                .add_partition_offset(topic, number(*partition), time)
                .map_err(|error| Error::of(doing(), &error, about))?;
        }
        let asked = self.inner.committed.offsets_for_times(times, timeout);
        let answer = self.answer(doing(), asked, about)?;
        self.told_offsets(doing, &answer, partitions)
    }

    /// What an answer says of each of `partitions`.
    pub(super) fn told_offsets(
        &self,
        doing: impl Fn() -> String,
        answer: &TopicPartitionList,
        partitions: &[(&str, u32)],
    ) -> Result<Vec<Option<Offset>>, Error> {
        let found = |(topic, partition): &(&str, u32)| {
            let Some(element) = answer.find_partition(topic, number(*partition)) else {
                return Ok(None);
            };
            let checked = element.error();
            self.answer(doing(), checked, About::Partition(topic, *partition))?;
            Ok(offset(element.offset()))
        };
        partitions.iter().map(found).collect()
    }

    /// First offset of a partition, and the last stable one: that after the last record whose
    /// transaction has ended and before which none is open. All of `read_committed` lies between.
    ///
    /// # Errors
    ///
    /// [`Error::TopicUnknown`], [`Error::PartitionUnknown`], [`Error::Unauthorised`],
    /// [`Error::Unavailable`] when its leader does not answer in time.
    pub fn bounds(&self, topic: &str, partition: u32) -> Result<(Offset, Offset), Error> {
        self.watermarks(&self.inner.committed, topic, partition)
    }

    /// The offset after the last record of a partition, those of open transactions included.
    ///
    /// # Errors
    ///
    /// As [`Cluster::bounds`].
    pub fn high_watermark(&self, topic: &str, partition: u32) -> Result<Offset, Error> {
        Ok(self.watermarks(&self.inner.uncommitted, topic, partition)?.1)
    }

    /// Offset of the first record whose timestamp is `unix_ms` or later; `None` when all are
    /// earlier.
    ///
    /// # Errors
    ///
    /// As [`Cluster::bounds`].
    pub fn offset_at(
        &self,
        topic: &str,
        partition: u32,
        unix_ms: u64,
    ) -> Result<Option<Offset>, Error> {
        let time = i64::try_from(unix_ms).unwrap_or(i64::MAX);
        let ask = |watcher: &BaseConsumer<Context>, left| {
            let mut times = TopicPartitionList::new();
            times.add_partition_offset(topic, number(partition), Place::Offset(time))?;
            let answer = watcher.offsets_for_times(times, left)?;
            let elements = answer.elements();
            let Some(element) = elements.first() else { return Ok(Place::End) };
            element.error().map(|()| element.offset())
        };
        Ok(offset(self.of_partition(&self.inner.committed, topic, partition, ask)?))
    }

    fn watermarks(
        &self,
        watcher: &BaseConsumer<Context>,
        topic: &str,
        partition: u32,
    ) -> Result<(Offset, Offset), Error> {
        let ask = |watcher: &BaseConsumer<Context>, left| {
            watcher.fetch_watermarks(topic, number(partition), left)
        };
        let (low, high) = self.of_partition(watcher, topic, partition, ask)?;
        let offset = |raw| Offset(u64::try_from(raw).unwrap_or(0));
        Ok((offset(low), offset(high)))
    }

    /// What was asked of a partition, again and again while that may help.
    ///
    /// librdkafka keeps what it knows of topics for 15 minutes, and answers from that: a partition
    /// that had no leader, or that did not exist yet, is unknown to it for so long, even though it
    /// says so in words of its own, and a leader that died is asked until it comes back, though
    /// another has taken over. Hence it is made to look.
    fn of_partition<T>(
        &self,
        watcher: &BaseConsumer<Context>,
        topic: &str,
        partition: u32,
        ask: impl Fn(&BaseConsumer<Context>, Duration) -> Result<T, KafkaError>,
    ) -> Result<T, Error> {
        let doing = || format!("ask for offsets of partition {partition} of topic \"{topic}\"");
        let about = About::Partition(topic, partition);
        let began = Instant::now();
        wait::patiently(self.timeout, |left| {
            let passing = match self.answer(doing(), ask(watcher, left.min(SLICE)), about) {
                Err(Error::TopicUnknown { .. } | Error::PartitionUnknown { .. }) => None,
                Err(error) if error.is_retriable() => Some(error),
                answer => return answer,
            };
            let looked = watcher.fetch_metadata(Some(topic), left.min(SLICE));
            let code = missing(&self.answer(doing(), looked, about)?, partition);
            let error = passing.unwrap_or_else(|| self.refused(doing(), code, about));
            // A broker may not know a new topic for a moment.
            if error.is_retriable() || began.elapsed() >= SETTLED {
                return Err(error);
            }
            Err(Error::Unavailable { doing: doing(), source: Cause::new(code.to_string()) })
        })
    }
}

/// Why nothing can be asked of a partition of the one topic that `metadata` is about.
fn missing(metadata: &Metadata, partition: u32) -> Code {
    let Some(topic) = metadata.topics().first() else { return Code::UnknownTopicOrPartition };
    if let Some(error) = topic.error() {
        return Code::from(error);
    }
    let number = number(partition);
    match topic.partitions().iter().find(|found| found.id() == number) {
        None => Code::UnknownPartition,
        // It has none, or had none a moment ago.
        Some(_) => Code::LeaderNotAvailable,
    }
}

/// The offset that an answer gives, if it does.
fn offset(place: Place) -> Option<Offset> {
    match place {
        Place::Offset(offset) => u64::try_from(offset).ok().map(Offset),
        Place::Beginning | Place::End | Place::Stored | Place::Invalid | Place::OffsetTail(_) => {
            None
        }
    }
}

/// A partition's number as the protocol has it; one beyond is no partition's.
pub(super) fn number(partition: u32) -> i32 {
    i32::try_from(partition).unwrap_or(i32::MAX)
}

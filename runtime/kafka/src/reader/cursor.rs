//! Reads one partition on from where it stands. Knows no other reader.

use std::{
    ops::ControlFlow,
    time::{Duration, Instant},
};

use bytestring::ByteString;
use gristmill_engine::Offset;
use rdkafka::{
    TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode as Code},
    topic_partition_list::Offset as Native,
};

use super::ReadLimit;
use crate::{
    cluster::{Cluster, client},
    context::Context,
    error::{About, Error},
    record::Record,
};

/// A client that reads at most one partition.
pub(super) struct Cursor {
    consumer: BaseConsumer<Context>,
    place: Option<Place>,
}

/// Where a cursor stands.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) topic: ByteString,
    pub(super) partition: u32,
    /// Offset of the next record, or before it.
    pub(super) next: Offset,
    /// The stable end when it was asked for last; `None` once it was passed.
    pub(super) end: Option<Offset>,
}

/// What one read has so far.
struct Taken {
    records: Vec<Record>,
    bytes: u64,
    limit: ReadLimit,
    /// Whether the end of the partition was seen.
    ended: bool,
    /// Whether nothing came after it.
    at_end: bool,
}

impl Cursor {
    pub(super) fn new(cluster: &Cluster) -> Result<Self, Error> {
        let context = cluster.context("reader").belated();
        let consumer = client(&cluster.settings().reader(), context)?;
        Ok(Self { consumer, place: None })
    }

    /// Whether it reads on from there.
    pub(super) fn stands_at(&self, topic: &str, partition: u32, offset: Offset) -> bool {
        self.place.as_ref().is_some_and(|place| {
            place.topic == topic && place.partition == partition && place.next == offset
        })
    }

    /// Whether it stands nowhere.
    pub(super) fn rests(&self) -> bool {
        self.place.is_none()
    }

    /// Begins to fetch from there.
    pub(super) fn move_to(&mut self, place: Place) -> Result<(), Error> {
        let number = i32::try_from(place.partition).unwrap_or(i32::MAX);
        let from = Native::Offset(i64::try_from(place.next.0).unwrap_or(i64::MAX));
        let mut assignment = TopicPartitionList::new();
        assignment
            .add_partition_offset(&place.topic, number, from)
            .and_then(|()| self.consumer.assign(&assignment))
            .map_err(|error| place.failed(&error))?;
        self.place = Some(place);
        Ok(())
    }

    /// Stops fetching, and stands nowhere.
    pub(super) fn rest(&mut self) {
        // A client that cannot stop is no worse than one that was not told to.
        if self.place.take().is_some() {
            drop(self.consumer.unassign());
        }
    }

    /// Reads what is there, within `limit`, and waits for `wait` when that is nothing.
    pub(super) fn read(
        &mut self,
        cluster: &Cluster,
        limit: ReadLimit,
        wait: Duration,
    ) -> Result<Vec<Record>, Error> {
        let Some(mut place) = self.place.clone() else { return Ok(Vec::new()) };
        let began = Instant::now();
        let ended = place.is_at_end();
        let mut taken = Taken { records: Vec::new(), bytes: 0, limit, ended, at_end: ended };
        loop {
            let patience = match (taken.records.is_empty(), taken.ended) {
                // The first answer, be it that there is nothing, is the broker's to give.
                (_, false) => cluster.timeout(),
                (true, true) => wait,
                // What comes after the end comes one by one: take what is at hand.
                (false, true) => Duration::ZERO,
            };
            let left = patience.saturating_sub(began.elapsed());
            let polled = match self.consumer.poll(left) {
                Some(polled) => polled.map(|message| Record::of(&message)),
                None if began.elapsed() < patience => continue,
                None if taken.ended || !taken.records.is_empty() => break,
                None => {
                    let code = Code::OperationTimedOut;
                    let failed = place.failed(&KafkaError::MessageConsumption(code));
                    return Err(cluster.health().explain(failed, Some(code)));
                }
            };
            let going = match polled {
                Ok(record) => {
                    place.next = record.offset.next();
                    let full = taken.push(record);
                    // The rest would come later; it need not be waited for.
                    if place.is_at_end() { ControlFlow::Break(()) } else { full }
                }
                Err(KafkaError::PartitionEOF(_)) => taken.end(),
                Err(error) => self.mishap(cluster, &mut place, &error, &mut taken)?,
            };
            if going.is_break() {
                break;
            }
        }
        cluster.health().answered();
        if taken.at_end {
            // An end is told once. The next read must hear it anew, or it would not know.
            self.rest();
        } else {
            self.place = Some(place);
        }
        Ok(taken.records)
    }

    /// What an error between records means: most pass, and the time to wait for an answer bounds
    /// them all.
    fn mishap(
        &mut self,
        cluster: &Cluster,
        place: &mut Place,
        error: &KafkaError,
        taken: &mut Taken,
    ) -> Result<ControlFlow<()>, Error> {
        match error.rdkafka_error_code() {
            // It joins no group; who may not, need not.
            Some(Code::GroupAuthorizationFailed) => Ok(ControlFlow::Continue(())),
            // There is no such offset.
            Some(Code::AutoOffsetReset | Code::OffsetOutOfRange) => {
                let (start, _) = cluster.bounds(&place.topic, place.partition)?;
                if place.next < start {
                    place.next = start;
                    self.move_to(place.clone())?;
                    return Ok(ControlFlow::Continue(()));
                }
                // It is beyond the end, where nothing is yet.
                Ok(taken.end())
            }
            _ => {
                let failed = place.failed(error);
                if failed.is_retriable() { Ok(ControlFlow::Continue(())) } else { Err(failed) }
            }
        }
    }
}

impl Place {
    /// Whether it passed the stable end that is known. Says so once: there may be another.
    fn is_at_end(&mut self) -> bool {
        self.end.take_if(|end| self.next >= *end).is_some()
    }

    fn failed(&self, error: &KafkaError) -> Error {
        let Self { topic, partition, .. } = self;
        let doing = format!("read partition {partition} of topic \"{topic}\"");
        Error::of(doing, error, About::Partition(topic, *partition))
    }
}

impl Taken {
    fn push(&mut self, record: Record) -> ControlFlow<()> {
        self.bytes = self.bytes.saturating_add(record.size());
        self.records.push(record);
        self.at_end = false;
        let count = u32::try_from(self.records.len()).unwrap_or(u32::MAX);
        let full = count >= self.limit.events || self.bytes >= self.limit.bytes.0;
        if full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// The end of the partition: enough, when there is anything.
    fn end(&mut self) -> ControlFlow<()> {
        (self.ended, self.at_end) = (true, true);
        if self.records.is_empty() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }
}

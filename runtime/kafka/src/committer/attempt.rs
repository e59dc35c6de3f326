//! Tries to make one checkpoint true, and says what a failure means for it and for its producer.
//! It repeats nothing and makes no producer.

#![expect(clippy::wildcard_enum_match_arm, reason = "new codes of the protocol mean uncertainty")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use gristmill_engine::Offset;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{Producer, ThreadedProducer};

use super::acknowledged::Acknowledged;
use super::courier::Courier;
use super::{END_MAX, GroupOffsets, Step, Transaction, other};
use crate::cluster::look_at;
use crate::error::{About, Error};
use crate::ffi::membership::Refused;
use crate::group;
use crate::record::NewRecord;

/// Wait for room in the library's queue, when it is full.
const ROOM_PAUSE: Duration = Duration::from_millis(2);
/// Longest wait for the library to put acknowledgements away.
const SETTLE_MAX: Duration = Duration::from_millis(100);
const SETTLE_PAUSE: Duration = Duration::from_micros(50);

/// Why a checkpoint did not become true.
pub(super) enum Failure {
    /// It can be aborted, and the producer goes on.
    Abort(&'static str, Error),
    /// A record that will never be taken.
    Record(usize, Error),
    /// A record, or the batch it was in.
    TooLarge(TooLarge),
    /// The producer is uncertain: it must not be used again.
    Reset(&'static str, Error),
    /// The transaction failed before the record was sent: who asks for its end is told why.
    Over(Error),
    /// A topic of the transaction may not be written, and nobody said which. It can be aborted.
    Denied(&'static str, Error),
    /// Another producer has taken the id over.
    Fenced(Error),
}

/// A topic did not take records because of their size.
pub(super) struct TooLarge {
    /// The first of them.
    pub(super) index: usize,
    pub(super) topic: String,
    /// How many there are.
    pub(super) together: usize,
    pub(super) error: Error,
}

/// Tries it as one transaction. Offsets of its records.
pub(super) fn transact(
    (producer, courier): (&Arc<ThreadedProducer<Acknowledged>>, &mut Courier),
    transaction: &Transaction,
    mut step: impl FnMut(Step),
) -> Result<Vec<Offset>, Failure> {
    producer.begin_transaction().map_err(|error| ended("begin", &error))?;
    // The coordinator may still be ending the transaction before. Asked to take offsets, it is
    // asked again after `retry.backoff.ms`; asked to take partitions, only after 20 ms.
    let mut offsets = transaction.offsets.iter();
    if let Some(first) = offsets.next() {
        send_offsets((producer, courier), first)?;
        step(Step::Admitted);
    }
    let waiting = hand_over(producer, &transaction.records, 0)?;
    step(Step::Begun);
    // The others go while records are on their way: they take as long, and go to other brokers.
    if let Err(failure) = offsets.try_for_each(|of| send_offsets((producer, courier), of)) {
        return Err(waiting.blamed(failure));
    }
    step(Step::OffsetsSent);
    let offsets = waiting.end().map_err(|failure| reason(producer, failure))?;
    settle(producer);
    step(Step::Written);
    producer.commit_transaction(END_MAX).map_err(|error| ended("commit", &error))?;
    step(Step::Committed);
    Ok(offsets)
}

/// Waits until the library has put away the last acknowledgement, which it just told of: a commit
/// that finds one left waits 100 ms for it (measured; source: rdkafka's `BaseProducer::flush`).
fn settle(producer: &ThreadedProducer<Acknowledged>) {
    let began = Instant::now();
    while producer.in_flight_count() > 0 && began.elapsed() < SETTLE_MAX {
        thread::sleep(SETTLE_PAUSE);
    }
}

/// Tries it without a transaction: events first, then what the changelog says of them, and the
/// offsets last, so that whatever ends it is done again. Offsets of its records.
pub(super) fn write(
    producer: &ThreadedProducer<Acknowledged>,
    transaction: &Transaction,
    mut step: impl FnMut(Step),
) -> Result<Vec<Offset>, Failure> {
    let records = &transaction.records;
    let (events, changelog) = records.split_at(transaction.events.min(records.len()));
    let waiting = hand_over(producer, events, 0)?;
    step(Step::Begun);
    let mut offsets = waiting.end()?;
    offsets.extend(hand_over(producer, changelog, events.len())?.end()?);
    step(Step::Written);
    for of in &transaction.offsets {
        held(of)?;
        let GroupOffsets { group, offsets, .. } = of;
        group.commit_and_wait(offsets).map_err(|error| Failure::Abort("offsets", error))?;
    }
    step(Step::Committed);
    Ok(offsets)
}

/// Why the transaction is over, where a record only says that it is.
fn reason(producer: &ThreadedProducer<Acknowledged>, failure: Failure) -> Failure {
    let Failure::Over(_) = failure else { return failure };
    match producer.commit_transaction(END_MAX) {
        Ok(()) => failure,
        Err(error) => ended("write", &error),
    }
}

/// Records that were handed over and are not acknowledged yet.
struct Waiting<'a> {
    context: &'a Acknowledged,
    records: &'a [NewRecord],
    /// Place of the first of them within the checkpoint.
    from: usize,
}

impl Waiting<'_> {
    fn end(self) -> Result<Vec<Offset>, Failure> {
        self.context.delivered(self.records, self.from)
    }

    /// Why offsets were not taken: `failure`, unless it is that a record was refused for good,
    /// which fails all that follows in its transaction.
    fn blamed(self, failure: Failure) -> Failure {
        if !matches!(failure, Failure::Abort("offsets", _) | Failure::Denied(..)) {
            return failure;
        }
        match self.end() {
            Err(refused @ (Failure::Record(..) | Failure::TooLarge(_))) => refused,
            Ok(_) | Err(_) => failure,
        }
    }
}

/// Hands over records, of which the first has place `from` within the checkpoint.
fn hand_over<'a>(
    producer: &'a ThreadedProducer<Acknowledged>,
    records: &'a [NewRecord],
    from: usize,
) -> Result<Waiting<'a>, Failure> {
    let context = &**producer.context();
    let first = context.expect(records.len());
    for (index, record) in records.iter().enumerate() {
        send(producer, first.wrapping_add(index), record)
            .map_err(|error| undelivered(from.saturating_add(index), &record.topic, &error))?;
    }
    Ok(Waiting { context, records, from })
}

fn send(
    producer: &ThreadedProducer<Acknowledged>,
    mark: usize,
    record: &NewRecord,
) -> Result<(), KafkaError> {
    let mut message = record.native(mark);
    let mut has_looked = false;
    loop {
        match producer.send(message) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), again)) => {
                thread::sleep(ROOM_PAUSE);
                message = again;
            }
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::UnknownPartition), again))
                if !has_looked =>
            {
                has_looked = true;
                look_at(producer.client(), &record.topic);
                message = again;
            }
            Err((error, _)) => return Err(error),
        }
    }
}

fn send_offsets(
    (producer, courier): (&Arc<ThreadedProducer<Acknowledged>>, &mut Courier),
    of: &GroupOffsets,
) -> Result<(), Failure> {
    let list = group::list_of(&of.offsets).map_err(|error| Failure::Abort("offsets", error))?;
    // The membership first: numbers that are lost after it are fenced by it.
    let membership = of.group.membership().ok_or_else(|| outside(of))?;
    held(of)?;
    let sent = courier.send(producer, membership, list);
    let sent = sent.map_err(|error| Failure::Reset("offsets", error))?;
    sent.map_err(|refused| refuse(of.group.name(), &refused))
}

/// Whether this host still holds what the work was begun with.
fn held(of: &GroupOffsets) -> Result<(), Failure> {
    of.group.holds(of.held.iter().copied()).then_some(()).ok_or_else(|| outside(of))
}

fn outside(of: &GroupOffsets) -> Failure {
    let doing = format!("commit offsets of group \"{}\"", of.group.name());
    Failure::Abort("rebalance", other(doing, "this host does not hold the partitions now"))
}

fn refuse(group: &str, refused: &Refused) -> Failure {
    let doing = "commit offsets in a transaction";
    let error = Error::of_code(doing, refused.code, About::Group(group));
    let error = error.with_cause(refused.reason.as_str());
    match refused.code {
        RDKafkaErrorCode::Fenced
        | RDKafkaErrorCode::ProducerFenced
        | RDKafkaErrorCode::InvalidProducerEpoch => Failure::Fenced(error),
        RDKafkaErrorCode::IllegalGeneration
        | RDKafkaErrorCode::UnknownMemberId
        | RDKafkaErrorCode::FencedInstanceId
        | RDKafkaErrorCode::RebalanceInProgress
            if !refused.is_fatal =>
        {
            Failure::Abort("rebalance", error)
        }
        RDKafkaErrorCode::TopicAuthorizationFailed
            if refused.requires_abort && !refused.is_fatal =>
        {
            Failure::Denied("offsets", error)
        }
        _ if refused.requires_abort && !refused.is_fatal => Failure::Abort("offsets", error),
        _ => Failure::Reset("offsets", error),
    }
}

/// What an error of the producer itself means for its transaction.
fn ended(step: &'static str, error: &KafkaError) -> Failure {
    let told = Error::of("end a transaction", error, About::Cluster);
    let KafkaError::Transaction(native) = error else { return Failure::Reset(step, told) };
    match native.code() {
        RDKafkaErrorCode::Fenced
        | RDKafkaErrorCode::ProducerFenced
        | RDKafkaErrorCode::InvalidProducerEpoch => Failure::Fenced(told),
        RDKafkaErrorCode::TopicAuthorizationFailed
            if native.txn_requires_abort() && !native.is_fatal() =>
        {
            Failure::Denied(step, told)
        }
        _ if native.txn_requires_abort() && !native.is_fatal() => Failure::Abort(step, told),
        _ => Failure::Reset(step, told),
    }
}

/// The library's word on a record that was not written.
pub(super) fn told(topic: &str, error: &KafkaError) -> Error {
    Error::of(format!("write to topic \"{topic}\""), error, About::Topic(topic))
}

/// Whether a topic takes no record, or no batch, of that size.
pub(super) fn is_too_large(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::MessageBatchTooLarge)
    )
}

/// Largest batch that a topic with these settings takes; `None` when they do not say.
pub(super) fn largest_batch(configs: &BTreeMap<String, String>) -> Option<u64> {
    let limits = ["max.message.bytes", "segment.bytes"].map(|name| configs.get(name)?.parse().ok());
    limits.into_iter().flatten().min()
}

/// What became of a record that was not written.
pub(super) fn undelivered(index: usize, topic: &str, error: &KafkaError) -> Failure {
    let told = told(topic, error);
    match error.rdkafka_error_code() {
        Some(
            RDKafkaErrorCode::MessageSizeTooLarge
            | RDKafkaErrorCode::MessageBatchTooLarge
            | RDKafkaErrorCode::InvalidMessage
            | RDKafkaErrorCode::InvalidMessageSize
            | RDKafkaErrorCode::InvalidRecord
            | RDKafkaErrorCode::InvalidTimestamp
            | RDKafkaErrorCode::InvalidTopic
            | RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::UnknownPartition
            | RDKafkaErrorCode::PolicyViolation,
        ) => Failure::Record(index, told),
        Some(
            RDKafkaErrorCode::Fenced
            | RDKafkaErrorCode::ProducerFenced
            | RDKafkaErrorCode::InvalidProducerEpoch,
        ) => Failure::Fenced(told),
        Some(RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight) => Failure::Over(told),
        _ => Failure::Reset("write", told),
    }
}

//! Takes single steps of a checkpoint, and says of which kind a failure is. What that means for the
//! checkpoint is not decided here; it repeats nothing and makes no producer.

#![expect(clippy::wildcard_enum_match_arm, reason = "new codes of the protocol mean uncertainty")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use gristmill_engine::transaction;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{Producer, ThreadedProducer};

use super::acknowledged::Acknowledged;
use super::courier::Courier;
use super::{END_MAX, GroupOffsets, other};
use crate::cluster::look_at;
use crate::error::{About, Error};
use crate::ffi::membership;
use crate::group;
use crate::record::NewRecord;

/// Wait for room in the library's queue, when it is full.
const ROOM_PAUSE: Duration = Duration::from_millis(2);
/// Longest wait for the library to put acknowledgements away.
const SETTLE_MAX: Duration = Duration::from_millis(100);
const SETTLE_PAUSE: Duration = Duration::from_micros(50);

/// Why a step failed.
pub(super) type Failure = transaction::Failure<Error>;

/// Why records were not written.
pub(super) enum Refused {
    /// A record, or the batch it was in.
    TooLarge(TooLarge),
    Failure(Failure),
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

pub(super) fn begin(producer: &ThreadedProducer<Acknowledged>) -> Result<(), Failure> {
    producer.begin_transaction().map_err(|error| ended("begin", &error))
}

/// Waits until the library has put away the last acknowledgement, which it just told of: a commit
/// that finds one left waits 100 ms for it (measured; source: rdkafka's `BaseProducer::flush`).
pub(super) fn settle(producer: &ThreadedProducer<Acknowledged>) {
    let began = Instant::now();
    while producer.in_flight_count() > 0 && began.elapsed() < SETTLE_MAX {
        thread::sleep(SETTLE_PAUSE);
    }
}

/// Asks for the end of a transaction; `step` is what that is asked for.
pub(super) fn commit(
    producer: &ThreadedProducer<Acknowledged>,
    step: &'static str,
) -> Result<(), Failure> {
    producer.commit_transaction(END_MAX).map_err(|error| ended(step, &error))
}

/// Commits the offsets of a group without a transaction.
pub(super) fn commit_offsets(of: &GroupOffsets) -> Result<(), Failure> {
    if !holds(of) {
        return Err(outside(of));
    }
    let GroupOffsets { group, offsets, .. } = of;
    group.commit_and_wait(offsets).map_err(|error| Failure::Abort("offsets", error))
}

/// Hands over records, of which the first has place `from` within the checkpoint.
pub(super) fn hand_over(
    producer: &ThreadedProducer<Acknowledged>,
    records: &[NewRecord],
    from: usize,
) -> Result<(), Failure> {
    let first = producer.context().expect(records.len());
    for (index, record) in records.iter().enumerate() {
        send(producer, first.wrapping_add(index), record)
            .map_err(|error| undelivered(from.saturating_add(index), &record.topic, &error))?;
    }
    Ok(())
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

pub(super) fn send_offsets(
    (producer, courier): (&Arc<ThreadedProducer<Acknowledged>>, &mut Courier),
    of: &GroupOffsets,
) -> Result<(), Failure> {
    let list = group::list_of(&of.offsets).map_err(|error| Failure::Abort("offsets", error))?;
    let membership = transaction::as_member(|| of.group.membership(), || holds(of));
    let membership = membership.ok_or_else(|| outside(of))?;
    let sent = courier.send(producer, membership, list);
    let sent = sent.map_err(|error| Failure::Reset("offsets", error))?;
    sent.map_err(|refused| refuse(of.group.name(), &refused))
}

/// Whether this host still holds what the work was begun with.
fn holds(of: &GroupOffsets) -> bool {
    of.group.holds(of.held.iter().copied())
}

fn outside(of: &GroupOffsets) -> Failure {
    let doing = format!("commit offsets of group \"{}\"", of.group.name());
    Failure::Abort("rebalance", other(doing, "this host does not hold the partitions now"))
}

fn refuse(group: &str, refused: &membership::Refused) -> Failure {
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

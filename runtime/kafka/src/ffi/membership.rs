//! Sends offsets into a transaction under a membership that is known to be one. The library hands
//! out metadata without member and generation after a session was lost, and a broker takes those
//! for an old client's and fences nothing; the wrapper does not let its user see the difference.

#![expect(unsafe_code, reason = "the wrapper hides generation and member of a group's metadata")]

use std::ffi::CStr;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::types::RDKafka;
use rdkafka_sys as sys;

/// A member of a group in one of its generations.
pub(crate) struct Membership(*mut sys::rd_kafka_consumer_group_metadata_t);

// SAFETY: the metadata is a copy of its own, which the library ties to no thread.
unsafe impl Send for Membership {}

/// Why a transaction did not take offsets.
#[derive(Debug, Clone)]
pub(crate) struct Refused {
    pub(crate) code: RDKafkaErrorCode,
    pub(crate) reason: String,
    /// The producer cannot be used any more.
    pub(crate) is_fatal: bool,
    /// The transaction can be aborted, and the producer used again.
    pub(crate) requires_abort: bool,
}

impl Drop for Membership {
    fn drop(&mut self) {
        // SAFETY: the metadata is ours and not used again.
        unsafe { sys::rd_kafka_consumer_group_metadata_destroy(self.0) };
    }
}

impl Membership {
    /// The membership of a consumer now; `None` while it is no member of its group.
    pub(crate) fn of(consumer: *mut RDKafka) -> Option<Self> {
        // SAFETY: the caller's consumer is alive.
        let metadata = unsafe { sys::rd_kafka_consumer_group_metadata(consumer) };
        if metadata.is_null() {
            return None;
        }
        let membership = Self(metadata);
        // SAFETY: the metadata was just had.
        let generation = unsafe { sys::rd_kafka_consumer_group_metadata_generation_id(metadata) };
        // SAFETY: the member's name lives as long as the metadata.
        let member = unsafe { sys::rd_kafka_consumer_group_metadata_member_id(metadata) };
        // SAFETY: it is ended by a zero where it is not null.
        let is_member = !member.is_null() && !unsafe { CStr::from_ptr(member) }.is_empty();
        (generation >= 0 && is_member).then_some(membership)
    }

    /// Sends offsets into the open transaction of `producer`.
    pub(crate) fn send_offsets(
        &self,
        producer: *mut RDKafka,
        offsets: &TopicPartitionList,
        within: Duration,
    ) -> Result<(), Refused> {
        let within = i32::try_from(within.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: producer, offsets and metadata are alive for as long as the call takes.
        let error = unsafe {
            sys::rd_kafka_send_offsets_to_transaction(producer, offsets.ptr(), self.0, within)
        };
        if error.is_null() {
            return Ok(());
        }
        // SAFETY: the error was just had, as in each of the following.
        let code = unsafe { sys::rd_kafka_error_code(error) };
        // SAFETY: as above.
        let is_fatal = unsafe { sys::rd_kafka_error_is_fatal(error) } != 0;
        // SAFETY: as above.
        let requires_abort = unsafe { sys::rd_kafka_error_txn_requires_abort(error) } != 0;
        // SAFETY: as above.
        let reason = unsafe { sys::rd_kafka_error_string(error) };
        // SAFETY: the text is ended by a zero and lives as long as the error.
        let reason = unsafe { CStr::from_ptr(reason) };
        let reason = reason.to_string_lossy().into_owned();
        // SAFETY: it is not used again.
        unsafe { sys::rd_kafka_error_destroy(error) };
        Err(Refused { code: code.into(), reason, is_fatal, requires_abort })
    }
}

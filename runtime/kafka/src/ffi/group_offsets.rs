//! Asks for everything a group has committed (`ListConsumerGroupOffsets`): rdkafka asks only for
//! partitions that are named, and takes a client of its own for each group. Waits for the answer;
//! keeps nothing.
#![expect(unsafe_code, reason = "librdkafka's ListConsumerGroupOffsets is not offered by rdkafka")]

use std::{
    ffi::{CStr, CString, c_int},
    ptr, slice,
    time::Duration,
};

use gristmill_engine::Offset;
use rdkafka::{
    client::{Client, ClientContext},
    error::RDKafkaErrorCode as Code,
};
use rdkafka_sys::bindings as rd;

use super::owned::Owned;
use crate::cluster::CommittedOffset;

/// All that `group` has committed, as of the last transaction that has ended; nothing of a group
/// that does not exist. Waits for `within`, and leaves the request to `client` for `lasting`.
///
/// # Errors
///
/// The code that ended the request, or that of the first partition that has one;
/// [`Code::OperationTimedOut`] when there is no answer in time: then the client must end.
pub(crate) fn all<C: ClientContext>(
    client: &Client<C>,
    group: &str,
    (within, lasting): (Duration, Duration),
) -> Result<Vec<CommittedOffset>, Code> {
    // A name with a zero byte is no group's.
    let Ok(group) = CString::new(group) else { return Ok(Vec::new()) };
    let answer = ask(client, &group, (within, lasting))?;
    // SAFETY: the answer is alive.
    checked(unsafe { rd::rd_kafka_event_error(answer.pointer()) })?;
    // SAFETY: the answer is alive; one of another kind has no such result.
    let result = unsafe { rd::rd_kafka_event_ListConsumerGroupOffsets_result(answer.pointer()) };
    if result.is_null() {
        return Err(Code::Fail);
    }
    let mut count = 0;
    // SAFETY: the result belongs to the answer, which outlives all that is read from it below.
    let first =
        unsafe { rd::rd_kafka_ListConsumerGroupOffsets_result_groups(result, &raw mut count) };
    if first.is_null() || count == 0 {
        return Ok(Vec::new());
    }
    // SAFETY: the first of `count` groups; one was asked for.
    let found = unsafe { *first };
    // SAFETY: the group belongs to the answer.
    let error = unsafe { rd::rd_kafka_group_result_error(found) };
    // SAFETY: the error belongs to the answer; null stands for none.
    checked(unsafe { rd::rd_kafka_error_code(error) })?;
    // SAFETY: the group belongs to the answer.
    let partitions = unsafe { rd::rd_kafka_group_result_partitions(found) };
    // SAFETY: the list belongs to the answer.
    unsafe { read(partitions) }
}

/// Sends the request and waits for its answer.
fn ask<C: ClientContext>(
    client: &Client<C>,
    group: &CStr,
    (within, lasting): (Duration, Duration),
) -> Result<Owned<rd::rd_kafka_event_t>, Code> {
    let native = client.native_ptr();
    // SAFETY: the name is copied; no list of partitions stands for all of them.
    let wanted = unsafe { rd::rd_kafka_ListConsumerGroupOffsets_new(group.as_ptr(), ptr::null()) };
    // SAFETY: it was made for us a moment ago.
    let wanted = unsafe { Owned::new(wanted, rd::rd_kafka_ListConsumerGroupOffsets_destroy) }?;
    let kind = rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS;
    // SAFETY: the client is alive while it is borrowed.
    let options = unsafe { rd::rd_kafka_AdminOptions_new(native, kind) };
    // SAFETY: it was made for us a moment ago.
    let options = unsafe { Owned::new(options, rd::rd_kafka_AdminOptions_destroy) }?;
    let lasting = millis(lasting);
    // SAFETY: the options are alive, and without a buffer for its text no error is written.
    checked(unsafe {
        rd::rd_kafka_AdminOptions_set_request_timeout(
            options.pointer(),
            lasting,
            ptr::null_mut(),
            0,
        )
    })?;
    // SAFETY: the client is alive while it is borrowed.
    let queue = unsafe { rd::rd_kafka_queue_new(native) };
    // SAFETY: it was made for us a moment ago.
    let queue = unsafe { Owned::new(queue, rd::rd_kafka_queue_destroy) }?;
    let mut one = wanted.pointer();
    // SAFETY: all are alive, and the request copies what it keeps.
    unsafe {
        rd::rd_kafka_ListConsumerGroupOffsets(
            native,
            &raw mut one,
            1,
            options.pointer(),
            queue.pointer(),
        );
    }
    // SAFETY: the queue is alive. Nothing but the answer comes through it.
    let answer = unsafe { rd::rd_kafka_queue_poll(queue.pointer(), millis(within)) };
    if answer.is_null() {
        return Err(Code::OperationTimedOut);
    }
    // SAFETY: an event that a queue gave is ours.
    unsafe { Owned::new(answer, rd::rd_kafka_event_destroy) }
}

/// The partitions of a list that have an offset.
///
/// # Safety
///
/// `list` is null, or belongs to an answer that is alive.
unsafe fn read(
    list: *const rd::rd_kafka_topic_partition_list_t,
) -> Result<Vec<CommittedOffset>, Code> {
    if list.is_null() {
        return Ok(Vec::new());
    }
    // SAFETY: the caller's promise.
    let list = unsafe { &*list };
    let count = usize::try_from(list.cnt).unwrap_or(0);
    if list.elems.is_null() || count == 0 {
        return Ok(Vec::new());
    }
    // SAFETY: the library's lists have `cnt` members.
    let members = unsafe { slice::from_raw_parts(list.elems, count) };
    let mut found = Vec::with_capacity(count);
    for member in members {
        checked(member.err)?;
        let partition = u32::try_from(member.partition);
        // Below zero stands for none.
        let (Ok(partition), Ok(offset)) = (partition, u64::try_from(member.offset)) else {
            continue;
        };
        // SAFETY: a member has a name, which ends in zero and belongs to the list.
        let topic = unsafe { CStr::from_ptr(member.topic) }.to_string_lossy().into_owned();
        found.push(CommittedOffset { topic, partition, offset: Offset(offset) });
    }
    Ok(found)
}

fn checked(code: rd::rd_kafka_resp_err_t) -> Result<(), Code> {
    let code = Code::from(code);
    if code == Code::NoError { Ok(()) } else { Err(code) }
}

fn millis(time: Duration) -> c_int {
    c_int::try_from(time.as_millis()).unwrap_or(c_int::MAX)
}

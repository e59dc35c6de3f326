//! Asks the cluster for the identity of topics (`DescribeTopics`), which rdkafka's own metadata
//! does not carry. Waits for the answer; keeps nothing.
#![expect(unsafe_code, reason = "librdkafka's DescribeTopics is not offered by rdkafka")]

use std::{
    ffi::{CStr, CString, c_char, c_int},
    ptr, slice,
    time::Duration,
};

use rdkafka::{
    client::{Client, ClientContext},
    error::RDKafkaErrorCode as Code,
};
use rdkafka_sys::bindings as rd;

use super::owned::Owned;

/// A topic as a broker describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Described {
    pub(crate) name: String,
    /// Its id; no other topic ever has it, not even a later one of the same name.
    pub(crate) id: u128,
    /// For each partition, by number, whether it has a leader.
    pub(crate) leaders: Vec<bool>,
}

/// Which broker is asked, and for what.
#[derive(Debug, Clone, Copy)]
struct Asked {
    /// The broker of this id, else any.
    broker: Option<i32>,
    /// Whether what this user may do is told too: it costs the broker a look at its rights.
    rights: bool,
}

/// Time for an answer to come out of the library once it gave up on the broker.
const GRACE: Duration = Duration::from_secs(1);

/// Describes the topics of `names` that exist, each name once, as `broker` knows them or any.
///
/// # Errors
///
/// The code that ended the request, or that of the first topic that cannot be described for
/// another reason than that it does not exist, with its name.
pub(crate) fn describe<C: ClientContext>(
    client: &Client<C>,
    broker: Option<i32>,
    names: &[&str],
    timeout: Duration,
) -> Result<Vec<Described>, (Code, Option<String>)> {
    // The library refuses an empty name, and one with a zero byte is no topic's either.
    let names = names.iter().filter(|name| !name.is_empty());
    let names: Vec<CString> = names.filter_map(|name| CString::new(*name).ok()).collect();
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let asked = Asked { broker, rights: false };
    let answer = ask(client, asked, &names, timeout).map_err(|code| (code, None))?;
    let mut found = Vec::new();
    for topic in topics(&answer).map_err(|code| (code, None))? {
        // SAFETY: the topic belongs to the answer, which is alive.
        match unsafe { read(*topic) } {
            Ok(described) => found.push(described),
            Err((Code::UnknownTopic | Code::UnknownTopicOrPartition, _)) => {}
            Err((code, name)) => return Err((code, Some(name))),
        }
    }
    Ok(found)
}

/// Whether this user may write to the topic of that name; `None` when the broker does not say.
///
/// # Errors
///
/// The code that ended the request, or that the topic has instead of a description.
pub(crate) fn may_write<C: ClientContext>(
    client: &Client<C>,
    name: &str,
    timeout: Duration,
) -> Result<Option<bool>, Code> {
    let name = CString::new(name).map_err(|_zero| Code::InvalidTopic)?;
    let answer = ask(client, Asked { broker: None, rights: true }, &[name], timeout)?;
    let Some(topic) = topics(&answer)?.first() else { return Ok(None) };
    // SAFETY: the topic belongs to the answer, which is alive.
    let error = unsafe { rd::rd_kafka_TopicDescription_error(*topic) };
    // SAFETY: it belongs to the topic; null is "no error".
    check(unsafe { rd::rd_kafka_error_code(error) })?;
    let mut count = 0;
    // SAFETY: the topic belongs to the answer, which is alive.
    let first =
        unsafe { rd::rd_kafka_TopicDescription_authorized_operations(*topic, &raw mut count) };
    if first.is_null() {
        return Ok(None);
    }
    // SAFETY: an array of `count` operations that belongs to the topic.
    let operations = unsafe { array(first, count) };
    Ok(Some(operations.contains(&rd::rd_kafka_AclOperation_t::RD_KAFKA_ACL_OPERATION_WRITE)))
}

/// The topics of an answer, to which they belong.
fn topics(
    answer: &Owned<rd::rd_kafka_event_t>,
) -> Result<&[*const rd::rd_kafka_TopicDescription_t], Code> {
    // SAFETY: the answer is alive; one of another kind has no such result.
    let result = unsafe { rd::rd_kafka_event_DescribeTopics_result(answer.pointer()) };
    if result.is_null() {
        return Err(Code::Fail);
    }
    let mut count = 0;
    // SAFETY: the result belongs to the answer, which is alive.
    let first = unsafe { rd::rd_kafka_DescribeTopics_result_topics(result, &raw mut count) };
    // SAFETY: an array of `count` topics that belongs to the answer, which is borrowed.
    Ok(unsafe { array(first.cast_const(), count) })
}

/// Sends the request and waits for its answer.
fn ask<C: ClientContext>(
    client: &Client<C>,
    asked: Asked,
    names: &[CString],
    timeout: Duration,
) -> Result<Owned<rd::rd_kafka_event_t>, Code> {
    let native = client.native_ptr();
    let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
    // SAFETY: the array holds that many strings, which are copied.
    let topics = unsafe {
        rd::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len())
    };
    // SAFETY: it was made for us a moment ago.
    let topics = unsafe { Owned::new(topics, rd::rd_kafka_TopicCollection_destroy) }?;
    let options = options(client, asked, timeout)?;
    // SAFETY: the client is alive while it is borrowed.
    let queue = unsafe { rd::rd_kafka_queue_new(native) };
    // SAFETY: it was made for us a moment ago.
    let queue = unsafe { Owned::new(queue, rd::rd_kafka_queue_destroy) }?;
    // SAFETY: all four are alive, and the request copies what it keeps.
    unsafe {
        rd::rd_kafka_DescribeTopics(native, topics.pointer(), options.pointer(), queue.pointer());
    }
    let patience = millis(timeout.saturating_add(GRACE));
    // SAFETY: the queue is alive. Nothing but the answer comes through it.
    let event = unsafe { rd::rd_kafka_queue_poll(queue.pointer(), patience) };
    if event.is_null() {
        return Err(Code::OperationTimedOut);
    }
    // SAFETY: an event that a queue gave is ours.
    let event = unsafe { Owned::new(event, rd::rd_kafka_event_destroy) }?;
    // SAFETY: the event is alive.
    check(unsafe { rd::rd_kafka_event_error(event.pointer()) })?;
    Ok(event)
}

/// How long the request may take, and whom it is for.
fn options<C: ClientContext>(
    client: &Client<C>,
    asked: Asked,
    timeout: Duration,
) -> Result<Owned<rd::rd_kafka_AdminOptions_t>, Code> {
    let kind = rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
    // SAFETY: the client is alive while it is borrowed.
    let options = unsafe { rd::rd_kafka_AdminOptions_new(client.native_ptr(), kind) };
    // SAFETY: they were made for us a moment ago.
    let options = unsafe { Owned::new(options, rd::rd_kafka_AdminOptions_destroy) }?;
    let (to, none) = (options.pointer(), ptr::null_mut());
    let timeout = millis(timeout);
    // SAFETY: the options are alive, and without a buffer for its text no error is written.
    check(unsafe { rd::rd_kafka_AdminOptions_set_request_timeout(to, timeout, none, 0) })?;
    if asked.rights {
        // SAFETY: as above.
        let error = unsafe { rd::rd_kafka_AdminOptions_set_include_authorized_operations(to, 1) };
        if !error.is_null() {
            // SAFETY: an error that is not null was made for us, and is not used after this.
            unsafe { rd::rd_kafka_error_destroy(error) };
            return Err(Code::InvalidArgument);
        }
    }
    if let Some(broker) = asked.broker {
        // SAFETY: as above.
        check(unsafe { rd::rd_kafka_AdminOptions_set_broker(to, broker, none, 0) })?;
    }
    Ok(options)
}

/// What an answer says of one topic; else the code it has instead, with its name.
///
/// # Safety
///
/// `topic` belongs to an answer that is alive.
unsafe fn read(topic: *const rd::rd_kafka_TopicDescription_t) -> Result<Described, (Code, String)> {
    // SAFETY: the caller's promise; the name belongs to the topic.
    let name = unsafe { rd::rd_kafka_TopicDescription_name(topic) };
    // SAFETY: a topic has a name, which ends in zero.
    let name = unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned();
    // SAFETY: the caller's promise.
    let error = unsafe { rd::rd_kafka_TopicDescription_error(topic) };
    // SAFETY: it belongs to the topic; null is "no error".
    if let Err(code) = check(unsafe { rd::rd_kafka_error_code(error) }) {
        return Err((code, name));
    }
    // SAFETY: the caller's promise.
    let id = unsafe { rd::rd_kafka_TopicDescription_topic_id(topic) };
    // SAFETY: a topic without error has an id, which belongs to it.
    let high = unsafe { rd::rd_kafka_Uuid_most_significant_bits(id) };
    // SAFETY: as above.
    let low = unsafe { rd::rd_kafka_Uuid_least_significant_bits(id) };
    let id = (u128::from(high.cast_unsigned()) << 64) | u128::from(low.cast_unsigned());
    let mut count = 0;
    // SAFETY: the caller's promise.
    let first = unsafe { rd::rd_kafka_TopicDescription_partitions(topic, &raw mut count) };
    let mut leaders = vec![false; count];
    // SAFETY: an array of `count` partitions that belongs to the topic.
    for partition in unsafe { array(first, count) } {
        // SAFETY: a member of that array.
        let number = unsafe { rd::rd_kafka_TopicPartitionInfo_partition(*partition) };
        // SAFETY: a member of that array.
        let leader = unsafe { rd::rd_kafka_TopicPartitionInfo_leader(*partition) };
        let slot = usize::try_from(number).ok().and_then(|number| leaders.get_mut(number));
        if let Some(slot) = slot {
            *slot = !leader.is_null();
        }
    }
    Ok(Described { name, id, leaders })
}

/// The array of `count` members at `first`, which may be null when there are none.
///
/// # Safety
///
/// There are that many, and they live as long as the caller uses the slice.
unsafe fn array<'a, T>(first: *const T, count: usize) -> &'a [T] {
    if first.is_null() || count == 0 {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { slice::from_raw_parts(first, count) }
}

fn check(code: rd::rd_kafka_resp_err_t) -> Result<(), Code> {
    let code = Code::from(code);
    if code == Code::NoError { Ok(()) } else { Err(code) }
}

fn millis(time: Duration) -> c_int {
    c_int::try_from(time.as_millis()).unwrap_or(c_int::MAX)
}

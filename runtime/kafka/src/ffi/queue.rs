//! Reads one partition through a queue of its own. The library's wrapper does not say at which
//! offset a partition ended, which matters on the path of every event. It decides nothing.

#![expect(unsafe_code, reason = "the wrapper does not offer the offset of an end")]

use std::ffi::{CStr, CString, c_void};
use std::fmt;
use std::ptr;
use std::slice;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use gristmill_engine::Offset;
use rdkafka_sys as sys;

use crate::record::Record;

/// Items taken from a queue in one turn.
const BATCH: usize = 256;

/// What a partition's queue holds.
#[derive(Debug)]
pub(crate) enum Item {
    /// A record.
    Record(Record),
    /// Reading has come to this offset, and nothing follows it now.
    End(Offset),
    /// The partition cannot be read.
    Failed(rdkafka::error::RDKafkaErrorCode),
}

/// Called when the queue has something again, on a thread of the library: it must be short.
pub(crate) type Wake = Box<dyn Fn() + Send + Sync>;

/// The queue of one partition. `owner` keeps the client alive for as long as the queue is.
pub(crate) struct Queue<T> {
    native: *mut sys::rd_kafka_queue_t,
    /// Twice in a box: the library is given a thin pointer.
    _wake: Box<Wake>,
    _owner: Arc<T>,
}

// SAFETY: the library's queues may be used from any thread.
unsafe impl<T: Send + Sync> Send for Queue<T> {}

impl<T> fmt::Debug for Queue<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Queue").finish_non_exhaustive()
    }
}

unsafe extern "C" fn nonempty(_client: *mut sys::rd_kafka_t, opaque: *mut c_void) {
    let wake = opaque.cast::<Wake>().cast_const();
    // SAFETY: `Queue` owns the box this points to and takes the callback out before it goes.
    let wake = unsafe { &*wake };
    wake();
}

impl<T> Queue<T> {
    /// The queue of a partition of the client `client`, which `owner` keeps alive. To be made
    /// before the partition is assigned, or its first records go elsewhere.
    ///
    /// `None` for a name that no topic can have.
    pub(crate) fn new(
        client: *mut rdkafka::types::RDKafka,
        (topic, partition): (&str, u32),
        owner: Arc<T>,
        wake: Wake,
    ) -> Option<Self> {
        let topic = CString::new(topic).ok()?;
        let partition = i32::try_from(partition).ok()?;
        // SAFETY: `client` is alive as `owner` is, and the name is ended by a zero.
        let queue = unsafe { sys::rd_kafka_queue_get_partition(client, topic.as_ptr(), partition) };
        if queue.is_null() {
            return None;
        }
        let wake = Box::new(wake);
        // SAFETY: the queue was just had; no queue to forward to is what null means.
        unsafe { sys::rd_kafka_queue_forward(queue, ptr::null_mut()) };
        let opaque = ptr::from_ref::<Wake>(&wake).cast_mut().cast::<c_void>();
        // SAFETY: `wake` lives as long as `self`, and `drop` takes the callback out first.
        unsafe { sys::rd_kafka_queue_cb_event_enable(queue, Some(nonempty), opaque) };
        Some(Self { native: queue, _wake: wake, _owner: owner })
    }

    /// Takes what is there now, up to 256 items, without waiting. False when nothing was there.
    pub(crate) fn take(&mut self, mut each: impl FnMut(Item)) -> bool {
        let mut count = 0;
        while count < BATCH {
            // One by one: the library's call for many takes the event of an end, or a failure, for
            // a record at that offset, and after a rebalance goes on one behind it.
            // SAFETY: the queue is alive.
            let message = unsafe { sys::rd_kafka_consume_queue(self.native, 0) };
            if message.is_null() {
                break;
            }
            let message = Message(message);
            each(message.item());
            count += 1;
        }
        count > 0
    }
}

impl<T> Drop for Queue<T> {
    fn drop(&mut self) {
        // SAFETY: the queue is alive; without a callback nobody looks at `wake` any more.
        unsafe { sys::rd_kafka_queue_cb_event_enable(self.native, None, ptr::null_mut()) };
        // SAFETY: the queue is ours and is not used again.
        unsafe { sys::rd_kafka_queue_destroy(self.native) };
    }
}

/// A message of the library, given back when it is dropped.
struct Message(*mut sys::rd_kafka_message_t);

impl Drop for Message {
    fn drop(&mut self) {
        // SAFETY: the library gave it to us and nobody else has it.
        unsafe { sys::rd_kafka_message_destroy(self.0) };
    }
}

impl Message {
    #[expect(clippy::wildcard_enum_match_arm, reason = "every other code is a failure")]
    fn item(&self) -> Item {
        // SAFETY: the library's message is whole until it is given back.
        let message = unsafe { &*self.0 };
        match message.err {
            sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => Item::Record(self.record()),
            sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__PARTITION_EOF => {
                Item::End(offset(message.offset))
            }
            failed => Item::Failed(failed.into()),
        }
    }

    /// Copies the record into one buffer, which its parts share.
    fn record(&self) -> Record {
        // SAFETY: the library's message is whole until it is given back.
        let message = unsafe { &*self.0 };
        // SAFETY: key and payload are the library's, of the lengths it says.
        let key = unsafe { part(message.key, message.key_len) };
        // SAFETY: as above.
        let payload = unsafe { part(message.payload, message.len) };
        let headers = self.headers();
        let names: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        let length = |part: Option<&[u8]>| part.map_or(0, <[u8]>::len);
        let mut buffer = BytesMut::with_capacity(length(key) + length(payload) + names);
        let mut copy = |part: &[u8]| {
            buffer.extend_from_slice(part);
            buffer.split().freeze()
        };
        let key = key.map(&mut copy);
        let payload = payload.map(&mut copy);
        let headers = headers.into_iter().map(|(name, value)| (text(copy(name)), copy(value)));
        Record {
            offset: offset(message.offset),
            timestamp_ms: self.timestamp(),
            key,
            headers: headers.collect(),
            payload,
        }
    }

    fn timestamp(&self) -> u64 {
        let mut kind = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is whole, and `kind` is ours.
        let moment = unsafe { sys::rd_kafka_message_timestamp(self.0, &raw mut kind) };
        u64::try_from(moment).unwrap_or(0)
    }

    /// The headers, where the library keeps them.
    fn headers(&self) -> Vec<(&[u8], &[u8])> {
        let mut headers = ptr::null_mut();
        // SAFETY: the message is whole; its headers stay its own.
        let error = unsafe { sys::rd_kafka_message_headers(self.0, &raw mut headers) };
        if error != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Vec::new();
        }
        // SAFETY: the headers were just had.
        let count = unsafe { sys::rd_kafka_header_cnt(headers) };
        let mut all = Vec::with_capacity(count);
        for index in 0..count {
            let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
            // SAFETY: `index` is below the count, and the places to write to are ours.
            let error = unsafe {
                sys::rd_kafka_header_get_all(
                    headers,
                    index,
                    &raw mut name,
                    &raw mut value,
                    &raw mut size,
                )
            };
            if error != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                break;
            }
            // SAFETY: names are ended by a zero and live as long as the message.
            let name = unsafe { CStr::from_ptr(name) }.to_bytes();
            // SAFETY: the value is of this size and lives as long as the message.
            let value = unsafe { part(value.cast_mut(), size) };
            all.push((name, value.unwrap_or_default()));
        }
        all
    }
}

/// Bytes of the library; none where it has a null.
///
/// # Safety
///
/// `start` is null or begins `length` bytes that live as long as `'a`.
unsafe fn part<'a>(start: *mut c_void, length: usize) -> Option<&'a [u8]> {
    if start.is_null() {
        return None;
    }
    // SAFETY: as the caller promises.
    Some(unsafe { slice::from_raw_parts(start.cast::<u8>(), length) })
}

fn offset(raw: i64) -> Offset {
    Offset(u64::try_from(raw).unwrap_or(0))
}

/// A header's name. Kafka says it is UTF-8; where it is not, what can be read of it.
fn text(bytes: Bytes) -> ByteString {
    match std::str::from_utf8(&bytes) {
        Ok(_) => ByteString::try_from(bytes).unwrap_or_default(),
        Err(_) => String::from_utf8_lossy(&bytes).into_owned().into(),
    }
}

//! Owns the shape of a record as it is read from Kafka and handed to it. Never looks into one.

use bytes::Bytes;
use bytestring::ByteString;
use gristmill_engine::Offset;
use rdkafka::{
    Timestamp,
    message::{BorrowedMessage, Header, Message, OwnedHeaders},
    producer::BaseRecord,
    util::IntoOpaque,
};

use crate::ffi::headers;

/// A record as a topic holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its place in its partition. Offsets grow, with gaps where transactions ended or compaction
    /// took records away.
    pub offset: Offset,
    /// Milliseconds since the Unix epoch; 0 when the topic has none.
    pub timestamp_ms: u64,
    /// Its key; `None` is a null key, which is not an empty one.
    pub key: Option<Bytes>,
    /// Its headers in order, names possibly more than once. A null value reads as empty; bytes of
    /// a name that are not UTF-8 read as U+FFFD.
    pub headers: Vec<(ByteString, Bytes)>,
    /// What it says; `None` is a null payload: a tombstone where the topic is compacted.
    pub payload: Option<Bytes>,
}

/// A record to be appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRecord {
    /// The topic.
    pub topic: ByteString,
    /// The partition, which the caller chose.
    pub partition: u32,
    /// Milliseconds since the Unix epoch; 0 stands for the moment it is appended.
    pub timestamp_ms: u64,
    /// Its key; `None` is a null key.
    pub key: Option<Bytes>,
    /// Its headers, in order.
    pub headers: Vec<(ByteString, Bytes)>,
    /// What it says; `None` is a tombstone.
    pub payload: Option<Bytes>,
}

impl Record {
    /// Copies a received message.
    pub(crate) fn of(message: &BorrowedMessage<'_>) -> Self {
        let timestamp = match message.timestamp() {
            Timestamp::CreateTime(ms) | Timestamp::LogAppendTime(ms) => ms,
            Timestamp::NotAvailable => 0,
        };
        Self {
            offset: Offset(u64::try_from(message.offset()).unwrap_or(0)),
            timestamp_ms: u64::try_from(timestamp).unwrap_or(0),
            key: message.key().map(Bytes::copy_from_slice),
            headers: headers::read(message),
            payload: message.payload().map(Bytes::copy_from_slice),
        }
    }

    /// Bytes of key, headers and payload, without what the protocol adds.
    pub fn size(&self) -> u64 {
        size(self.key.as_ref(), &self.headers, self.payload.as_ref())
    }
}

impl NewRecord {
    /// Bytes of key, headers and payload, without what the protocol adds.
    pub fn size(&self) -> u64 {
        size(self.key.as_ref(), &self.headers, self.payload.as_ref())
    }

    /// The record as the client library takes it, with what it is to be told by when it comes back.
    pub(crate) fn native<O: IntoOpaque>(&self, opaque: O) -> BaseRecord<'_, [u8], [u8], O> {
        let mut native = BaseRecord::with_opaque_to(&self.topic, opaque)
            .partition(i32::try_from(self.partition).unwrap_or(i32::MAX))
            .timestamp(i64::try_from(self.timestamp_ms).unwrap_or(i64::MAX));
        native.key = self.key.as_deref();
        native.payload = self.payload.as_deref();
        native.headers = self.native_headers();
        native
    }

    /// Its headers as the client library takes them; `None` when there are none.
    fn native_headers(&self) -> Option<OwnedHeaders> {
        if self.headers.is_empty() {
            return None;
        }
        let add = |all: OwnedHeaders, (name, value): &(ByteString, Bytes)| {
            all.insert(Header { key: name, value: Some(value.as_ref()) })
        };
        let none = OwnedHeaders::new_with_capacity(self.headers.len());
        Some(self.headers.iter().fold(none, add))
    }
}

fn size(key: Option<&Bytes>, headers: &[(ByteString, Bytes)], payload: Option<&Bytes>) -> u64 {
    let headers = headers.iter().map(|(name, value)| name.len().saturating_add(value.len()));
    let parts = [key, payload].into_iter().flatten().map(Bytes::len);
    let sum: usize = parts.chain(headers).fold(0, usize::saturating_add);
    u64::try_from(sum).unwrap_or(u64::MAX)
}

//! Turns what a handler emits into a record: a CloudEvent in binary mode with an id that is the
//! same at every attempt, redrive and replay. It never publishes.

use std::num::NonZeroU64;

use bytes::Bytes;
use bytestring::ByteString;
use gristmill_engine::{Instant, Offset};
use gristmill_plugin_host::Emission;
use gristmill_store::{Append, Header, Store, Stored, Topic};
use gristmill_telemetry::TraceContext;
use uuid::Uuid;

use super::cloud_event;

/// Headers an emission ordinarily has.
const HEADERS_USUAL: usize = 10;

/// Namespace of all emission ids. Changing it would make every replay emit new ids.
const NAMESPACE: Uuid = Uuid::from_u128(0x124a_9f10_9163_4f1a_a19e_936e_000a_636e);

/// What was handled when an emission was made: the part of its id that tells events apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause<'a> {
    /// A record, by the place it first came from: not the redrive topic's.
    Record {
        /// Name of the topic.
        topic: &'a str,
        /// Partition of it.
        partition: u32,
        /// Offset in it.
        offset: u64,
    },
    /// A timer.
    Timer {
        /// Key of its lane.
        key: &'a [u8],
        /// Its name under that key.
        name: &'a str,
        /// When it was set for.
        due: Instant,
        /// Number of its setting.
        sequence: u64,
    },
    /// An event of a local topic.
    Local {
        /// Its id, which is that of the emission it is.
        event: Uuid,
    },
}

/// Everything an emission inherits from the event or timer that was handled.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Emitter<'a> {
    /// Name of the subscription.
    pub(crate) subscription: &'a str,
    /// `ce_source`: `/{host}/{subscription}`.
    pub(crate) source: &'a ByteString,
    /// What was handled.
    pub(crate) cause: Cause<'a>,
    /// Id of the event handled, or of the one that set the timer: `ce_causationid`.
    pub(crate) event_id: &'a ByteString,
    /// Correlation id, where the handler gives none.
    pub(crate) correlation_id: &'a ByteString,
    /// W3C trace context, continued by a span of the emission's own.
    pub(crate) trace_parent: Option<&'a ByteString>,
    /// Record key, where the handler gives none.
    pub(crate) key: Option<&'a Bytes>,
    /// The record's timestamp, and the same as `ce_time` has it.
    pub(crate) time: (Instant, &'a Bytes),
}

impl Emitter<'_> {
    /// The record of emission number `index`, from 0 in call order, to be appended to `topic`.
    ///
    /// A null key takes the partition that the id says, so that a replay keeps it.
    pub(crate) fn encode(&self, index: u32, emission: Emission, topic: &Topic) -> Append {
        let id = emission_id(self.subscription, self.cause, index);
        let (_, spread) = id.as_u64_pair();
        let (key, headers, payload) = self.record(id, emission);
        Append {
            topic: topic.id,
            partition: Store::partition_for(topic, key.as_deref(), spread),
            timestamp: self.time.0,
            key,
            headers,
            payload: Some(payload),
        }
    }

    /// The same for a local topic: its id, and the event as its handlers read it.
    pub(crate) fn local(&self, index: u32, emission: Emission) -> (Uuid, Stored) {
        let id = emission_id(self.subscription, self.cause, index);
        let (key, headers, payload) = self.record(id, emission);
        let (offset, timestamp) = (Offset(0), self.time.0);
        (id, Stored { offset, timestamp, key, headers: headers.into(), payload: Some(payload) })
    }

    /// Key, headers and payload.
    fn record(&self, id: Uuid, emission: Emission) -> (Option<Bytes>, Vec<Header>, Bytes) {
        let key = emission.key.or_else(|| self.key.cloned());
        let mut headers = Vec::with_capacity(HEADERS_USUAL.saturating_add(emission.headers.len()));
        let mut add = |name: &'static str, value: Bytes| {
            headers.push((ByteString::from_static(name), value));
        };
        add("ce_specversion", Bytes::from_static(b"1.0"));
        add("ce_id", hyphenated(id));
        add("ce_source", self.source.as_bytes().clone());
        add("ce_type", emission.kind.into());
        add("ce_time", self.time.1.clone());
        if let Some(version) = emission.version {
            add(cloud_event::VERSION_HEADER, version.into());
        }
        if let Some(subject) = emission.subject {
            add("ce_subject", subject.into());
        }
        let inherited = || self.correlation_id.as_bytes().clone();
        add("ce_correlationid", emission.correlation_id.map_or_else(inherited, Into::into));
        add("ce_causationid", self.event_id.as_bytes().clone());
        if let Some(parent) = self.trace_parent.and_then(|parent| continued(parent, id)) {
            add("traceparent", parent.into_bytes());
        }
        let json = Bytes::from_static(b"application/json");
        add("content-type", emission.content_type.map_or(json, Into::into));
        headers.extend(emission.headers);
        (key, headers, emission.payload)
    }
}

/// Id of emission number `index` of one handled event or timer of a subscription.
///
/// It depends on nothing else: not on the attempt, the plugin's version, the time or the host.
pub(crate) fn emission_id(subscription: &str, cause: Cause<'_>, index: u32) -> Uuid {
    // Each part is preceded by its length, so that no two different causes spell one name.
    let mut name = Vec::with_capacity(128);
    let mut part = |bytes: &[u8]| {
        name.extend_from_slice(&u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
        name.extend_from_slice(bytes);
    };
    part(subscription.as_bytes());
    match cause {
        Cause::Record { topic, partition, offset } => {
            part(b"record");
            part(topic.as_bytes());
            part(&partition.to_be_bytes());
            part(&offset.to_be_bytes());
        }
        Cause::Timer { key, name, due, sequence } => {
            part(b"timer");
            part(key);
            part(name.as_bytes());
            part(&due.0.to_be_bytes());
            part(&sequence.to_be_bytes());
        }
        Cause::Local { event } => {
            part(b"local");
            part(event.as_bytes());
        }
    }
    part(&index.to_be_bytes());
    Uuid::new_v5(&NAMESPACE, &name)
}

/// `parent` with the span of `id` in place of its own: same trace, same flags. `None` where
/// `parent` is no trace context of version 00.
fn continued(parent: &str, id: Uuid) -> Option<ByteString> {
    // A version-5 id carries its version in the upper half, so the new span is never zero.
    let (own, _) = id.as_u64_pair();
    Some(TraceContext::parse(parent)?.at(NonZeroU64::new(own)?).to_text())
}

fn hyphenated(id: Uuid) -> Bytes {
    let mut buffer = Uuid::encode_buffer();
    Bytes::copy_from_slice(id.hyphenated().encode_lower(&mut buffer).as_bytes())
}

#[cfg(test)]
mod tests;

//! Turns what a handler emits into a record: a CloudEvent in binary mode with an id that is the
//! same at every attempt, redrive and replay. It never publishes.

use std::borrow::Cow;

use bytes::Bytes;
use gristmill_engine::Instant;
use gristmill_plugin_host::Emission;
use gristmill_store::{Append, Store, Topic};
use uuid::Uuid;

use super::{cloud_event, time};

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
}

/// Everything an emission inherits from the event or timer that was handled.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Emitter<'a> {
    /// Name of the subscription.
    pub(crate) subscription: &'a str,
    /// `ce_source`: `/{host}/{subscription}`.
    pub(crate) source: &'a str,
    /// What was handled.
    pub(crate) cause: Cause<'a>,
    /// Id of the event handled, or of the one that set the timer: `ce_causationid`.
    pub(crate) event_id: &'a str,
    /// Correlation id, where the handler gives none.
    pub(crate) correlation_id: &'a str,
    /// W3C trace context, continued by a span of the emission's own.
    pub(crate) trace_parent: Option<&'a str>,
    /// Record key, where the handler gives none.
    pub(crate) key: Option<&'a Bytes>,
    /// `ce_time` and the record's timestamp.
    pub(crate) time: Instant,
}

impl Emitter<'_> {
    /// The record of emission number `index`, from 0 in call order, to be appended to `topic`.
    ///
    /// A null key takes the partition that the id says, so that a replay keeps it.
    pub(crate) fn encode(&self, index: u32, emission: Emission, topic: &Topic) -> Append {
        let id = emission_id(self.subscription, self.cause, index);
        let key = emission.key.or_else(|| self.key.cloned());
        let (_, spread) = id.as_u64_pair();
        let mut headers = vec![
            text("ce_specversion", "1.0"),
            text("ce_id", id.hyphenated().to_string()),
            text("ce_source", self.source.to_owned()),
            text("ce_type", emission.kind),
            text("ce_time", time::format(self.time)),
        ];
        let version = emission.version.map(|version| (cloud_event::VERSION, version));
        let subject = emission.subject.map(|subject| ("subject", subject));
        let optional = [version, subject].into_iter().flatten();
        headers.extend(optional.map(|(name, value)| text(&format!("ce_{name}"), value)));
        let inherited = || self.correlation_id.to_owned();
        let correlation = emission.correlation_id.unwrap_or_else(inherited);
        headers.push(text("ce_correlationid", correlation));
        headers.push(text("ce_causationid", self.event_id.to_owned()));
        if let Some(parent) = self.trace_parent.and_then(|parent| continued(parent, id)) {
            headers.push(text("traceparent", parent));
        }
        let content_type = emission.content_type.map_or("application/json".into(), Cow::Owned);
        headers.push(text("content-type", content_type));
        let further = emission.headers.into_iter();
        headers.extend(further.map(|header| (header.name.to_string(), header.value)));
        Append {
            topic: topic.id,
            partition: Store::partition_for(topic, key.as_deref(), spread),
            timestamp: self.time,
            key,
            headers,
            payload: Some(emission.payload),
        }
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
    }
    part(&index.to_be_bytes());
    Uuid::new_v5(&NAMESPACE, &name)
}

/// `parent` with the span of `id` in place of its own: same trace, same flags. `None` where
/// `parent` is no trace context of version 00.
fn continued(parent: &str, id: Uuid) -> Option<String> {
    let mut parts = parent.split('-');
    let (version, trace) = (parts.next()?, parts.next()?);
    let (span, flags) = (parts.next()?, parts.next()?);
    let is_hex = |text: &str, length: usize| {
        let lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        text.len() == length && text.bytes().all(lower)
    };
    let is_set = |text: &str| text.bytes().any(|byte| byte != b'0');
    let holds = version == "00"
        && is_hex(trace, 32)
        && is_hex(span, 16)
        && is_hex(flags, 2)
        && is_set(trace)
        && is_set(span)
        && parts.next().is_none();
    // A version-5 id carries its version in the upper half, so the new span is never zero.
    let (own, _) = id.as_u64_pair();
    holds.then(|| format!("00-{trace}-{own:016x}-{flags}"))
}

fn text(name: &str, value: impl Into<Cow<'static, str>>) -> (String, Bytes) {
    let value = match value.into() {
        Cow::Borrowed(text) => Bytes::from_static(text.as_bytes()),
        Cow::Owned(text) => Bytes::from(text),
    };
    (name.to_owned(), value)
}

#[cfg(test)]
mod tests;

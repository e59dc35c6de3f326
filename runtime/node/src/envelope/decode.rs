//! Decides which envelope a record wears and reads it: cheaply for identity, fully for a call.
//! The two never disagree on whether a record is valid or who it is.

use std::borrow::Cow;
use std::sync::LazyLock;

use bytes::Bytes;
use gristmill_config::{Envelope, Fields, Format, Pointer};
use gristmill_engine::{IdHash, Instant};
use gristmill_store::Stored;

use super::cloud_event::{CloudEvent, Reading, structured};
use super::pointers::{Field, Found, Tree};
use super::{Hasher128, Headers, Invalid, header, time};

/// How the events of one subscription are read; made once from its manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EnvelopeRules {
    format: Format,
    /// What deduplication and filter need: id, type, version, and time, which can be wrong.
    identity: Tree,
    all: Tree,
    id_header: Option<String>,
}

impl EnvelopeRules {
    /// The rules of `envelope`.
    pub(crate) fn new(envelope: &Envelope) -> Self {
        Self {
            format: envelope.format,
            identity: Tree::of_identity(&envelope.fields),
            all: Tree::of_all(&envelope.fields),
            id_header: envelope.id_header.clone(),
        }
    }

    /// What whoever published an event gave as its data, which is what schemas and encryption know:
    /// they know no manifest, so a JSON envelope is all of it.
    pub(crate) fn published<'a>(&self, stored: &'a Stored, data: &'a Bytes) -> &'a Bytes {
        stored.payload.as_ref().filter(|_| self.is_json()).unwrap_or(data)
    }

    /// Whether the payload is a JSON envelope, of which the data may be a part.
    pub(crate) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Whether records are taken as they are, whatever they wear.
    pub(crate) fn is_raw(&self) -> bool {
        self.format == Format::Raw
    }
}

/// A record and the place it first came from; for a redriven dead letter that is not where it was
/// read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Record<'a> {
    /// Name of the topic.
    pub(crate) topic: &'a str,
    /// Partition of the topic, from 0.
    pub(crate) partition: u32,
    /// Offset in the partition, from 0.
    pub(crate) offset: u64,
    /// Key, headers, payload and timestamp.
    pub(crate) stored: &'a Stored,
}

/// Who an event is: enough to filter it and to know it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity<'a> {
    /// The event's id.
    pub(crate) id: Cow<'a, str>,
    /// What the id is unique within: the source of a CloudEvent, empty where the id stands alone.
    pub(crate) scope: Cow<'a, str>,
    /// True when the producer gave no id and it was made from the position.
    pub(crate) is_made: bool,
    /// Type; the topic's name without one.
    pub(crate) kind: Cow<'a, str>,
    /// Version of the type.
    pub(crate) version: Option<Cow<'a, str>>,
}

impl Identity<'_> {
    /// Hash of the business id; `None` where there is only the position, which the engine knows.
    pub(crate) fn hash(&self, hasher: &Hasher128) -> Option<IdHash> {
        (!self.is_made).then(|| hasher.id(&self.scope, &self.id))
    }
}

/// An event as its handler is given it. Texts and payload are slices of the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Decoded<'a> {
    /// Who it is.
    pub(crate) identity: Identity<'a>,
    /// Who produced it; the topic's name without one.
    pub(crate) source: Cow<'a, str>,
    /// What it is about.
    pub(crate) subject: Option<Cow<'a, str>>,
    /// When it happened, else the record's timestamp.
    pub(crate) time: Instant,
    /// Inherited by everything it causes; its own id when it begins the chain.
    pub(crate) correlation_id: Cow<'a, str>,
    /// Id of the event that caused it.
    pub(crate) causation_id: Option<Cow<'a, str>>,
    /// W3C trace context.
    pub(crate) trace_parent: Option<Cow<'a, str>>,
    /// Tenant.
    pub(crate) tenant: Option<Cow<'a, str>>,
    /// Media type of the payload, where known.
    pub(crate) content_type: Option<Cow<'a, str>>,
    /// The data; empty for a tombstone.
    pub(crate) payload: Bytes,
    /// True when the record has no value at all.
    pub(crate) is_tombstone: bool,
}

/// Reads who the event is.
///
/// # Errors
///
/// [`Invalid`], in exactly the cases in which [`decode`] says so; it becomes a dead letter.
pub(crate) fn identify<'a>(
    rules: &EnvelopeRules,
    record: &Record<'a>,
) -> Result<Identity<'a>, Invalid> {
    let worn = unwrap(rules, record, &rules.identity)?;
    worn.time()?;
    identity(rules, record, &worn)
}

/// Type of a record for readers without a manifest, as [`usual`] has it.
pub(crate) fn kind_of<'a>(topic: &'a str, stored: &'a Stored) -> Cow<'a, str> {
    usual(topic, stored).0
}

/// Type and version of a record for readers without a manifest: a CloudEvent's, else what the usual
/// members of a JSON envelope say, else the topic's name and none.
pub(crate) fn usual<'a>(
    topic: &'a str,
    stored: &'a Stored,
) -> (Cow<'a, str>, Option<Cow<'a, str>>) {
    static USUAL: LazyLock<[EnvelopeRules; 2]> = LazyLock::new(|| {
        let pointers =
            |usual: &[&'static str]| usual.iter().copied().filter_map(Pointer::new).collect();
        let rules =
            |format, fields| EnvelopeRules::new(&Envelope { format, fields, id_header: None });
        let json = Fields {
            kind: pointers(&["/eventType", "/EventType", "/type"]),
            version: pointers(&["/eventVersion", "/EventVersion", "/version", "/Version"]),
            ..Fields::default()
        };
        [rules(Format::CloudEvents, Fields::default()), rules(Format::Raw, json)]
    });
    let record = Record { topic, partition: 0, offset: 0, stored };
    let read = USUAL.iter().find_map(|rules| identify(rules, &record).ok());
    match read {
        Some(identity) => (identity.kind, identity.version),
        None => (Cow::Borrowed(topic), None),
    }
}

/// Reads everything the handler is told.
///
/// # Errors
///
/// [`Invalid`] when the envelope that must be there is not, or is broken.
pub(crate) fn decode<'a>(
    rules: &EnvelopeRules,
    record: &Record<'a>,
) -> Result<Decoded<'a>, Invalid> {
    let worn = unwrap(rules, record, &rules.all)?;
    let identity = identity(rules, record, &worn)?;
    let time = worn.time()?.unwrap_or(record.stored.timestamp);
    let Worn { event, found, data, .. } = worn;
    let event = event.unwrap_or_default();
    let headers = &record.stored.headers;
    // A trace that cannot be read is no reason to give up on the event.
    let trace_parent = header(headers, "traceparent")
        .and_then(|value| std::str::from_utf8(value).ok())
        .map(Cow::Borrowed);
    let own = |text: Cow<'a, str>| Some(text).filter(|text| !text.is_empty());
    Ok(Decoded {
        source: found
            .text(Field::Source)
            .or_else(|| own(event.source))
            .unwrap_or(Cow::Borrowed(record.topic)),
        subject: found.text(Field::Subject).or(event.subject),
        time,
        correlation_id: found
            .text(Field::Correlation)
            .or(event.correlation_id)
            .unwrap_or_else(|| identity.id.clone()),
        causation_id: found.text(Field::Causation).or(event.causation_id),
        trace_parent: trace_parent.or(event.trace_parent),
        tenant: found.text(Field::Tenant),
        content_type: event.content_type,
        payload: data.unwrap_or_default(),
        is_tombstone: record.stored.payload.is_none(),
        identity,
    })
}

/// A record with its envelope opened.
struct Worn<'a> {
    event: Option<CloudEvent<'a>>,
    found: Found<'a>,
    data: Option<Bytes>,
    /// Whether the envelope must bring an id.
    needs_id: bool,
}

impl Worn<'_> {
    fn time(&self) -> Result<Option<Instant>, Invalid> {
        let Some(raw) = self.found.raw(Field::Time) else {
            return Ok(self.event.as_ref().and_then(|event| event.time));
        };
        let text = self.found.text(Field::Time).unwrap_or_default();
        let moment = match raw.parse::<u64>() {
            Ok(millis) => Some(Instant(millis)),
            Err(_) => time::parse(&text),
        };
        let reason = || format!("time {raw} is neither RFC 3339 nor milliseconds since 1970");
        moment.map(Some).ok_or_else(|| Invalid::one(Invalid::TIME, reason()))
    }
}

fn unwrap<'a>(
    rules: &EnvelopeRules,
    record: &Record<'a>,
    tree: &Tree,
) -> Result<Worn<'a>, Invalid> {
    let stored = record.stored;
    if rules.format == Format::Json {
        return unwrap_json(stored, tree);
    }
    let content_type = text_header(&stored.headers, "content-type")?;
    let cloud_event = match rules.format {
        Format::Raw | Format::Json => None,
        Format::Auto | Format::CloudEvents => open_cloud_event(stored, content_type)?,
    };
    let (event, data) = match cloud_event {
        Some((event, data)) => (event, data),
        None if rules.format == Format::CloudEvents => {
            let reason = "record has neither ce_ headers nor a structured CloudEvent";
            return Err(Invalid::one(Invalid::NOT_CLOUD_EVENT, reason));
        }
        None => {
            let content_type = content_type.map(Cow::Borrowed);
            (CloudEvent { content_type, ..CloudEvent::default() }, stored.payload.clone())
        }
    };
    // Data that is not JSON has no fields to find, and need not have any.
    let found = look(stored, data.as_ref(), tree);
    Ok(Worn { event: Some(event), found, data, needs_id: false })
}

/// Finds fields in data that is a slice of the record; data that had to be unescaped is not.
fn look<'a>(stored: &'a Stored, data: Option<&Bytes>, tree: &Tree) -> Found<'a> {
    if tree.is_empty() {
        return Found::default();
    }
    let (Some(payload), Some(data)) = (&stored.payload, data) else {
        return Found::default();
    };
    slice_within(payload, data).and_then(|slice| tree.find(slice).ok()).unwrap_or_default()
}

/// The part of `payload` that `data` is, by address.
fn slice_within<'a>(payload: &'a Bytes, data: &Bytes) -> Option<&'a [u8]> {
    let from = data.as_ptr().addr().checked_sub(payload.as_ptr().addr())?;
    payload.get(from..from.checked_add(data.len())?)
}

fn unwrap_json<'a>(stored: &'a Stored, tree: &Tree) -> Result<Worn<'a>, Invalid> {
    let content_type = text_header(&stored.headers, "content-type")?;
    let Some(payload) = &stored.payload else {
        // A tombstone says that a key is gone; it cannot wear an envelope.
        return Ok(Worn { event: None, found: Found::default(), data: None, needs_id: false });
    };
    let found = tree.find(payload).map_err(|error| {
        Invalid::one(Invalid::JSON, format!("payload is not a JSON envelope: {error}"))
    })?;
    let data = found.raw(Field::Data).map(|raw| payload.slice_ref(raw.as_bytes()));
    let content_type = content_type.unwrap_or("application/json");
    let event =
        CloudEvent { content_type: Some(Cow::Borrowed(content_type)), ..CloudEvent::default() };
    let data = data.or_else(|| Some(payload.clone()));
    Ok(Worn { event: Some(event), found, data, needs_id: true })
}

fn open_cloud_event<'a>(
    stored: &'a Stored,
    content_type: Option<&'a str>,
) -> Result<Option<(CloudEvent<'a>, Option<Bytes>)>, Invalid> {
    const STRUCTURED: &str = "application/cloudevents";
    let is_structured = content_type.is_some_and(|value| {
        value.get(..STRUCTURED.len()).is_some_and(|start| start.eq_ignore_ascii_case(STRUCTURED))
    });
    if !is_structured {
        return Ok(binary(&stored.headers, content_type)?.map(|it| (it, stored.payload.clone())));
    }
    let essence = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/cloudevents+json") {
        let reason = format!("media type \"{essence}\" is not understood in a record");
        return Err(Invalid::one(Invalid::CLOUD_EVENT, reason));
    }
    match &stored.payload {
        Some(payload) => structured(payload, Reading::default()).map(Some),
        None => Err(Invalid::one(Invalid::CLOUD_EVENT, "structured CloudEvent has no value")),
    }
}

fn binary<'a>(
    headers: &'a Headers,
    content_type: Option<&'a str>,
) -> Result<Option<CloudEvent<'a>>, Invalid> {
    let mut reading = Reading::default();
    let mut is_cloud_event = false;
    for (name, value) in headers {
        let Some(attribute) = name.strip_prefix("ce_") else { continue };
        let value = std::str::from_utf8(value).map_err(|_not_utf8| Invalid::not_utf8(name))?;
        is_cloud_event |= matches!(attribute, "id" | "source" | "type" | "specversion");
        reading.attribute(Cow::Borrowed(attribute), Cow::Borrowed(value));
    }
    if !is_cloud_event {
        return Ok(None);
    }
    if let Some(content_type) = content_type {
        reading.content_type(Cow::Borrowed(content_type));
    }
    reading.finish().map(Some)
}

fn identity<'a>(
    rules: &EnvelopeRules,
    record: &Record<'a>,
    worn: &Worn<'a>,
) -> Result<Identity<'a>, Invalid> {
    let event = worn.event.as_ref();
    let filled = |text: &Cow<'a, str>| Some(text.clone()).filter(|text| !text.is_empty());
    let given = match &rules.id_header {
        Some(name) => text_header(&record.stored.headers, name)?,
        None => None,
    };
    let given = given.filter(|id| !id.is_empty()).map(Cow::Borrowed);
    let given = given.or_else(|| worn.found.text(Field::Id));
    let own = event.and_then(|event| filled(&event.id));
    let (id, scope, is_made) = match (given, own) {
        (Some(id), _) => (id, Cow::Borrowed(""), false),
        (None, Some(id)) => (id, event.map(|it| it.source.clone()).unwrap_or_default(), false),
        (None, None) if worn.needs_id => {
            return Err(Invalid::one(Invalid::ID, "JSON envelope has no id"));
        }
        (None, None) => {
            let made = format!("{}/{}/{}", record.topic, record.partition, record.offset);
            (Cow::Owned(made), Cow::Borrowed(""), true)
        }
    };
    let kind = worn.found.text(Field::Kind).or_else(|| event.and_then(|it| filled(&it.kind)));
    let version = worn.found.text(Field::Version);
    Ok(Identity {
        id,
        scope,
        is_made,
        kind: kind.unwrap_or(Cow::Borrowed(record.topic)),
        version: version.or_else(|| event.and_then(|event| event.version.clone())),
    })
}

fn text_header<'a>(headers: &'a Headers, name: &str) -> Result<Option<&'a str>, Invalid> {
    header(headers, name)
        .map(|value| std::str::from_utf8(value).map_err(|_not_utf8| Invalid::not_utf8(name)))
        .transpose()
}

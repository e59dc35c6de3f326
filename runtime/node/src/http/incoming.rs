//! Turns the body and headers of a request into events: CloudEvents in binary, structured and
//! batch mode, or any bytes. It follows the CloudEvents HTTP binding and stores nothing.

use std::borrow::Cow;

use axum::http::{HeaderMap, header};
use bytes::Bytes;
use bytestring::ByteString;
use gristmill_store::Header;
use serde_json::value::RawValue;

use super::error::ApiError;
use crate::envelope::{CloudEvent, Invalid, Reading, structured};

/// Prefix of request headers that become headers of the record, without it.
const FURTHER: &str = "x-header-";

/// Header of the media type.
const CONTENT_TYPE: ByteString = ByteString::from_static("content-type");

/// One event as it arrived.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Incoming {
    /// Id, where it is a CloudEvent.
    pub(super) id: Option<String>,
    /// Extension `partitionkey`.
    pub(super) partition_key: Option<String>,
    /// Headers of the record to be.
    pub(super) headers: Vec<Header>,
    /// The data; `None` where there is none, which makes a tombstone.
    pub(super) payload: Option<Bytes>,
    /// What chooses its partition where it has no key; else such events take turns.
    pub(super) spread: Option<u64>,
}

/// What a request carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Arrived {
    /// One event.
    One(Box<Incoming>),
    /// A batch, to be taken whole or not at all.
    Batch(Vec<Incoming>),
}

/// Reads the events of a request.
///
/// # Errors
///
/// With every violation, and in a batch with the number of its event.
pub(super) fn read(headers: &HeaderMap, body: Bytes) -> Result<Arrived, ApiError> {
    let media = media_type(headers)?;
    let essence = media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let common = common_headers(headers)?;
    match essence.as_str() {
        "application/cloudevents+json" => from_structured(&body, &common)
            .map(|one| Arrived::One(Box::new(one)))
            .map_err(ApiError::invalid),
        "application/cloudevents-batch+json" => from_batch(&body, &common).map(Arrived::Batch),
        other if other.starts_with("application/cloudevents") => Err(ApiError::media_type(other)),
        _ => from_binary(headers, media, body, common).map(|one| Arrived::One(Box::new(one))),
    }
}

/// Reads a command: data of any kind, with what its sender says beside it. Who the event is, is
/// for the caller to say; `ce-` headers for that are left out.
///
/// # Errors
///
/// When a header is not UTF-8, or the data is a CloudEvent of its own.
pub(super) fn command(headers: &HeaderMap, body: Bytes) -> Result<Incoming, ApiError> {
    const OWN: [&str; 5] = ["specversion", "id", "source", "type", "time"];
    let media = media_type(headers)?;
    if media.to_ascii_lowercase().starts_with("application/cloudevents") {
        return Err(ApiError::command_media_type(media));
    }
    let mut incoming = Incoming { payload: Some(body), ..Incoming::default() };
    for (name, value) in headers {
        let attribute = name.as_str().strip_prefix("ce-");
        let Some(attribute) = attribute.filter(|it| !OWN.contains(it)) else { continue };
        let value = String::from_utf8(decoded(value.as_bytes()))
            .map_err(|_not_utf8| ApiError::header(name.as_str()))?;
        if attribute == "partitionkey" {
            incoming.partition_key = Some(value.clone());
        }
        incoming.headers.push((format!("ce_{attribute}").into(), value.into()));
    }
    let media = if media.is_empty() { "application/json" } else { media };
    incoming.headers.push((CONTENT_TYPE, Bytes::from(media.to_owned())));
    incoming.headers.extend(common_headers(headers)?);
    Ok(incoming)
}

fn media_type(headers: &HeaderMap) -> Result<&str, ApiError> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok("") };
    std::str::from_utf8(value.as_bytes()).map_err(|_not_utf8| ApiError::header("content-type"))
}

/// Trace context and further headers: those every event of the request gets.
fn common_headers(headers: &HeaderMap) -> Result<Vec<Header>, ApiError> {
    let mut common = Vec::new();
    for (name, value) in headers {
        let kept = match name.as_str() {
            "traceparent" | "tracestate" => name.as_str(),
            other => match other.strip_prefix(FURTHER) {
                Some(rest) if is_reserved(rest) => {
                    return Err(ApiError::parameter(other, rest, "a name left to callers"));
                }
                Some(rest) if !rest.is_empty() => rest,
                _ => continue,
            },
        };
        common.push((kept.into(), Bytes::copy_from_slice(value.as_bytes())));
    }
    Ok(common)
}

/// Names the host writes itself.
fn is_reserved(name: &str) -> bool {
    name.starts_with("ce_")
        || name.starts_with("dlq-")
        || name.starts_with("__dlq.")
        || matches!(name, "content-type" | "traceparent" | "tracestate")
}

fn from_binary(
    headers: &HeaderMap,
    media: &str,
    body: Bytes,
    common: Vec<Header>,
) -> Result<Incoming, ApiError> {
    let mut reading = Reading::keeping();
    let mut is_cloud_event = false;
    for (name, value) in headers {
        let Some(attribute) = name.as_str().strip_prefix("ce-") else { continue };
        let value = decoded(value.as_bytes());
        let value =
            String::from_utf8(value).map_err(|_not_utf8| ApiError::header(name.as_str()))?;
        is_cloud_event |= matches!(attribute, "id" | "source" | "type" | "specversion");
        reading.attribute(Cow::Owned(attribute.to_owned()), Cow::Owned(value));
    }
    let payload = (!body.is_empty()).then_some(body);
    let mut incoming = if is_cloud_event {
        record(&reading.finish().map_err(ApiError::invalid)?)
    } else {
        Incoming::default()
    };
    if !media.is_empty() {
        incoming.headers.push((CONTENT_TYPE, Bytes::from(media.to_owned())));
    }
    incoming.headers.extend(common);
    Ok(Incoming { payload, ..incoming })
}

fn from_structured(json: &Bytes, common: &[Header]) -> Result<Incoming, Invalid> {
    let (event, data) = structured(json, Reading::keeping())?;
    let mut incoming = record(&event);
    let media = event.content_type.as_deref().or(data.is_some().then_some("application/json"));
    if let Some(media) = media {
        incoming.headers.push((CONTENT_TYPE, Bytes::from(media.to_owned())));
    }
    incoming.headers.extend_from_slice(common);
    Ok(Incoming { payload: data, ..incoming })
}

fn from_batch(body: &Bytes, common: &[Header]) -> Result<Vec<Incoming>, ApiError> {
    let items: Vec<&RawValue> = serde_json::from_slice(body)
        .map_err(|error| ApiError::json("the batch, a JSON array of CloudEvents", error))?;
    let mut events = Vec::with_capacity(items.len());
    let mut violations = Vec::new();
    for (number, item) in items.iter().enumerate() {
        match from_structured(&body.slice_ref(item.get().as_bytes()), common) {
            Ok(event) => events.push(event),
            Err(invalid) => {
                let named = |violation| format!("event {number}: {violation}");
                violations.extend(invalid.violations.into_iter().map(named));
            }
        }
    }
    if violations.is_empty() {
        return Ok(events);
    }
    Err(ApiError::invalid(Invalid { code: "E0402", violations }))
}

/// The event in binary mode, without its data and media type.
fn record(event: &CloudEvent<'_>) -> Incoming {
    let header = |(name, value): &(Cow<'_, str>, Cow<'_, str>)| {
        (format!("ce_{name}").into(), Bytes::from(value.clone().into_owned()))
    };
    Incoming {
        id: Some(event.id.clone().into_owned()),
        partition_key: event.partition_key.clone().map(Cow::into_owned),
        headers: event.attributes.iter().map(header).collect(),
        payload: None,
        spread: None,
    }
}

/// The bytes of an attribute: without the double quotes around it, and decoded once from percent
/// encoding (source: CloudEvents HTTP protocol binding 1.0.2, section 3.1.3.2).
fn decoded(value: &[u8]) -> Vec<u8> {
    let unquoted = match value {
        [b'"', inner @ .., b'"'] => unescaped(inner),
        plain => plain.to_vec(),
    };
    let mut bytes = Vec::with_capacity(unquoted.len());
    let mut rest = unquoted.as_slice();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first == b'%'
            && let [high, low, after @ ..] = after
            && let (Some(high), Some(low)) = (hex(*high), hex(*low))
        {
            bytes.push(high << 4 | low);
            rest = after;
        } else {
            bytes.push(*first);
        }
    }
    bytes
}

fn unescaped(quoted: &[u8]) -> Vec<u8> {
    let mut is_escaped = false;
    let keep = |byte: &&u8| {
        is_escaped = **byte == b'\\' && !is_escaped;
        !is_escaped
    };
    quoted.iter().filter(keep).copied().collect()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str) -> String {
        String::from_utf8_lossy(&decoded(value.as_bytes())).into_owned()
    }

    #[test]
    fn attribute_values_are_decoded_once() {
        for (value, expected) in [
            ("plain", "plain"),
            ("Euro%20%E2%82%AC%20%F0%9F%98%80", "Euro € 😀"),
            ("%2520", "%20"),
            ("100%", "100%"),
            ("%zz%4", "%zz%4"),
            ("\"quoted \\\"inner\\\" \\\\\"", "quoted \"inner\" \\"),
            ("\"", "\""),
            ("", ""),
        ] {
            assert_eq!(text(value), expected, "{value}");
        }
        assert_eq!(decoded(b"%ff"), [0xff], "what is not UTF-8 is for the caller to refuse");
    }
}

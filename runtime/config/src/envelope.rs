//! Decides what the words of `envelope` stand for: formats, and the field rules of known systems.
//! It looks into no event.

use crate::{Fields, Pointer, subscription::Format};

/// The words of `envelope`.
pub(crate) const WORDS: &[&str] =
    &["auto", "cloudevents", "json", "raw", "ticketing", "shipping", "billing", "pos", "commerce"];

/// The format and the fields of a word of `envelope`.
pub(crate) fn preset(word: &str) -> Option<(Format, Fields)> {
    let none = Fields::default();
    Some(match word {
        "auto" => (Format::Auto, none),
        "cloudevents" => (Format::CloudEvents, none),
        "raw" => (Format::Raw, none),
        "json" | "pos" | "commerce" => (Format::Json, enveloped()),
        "ticketing" => (Format::Json, ticketing()),
        "shipping" => (Format::Json, shipping()),
        "billing" => (Format::CloudEvents, billing()),
        _ => return None,
    })
}

/// An envelope with the event's own part under `data`. The systems *pos* and *commerce* write it;
/// the one has no causation id, which is then simply not found.
fn enveloped() -> Fields {
    Fields {
        id: pointers(&["/eventId"]),
        kind: pointers(&["/eventType"]),
        version: pointers(&["/eventVersion"]),
        source: pointers(&["/source"]),
        time: pointers(&["/timestamp"]),
        correlation: pointers(&["/correlationId"]),
        causation: pointers(&["/causationId"]),
        data: pointers(&["/data"]),
        ..Fields::default()
    }
}

/// No envelope, but an id and a moment in every event; the topic is the type.
fn ticketing() -> Fields {
    Fields {
        id: pointers(&["/eventId"]),
        time: pointers(&["/createdAt", "/paidAt", "/expiredAt"]),
        subject: pointers(&["/reservationId"]),
        ..Fields::default()
    }
}

/// Fields beside the data, in the letter case of .NET or of JSON.
fn shipping() -> Fields {
    Fields {
        id: pointers(&["/EventId", "/eventId"]),
        kind: pointers(&["/EventType", "/eventType"]),
        version: pointers(&["/Version", "/version"]),
        source: pointers(&["/SourceService", "/sourceService"]),
        time: pointers(&["/OccurredAt", "/occurredAt"]),
        correlation: pointers(&["/CorrelationId", "/correlationId"]),
        ..Fields::default()
    }
}

/// `CloudEvents` whose data names the tenant.
fn billing() -> Fields {
    Fields { tenant: pointers(&["/TenantId", "/tenantId"]), ..Fields::default() }
}

fn pointers(texts: &[&str]) -> Vec<Pointer> {
    texts.iter().filter_map(|text| Pointer::new(text)).collect()
}

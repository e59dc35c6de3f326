//! Tests of decoding: one table per envelope, and that identity and full reading agree.

use bytes::Bytes;
use gristmill_config::{Envelope, Fields, Format, Pointer};
use gristmill_engine::{Instant, Offset};
use gristmill_store::Stored;

use super::{EnvelopeRules, Hasher128, Invalid, Record, decode, identify, usual};

fn rules(format: Format, fields: Fields) -> EnvelopeRules {
    EnvelopeRules::new(&Envelope { format, fields, id_header: None })
}

fn at(pointers: &[&str]) -> Vec<Pointer> {
    pointers.iter().map(|text| Pointer::new(text).unwrap()).collect()
}

/// Pointers that serve all five example systems at once.
fn five_systems() -> Fields {
    Fields {
        id: at(&["/eventId", "/EventId"]),
        kind: at(&["/eventType", "/EventType"]),
        version: at(&["/eventVersion", "/version"]),
        source: at(&["/source", "/SourceService"]),
        time: at(&["/timestamp", "/OccurredAt", "/createdAt"]),
        subject: at(&["/data/orderId"]),
        correlation: at(&["/correlationId"]),
        causation: at(&["/causationId"]),
        tenant: at(&["/metadata/tenant"]),
        data: at(&["/data"]),
    }
}

fn stored(headers: &[(&str, &[u8])], payload: Option<&str>) -> Stored {
    let header = |(name, value): &(&str, &[u8])| ((*name).into(), Bytes::copy_from_slice(value));
    Stored {
        offset: Offset(42),
        timestamp: Instant(1_700_000_000_000),
        key: Some(Bytes::from_static(b"k")),
        headers: headers.iter().map(header).collect(),
        payload: payload.map(|text| Bytes::copy_from_slice(text.as_bytes())),
    }
}

fn record(stored: &Stored) -> Record<'_> {
    Record { topic: "orders", partition: 3, offset: 42, stored }
}

/// A one-line summary of what both readings say, or the code and all violations.
fn summary(rules: &EnvelopeRules, stored: &Stored) -> String {
    let record = record(stored);
    let quick = identify(rules, &record);
    let full = decode(rules, &record);
    assert_eq!(quick.as_ref().err(), full.as_ref().err(), "both readings agree on validity");
    let event = match full {
        Ok(event) => event,
        Err(Invalid { code, violations }) => return format!("{code} {}", violations.join("; ")),
    };
    assert_eq!(quick.as_ref(), Ok(&event.identity), "both readings agree on identity");
    let made = if event.identity.is_made { " (made)" } else { "" };
    let payload = String::from_utf8_lossy(&event.payload).into_owned();
    format!("{}{made} {} {} {payload}", event.identity.id, event.identity.kind, event.source)
}

const CE: [(&str, &[u8]); 4] = [
    ("ce_specversion", b"1.0"),
    ("ce_id", b"e-1"),
    ("ce_source", b"/shop"),
    ("ce_type", b"placed"),
];

fn with<'a>(more: &[(&'a str, &'a [u8])]) -> Vec<(&'a str, &'a [u8])> {
    CE.iter().chain(more).copied().collect()
}

fn without(name: &str) -> Vec<(&'static str, &'static [u8])> {
    CE.iter().filter(|(other, _)| *other != name).copied().collect()
}

#[test]
fn binary_cloud_events() {
    for (headers, expected) in [
        (with(&[]), "e-1 placed /shop {}"),
        (with(&[("ce_id", b"e-2")]), "e-2 placed /shop {}"),
        (with(&[("Content-Type", b"text/plain")]), "e-1 placed /shop {}"),
        (with(&[("ce_subject", "ümlaut 票".as_bytes())]), "e-1 placed /shop {}"),
        (with(&[("ce_time", b"2026-11-21T12:00:00Z")]), "e-1 placed /shop {}"),
        (with(&[("ce_id", b"")]), "E0402 attribute \"id\" is missing or empty"),
        (without("ce_id"), "E0402 attribute \"id\" is missing or empty"),
        (without("ce_source"), "E0402 attribute \"source\" is missing or empty"),
        (without("ce_type"), "E0402 attribute \"type\" is missing or empty"),
        (without("ce_specversion"), "E0402 attribute \"specversion\" is missing"),
        (
            with(&[("ce_specversion", b"0.3")]),
            "E0402 specversion \"0.3\" is not understood, 1.0 is",
        ),
        (
            vec![("ce_id", b"e"), ("ce_time", b"noon")],
            "E0402 time \"noon\" is not RFC 3339; attribute \"specversion\" is missing; \
             attribute \"source\" is missing or empty; attribute \"type\" is missing or empty",
        ),
        (with(&[("ce_subject", b"\xff\xfe")]), "E0403 header \"ce_subject\" is not UTF-8"),
        (with(&[("content-type", b"\xff")]), "E0403 header \"content-type\" is not UTF-8"),
        (with(&[("traceparent", b"\xff")]), "e-1 placed /shop {}"),
        (with(&[("x-picture", b"\xff\xd8")]), "e-1 placed /shop {}"),
        // An extension alone makes no CloudEvent.
        (vec![("ce_tenant", b"t")], "orders/3/42 (made) orders orders {}"),
    ] {
        let stored = stored(&headers, Some("{}"));
        for format in [Format::Auto, Format::CloudEvents] {
            let found = summary(&rules(format, Fields::default()), &stored);
            if expected.starts_with("orders/") && format == Format::CloudEvents {
                assert!(found.starts_with("E0401 "), "{found}");
            } else {
                assert_eq!(found, expected, "{headers:?}");
            }
        }
    }
}

#[test]
fn structured_cloud_events() {
    const BASE: &str = r#""specversion":"1.0","id":"e-1","source":"/shop","type":"placed""#;
    for (more, expected) in [
        ("", "e-1 placed /shop "),
        (r#","data":{"a" : [1, 2]}"#, r#"e-1 placed /shop {"a" : [1, 2]}"#),
        (r#","data":null"#, "e-1 placed /shop "),
        (r#","data":"quoted""#, r#"e-1 placed /shop "quoted""#),
        (r#","datacontenttype":"text/plain","data":"plain""#, "e-1 placed /shop plain"),
        (r#","datacontenttype":"text/plain","data":"a\nb\u00fc""#, "e-1 placed /shop a\nbü"),
        (r#","datacontenttype":"application/x+json","data":"q""#, r#"e-1 placed /shop "q""#),
        (r#","data_base64":"aGVsbG8=""#, "e-1 placed /shop hello"),
        (r#","data_base64":"!""#, "E0402 \"data_base64\" is not base64"),
        (r#","data":1,"data_base64":"aA==""#, "E0402 it has both \"data\" and \"data_base64\""),
        (r#","sequence":7,"flag":true"#, "e-1 placed /shop "),
        (r#","extension":{"a":1}"#, "E0402 attribute \"extension\" is an object or array"),
        (r#","id":"""#, "E0402 attribute \"id\" is missing or empty"),
        (r#","id":"e-2""#, "e-2 placed /shop "),
        (r#","id":17"#, "17 placed /shop "),
    ] {
        let json = format!("{{{BASE}{more}}}");
        for media in ["application/cloudevents+json", "Application/CloudEvents+JSON; charset=UTF-8"]
        {
            let stored = stored(&[("content-type", media.as_bytes())], Some(&json));
            let found = summary(&rules(Format::Auto, Fields::default()), &stored);
            assert_eq!(found, expected, "{json}");
        }
    }
}

#[test]
fn structured_cloud_events_that_cannot_be_one() {
    for (media, payload, expected) in [
        ("application/cloudevents+json", Some("[]"), "E0402 structured CloudEvent is not JSON"),
        ("application/cloudevents+json", Some("{"), "E0402 structured CloudEvent is not JSON"),
        ("application/cloudevents+json", None, "E0402 structured CloudEvent has no value"),
        ("application/cloudevents+avro", Some("x"), "E0402 media type"),
        ("application/cloudevents-batch+json", Some("[]"), "E0402 media type"),
        ("application/cloudevents", Some("{}"), "E0402 media type"),
    ] {
        let stored = stored(&[("content-type", media.as_bytes())], payload);
        let found = summary(&rules(Format::Auto, Fields::default()), &stored);
        assert!(found.starts_with(expected), "{media}: {found}");
    }
}

#[test]
fn json_envelopes() {
    let rules = rules(Format::Json, five_systems());
    for (payload, expected) in [
        (
            r#"{"eventId":"e-1","seatId":"s"}"#,
            r#"e-1 orders orders {"eventId":"e-1","seatId":"s"}"#,
        ),
        (
            r#"{"EventId":"e-2","EventType":"UserCreated","SourceService":"i"}"#,
            r#"e-2 UserCreated i {"EventId":"e-2","EventType":"UserCreated","SourceService":"i"}"#,
        ),
        (r#"{"eventId":"e-3","source":"pos","data":{"a":1}}"#, r#"e-3 orders pos {"a":1}"#),
        (r#"{"eventId":"e-4","data":null}"#, r#"e-4 orders orders {"eventId":"e-4","data":null}"#),
        (
            r#"{"eventId":7,"timestamp":1700000000000}"#,
            r#"7 orders orders {"eventId":7,"timestamp":1700000000000}"#,
        ),
        (
            r#"{"eventId":"e","timestamp":"2026-11-21T12:00:00"}"#,
            r#"e orders orders {"eventId":"e","timestamp":"2026-11-21T12:00:00"}"#,
        ),
        (r#"{"eventId":""}"#, "E0405 JSON envelope has no id"),
        (r#"{"eventId":null}"#, "E0405 JSON envelope has no id"),
        (r#"{"eventId":{"x":1}}"#, "E0405 JSON envelope has no id"),
        (r"{}", "E0405 JSON envelope has no id"),
        (r"[1]", "E0405 JSON envelope has no id"),
        ("17", "E0405 JSON envelope has no id"),
        (
            r#"{"eventId":"e","timestamp":"noon"}"#,
            "E0406 time \"noon\" is neither RFC 3339 nor milliseconds since 1970",
        ),
        (
            r#"{"eventId":"e","timestamp":-1}"#,
            "E0406 time -1 is neither RFC 3339 nor milliseconds since 1970",
        ),
        (
            r#"{"eventId":"e","timestamp":{"at":1}}"#,
            "E0406 time {\"at\":1} is neither RFC 3339 nor milliseconds since 1970",
        ),
    ] {
        assert_eq!(summary(&rules, &stored(&[], Some(payload))), expected);
    }
    for payload in ["", "{", "hello", r#"{"eventId":"e"}}"#, r#"{"eventId":"e"#] {
        let found = summary(&rules, &stored(&[], Some(payload)));
        assert!(found.starts_with("E0404 payload is not a JSON envelope"), "{payload}: {found}");
    }
    assert_eq!(summary(&rules, &stored(&[], None)), "orders/3/42 (made) orders orders ");
}

#[test]
fn every_field_of_a_json_envelope() {
    let rules = rules(Format::Json, five_systems());
    let stored = stored(
        &[("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")],
        Some(
            r#"{"eventId":"e-1","eventType":"order.placed.v2","eventVersion":2,"source":"pos",
                "timestamp":"2026-11-21T12:00:00Z","correlationId":"c-1","causationId":"e-0",
                "metadata":{"tenant":"acme"},"data":{"orderId":"o-1"}}"#,
        ),
    );
    let event = decode(&rules, &record(&stored)).unwrap();
    assert_eq!(event.identity.version.as_deref(), Some("2"));
    assert_eq!(event.time, Instant(1_795_262_400_000));
    assert_eq!(event.correlation_id, "c-1");
    assert_eq!(event.causation_id.as_deref(), Some("e-0"));
    assert_eq!(event.tenant.as_deref(), Some("acme"));
    assert_eq!(event.subject.as_deref(), Some("o-1"));
    assert_eq!(event.content_type.as_deref(), Some("application/json"));
    assert!(event.trace_parent.is_some_and(|parent| parent.ends_with("-01")));
    assert_eq!(event.payload, r#"{"orderId":"o-1"}"#);
}

#[test]
fn type_and_version_without_a_manifest_are_where_they_usually_are() {
    for (payload, expected) in [
        (r#"{"eventType":"placed","eventVersion":2,"version":7}"#, ("placed", Some("2"))),
        (r#"{"EventType":"placed","EventVersion":"2"}"#, ("placed", Some("2"))),
        (r#"{"EventType":"placed","version":2}"#, ("placed", Some("2"))),
        (r#"{"type":"placed","Version":2}"#, ("placed", Some("2"))),
        (r#"{"id":"o-1"}"#, ("orders", None)),
    ] {
        let stored = stored(&[], Some(payload));
        let (kind, version) = usual("orders", &stored);
        assert_eq!((&*kind, version.as_deref()), expected, "{payload}");
    }
}

#[test]
fn every_field_of_a_cloud_event() {
    let stored = stored(
        &with(&[
            ("ce_time", b"2026-11-21T12:00:00Z"),
            ("ce_subject", b"o-1"),
            ("ce_correlationid", b"c-1"),
            ("ce_causationid", b"e-0"),
            ("ce_traceparent", b"00-a-b-01"),
            ("ce_eventversion", b"2"),
            ("content-type", b"application/json; charset=utf-8"),
        ]),
        Some("{}"),
    );
    let event = decode(&rules(Format::Auto, Fields::default()), &record(&stored)).unwrap();
    assert_eq!(event.identity.version.as_deref(), Some("2"));
    assert_eq!(event.identity.scope, "/shop");
    assert_eq!(event.time, Instant(1_795_262_400_000));
    assert_eq!(event.subject.as_deref(), Some("o-1"));
    assert_eq!(event.correlation_id, "c-1");
    assert_eq!(event.causation_id.as_deref(), Some("e-0"));
    assert_eq!(event.trace_parent.as_deref(), Some("00-a-b-01"));
    assert_eq!(event.content_type.as_deref(), Some("application/json; charset=utf-8"));
}

#[test]
fn raw_records() {
    let raw = rules(Format::Raw, Fields::default());
    let unread = stored(&with(&[]), Some("\u{0}bytes"));
    assert_eq!(summary(&raw, &unread), "orders/3/42 (made) orders orders \u{0}bytes");
    let tombstone = stored(&[], None);
    let event = decode(&raw, &record(&tombstone)).unwrap();
    assert!(event.is_tombstone && event.payload.is_empty());
    assert_eq!(event.time, Instant(1_700_000_000_000), "the record's own timestamp");
    assert_eq!(event.correlation_id, "orders/3/42", "it begins its own chain");
    assert!(!decode(&raw, &record(&stored(&[], Some("")))).unwrap().is_tombstone);
}

#[test]
fn pointers_and_headers_win_over_the_envelope() {
    let fields = Fields { id: at(&["/no"]), kind: at(&["/kind"]), ..Fields::default() };
    let into_data = rules(Format::Auto, fields.clone());
    let binary = stored(&with(&[]), Some(r#"{"no":"n-1","kind":"k"}"#));
    assert_eq!(summary(&into_data, &binary), r#"n-1 k /shop {"no":"n-1","kind":"k"}"#);
    let not_json = stored(&with(&[]), Some("no JSON"));
    assert_eq!(summary(&into_data, &not_json), "e-1 placed /shop no JSON");
    let json = r#"{"specversion":"1.0","id":"e-1","source":"/s","type":"t","no":"outer",
        "data":{"no":"inner"}}"#;
    let structured = stored(&[("content-type", b"application/cloudevents+json")], Some(json));
    assert_eq!(summary(&into_data, &structured), r#"inner t /s {"no":"inner"}"#);

    let id_header = Some("x-id".to_owned());
    let envelope = Envelope { format: Format::Json, fields, id_header };
    let by_header = EnvelopeRules::new(&envelope);
    let both = stored(&[("X-Id", b"h-1")], Some(r#"{"no":"n-1"}"#));
    assert_eq!(summary(&by_header, &both), r#"h-1 orders orders {"no":"n-1"}"#);
    let empty = stored(&[("x-id", b"")], Some(r#"{"no":"n-1"}"#));
    assert_eq!(summary(&by_header, &empty), r#"n-1 orders orders {"no":"n-1"}"#);
    let broken = stored(&[("x-id", b"\xff")], Some(r#"{"no":"n-1"}"#));
    assert_eq!(summary(&by_header, &broken), "E0403 header \"x-id\" is not UTF-8");
}

#[test]
fn only_a_given_id_is_hashed_and_a_cloud_event_within_its_source() {
    let hasher = Hasher128::new([1; 16]);
    let auto = rules(Format::Auto, Fields::default());
    let hash = |headers: &[(&str, &[u8])]| {
        identify(&auto, &record(&stored(headers, None))).unwrap().hash(&hasher)
    };
    assert_eq!(hash(&[]), None);
    assert_eq!(hash(&CE), Some(hasher.id("/shop", "e-1")));
    assert_ne!(hash(&CE), hash(&with(&[("ce_source", b"/other")])));
}

#[test]
fn data_is_a_slice_of_the_record() {
    let json = r#"{"eventId":"e-1","data":{"a":1}}"#;
    let stored = stored(&[], Some(json));
    let event = decode(&rules(Format::Json, five_systems()), &record(&stored)).unwrap();
    let payload = stored.payload.as_ref().unwrap();
    assert!(payload.as_ptr_range().contains(&event.payload.as_ptr()), "nothing is copied");
}

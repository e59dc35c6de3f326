//! Tests of emissions: ids that repeat, and what is inherited.

use gristmill_engine::{PartitionId, TopicId};
use gristmill_plugin_host::Header;
use gristmill_store::Retention;

use super::*;
use crate::envelope::header;

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn record(offset: u64) -> Cause<'static> {
    Cause::Record { topic: "orders", partition: 3, offset }
}

fn timer(name: &str, due: u64, sequence: u64) -> Cause<'_> {
    Cause::Timer { key: b"seat", name, due: Instant(due), sequence }
}

fn topic() -> Topic {
    Topic {
        id: TopicId(9),
        name: "carts".into(),
        partitions: 4,
        retention: Retention::default(),
        compacted: false,
        created: Instant(0),
    }
}

fn emitter<'a>(key: Option<&'a Bytes>, parent: Option<&'a ByteString>) -> Emitter<'a> {
    static SOURCE: ByteString = ByteString::from_static("/shop/ordering");
    static EVENT: ByteString = ByteString::from_static("e-1");
    static TIME: Bytes = Bytes::from_static(b"2026-11-21T12:00:00.000Z");
    static CORRELATION: ByteString = ByteString::from_static("c-1");
    Emitter {
        subscription: "ordering",
        source: &SOURCE,
        cause: record(42),
        event_id: &EVENT,
        correlation_id: &CORRELATION,
        trace_parent: parent,
        key,
        time: (Instant(1_795_262_400_000), &TIME),
    }
}

fn emission() -> Emission {
    Emission {
        topic: "carts".to_owned(),
        kind: "cart.changed".to_owned(),
        version: None,
        subject: None,
        key: None,
        payload: Bytes::from_static(b"{}"),
        content_type: None,
        headers: Vec::new(),
        correlation_id: None,
    }
}

fn shown(append: &Append) -> Vec<String> {
    let line = |(name, value): &Header| format!("{name}: {}", String::from_utf8_lossy(value));
    append.headers.iter().map(line).collect()
}

#[test]
fn an_id_repeats_and_differs_wherever_its_cause_does() {
    let first = emission_id("ordering", record(42), 0);
    assert_eq!(first, emission_id("ordering", record(42), 0));
    assert_eq!(
        first.to_string(),
        "eac6b0ee-fba1-5528-a0ed-15eb1bf48eb6",
        "ids of replays depend on it"
    );
    let causes = [
        emission_id("ordering", record(42), 0),
        emission_id("ordering", record(42), 1),
        emission_id("ordering", record(43), 0),
        emission_id("ordering", Cause::Record { topic: "orders", partition: 4, offset: 42 }, 0),
        emission_id("ordering", Cause::Record { topic: "order", partition: 3, offset: 42 }, 0),
        emission_id("orderin", Cause::Record { topic: "gorders", partition: 3, offset: 42 }, 0),
        emission_id("catalog", record(42), 0),
        emission_id("ordering", timer("expiry", 1, 1), 0),
        emission_id("ordering", timer("expiry", 1, 2), 0),
        emission_id("ordering", timer("expiry", 2, 1), 0),
        emission_id("ordering", timer("expir", 1, 1), 0),
    ];
    let distinct: std::collections::BTreeSet<_> = causes.iter().collect();
    assert_eq!(distinct.len(), causes.len());
}

#[test]
fn an_emission_is_a_cloud_event_that_inherits() {
    let key = Bytes::from_static(b"seat-1");
    let append = emitter(Some(&key), Some(&PARENT.into())).encode(0, emission(), &topic());
    let id = emission_id("ordering", record(42), 0).to_string();
    let span = id.replace('-', "")[..16].to_owned();
    assert_eq!(
        shown(&append),
        [
            "ce_specversion: 1.0".to_owned(),
            format!("ce_id: {id}"),
            "ce_source: /shop/ordering".to_owned(),
            "ce_type: cart.changed".to_owned(),
            "ce_time: 2026-11-21T12:00:00.000Z".to_owned(),
            "ce_correlationid: c-1".to_owned(),
            "ce_causationid: e-1".to_owned(),
            format!("traceparent: 00-0af7651916cd43dd8448eb211c80319c-{span}-01"),
            "content-type: application/json".to_owned(),
        ]
    );
    assert_eq!(append.key, Some(key.clone()));
    assert_eq!(append.partition, Store::partition_for(&topic(), Some(&key), 0));
    assert_eq!((append.topic, append.timestamp), (TopicId(9), Instant(1_795_262_400_000)));
}

#[test]
fn what_the_handler_says_goes_before_what_is_inherited() {
    let key = Bytes::from_static(b"seat-1");
    let given = Emission {
        version: Some("2".to_owned()),
        subject: Some("cart-7".to_owned()),
        key: Some(Bytes::from_static(b"customer")),
        content_type: Some("text/plain".to_owned()),
        headers: vec![("x".into(), Bytes::from_static(b"\xff"))],
        correlation_id: Some("c-2".to_owned()),
        ..emission()
    };
    let append = emitter(Some(&key), None).encode(1, given, &topic());
    let text = |name: &str| header(&append.headers, name).map(|value| value.to_vec());
    assert_eq!(text("ce_eventversion"), Some(b"2".to_vec()));
    assert_eq!(text("ce_subject"), Some(b"cart-7".to_vec()));
    assert_eq!(text("ce_correlationid"), Some(b"c-2".to_vec()));
    assert_eq!(text("content-type"), Some(b"text/plain".to_vec()));
    assert_eq!(text("x"), Some(b"\xff".to_vec()));
    assert_eq!(text("traceparent"), None);
    assert_eq!(append.key, Some(Bytes::from_static(b"customer")));
}

#[test]
fn a_null_key_keeps_its_partition_in_a_replay_and_spreads() {
    let once = |index| emitter(None, None).encode(index, emission(), &topic()).partition;
    assert_eq!(once(0), once(0));
    let used: std::collections::BTreeSet<PartitionId> = (0..64).map(once).collect();
    assert_eq!(used.len(), 4);
}

#[test]
fn only_a_well_formed_trace_is_continued() {
    let id = emission_id("s", record(0), 0);
    for (parent, is_continued) in [
        (PARENT, true),
        ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00", true),
        ("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", false),
        ("00-00000000000000000000000000000000-b7ad6b7169203331-01", false),
        ("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", false),
        ("00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", false),
        ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x", false),
        ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331", false),
        ("", false),
    ] {
        assert_eq!(continued(parent, id).is_some(), is_continued, "{parent}");
    }
}

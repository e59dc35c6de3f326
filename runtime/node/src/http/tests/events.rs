//! Tests of ingest: what a request becomes, where it goes and how it is refused.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode};
use gristmill_engine::Bytes as Size;
use serde_json::json;

use super::{World, request};

const CE: [(&str, &str); 4] =
    [("ce-specversion", "1.0"), ("ce-id", "e-1"), ("ce-source", "/shop"), ("ce-type", "placed")];
const STRUCTURED: (&str, &str) = ("content-type", "application/cloudevents+json");
const BATCH: (&str, &str) = ("content-type", "application/cloudevents-batch+json");

fn with<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    CE.iter().chain(more).copied().collect()
}

/// The only record of a topic, as `key | name: value, … | payload`.
fn only(world: &World, topic: &str) -> String {
    let records = world.records(topic);
    assert_eq!(records.len(), 1, "{records:?}");
    let (_, stored) = &records[0];
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let header = |(name, value): &gristmill_store::Header| format!("{name}: {}", text(value));
    let headers: Vec<_> = stored.headers.iter().map(header).collect();
    let key = stored.key.as_deref().map_or("(null)".to_owned(), text);
    let payload = stored.payload.as_deref().map_or("(null)".to_owned(), text);
    format!("{key} | {} | {payload}", headers.join(", "))
}

#[tokio::test]
async fn a_request_becomes_a_record() {
    const BINARY: &str = "ce_specversion: 1.0, ce_id: e-1, ce_source: /shop, ce_type: placed";
    let json = ("content-type", "application/json");
    for (path, headers, body, expected) in [
        (
            "orders",
            vec![json],
            r#"{"a":1}"#,
            r#"(null) | content-type: application/json | {"a":1}"#.to_owned(),
        ),
        ("orders", vec![], "any bytes", "(null) |  | any bytes".to_owned()),
        ("orders", vec![], "", "(null) |  | (null)".to_owned()),
        ("orders?key=k", vec![], "x", "k |  | x".to_owned()),
        ("orders?key=", vec![], "x", " |  | x".to_owned()),
        ("orders?key=%C3%BC%20", vec![], "x", "ü  |  | x".to_owned()),
        (
            "seats",
            vec![json],
            r#"{"seatId":"s-1"}"#,
            r#"s-1 | content-type: application/json | {"seatId":"s-1"}"#.to_owned(),
        ),
        ("seats", vec![], r#"{"seatId":17}"#, r#"17 |  | {"seatId":17}"#.to_owned()),
        ("seats?key=k", vec![], r#"{"seatId":"s-1"}"#, r#"k |  | {"seatId":"s-1"}"#.to_owned()),
        (
            "orders",
            vec![
                ("traceparent", "00-a-b-01"),
                ("x-header-event-type", "t"),
                ("x-other", "dropped"),
            ],
            "x",
            "(null) | traceparent: 00-a-b-01, event-type: t | x".to_owned(),
        ),
        (
            "orders",
            with(&[json]),
            "{}",
            format!("(null) | {BINARY}, content-type: application/json | {{}}"),
        ),
        ("orders", with(&[]), "", format!("(null) | {BINARY} | (null)")),
        (
            "seats",
            with(&[("ce-partitionkey", "p")]),
            "{}",
            format!("p | {BINARY}, ce_partitionkey: p | {{}}"),
        ),
        (
            "orders",
            with(&[("ce-subject", "Euro%20%E2%82%AC"), ("CE-Extra", "\"quoted\"")]),
            "",
            format!("(null) | {BINARY}, ce_subject: Euro €, ce_extra: quoted | (null)"),
        ),
    ] {
        let world = World::new("");
        let answer = world.post(&format!("/topics/{path}"), &headers, body).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{path} {headers:?}: {}", answer.text);
        let topic = path.split('?').next().unwrap();
        assert_eq!(only(&world, topic), expected, "{path} {headers:?}");
        let placed = answer.json();
        let (partition, stored) = &world.records(topic)[0];
        assert_eq!(placed["partition"], json!(partition));
        assert_eq!(placed["offset"], json!(stored.offset.0));
        assert_eq!(placed["topic"], json!(topic));
        let made = format!("{topic}/{partition}/0");
        let is_cloud_event = headers.iter().any(|(name, _)| *name == "ce-id");
        assert_eq!(placed["id"], if is_cloud_event { json!("e-1") } else { json!(made) });
    }
}

#[tokio::test]
async fn a_structured_event_is_kept_in_binary_mode() {
    const HEADERS: &str = "ce_specversion: 1.0, ce_id: e-1, ce_source: /s, ce_type: t";
    const BASE: &str = r#""specversion":"1.0","id":"e-1","source":"/s","type":"t""#;
    for (more, expected) in [
        (
            r#","data":{"a": 1}"#,
            format!("(null) | {HEADERS}, content-type: application/json | {{\"a\": 1}}"),
        ),
        (
            r#","datacontenttype":"text/plain","data":"x""#,
            format!("(null) | {HEADERS}, content-type: text/plain | x"),
        ),
        (
            r#","data_base64":"aGk=","datacontenttype":"image/x""#,
            format!("(null) | {HEADERS}, content-type: image/x | hi"),
        ),
        ("", format!("(null) | {HEADERS} | (null)")),
        (
            r#","partitionkey":"p","n":7"#,
            format!("p | {HEADERS}, ce_partitionkey: p, ce_n: 7 | (null)"),
        ),
    ] {
        let world = World::new("");
        let answer =
            world.post("/topics/orders", &[STRUCTURED], &format!("{{{BASE}{more}}}")).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
        assert_eq!(only(&world, "orders"), expected);
    }
}

fn in_batch(id: &str) -> serde_json::Value {
    json!({ "specversion": "1.0", "id": id, "source": "/s", "type": "t", "partitionkey": "one" })
}

#[tokio::test]
async fn a_batch_is_taken_whole_and_in_order() {
    let world = World::new("");
    let batch = json!([in_batch("a"), in_batch("b"), in_batch("c")]).to_string();
    let answer = world.post("/topics/orders", &[BATCH], &batch).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    let events = answer.json()["events"].clone();
    let ids: Vec<_> = events.as_array().unwrap().iter().map(|event| event["id"].clone()).collect();
    assert_eq!(ids, ["a", "b", "c"]);
    let offsets: Vec<_> = world.records("orders").iter().map(|(_, it)| it.offset.0).collect();
    assert_eq!(offsets, [0, 1, 2], "one key, one partition, in order");
}

#[tokio::test]
async fn a_batch_of_none_is_fine_and_a_bad_one_leaves_nothing() {
    let world = World::new("");
    let answer = world.post("/topics/orders", &[BATCH], "[]").await;
    assert_eq!((answer.status, answer.json()), (StatusCode::ACCEPTED, json!({ "events": [] })));
    let bad = json!([in_batch("a"), { "specversion": "0.3" }, in_batch(""), 7]).to_string();
    let answer = world.post("/topics/orders", &[BATCH], &bad).await;
    assert_eq!(answer.failure(), "400 E0402");
    let violations = answer.json()["error"]["violations"].clone();
    let violations: Vec<_> =
        violations.as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
    assert_eq!(violations.len(), 6, "{violations:?}");
    assert!(violations[0].starts_with("event 1: specversion \"0.3\""), "{violations:?}");
    assert!(violations[4].starts_with("event 2: attribute \"id\""), "{violations:?}");
    assert!(violations[5].starts_with("event 3: structured CloudEvent is not JSON"));
    assert!(world.records("orders").is_empty(), "all or nothing");
    let too_large = json!([in_batch("a"), { "specversion": "1.0", "id": "b", "source": "/s",
        "type": "t", "data": "x".repeat(1_100) }]);
    let answer = world.post("/topics/small", &[BATCH], &too_large.to_string()).await;
    assert_eq!(answer.failure(), "413 E0413");
    assert!(world.records("small").is_empty(), "all or nothing");
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let world = World::new("");
    let plain = ("content-type", "text/plain");
    for (path, headers, body, expected) in [
        ("order", vec![], "x", "404 E0414"),
        ("__redrive.x", vec![], "x", "404 E0414"),
        ("seats", vec![], r#"{"other":1}"#, "400 E0424"),
        ("seats", vec![plain], "not JSON", "400 E0424"),
        ("seats", vec![], "", "400 E0424"),
        ("orders?keys=x", vec![], "x", "400 E0415"),
        ("orders", vec![("ce-id", "e-1")], "x", "400 E0402"),
        ("orders", with(&[("ce-time", "noon")]), "x", "400 E0402"),
        ("orders", with(&[("ce-Not_Allowed", "x")]), "x", "400 E0402"),
        ("orders", with(&[("ce-subject", "%ff")]), "x", "400 E0403"),
        ("orders", vec![STRUCTURED], "{", "400 E0402"),
        ("orders", vec![BATCH], "{}", "400 E0416"),
        ("orders", vec![("content-type", "application/cloudevents+avro")], "x", "415 E0423"),
        ("orders", vec![("x-header-dlq-version", "1")], "x", "400 E0415"),
        ("orders", vec![("x-header-ce_id", "1")], "x", "400 E0415"),
        (
            "orders",
            vec![("origin", "http://evil.example"), ("host", "127.0.0.1")],
            "x",
            "403 E0425",
        ),
        ("orders", vec![("origin", "null"), ("host", "127.0.0.1")], "x", "403 E0425"),
    ] {
        let answer = world.post(&format!("/topics/{path}"), &headers, body).await;
        assert_eq!(answer.failure(), expected, "{path} {headers:?}: {}", answer.text);
    }
    let near = world.post("/topics/order", &[], "x").await;
    assert_eq!(near.json()["error"]["hint"], "did you mean orders?");
    let all = world.post("/topics/orders", &[("ce-specversion", "2")], "").await.json();
    assert_eq!(all["error"]["violations"].as_array().unwrap().len(), 4, "{all}");
    let mut raw = request("POST", "/topics/orders", &CE, "");
    raw.headers_mut().insert("ce-subject", HeaderValue::from_bytes(b"\xff").unwrap());
    assert_eq!(world.send(raw).await.failure(), "400 E0403");
    let own = [("origin", "http://127.0.0.1"), ("host", "127.0.0.1")];
    assert_eq!(world.post("/topics/orders", &own, "x").await.status, StatusCode::ACCEPTED);
    assert_eq!(world.records("orders").len(), 1, "what was refused left nothing");
}

#[tokio::test]
async fn sizes_are_checked_at_the_limit_and_one_past_it() {
    let world = World::new("[http]\nbody_bytes_max = \"2KiB\"");
    for (topic, size, expected) in [
        ("small", 1_024, "202"),
        ("small", 1_025, "413 E0413"),
        ("orders", 2_048, "202"),
        ("orders", 2_049, "413 E0412"),
    ] {
        let body = "x".repeat(size);
        let answer = world.post(&format!("/topics/{topic}"), &[], &body).await;
        let status = answer.status.as_u16().to_string();
        let found = if status == "202" { status } else { answer.failure() };
        assert_eq!(found, expected, "{topic} {size}");
    }
    let headers_count = [("x-header-a", "0123456789")];
    let answer = world.post("/topics/small?key=k", &headers_count, &"x".repeat(1_012)).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "1 + 10 + 1 + 1,012 bytes");
    let answer = world.post("/topics/small?key=k", &headers_count, &"x".repeat(1_013)).await;
    assert_eq!(answer.failure(), "413 E0413");
}

#[tokio::test]
async fn an_unknown_topic_is_made_where_that_is_allowed() {
    let world = World::new("[topics]\ncreate_on_publish = true");
    let answer = world.post("/topics/fresh", &[], "x").await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
    assert_eq!(world.records("fresh").len(), 1);
    assert_eq!(world.post("/topics/__own", &[], "x").await.failure(), "404 E0414");
    assert_eq!(world.post("/topics/b%C3%A4d", &[], "x").await.status.as_u16() / 100, 4);
}

#[tokio::test]
async fn a_stopping_host_takes_nothing() {
    let world = World::new("");
    world.stop.send_replace(true);
    let answer = world.post("/topics/orders", &[], "x").await;
    assert_eq!(answer.failure(), "503 E0417");
    assert_eq!(answer.headers["retry-after"], "30");
    assert!(world.records("orders").is_empty());
    assert_eq!(world.get("/topics/orders/events").await.failure(), "503 E0417");
}

#[tokio::test]
async fn short_storage_refuses_ingest_and_says_so() {
    let free = World::new("").host.store().space().free.0;
    // Between the reserve and its quarter: topics can be made, events are not taken.
    let world = World::with_reserve("", Some(Size(free.saturating_mul(2))));
    let answer = world.post("/topics/orders", &[], "x").await;
    assert_eq!(answer.failure(), "507 E0209");
    assert_eq!(answer.headers["retry-after"], "30");
    let ready = world.get("/readyz").await;
    assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE);
    let checks = ready.json()["checks"].clone();
    let storage = checks.as_array().unwrap().iter().find(|it| it["name"] == "storage").unwrap();
    assert!(storage["reason"].as_str().unwrap().contains("bytes are free"), "{storage}");
}

#[tokio::test]
async fn ingest_is_counted() {
    let world = World::new("");
    let batch = json!([in_batch("a"), in_batch("b")]).to_string();
    world.post("/topics/orders", &[BATCH], &batch).await;
    world.post("/topics/orders", &[], "x").await;
    world.post("/nowhere", &[], "x").await;
    let text = world.get("/metrics").await.text;
    for line in [
        r#"gristmill_events_ingested_total{topic="orders"} 3"#,
        r#"gristmill_http_requests_total{route="POST /topics/{topic}",status="202"} 2"#,
        r#"gristmill_http_requests_total{route="unknown",status="404"} 1"#,
    ] {
        assert!(text.lines().any(|other| other == line), "{line} is not in\n{text}");
    }
}

#[tokio::test]
async fn events_without_key_spread_over_the_partitions() {
    let world = World::new("");
    for _ in 0..16 {
        world
            .send(axum::http::Request::post("/topics/orders").body(Body::from("x")).unwrap())
            .await;
    }
    let used: std::collections::BTreeSet<u32> =
        world.records("orders").iter().map(|(partition, _)| *partition).collect();
    assert_eq!(used.len(), 4);
}

#[tokio::test]
async fn a_key_of_several_fields_belongs_to_one_event() {
    let world = World::new("[topics.many]\nkey = \"{/tenant}:{/order/id}\"\n");
    let post = |body: serde_json::Value| {
        let world = &world;
        async move { world.post("/topics/many", &[], &body.to_string()).await }
    };
    for (tenant, id) in [("a:b", json!("c")), ("a", json!("b:c")), ("a", json!(7))] {
        let answer = post(json!({ "tenant": tenant, "order": { "id": id } })).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
    }
    let records = world.records("many");
    let keys = records.iter().filter_map(|(_, stored)| stored.key.as_deref());
    let mut keys: Vec<&str> = keys.map(|key| std::str::from_utf8(key).unwrap()).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["a%3Ab:c", "a:7", "a:b%3Ac"]);
    let missing = post(json!({ "tenant": "a" })).await;
    assert_eq!(missing.failure(), "400 E0424");
    assert!(missing.message().contains("/order/id"), "{}", missing.message());
}

//! Tests of what operators ask: health, topics, records, plugins, dead letters, the description.

use std::collections::BTreeSet;

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::super::{openapi, routes};
use super::{World, request};

#[tokio::test]
async fn readiness_names_what_is_missing() {
    let world = World::new("");
    assert_eq!(world.get("/healthz").await.text, "alive\n");
    let answer = world.get("/readyz").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "nothing was loaded yet");
    let body = answer.json();
    assert_eq!(body["ready"], false);
    let started = body["checks"].as_array().unwrap().iter().find(|it| it["name"] == "started");
    assert_eq!(started.unwrap()["reason"], "plugins are still loading");
    world.stop.send_replace(true);
    assert!(world.get("/readyz").await.text.contains("\"stopping\""));
    assert_eq!(world.get("/healthz").await.status, StatusCode::OK, "it lives until it ends");
}

#[tokio::test]
async fn what_nobody_serves_is_answered_in_json() {
    let world = World::new("");
    assert_eq!(world.get("/nowhere").await.failure(), "404 E0410");
    assert_eq!(world.get("/").await.failure(), "404 E0410");
    assert_eq!(world.get("/topics/orders").await.failure(), "405 E0411");
    let put = world.send(request("PUT", "/api/v1/topics", &[], "")).await;
    assert_eq!(put.failure(), "405 E0411");
    assert_eq!(put.message(), "/api/v1/topics does not answer PUT");
    assert_eq!(put.headers["allow"], "GET, POST");
}

#[tokio::test]
async fn topics_are_made_shown_and_deleted() {
    let world = World::new("");
    let wanted = json!({ "name": "audit", "partitions": 2, "retention_ms": 60_000 }).to_string();
    let made = world.post("/api/v1/topics", &[], &wanted).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    assert_eq!(made.json()["partitions"].as_array().unwrap().len(), 2);
    assert_eq!(world.post("/api/v1/topics", &[], &wanted).await.failure(), "409 E0212");
    world.post("/topics/audit?key=k", &[], "12345").await;
    let shown = world.get("/api/v1/topics/audit").await.json();
    assert_eq!((&shown["events"], &shown["bytes"]), (&json!(1), &json!(6)));
    assert_eq!(shown["retention_ms"], 60_000);
    assert_eq!(shown["used_by"], json!([]));
    let listed = world.get("/api/v1/topics").await.json();
    let names: Vec<_> = listed["topics"].as_array().unwrap().iter().map(|it| &it["name"]).collect();
    assert_eq!(names, ["audit", "orders", "seats", "small"]);
    let delete = || world.send(request("DELETE", "/api/v1/topics/audit", &[], ""));
    assert_eq!(delete().await.status, StatusCode::NO_CONTENT);
    assert_eq!(delete().await.failure(), "404 E0414");
    for (body, expected) in [
        ("", "400 E0215"),
        ("{", "400 E0416"),
        (r#"{"name":"x","sise":1}"#, "400 E0416"),
        (r#"{"name":"with blank"}"#, "400 E0215"),
        (r#"{"name":"__own"}"#, "400 E0415"),
        (r#"{"name":"x","partitions":0}"#, "400 E0215"),
    ] {
        assert_eq!(world.post("/api/v1/topics", &[], body).await.failure(), expected, "{body}");
    }
}

#[tokio::test]
async fn records_are_shown_as_what_they_are() {
    let world = World::new("");
    let json_media = ("content-type", "application/json");
    for (media, body) in [
        (json_media, "{\"a\":\n 1e3}"),
        (("content-type", "text/plain"), "17"),
        (json_media, "not JSON"),
        (json_media, ""),
    ] {
        assert_eq!(world.post("/topics/small", &[media], body).await.status, StatusCode::ACCEPTED);
    }
    let answer = world.get("/api/v1/topics/small/records?limit=10").await;
    assert!(answer.text.contains(r#""payload":{"a":  1e3}"#), "as it is written: {}", answer.text);
    let body = answer.json();
    let records = body["records"].as_array().unwrap();
    assert_eq!(records[1]["payload_base64"], "MTc=");
    assert_eq!(records[1]["headers"], json!([{ "name": "content-type", "value": "text/plain" }]));
    assert_eq!(records[2]["payload_base64"], "bm90IEpTT04=");
    assert_eq!(records[3]["payload"], Value::Null);
    assert_eq!((&body["next_offset"], &body["end_offset"]), (&json!(4), &json!(4)));
    assert!(records[0].get("key").is_none() && records[0].get("key_base64").is_none());
}

#[tokio::test]
async fn records_are_read_page_by_page() {
    let world = World::new("");
    for number in 0..5 {
        world.post("/topics/small?key=k", &[], &number.to_string()).await;
    }
    let page = world.get("/api/v1/topics/small/records?offset=1&limit=2").await.json();
    let offsets: Vec<_> =
        page["records"].as_array().unwrap().iter().map(|it| it["offset"].clone()).collect();
    assert_eq!(offsets, [1, 2]);
    assert_eq!((&page["next_offset"], &page["records"][0]["key"]), (&json!(3), &json!("k")));
    let latest = world.get("/api/v1/topics/small/records?from=latest").await.json();
    assert_eq!((&latest["records"], &latest["next_offset"]), (&json!([]), &json!(5)));
    let old = world.get("/api/v1/topics/small/records?from=2001-01-01T00:00:00Z").await.json();
    assert_eq!(old["records"].as_array().unwrap().len(), 5);
    for (query, expected) in [
        ("limit=1000", "200"),
        ("limit=1001", "400 E0415"),
        ("limit=0", "400 E0415"),
        ("partition=0", "200"),
        ("partition=1", "400 E0415"),
        ("offset=-1", "400 E0415"),
        ("from=yesterday", "400 E0415"),
        ("form=latest", "400 E0415"),
    ] {
        let answer = world.get(&format!("/api/v1/topics/small/records?{query}")).await;
        let found = if answer.status.is_success() { "200".into() } else { answer.failure() };
        assert_eq!(found, expected, "{query}");
    }
}

#[tokio::test]
async fn unknown_plugins_and_subscriptions_are_named() {
    let world = World::new("");
    assert_eq!(world.get("/api/v1/plugins").await.json(), json!({ "plugins": [] }));
    assert_eq!(world.get("/api/v1/subscriptions").await.json(), json!({ "subscriptions": [] }));
    assert_eq!(world.get("/api/v1/dlq").await.json(), json!({ "dead_letters": [] }));
    for (method, path) in [
        ("GET", "/api/v1/plugins/geo/history"),
        ("POST", "/api/v1/plugins/geo/rollback"),
        ("POST", "/api/v1/subscriptions/geo/pause"),
        ("POST", "/api/v1/subscriptions/geo/resume"),
        ("GET", "/api/v1/dlq/geo/events"),
        ("GET", "/api/v1/dlq/geo/events/t/0/0"),
        ("POST", "/api/v1/dlq/geo/redrive"),
    ] {
        let answer = world.send(request(method, path, &[], "")).await;
        assert_eq!(answer.failure(), "404 E0420", "{method} {path}: {}", answer.text);
        assert!(answer.message().contains("\"geo\""), "{}", answer.text);
    }
    for (path, body) in [
        ("/api/v1/dlq/geo/redrive", r#"{"limit":0}"#),
        ("/api/v1/dlq/geo/redrive", r#"{"limit":100001}"#),
        ("/api/v1/dlq/geo/redrive", r#"{"limit":1001,"dry_run":true}"#),
        ("/api/v1/dlq/geo/redrive", r#"{"filter":{"klass":"trap"}}"#),
        ("/api/v1/dlq/geo/redrive", r#"{"filter":{"ids":["no id"]}}"#),
        ("/api/v1/plugins/geo/rollback", r#"{"digest":"aa"}"#),
    ] {
        assert_eq!(world.post(path, &[], body).await.status, StatusCode::BAD_REQUEST, "{body}");
    }
    for query in ["after=x", "limit=1001", "since_ms=x", "redriven=maybe", "clas=trap"] {
        let answer = world.get(&format!("/api/v1/dlq/geo/events?{query}")).await;
        assert_eq!(answer.failure(), "400 E0415", "{query}");
    }
}

#[tokio::test]
async fn the_embedded_broker_has_no_groups_and_no_growth() {
    let world = World::new("");
    for (method, path) in [
        ("GET", "/api/v1/groups"),
        ("GET", "/api/v1/groups/gristmill-geo"),
        ("POST", "/api/v1/groups/gristmill-geo/reset"),
    ] {
        let answer = world.send(request(method, path, &[], r#"{"to":"latest"}"#)).await;
        assert_eq!(answer.failure(), "409 E0427", "{method} {path}: {}", answer.text);
        let hint = answer.json()["error"]["hint"].clone();
        assert!(hint.as_str().unwrap().contains("kind = \"kafka\""), "{hint}");
    }
    for (body, expected) in [
        ("", "400 E0415"),
        (r#"{"to":"beginning"}"#, "400 E0416"),
        (r#"{"to":{"offset":-1}}"#, "400 E0416"),
        (r#"{"to":"latest","state":"forget"}"#, "400 E0416"),
        (r#"{"to":"latest","partition":1}"#, "400 E0415"),
        (r#"{"to":"latest","dryrun":true}"#, "400 E0416"),
    ] {
        let answer = world.post("/api/v1/groups/gristmill-geo/reset", &[], body).await;
        assert_eq!(answer.failure(), expected, "{body}: {}", answer.text);
    }
    for (path, body, expected) in [
        ("/api/v1/topics/orders/partitions", r#"{"partitions":8}"#, "409 E0428"),
        ("/api/v1/topics/nowhere/partitions", r#"{"partitions":8}"#, "404 E0414"),
        ("/api/v1/topics/orders/partitions", r#"{"partition":8}"#, "400 E0416"),
    ] {
        assert_eq!(world.post(path, &[], body).await.failure(), expected, "{path} {body}");
    }
}

#[tokio::test]
async fn the_description_has_every_route_and_no_other() {
    let document: Value = serde_json::from_str(openapi::DOCUMENT).unwrap();
    let mut described = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            described.insert(format!("{method} {path}"));
        }
    }
    let served: BTreeSet<String> = routes()
        .iter()
        .flat_map(|route| {
            route.methods.iter().map(|(method, _)| format!("{method} {}", route.path))
        })
        .collect();
    assert_eq!(described, served);
    let world = World::new("");
    assert_eq!(world.get("/api/v1/openapi.json").await.json(), document);
    for route in routes() {
        // The methods beside each route are those its handler answers.
        let path = route.path.replace(['{', '}'], "");
        for method in ["GET", "POST", "DELETE"] {
            if route.path.ends_with("/events") && method == "GET" && path.starts_with("/topics") {
                continue;
            }
            let answer = world.send(request(method, &path, &[], "")).await;
            let method_name = method.to_ascii_lowercase();
            let listed = route.methods.iter().any(|(listed, _)| *listed == method_name);
            let is_refused = answer.status == StatusCode::METHOD_NOT_ALLOWED;
            assert_eq!(is_refused, !listed, "{method} {path}");
        }
    }
}

#[test]
fn every_reference_in_the_description_leads_somewhere() {
    let document: Value = serde_json::from_str(openapi::DOCUMENT).unwrap();
    let mut open = vec![&document];
    let mut references = 0;
    while let Some(value) = open.pop() {
        match value {
            Value::Object(fields) => {
                if let Some(Value::String(reference)) = fields.get("$ref") {
                    let pointer = reference.trim_start_matches('#');
                    assert!(document.pointer(pointer).is_some(), "{reference}");
                    references += 1;
                }
                open.extend(fields.values());
            }
            Value::Array(items) => open.extend(items),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    assert!(references > 50, "{references}");
}

#[test]
fn every_code_of_this_crates_edge_has_its_page() {
    let sources = [include_str!("../error.rs"), include_str!("../../envelope/invalid.rs")];
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/errors");
    let mut codes = BTreeSet::new();
    for source in sources {
        for (at, _) in source.match_indices("\"E04") {
            codes.insert(&source[at + 1..at + 6]);
        }
    }
    assert!(codes.len() > 18, "{codes:?}");
    for code in codes {
        let page = std::fs::read_to_string(format!("{folder}/{code}.md")).unwrap_or_default();
        assert!(page.starts_with(&format!("# {code}: ")), "docs/errors/{code}.md");
    }
}

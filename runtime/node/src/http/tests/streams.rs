//! Tests of event streams: order, resumption, filters, heartbeat, limits and the end.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::{Request, StatusCode};
use futures_util::StreamExt;
use serde_json::Value;
use tokio::time::timeout;
use tower::ServiceExt;

use super::{World, request};
use crate::http::{Server, answer};

/// Longest wait for anything; only reached by a failing test.
const PATIENCE: Duration = Duration::from_secs(20);

/// An open stream, read block by block.
struct Client {
    body: BodyDataStream,
    read: String,
    /// Where it said that it begins.
    place: String,
}

impl Client {
    async fn open(world: &World, path: &str, last: Option<&str>) -> Self {
        let mut request = Request::get(path);
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let request = request.body(Body::empty()).unwrap();
        let response = world.router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream; charset=utf-8");
        let mut client = Self {
            body: response.into_body().into_data_stream(),
            read: String::new(),
            place: String::new(),
        };
        let begin = client.block().await.unwrap();
        assert!(begin.contains("retry: 1000"), "{begin}");
        begin.lines().find_map(|it| it.strip_prefix("id: ")).unwrap().clone_into(&mut client.place);
        client
    }

    /// The next block; `None` at the end of the stream.
    async fn block(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.read.find("\n\n") {
                let rest = self.read.split_off(end + 2);
                let block = std::mem::replace(&mut self.read, rest);
                return Some(block.trim_end().to_owned());
            }
            let more = timeout(PATIENCE, self.body.next()).await.expect("something comes in time");
            self.read.push_str(std::str::from_utf8(&more?.unwrap()).unwrap());
        }
    }

    /// The next event, without heartbeats: its id and its data.
    async fn event(&mut self) -> (String, Value) {
        loop {
            let block = self.block().await.expect("the stream goes on");
            let field = |name: &str| {
                block.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned)
            };
            if let (Some(id), Some(data)) = (field("id: "), field("data: ")) {
                return (id, serde_json::from_str(&data).unwrap());
            }
        }
    }
}

async fn publish(world: &World, key: &str, body: &str) {
    let answer = world.post(&format!("/topics/orders?key={key}"), &[], body).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn a_stream_begins_where_it_is_asked_and_goes_on() {
    let world = World::new("");
    publish(&world, "a", "1").await;
    let mut from_start = Client::open(&world, "/topics/orders/events?from=earliest", None).await;
    assert_eq!(from_start.event().await.1["payload"], 1);
    let mut from_now = Client::open(&world, "/topics/orders/events", None).await;
    publish(&world, "a", "{\"two\":\n2}").await;
    // Its connection broke before it was told anything.
    let place = from_now.place.clone();
    let mut again = Client::open(&world, "/topics/orders/events", Some(&place)).await;
    for client in [&mut from_start, &mut from_now, &mut again] {
        let (_, event) = client.event().await;
        assert_eq!(event["payload"]["two"], 2, "line breaks between tokens do not tear a block");
        assert_eq!((&event["topic"], &event["key"]), (&"orders".into(), &"a".into()));
    }
}

#[tokio::test]
async fn a_reader_that_comes_back_misses_nothing_and_sees_nothing_twice() {
    let world = World::new("");
    for number in 0..40 {
        publish(&world, &format!("k{}", number % 7), &number.to_string()).await;
    }
    let mut seen = Vec::new();
    let mut last: Option<String> = None;
    // Every life reads a few events, of whichever partitions, and is cut.
    while seen.len() < 40 {
        let path = "/topics/orders/events?from=earliest";
        let mut client = Client::open(&world, path, last.as_deref()).await;
        for _ in 0..8 {
            let (id, event) = client.event().await;
            seen.push(event["payload"].as_u64().unwrap());
            last = Some(id);
        }
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..40).collect::<Vec<_>>());
    let mut client = Client::open(&world, "/topics/orders/events", last.as_deref()).await;
    publish(&world, "z", "40").await;
    assert_eq!(client.event().await.1["payload"], 40);
}

#[tokio::test]
async fn only_what_is_asked_for_is_streamed() {
    let world = World::new("");
    let ce = |kind: &'static str| {
        [("ce-specversion", "1.0"), ("ce-id", "e"), ("ce-source", "/s"), ("ce-type", kind)]
    };
    world.post("/topics/orders", &ce("cart.changed"), "1").await;
    world.post("/topics/orders", &ce("order.placed"), "2").await;
    world.post("/topics/orders", &[], r#"{"eventType":"order.paid"}"#).await;
    world.post("/topics/orders", &[], "3").await;
    let path = "/topics/orders/events?from=earliest&type=order.*";
    let mut client = Client::open(&world, path, None).await;
    let mut found =
        [client.event().await.1, client.event().await.1].map(|it| it["payload"].clone());
    found.sort_by_key(ToString::to_string);
    assert_eq!(found, [Value::from(2), serde_json::json!({ "eventType": "order.paid" })]);

    let (partition, stored) = world.records("orders").pop().unwrap();
    let path = format!("/topics/orders/events?from=earliest&partition={partition}");
    let mut client = Client::open(&world, &path, None).await;
    let (id, event) = client.event().await;
    assert_eq!(
        (&event["partition"], &event["offset"]),
        (&partition.into(), &stored.offset.0.into())
    );
    assert_eq!(id, format!("{partition}:{}", stored.offset.0 + 1), "one partition, one place");
}

#[tokio::test]
async fn a_silent_stream_beats_and_carries_the_place_past_what_was_filtered() {
    let world = World::new("[http]\nheartbeat = \"1s\"");
    publish(&world, "a", "1").await;
    let path = "/topics/orders/events?from=earliest&type=none";
    let mut client = Client::open(&world, path, None).await;
    let beat = client.block().await.unwrap();
    assert!(beat.starts_with(": heartbeat\nid: "), "{beat}");
    assert!(beat.contains(":1"), "the filtered event is behind: {beat}");
}

#[tokio::test]
async fn streams_are_limited_and_given_back() {
    let world = World::new("[http]\nreaders_max = 1");
    let client = Client::open(&world, "/topics/orders/events", None).await;
    let refused = world.get("/topics/orders/events").await;
    assert_eq!(refused.failure(), "503 E0418");
    assert!(world.get("/metrics").await.text.contains("gristmill_http_event_streams 1"));
    drop(client);
    let given_back = async {
        while !world.get("/metrics").await.text.contains("gristmill_http_event_streams 0") {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, given_back).await.expect("a reader that hangs up gives its place back");
    drop(Client::open(&world, "/topics/orders/events", None).await);
}

#[tokio::test]
async fn wrong_places_are_refused() {
    let world = World::new("");
    for (path, last, expected) in [
        ("/topics/order/events", None, "404 E0414"),
        ("/topics/orders/events?partition=4", None, "400 E0415"),
        ("/topics/orders/events?from=noon", None, "400 E0415"),
        ("/topics/orders/events?typ=x", None, "400 E0415"),
        ("/topics/orders/events", Some("nonsense"), "400 E0415"),
        ("/topics/orders/events?last_event_id=0:x", None, "400 E0415"),
    ] {
        let headers: Vec<_> = last.map(|last| ("last-event-id", last)).into_iter().collect();
        let answer = world.send(request("GET", path, &headers, "")).await;
        assert_eq!(answer.failure(), expected, "{path}");
    }
}

#[tokio::test]
async fn a_stopping_host_says_goodbye_and_the_server_ends() {
    let world = World::new("");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::start(listener);
    answer(&server, world.host.clone());
    let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
    let ask = "GET /topics/orders/events HTTP/1.1\r\nhost: x\r\n\r\n";
    tokio::io::AsyncWriteExt::write_all(&mut socket, ask.as_bytes()).await.unwrap();
    let mut read = String::new();
    let mut buffer = [0; 4_096];
    while !read.contains("retry: 1000") {
        let count = timeout(PATIENCE, tokio::io::AsyncReadExt::read(&mut socket, &mut buffer));
        let count = count.await.expect("the stream opens in time").unwrap();
        read.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
    }
    let closed = tokio::spawn(server.closed());
    let end = tokio::io::AsyncReadExt::read_to_string(&mut socket, &mut read);
    timeout(PATIENCE, end).await.expect("the stream ends in time").unwrap();
    assert!(read.contains(": the host is stopping\n\n"), "{read}");
    timeout(PATIENCE, closed).await.expect("the server ends in time").unwrap().unwrap();
}

/// Events of one request: more than a stream may be behind.
const MANY: usize = 3_000;

#[tokio::test]
async fn readers_that_fall_behind_miss_nothing_and_see_nothing_twice() {
    let world = World::new("[http]\nbody_bytes_max = \"8MiB\"");
    publish(&world, "a", "0").await;
    let mut whole = Client::open(&world, "/topics/orders/events?from=earliest", None).await;
    let mut now = Client::open(&world, "/topics/orders/events", None).await;
    let mut one = Client::open(&world, "/topics/orders/events?partition=1", None).await;
    let event = |number: usize| {
        serde_json::json!({
            "specversion": "1.0", "id": number.to_string(), "source": "/t", "type": "t",
            "partitionkey": number.to_string(), "data": number,
        })
    };
    let batch: Value = (1..=MANY).map(event).collect();
    let media = [("content-type", "application/cloudevents-batch+json")];
    let answer = world.post("/topics/orders", &media, &batch.to_string()).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    for (client, first) in [(&mut whole, 0), (&mut now, 1)] {
        let mut seen = vec![false; MANY + 1];
        let mut ends = std::collections::BTreeMap::new();
        for _ in first..=MANY {
            let (id, event) = client.event().await;
            let number = usize::try_from(event["payload"].as_u64().unwrap()).unwrap();
            assert!(!std::mem::replace(&mut seen[number], true), "{number} twice");
            let (partition, offset) = (&event["partition"], event["offset"].as_u64().unwrap());
            let before = ends.insert(partition.to_string(), offset);
            assert!(before.is_none_or(|before| before + 1 == offset), "{before:?} {event}");
            let place = format!("{partition}:{}", offset + 1);
            assert!(id.split(',').any(|part| part == place), "{id} after {event}");
        }
        assert_eq!(seen.iter().skip(first).filter(|seen| !**seen).count(), 0);
    }
    let (id, event) = one.event().await;
    assert_eq!((id, &event["partition"]), ("1:1".to_owned(), &1.into()), "of that one alone");
}

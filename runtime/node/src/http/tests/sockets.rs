//! Tests of event streams over a WebSocket, on real connections.

use std::net::SocketAddr;
use std::time::Duration;

use axum::http::StatusCode;
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::access::admitting;
use super::{Answer, World, request};

/// Longest wait for anything; only reached by a failing test.
const PATIENCE: Duration = Duration::from_secs(20);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Serves a world on an address of its own.
async fn serve(world: &World) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = world.router.clone();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// Connects, with these headers.
async fn connect(
    address: SocketAddr,
    path: &str,
    headers: &[(&'static str, &str)],
) -> Result<(Socket, Option<String>), Error> {
    let mut request = format!("ws://{address}{path}").into_client_request().unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    let (socket, answer) = connect_async(request).await?;
    let protocol = answer.headers().get("sec-websocket-protocol");
    Ok((socket, protocol.map(|it| it.to_str().unwrap().to_owned())))
}

/// The status and code that a connection was refused with.
async fn refused(address: SocketAddr, path: &str, headers: &[(&'static str, &str)]) -> String {
    match connect(address, path, headers).await.map(|_| ()) {
        Err(Error::Http(answer)) => {
            let body: Value = serde_json::from_slice(answer.body().as_ref().unwrap()).unwrap();
            format!("{} {}", answer.status().as_u16(), body["error"]["code"].as_str().unwrap())
        }
        other => panic!("it was not refused: {other:?}"),
    }
}

async fn next(socket: &mut Socket) -> Value {
    loop {
        let message = timeout(PATIENCE, socket.next()).await.expect("something comes in time");
        if let Message::Text(text) = message.unwrap().unwrap() {
            return serde_json::from_str(&text).unwrap();
        }
    }
}

async fn publish(world: &World, key: &str, body: &str) {
    let answer = world.post(&format!("/topics/orders?key={key}"), &[], body).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn a_socket_begins_goes_on_and_resumes() {
    let world = World::new("");
    let address = serve(&world).await;
    publish(&world, "a", "1").await;
    let path = "/topics/orders/events";
    let (mut late, protocol) = connect(address, path, &[]).await.unwrap();
    assert_eq!(protocol, None);
    let begun = next(&mut late).await;
    assert_eq!(begun["topic"], "orders");
    let from_start = format!("{path}?from=earliest");
    let (mut early, _) = connect(address, &from_start, &[]).await.unwrap();
    assert_eq!(next(&mut early).await["topic"], "orders");
    let first = next(&mut early).await;
    assert_eq!(first["event"]["payload"], 1);
    assert_eq!(first["id"], begun["id"], "behind all there is");
    // What the other side says does not matter, and a ping is answered.
    early.send(Message::text("hello")).await.unwrap();
    early.send(Message::Ping("p".into())).await.unwrap();
    publish(&world, "b", "{\"two\": 2}").await;
    for socket in [&mut early, &mut late] {
        let event = next(socket).await;
        assert_eq!(
            (&event["event"]["key"], &event["event"]["payload"]["two"]),
            (&"b".into(), &2.into())
        );
    }
    publish(&world, "c", "3").await;
    let resumed = format!("{path}?last_event_id={}", first["id"].as_str().unwrap());
    let (mut again, _) = connect(address, &resumed, &[]).await.unwrap();
    assert_eq!(next(&mut again).await["id"], first["id"]);
    let mut seen = [next(&mut again).await, next(&mut again).await];
    seen.sort_by_key(|it| it["event"]["key"].to_string());
    assert_eq!(seen.map(|it| it["event"]["key"].clone()), ["b", "c"]);
}

#[tokio::test]
async fn a_stopping_host_closes_sockets_and_says_why() {
    let world = World::new("");
    let address = serve(&world).await;
    let (mut socket, _) = connect(address, "/topics/orders/events", &[]).await.unwrap();
    next(&mut socket).await;
    world.stop.send_replace(true);
    let closed = timeout(PATIENCE, socket.next()).await.unwrap().unwrap().unwrap();
    let Message::Close(Some(close)) = closed else { panic!("{closed:?}") };
    assert_eq!((u16::from(close.code), close.reason.as_str()), (1001, "the host is stopping"));
}

#[tokio::test]
async fn sockets_count_as_streams_until_they_leave() {
    let world = World::new("[http]\nreaders_max = 1\n");
    let address = serve(&world).await;
    let path = "/topics/orders/events";
    let (mut socket, _) = connect(address, path, &[]).await.unwrap();
    next(&mut socket).await;
    assert_eq!(refused(address, path, &[]).await, "503 E0418");
    socket.close(None).await.unwrap();
    let again = timeout(PATIENCE, async {
        loop {
            if let Ok(again) = connect(address, path, &[]).await {
                break again;
            }
            tokio::task::yield_now().await;
        }
    });
    again.await.expect("its place is free when it has left");
}

#[tokio::test]
async fn who_may_not_is_refused_before_the_socket_opens() {
    let world = admitting(&[("page", "roles = [\"read\"]")]);
    let address = serve(&world).await;
    let path = "/topics/orders/events";
    assert_eq!(refused(address, path, &[]).await, "401 E0441");
    let offered = [("sec-websocket-protocol", "gristmill, bearer.guess")];
    assert_eq!(refused(address, path, &offered).await, "401 E0441");
    let offered = [("sec-websocket-protocol", "gristmill, bearer.secret-page")];
    let (mut socket, protocol) = connect(address, path, &offered).await.unwrap();
    assert_eq!(protocol.as_deref(), Some("gristmill"), "the token is not said again");
    assert_eq!(next(&mut socket).await["topic"], "orders");
    let world = World::new("");
    let address = serve(&world).await;
    let foreign = [("origin", "https://evil.example")];
    assert_eq!(refused(address, path, &foreign).await, "403 E0425");
    assert_eq!(refused(address, "/topics/order/events", &[]).await, "404 E0414");
    let own = format!("http://{address}");
    let own = [("origin", own.as_str()), ("sec-websocket-protocol", "gristmill, bearer.t")];
    let (mut socket, protocol) = connect(address, path, &own).await.unwrap();
    assert_eq!(protocol.as_deref(), Some("gristmill"));
    assert_eq!(next(&mut socket).await["topic"], "orders");
}

#[tokio::test]
async fn pages_that_are_admitted_may_follow_publish_and_ask_before() {
    let world = World::new("[http]\norigins = [\"http://127.0.0.1:8000\", \"https://*.shop.com\"]");
    let address = serve(&world).await;
    let path = "/topics/orders/events";
    for (origin, is_admitted) in [
        ("http://127.0.0.1:8000", true),
        ("https://www.shop.com", true),
        ("http://www.shop.com", false),
        ("https://shop.com", false),
        ("http://127.0.0.1:8001", false),
        ("null", false),
    ] {
        let page = [("origin", origin), ("host", "127.0.0.1")];
        let answer = world.post("/topics/orders", &page, "x").await;
        let asks = [page[0], page[1], ("access-control-request-method", "POST")];
        let asks = [&asks[..], &[("access-control-request-headers", "authorization")]].concat();
        let before = world.send(request("OPTIONS", "/topics/orders", &asks, "")).await;
        let read = world.send(request("GET", "/api/v1/topics", &page, "")).await;
        assert_eq!(read.status, StatusCode::OK, "{origin}");
        let told = |answer: &Answer, name: &str| {
            answer.headers.get(name).map(|it| it.to_str().unwrap().to_owned())
        };
        let admitted = is_admitted.then(|| origin.to_owned());
        for answer in [&before, &read] {
            assert_eq!(told(answer, "access-control-allow-origin"), admitted, "{origin}");
        }
        if is_admitted {
            assert_eq!((answer.status, before.status.as_u16()), (StatusCode::ACCEPTED, 204));
            let headers = told(&before, "access-control-allow-headers");
            assert_eq!(headers.as_deref(), Some("authorization"));
            let (mut socket, _) = connect(address, path, &[("origin", origin)]).await.unwrap();
            assert_eq!(next(&mut socket).await["topic"], "orders");
        } else {
            assert_eq!(answer.failure(), "403 E0425", "{origin}");
            assert_eq!(refused(address, path, &[("origin", origin)]).await, "403 E0425");
        }
    }
}

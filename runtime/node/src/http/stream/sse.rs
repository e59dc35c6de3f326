//! Gives a stream the form of server-sent events.

use std::convert::Infallible;

use axum::body::Body;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use serde_json::json;

use super::{End, Frame, Frames};

/// The stream as the body of an answer.
pub(super) fn answer(frames: Frames) -> Response {
    let next = |frames: Option<Frames>| async move {
        let mut frames = frames?;
        match frames.next().await {
            Ok(frame) => Some((Ok::<_, Infallible>(block(frame)), Some(frames))),
            Err(end) => Some((Ok(last(&end)), None)),
        }
    };
    let body = Body::from_stream(stream::unfold(Some(frames), next));
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, body).into_response()
}

fn block(frame: Frame) -> Bytes {
    Bytes::from(match frame {
        Frame::Begin { topic, .. } => format!(": stream of {topic}\nretry: 1000\n\n"),
        Frame::Event { id, json } => format!("id: {id}\ndata: {json}\n\n"),
        // The id without data moves the reader's place on past what was filtered.
        Frame::Heartbeat { id } => format!(": heartbeat\nid: {id}\n\n"),
        Frame::Gap(json) => format!("event: gap\ndata: {json}\n\n"),
    })
}

fn last(end: &End) -> Bytes {
    match end {
        End::Stopping => Bytes::from_static(b": the host is stopping\n\n"),
        End::Gone | End::Failed(_) => {
            let data = json!({ "error": { "code": end.code(), "message": end.reason() } });
            Bytes::from(format!("event: error\ndata: {data}\n\n"))
        }
    }
}

//! Gives a stream the form of server-sent events.

use std::convert::Infallible;

use axum::body::Body;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use futures_util::stream;
use serde_json::json;

use super::{End, Frame, Frames};

/// Bytes of what waits that one write carries, at least.
const WRITE_BYTES: usize = 16 << 10;

/// The stream as the body of an answer.
pub(super) fn answer(frames: Frames) -> Response {
    let next = |frames: Option<Frames>| async move {
        let mut frames = frames?;
        match frames.next().await {
            Ok(frame) => {
                let blocks = whole(block(frame), &mut frames);
                Some((Ok::<_, Infallible>(blocks), Some(frames)))
            }
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

/// A block with those that wait behind it: one write carries them all.
fn whole(first: Bytes, frames: &mut Frames) -> Bytes {
    let Some(second) = frames.next_waiting() else { return first };
    let mut blocks = BytesMut::from(first);
    blocks.extend_from_slice(&block(second));
    while blocks.len() < WRITE_BYTES
        && let Some(frame) = frames.next_waiting()
    {
        blocks.extend_from_slice(&block(frame));
    }
    blocks.freeze()
}

fn block(frame: Frame) -> Bytes {
    Bytes::from(match frame {
        Frame::Shared(event) => {
            let block = || format!("id: {}\ndata: {}\n\n", event.id, event.json).into();
            return event.block.get_or_init(block).clone();
        }
        // Who loses the connection before there was any event goes on here too.
        Frame::Begin { topic, id } => {
            format!(": stream of {topic}\nid: {id}\nretry: 1000\n\n")
        }
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

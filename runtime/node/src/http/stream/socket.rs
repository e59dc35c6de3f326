//! Gives a stream the form of messages of a WebSocket: one JSON object each. What the other side
//! says is not listened to, but for that it leaves.

use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::response::Response;
use serde_json::json;
use tokio::time::timeout;

use super::{End, Frame, Frames, STALL_MAX};

/// The protocol that is agreed on where the other side names any.
const PROTOCOL: &str = "gristmill";
/// Largest message that is taken from the other side, in bytes, though none is needed.
const MESSAGE_MAX: usize = 4_096;

/// The stream over the connection that the request came on.
pub(super) fn answer(upgrade: WebSocketUpgrade, frames: Frames) -> Response {
    let upgrade = upgrade.protocols([PROTOCOL]).max_message_size(MESSAGE_MAX);
    upgrade.on_upgrade(move |socket| carry(socket, frames))
}

async fn carry(mut socket: WebSocket, mut frames: Frames) {
    let end = loop {
        tokio::select! {
            frame = frames.next() => match frame {
                Ok(frame) => if !say(&mut socket, text(frame)).await { return },
                Err(end) => break end,
            },
            heard = socket.recv() => match heard {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                // A ping is answered on the way.
                Some(Ok(_)) => {}
            },
        }
    };
    if end != End::Stopping {
        let error = json!({ "error": { "code": end.code(), "message": end.reason() } });
        if !say(&mut socket, error.to_string()).await {
            return;
        }
    }
    let code = match end {
        End::Gone => close_code::AGAIN,
        End::Failed(_) => close_code::ERROR,
        End::Stopping => close_code::AWAY,
    };
    // A reason has at most 123 bytes (source: RFC 6455, section 5.5), and the error is said.
    let reason = if let End::Failed(_) = end { "error" } else { end.reason() };
    let close = Message::Close(Some(CloseFrame { code, reason: reason.into() }));
    // Whoever has left need not be told.
    drop(timeout(STALL_MAX, socket.send(close)).await);
}

/// Whether a message was taken in time.
async fn say(socket: &mut WebSocket, text: String) -> bool {
    matches!(timeout(STALL_MAX, socket.send(Message::Text(text.into()))).await, Ok(Ok(())))
}

fn text(frame: Frame) -> String {
    match frame {
        Frame::Begin { topic, id } => json!({ "topic": &*topic, "id": id }).to_string(),
        // An id is of digits, colons and commas.
        Frame::Shared(event) => format!("{{\"id\":\"{}\",\"event\":{}}}", event.id, event.json),
        Frame::Event { id, json } => format!("{{\"id\":\"{id}\",\"event\":{json}}}"),
        Frame::Heartbeat { id } => json!({ "id": id }).to_string(),
        Frame::Gap(json) => format!("{{\"gap\":{json}}}"),
    }
}

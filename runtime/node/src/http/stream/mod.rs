//! Streams a topic, as server-sent events or over a WebSocket. A reader that reconnects goes on
//! exactly where it was, in every partition; one that does not keep up is let go, and told so.

mod hub;
mod reader;
mod socket;
mod sse;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, header};
use axum::response::Response;
use bytestring::ByteString;
use gristmill_config::Glob;
use gristmill_engine::PartitionId;
use tokio::sync::mpsc;

use self::hub::Happened;
pub(super) use self::hub::Hubs;
use self::reader::{Places, Reader};
use super::error::ApiError;
use super::query::{Parameters, Start};
use super::{Api, topics};

/// Frames waiting for whoever reads. With the read limits this bounds what a stream holds.
const FRAMES_MAX: usize = 64;
/// Longest wait for room among the frames, or for a frame to be taken, before whoever reads counts
/// as gone.
const STALL_MAX: Duration = Duration::from_secs(30);

/// What a stream says.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Frame {
    /// It has begun, there.
    Begin { topic: ByteString, id: String },
    /// An event as JSON, and where to go on after it.
    Event { id: String, json: String },
    /// The same, made ready for many.
    Shared(Arc<Happened>),
    /// Nothing happens, and where to go on.
    Heartbeat { id: String },
    /// Events are gone that would have come, as JSON.
    Gap(String),
}

/// Why a stream ended; said when everything before it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
enum End {
    /// Whoever reads hung up, or does not keep up.
    Gone,
    /// It is told so.
    Failed(String),
    /// The host stops.
    Stopping,
}

impl End {
    /// Code of what is an error.
    fn code(&self) -> &'static str {
        match self {
            Self::Gone => "E0418",
            Self::Failed(_) | Self::Stopping => "E0422",
        }
    }

    /// Why, in words.
    fn reason(&self) -> &str {
        match self {
            Self::Gone => "the reader does not keep up",
            Self::Failed(reason) => reason,
            Self::Stopping => "the host is stopping",
        }
    }
}

/// What comes out of a reader: frames, and after the last one why there are no more.
#[derive(Debug)]
struct Frames {
    waiting: mpsc::Receiver<Frame>,
    end: Arc<OnceLock<End>>,
}

impl Frames {
    /// The next frame, or why there is none.
    async fn next(&mut self) -> Result<Frame, End> {
        match self.waiting.recv().await {
            Some(frame) => Ok(frame),
            None => Err(self.end.get().cloned().unwrap_or(End::Stopping)),
        }
    }

    /// One more that waits already.
    fn next_waiting(&mut self) -> Option<Frame> {
        self.waiting.try_recv().ok()
    }
}

/// Events of a topic, from now or from a place on, without end.
pub(super) async fn events(
    State(api): State<Api>,
    Path(name): Path<String>,
    parameters: Parameters,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    api.accepting()?;
    let upgrade = match upgrade {
        Ok(upgrade) => Some(upgrade),
        Err(rejection) if asks_for_socket(&headers) => {
            return Err(ApiError::json("the request for a WebSocket", rejection));
        }
        Err(_) => None,
    };
    let parameters = parameters.only(&["from", "partition", "type", "last_event_id"])?;
    let frames = open(&api, &name, &parameters, &headers).await?;
    Ok(match upgrade {
        Some(upgrade) => socket::answer(upgrade, frames),
        None => sse::answer(frames),
    })
}

/// Whether a request wants to go on as a WebSocket (source: RFC 6455, section 4.1).
pub(super) fn asks_for_socket(headers: &HeaderMap) -> bool {
    let upgrade = headers.get(header::UPGRADE).and_then(|value| value.to_str().ok());
    upgrade.is_some_and(|value| value.eq_ignore_ascii_case("websocket"))
}

/// Begins to read what a request asks for.
async fn open(
    api: &Api,
    name: &str,
    parameters: &Parameters,
    headers: &HeaderMap,
) -> Result<Frames, ApiError> {
    let topic = api.host.topic(name, false).await?;
    let partition = parameters.partition(topic.partitions)?;
    let start = parameters.start()?.unwrap_or(Start::Latest);
    let given = headers.get("last-event-id").and_then(|value| value.to_str().ok());
    let given = given.or(parameters.text("last_event_id")).map(str::to_owned);
    let filter = parameters.text("type").map(Glob::new);
    let permit = Arc::clone(&api.streams).try_acquire_owned();
    let permit = permit.map_err(|_full| ApiError::too_many_streams(api.streams_max))?;
    // Joined before the first look: what is appended in between is told.
    let news = api.hubs.join(api, &topic).await?;
    let of = topic.clone();
    let places = api
        .blocking(move |host| {
            let wanted = (0..of.partitions).filter(|it| partition.is_none_or(|one| one == *it));
            wanted
                .map(|it| {
                    let from = topics::begin(host.broker(), &of, PartitionId(it), start)?;
                    Ok((PartitionId(it), from))
                })
                .collect::<Result<Vec<_>, _>>()
        })
        .await?;
    let places = match given.as_deref().filter(|text| !text.is_empty()) {
        Some(text) => Places(places).resumed(text)?,
        None => Places(places),
    };
    api.show_streams();
    let (frames, waiting) = mpsc::channel(FRAMES_MAX);
    let end = Arc::new(OnceLock::new());
    let reader =
        Reader { topic, places, filter, frames, stall_max: STALL_MAX, end: Arc::clone(&end) };
    tokio::spawn(reader.run(api.clone(), news, permit));
    Ok(Frames { waiting, end })
}

//! Streams a topic as server-sent events. A reader that reconnects goes on exactly where it was,
//! in every partition; one that does not keep up is let go, and told so.

use std::convert::Infallible;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use gristmill_config::Glob;
use gristmill_engine::{Bytes as Size, Offset, PartitionId, TopicId};
use gristmill_store::{ReadLimit, Stored, Topic};
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, broadcast, mpsc, watch};
use tokio::time::{Interval, MissedTickBehavior};

use super::error::ApiError;
use super::event_json::EventJson;
use super::query::{Parameters, Start};
use super::{Api, topics};
use crate::broker;
use crate::envelope::kind_of;
use crate::host::Host;

/// Events read from one partition in one turn.
const READ_EVENTS_MAX: u32 = 100;
/// Bytes read in one turn; one event more than this is still read whole.
const READ_BYTES_MAX: Size = Size::mib(1);
/// Frames waiting for the reader. With the read limits this bounds what a stream holds.
const FRAMES_MAX: usize = 64;
/// Longest wait for room among the frames before a reader counts as gone.
const STALL_MAX: Duration = Duration::from_secs(30);

type Growth = broadcast::Receiver<Arc<[(TopicId, PartitionId)]>>;

/// Events of a topic, from now or from a place on, without end.
pub(super) async fn events(
    State(api): State<Api>,
    Path(name): Path<String>,
    parameters: Parameters,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    if api.host.is_stopping() {
        return Err(ApiError::stopping());
    }
    let parameters = parameters.only(&["from", "partition", "type", "last_event_id"])?;
    let topic = api.host.topic(&name, false).await?;
    let partition = parameters.partition(topic.partitions)?;
    let start = parameters.start()?.unwrap_or(Start::Latest);
    let given = headers.get("last-event-id").and_then(|value| value.to_str().ok());
    let given = given.or(parameters.text("last_event_id")).map(str::to_owned);
    let filter = parameters.text("type").map(Glob::new);
    let permit = Arc::clone(&api.streams).try_acquire_owned();
    let permit = permit.map_err(|_full| ApiError::too_many_streams(api.streams_max))?;
    // Subscribed before the first look: what is appended in between is noticed.
    let growth = api.host.growth();
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
    let last_word = Arc::new(OnceLock::new());
    let stall_max = STALL_MAX;
    let word = Arc::clone(&last_word);
    let reader = Reader { topic, places, filter, frames, stall_max, last_word: word };
    tokio::spawn(reader.run(api, growth, permit));
    Ok(answer(waiting, last_word))
}

/// Where a reader stands in each partition it reads: the next offset. Its text is the id of every
/// event, `partition:offset` joined by commas, because the last one received must tell it all.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Places(Vec<(PartitionId, Offset)>);

impl Places {
    fn text(&self) -> String {
        let one =
            |(partition, offset): &(PartitionId, Offset)| format!("{}:{}", partition.0, offset.0);
        self.0.iter().map(one).collect::<Vec<_>>().join(",")
    }

    /// These places, moved to where `text` says; partitions it does not name stay.
    fn resumed(mut self, text: &str) -> Result<Self, ApiError> {
        let wrong = || ApiError::parameter("Last-Event-ID", text, "partition:offset,…");
        for part in text.split(',') {
            let (partition, offset) = part.trim().split_once(':').ok_or_else(wrong)?;
            let partition = PartitionId(partition.parse().map_err(|_no_number| wrong())?);
            let offset = Offset(offset.parse().map_err(|_no_number| wrong())?);
            if let Some(place) = self.0.iter_mut().find(|place| place.0 == partition) {
                place.1 = offset;
            }
        }
        Ok(self)
    }
}

/// Why a stream ended early; told when everything before it was read.
type LastWord = Arc<OnceLock<Bytes>>;

fn answer(waiting: mpsc::Receiver<Bytes>, last_word: LastWord) -> Response {
    let next = |(mut waiting, last_word): (mpsc::Receiver<Bytes>, Option<LastWord>)| async move {
        if let Some(frame) = waiting.recv().await {
            return Some((Ok::<_, Infallible>(frame), (waiting, last_word)));
        }
        let word = last_word.as_ref().and_then(|word| word.get().cloned())?;
        Some((Ok(word), (waiting, None)))
    };
    let body = Body::from_stream(stream::unfold((waiting, Some(last_word)), next));
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, body).into_response()
}

/// Why a reader is let go.
enum End {
    /// It hung up, or does not keep up.
    Gone,
    /// It is told so: an event of type `error`.
    Failed(String),
    /// The host stops.
    Stopping,
}

/// One open stream.
struct Reader {
    topic: Topic,
    places: Places,
    filter: Option<Glob>,
    frames: mpsc::Sender<Bytes>,
    stall_max: Duration,
    last_word: LastWord,
}

impl Reader {
    async fn run(mut self, api: Api, growth: Growth, permit: OwnedSemaphorePermit) {
        let Err(end) = self.follow(&api.host, growth, api.stopping.clone()).await;
        self.say(end);
        drop(permit);
        api.show_streams();
    }

    /// Leaves the last word for when everything before it was read.
    fn say(&self, end: End) {
        let word = match end {
            End::Gone => error_frame("E0418", "the reader does not keep up"),
            End::Failed(reason) => error_frame("E0422", &reason),
            End::Stopping => Bytes::from_static(b": the host is stopping\n\n"),
        };
        // Only the reader itself sets it, once.
        drop(self.last_word.set(word));
    }

    async fn follow(
        &mut self,
        host: &Host,
        mut growth: Growth,
        mut stopping: watch::Receiver<bool>,
    ) -> Result<Infallible, End> {
        let mut heartbeat = heartbeat(host);
        self.send(format!(": stream of {}\nretry: 1000\n\n", self.topic.name)).await?;
        loop {
            if self.read_all(host).await? {
                if *stopping.borrow() {
                    return Err(End::Stopping);
                }
                continue;
            }
            tokio::select! {
                grown = growth.recv() => match grown {
                    // Told too much at once: whatever it was, the next look finds it.
                    Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return Err(End::Stopping),
                },
                _ = heartbeat.tick() => {
                    // The id without data moves the reader's place on past what was filtered.
                    self.send(format!(": heartbeat\nid: {}\n\n", self.places.text())).await?;
                }
                () = told(&mut stopping) => return Err(End::Stopping),
                () = self.frames.closed() => return Err(End::Gone),
            }
        }
    }

    /// Reads one turn of every partition. True when anything was there.
    async fn read_all(&mut self, host: &Host) -> Result<bool, End> {
        let mut has_read = false;
        for index in 0..self.places.0.len() {
            let Some((partition, from)) = self.places.0.get(index).copied() else { break };
            let (of, topic) = (host.clone(), self.topic.id);
            let look = move || {
                let end = of.broker().bounds(topic, partition)?;
                if from >= end.end {
                    return Ok((end, Vec::new()));
                }
                let limit = ReadLimit { events: READ_EVENTS_MAX, bytes: READ_BYTES_MAX };
                Ok((end, of.broker().read(topic, partition, from, limit)?))
            };
            let (end, read) = tokio::task::spawn_blocking(look)
                .await
                .map_err(|_stopped| End::Stopping)?
                .map_err(|error: broker::Error| failed(&error))?;
            if from >= end.end {
                continue;
            }
            if from < end.start {
                self.tell_gap(partition, from, end.start).await?;
            }
            if read.is_empty() {
                // The rest of the partition was compacted or removed: nothing is left to wait for.
                self.place(index, end.end);
            }
            for stored in read {
                has_read = true;
                self.place(index, stored.offset.next());
                self.show(partition, &stored).await?;
            }
        }
        Ok(has_read)
    }

    fn place(&mut self, index: usize, offset: Offset) {
        if let Some(place) = self.places.0.get_mut(index) {
            place.1 = offset;
        }
    }

    async fn show(&self, partition: PartitionId, stored: &Stored) -> Result<(), End> {
        let kind = || kind_of(&self.topic.name, stored);
        if self.filter.as_ref().is_some_and(|filter| !filter.matches(&kind())) {
            return Ok(());
        }
        let event = EventJson::new(&self.topic.name, partition.0, stored);
        let data = serde_json::to_string(&event).map_err(|error| failed(&error))?;
        self.send(format!("id: {}\ndata: {data}\n\n", self.places.text())).await
    }

    async fn tell_gap(&self, partition: PartitionId, from: Offset, to: Offset) -> Result<(), End> {
        let gap = json!({ "partition": partition.0, "from": from.0, "to": to.0 });
        self.send(format!("event: gap\ndata: {gap}\n\n")).await
    }

    async fn send(&self, frame: String) -> Result<(), End> {
        let sent = self.frames.send_timeout(Bytes::from(frame), self.stall_max).await;
        sent.map_err(|_gone| End::Gone)
    }
}

/// Waits until the host stops, or nobody is left to say so.
async fn told(stopping: &mut watch::Receiver<bool>) {
    drop(stopping.wait_for(|stop| *stop).await);
}

fn heartbeat(host: &Host) -> Interval {
    let period = Duration::from_millis(host.shared().config.http.heartbeat.0.max(1));
    let mut heartbeat = tokio::time::interval_at(tokio::time::Instant::now() + period, period);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    heartbeat
}

fn failed(error: &dyn std::error::Error) -> End {
    End::Failed(crate::error::chain(error))
}

fn error_frame(code: &str, reason: &str) -> Bytes {
    let data = json!({ "error": { "code": code, "message": reason } });
    Bytes::from(format!("event: error\ndata: {data}\n\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(pairs: &[(u32, u64)]) -> Places {
        Places(pairs.iter().map(|(at, offset)| (PartitionId(*at), Offset(*offset))).collect())
    }

    #[tokio::test]
    async fn a_reader_that_does_not_keep_up_is_let_go_and_told() {
        let (frames, waiting) = mpsc::channel(2);
        let last_word: LastWord = Arc::default();
        let topic = Topic {
            id: TopicId(1),
            name: "orders".into(),
            partitions: 1,
            retention: gristmill_store::Retention::default(),
            compacted: false,
            created: gristmill_engine::Instant(0),
        };
        let reader = Reader {
            topic,
            places: places(&[(0, 0)]),
            filter: None,
            frames,
            stall_max: Duration::from_millis(20),
            last_word: Arc::clone(&last_word),
        };
        for frame in ["one", "two"] {
            assert!(reader.send(frame.to_owned()).await.is_ok(), "there is room");
        }
        assert!(matches!(reader.send("three".to_owned()).await, Err(End::Gone)), "there is none");
        reader.say(End::Gone);
        drop(reader);
        let read = axum::body::to_bytes(answer(waiting, last_word).into_body(), 1_000).await;
        let text = String::from_utf8(read.unwrap().to_vec()).unwrap();
        assert!(text.starts_with("onetwoevent: error\ndata: "), "{text}");
        assert!(text.contains("the reader does not keep up"), "{text}");
    }

    #[test]
    fn an_id_tells_the_place_in_every_partition() {
        let before = places(&[(0, 7), (3, 0), (4, 9)]);
        assert_eq!(before.text(), "0:7,3:0,4:9");
        let fresh = places(&[(0, 100), (3, 100), (4, 100)]);
        assert_eq!(fresh.clone().resumed(&before.text()), Ok(before));
        assert_eq!(fresh.clone().resumed("3:5, 9:9"), Ok(places(&[(0, 100), (3, 5), (4, 100)])));
        for wrong in ["", "3", "3:", ":5", "3:x", "a:5", "3:5,", "4294967296:0", "0:-1"] {
            assert!(fresh.clone().resumed(wrong).is_err(), "{wrong}");
        }
    }
}

//! Reads a topic on for one stream, partition by partition in turns, as it grows. It knows no form
//! that a stream may have.

use std::convert::Infallible;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use gristmill_config::Glob;
use gristmill_engine::{Bytes as Size, Offset, PartitionId, TopicId};
use gristmill_store::{Bounds, ReadLimit, Stored, Topic};
use serde_json::json;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, broadcast, mpsc, watch};
use tokio::time::{Interval, MissedTickBehavior};

use super::hub::{self, Happened};
use super::{End, Frame};
use crate::broker;
use crate::envelope::kind_of;
use crate::host::Host;
use crate::http::Api;
use crate::http::error::ApiError;
use crate::http::event_json::EventJson;

/// Events read from one partition in one turn.
const READ_EVENTS_MAX: u32 = 100;
/// Bytes read in one turn, over all partitions; of each, one event more is still read whole.
const READ_BYTES_MAX: u64 = 1 << 20;
/// Bytes read of one partition in one turn at least, however many there are.
const READ_BYTES_MIN: u64 = 64 << 10;

pub(super) type Growth = broadcast::Receiver<Arc<[(TopicId, PartitionId)]>>;

/// What the hub of the topic says.
type News = broadcast::Receiver<hub::News>;

/// Where a reader stands in each partition it reads: the next offset. Its text is the id of every
/// event, `partition:offset` joined by commas, because the last one received must tell it all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Places(pub(super) Vec<(PartitionId, Offset)>);

impl Places {
    /// As the id of an event.
    pub(super) fn text(&self) -> String {
        let one =
            |(partition, offset): &(PartitionId, Offset)| format!("{}:{}", partition.0, offset.0);
        self.0.iter().map(one).collect::<Vec<_>>().join(",")
    }

    /// Moves to `offset` in a partition, if that is read at all.
    pub(super) fn set(&mut self, partition: PartitionId, offset: Offset) {
        if let Some(place) = self.0.iter_mut().find(|place| place.0 == partition) {
            place.1 = offset;
        }
    }

    /// The next offset of a partition, if that is read at all.
    fn of(&self, partition: PartitionId) -> Option<Offset> {
        self.0.iter().find(|place| place.0 == partition).map(|place| place.1)
    }

    /// These places, moved to where `text` says; partitions it does not name stay.
    pub(super) fn resumed(mut self, text: &str) -> Result<Self, ApiError> {
        let wrong = || ApiError::parameter("Last-Event-ID", text, "partition:offset,…");
        for part in text.split(',') {
            let (partition, offset) = part.trim().split_once(':').ok_or_else(wrong)?;
            let partition = PartitionId(partition.parse().map_err(|_no_number| wrong())?);
            let offset = Offset(offset.parse().map_err(|_no_number| wrong())?);
            self.set(partition, offset);
        }
        Ok(self)
    }
}

/// One open stream.
pub(super) struct Reader {
    pub(super) topic: Topic,
    pub(super) places: Places,
    pub(super) filter: Option<Glob>,
    pub(super) frames: mpsc::Sender<Frame>,
    /// Longest wait for room among the frames.
    pub(super) stall_max: Duration,
    /// Said once there are no more frames.
    pub(super) end: Arc<OnceLock<End>>,
}

impl Reader {
    pub(super) async fn run(mut self, api: Api, news: News, permit: OwnedSemaphorePermit) {
        let Err(end) = self.follow(&api.host, news, api.stopping.clone()).await;
        self.say(end);
        drop(permit);
        api.show_streams();
    }

    /// Leaves it for when everything before it was read.
    fn say(&self, end: End) {
        // Only the reader itself sets it, once.
        drop(self.end.set(end));
    }

    async fn follow(
        &mut self,
        host: &Host,
        mut news: News,
        mut stopping: watch::Receiver<bool>,
    ) -> Result<Infallible, End> {
        let mut heartbeat = heartbeat(host);
        self.send(Frame::Begin { topic: self.topic.name.clone(), id: self.places.text() }).await?;
        self.catch_up(host, &stopping).await?;
        loop {
            tokio::select! {
                told = news.recv() => match told {
                    Ok(hub::News::Event(event)) => self.hear(event).await?,
                    Ok(hub::News::Gap { partition, from, to }) => {
                        if self.places.of(partition).is_some_and(|place| place < to) {
                            self.tell_gap(partition, from, to).await?;
                            self.places.set(partition, to);
                        }
                    }
                    Ok(hub::News::Failed(why)) => return Err(End::Failed(why.to_string())),
                    Err(RecvError::Lagged(_)) => self.catch_up(host, &stopping).await?,
                    Err(RecvError::Closed) => return Err(End::Stopping),
                },
                _ = heartbeat.tick() => {
                    self.send(Frame::Heartbeat { id: self.places.text() }).await?;
                }
                () = told(&mut stopping) => return Err(End::Stopping),
                () = self.frames.closed() => return Err(End::Gone),
            }
        }
    }

    /// Passes on what the hub says, unless it is known already.
    async fn hear(&mut self, event: Arc<Happened>) -> Result<(), End> {
        let Some(place) = self.places.of(event.partition) else { return Ok(()) };
        if event.offset < place {
            return Ok(());
        }
        self.places.set(event.partition, event.offset.next());
        if self.filter.as_ref().is_some_and(|filter| !filter.matches(&event.kind)) {
            return Ok(());
        }
        // Who reads all partitions and has caught up stands where the hub does.
        if self.places == event.places {
            return self.send(Frame::Shared(event)).await;
        }
        self.send(Frame::Event { id: self.places.text(), json: event.json.clone() }).await
    }

    /// Reads by itself until there is no more.
    async fn catch_up(&mut self, host: &Host, stopping: &watch::Receiver<bool>) -> Result<(), End> {
        while self.read_all(host).await? {
            if *stopping.borrow() {
                return Err(End::Stopping);
            }
        }
        Ok(())
    }

    /// Reads one turn of every partition. True when anything was there.
    async fn read_all(&mut self, host: &Host) -> Result<bool, End> {
        let turns = read_turn(host, self.topic.id, self.places.0.clone()).await;
        let mut has_read = false;
        for Turn { partition, from, bounds, read } in turns.map_err(End::Failed)? {
            if from < bounds.start {
                self.tell_gap(partition, from, bounds.start).await?;
            }
            if read.is_empty() {
                // The rest of the partition was compacted or removed: nothing is left to wait for.
                self.places.set(partition, bounds.end);
            }
            for stored in read {
                has_read = true;
                self.places.set(partition, stored.offset.next());
                self.show(partition, &stored).await?;
            }
        }
        Ok(has_read)
    }

    async fn show(&self, partition: PartitionId, stored: &Stored) -> Result<(), End> {
        let kind = || kind_of(&self.topic.name, stored);
        if self.filter.as_ref().is_some_and(|filter| !filter.matches(&kind())) {
            return Ok(());
        }
        let event = EventJson::new(&self.topic.name, partition.0, stored);
        let json = serde_json::to_string(&event).map_err(|error| failed(&error))?;
        self.send(Frame::Event { id: self.places.text(), json }).await
    }

    async fn tell_gap(&self, partition: PartitionId, from: Offset, to: Offset) -> Result<(), End> {
        let gap = json!({ "partition": partition.0, "from": from.0, "to": to.0 });
        self.send(Frame::Gap(gap.to_string())).await
    }

    async fn send(&self, frame: Frame) -> Result<(), End> {
        let sent = self.frames.send_timeout(frame, self.stall_max).await;
        sent.map_err(|_gone| End::Gone)
    }
}

/// What one turn read of a partition that has more.
pub(super) struct Turn {
    pub(super) partition: PartitionId,
    /// Where it was read from.
    pub(super) from: Offset,
    pub(super) bounds: Bounds,
    pub(super) read: Vec<Stored>,
}

/// Reads one turn of every partition that has more than these places say, all on one thread that
/// may wait.
pub(super) async fn read_turn(
    host: &Host,
    topic: TopicId,
    places: Vec<(PartitionId, Offset)>,
) -> Result<Vec<Turn>, String> {
    let host = host.clone();
    let look = move || {
        let mut turns = Vec::new();
        let share = READ_BYTES_MAX / u64::try_from(places.len()).unwrap_or(u64::MAX).max(1);
        let bytes = Size(share.max(READ_BYTES_MIN));
        for (partition, from) in places {
            let bounds = host.broker().bounds(topic, partition)?;
            if from < bounds.end {
                let limit = ReadLimit { events: READ_EVENTS_MAX, bytes };
                let read = host.broker().read(topic, partition, from, limit)?;
                turns.push(Turn { partition, from, bounds, read });
            }
        }
        Ok(turns)
    };
    let looked = tokio::task::spawn_blocking(look).await;
    let looked = looked.map_err(|_stopped| "the host is stopping".to_owned())?;
    looked.map_err(|error: broker::Error| crate::error::chain(&error))
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

#[cfg(test)]
mod tests {
    use super::super::{Frames, sse};
    use super::*;

    fn places(pairs: &[(u32, u64)]) -> Places {
        Places(pairs.iter().map(|(at, offset)| (PartitionId(*at), Offset(*offset))).collect())
    }

    #[tokio::test]
    async fn a_reader_that_does_not_keep_up_is_let_go_and_told() {
        let (frames, waiting) = mpsc::channel(2);
        let end = Arc::new(OnceLock::new());
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
            end: Arc::clone(&end),
        };
        let frame = |id: &str| Frame::Heartbeat { id: id.to_owned() };
        for id in ["one", "two"] {
            assert!(reader.send(frame(id)).await.is_ok(), "there is room");
        }
        assert_eq!(reader.send(frame("three")).await, Err(End::Gone), "there is none");
        reader.say(End::Gone);
        drop(reader);
        let mut frames = Frames { waiting, end };
        assert_eq!(frames.next().await, Ok(frame("one")));
        assert_eq!(frames.next().await, Ok(frame("two")));
        assert_eq!(frames.next().await, Err(End::Gone), "after all before it");
        let answer = sse::answer(frames).into_body();
        let read = axum::body::to_bytes(answer, 1_000).await.unwrap();
        let text = String::from_utf8(read.to_vec()).unwrap();
        assert!(text.starts_with("event: error\ndata: {\"error\":{\"code\":\"E0418\""), "{text}");
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

//! Reads each topic on once for all of its streams, from now on, and hands what happens to every
//! one of them. What a stream missed, or has still to catch up with, it reads by itself.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use gristmill_engine::{Offset, PartitionId, TopicId};
use gristmill_store::{Stored, Topic};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};
use tokio::time::Instant;

use super::reader::{Growth, Places, Turn, read_turn};
use crate::envelope::kind_of;
use crate::host::Host;
use crate::http::Api;
use crate::http::error::ApiError;
use crate::http::event_json::EventJson;

/// Events that a stream may be behind before it reads by itself.
const BEHIND_MAX: usize = 1_024;
/// Longest wait for streams that are behind by half of that, so that they need not.
const WAIT_MAX: Duration = Duration::from_millis(50);
/// Time between two looks whether anybody is left.
const LOOK: Duration = Duration::from_secs(10);

/// What happens in a topic.
#[derive(Debug, Clone)]
pub(super) enum News {
    /// An event.
    Event(Arc<Happened>),
    /// Events are gone that would have come.
    Gap { partition: PartitionId, from: Offset, to: Offset },
    /// It cannot be read any more.
    Failed(Arc<str>),
}

/// An event, made ready once for all streams.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Happened {
    pub(super) partition: PartitionId,
    pub(super) offset: Offset,
    /// Its type.
    pub(super) kind: String,
    /// Where a stream of all partitions stands after it.
    pub(super) places: Places,
    /// The same as text.
    pub(super) id: String,
    pub(super) json: String,
    /// As a stream of server-sent events has it, once one was asked for.
    pub(super) block: OnceLock<Bytes>,
}

/// Who reads which topic on.
#[derive(Debug, Default)]
pub(in crate::http) struct Hubs {
    /// By topic and number of partitions: a topic that grows is read anew.
    open: Mutex<BTreeMap<(TopicId, u32), broadcast::Sender<News>>>,
}

impl Hubs {
    /// What happens in a topic from now on. Whoever looks at the topic after that misses nothing.
    ///
    /// # Errors
    ///
    /// When the topic cannot be read.
    pub(super) async fn join(
        self: &Arc<Self>,
        api: &Api,
        topic: &Topic,
    ) -> Result<broadcast::Receiver<News>, ApiError> {
        let place = (topic.id, topic.partitions);
        if let Some(news) = self.lock().get(&place) {
            return Ok(news.subscribe());
        }
        // Subscribed before the first look: what is appended in between is noticed.
        let growth = api.host.growth();
        let places = ends(api, topic).await?;
        let mut open = self.lock();
        // Somebody may have been quicker.
        if let Some(news) = open.get(&place) {
            return Ok(news.subscribe());
        }
        let (news, receiver) = broadcast::channel(BEHIND_MAX);
        open.insert(place, news.clone());
        let (hubs, host, topic) = (Arc::clone(self), api.host.clone(), topic.clone());
        let hub = Hub { hubs, host, topic, growth, news, sent_on: 0 };
        tokio::spawn(hub.run(places, api.stopping.clone()));
        Ok(receiver)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(TopicId, u32), broadcast::Sender<News>>> {
        // Every change is one insertion or removal.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whoever reads one topic on.
struct Hub {
    hubs: Arc<Hubs>,
    host: Host,
    topic: Topic,
    growth: Growth,
    news: broadcast::Sender<News>,
    /// Events handed on before any stream is waited for again.
    sent_on: usize,
}

impl Hub {
    async fn run(mut self, places: Places, mut stopping: watch::Receiver<bool>) {
        let followed = tokio::select! {
            followed = self.follow(places) => followed,
            _ = stopping.wait_for(|stop| *stop) => Ok(()),
        };
        // Whoever comes next begins anew.
        self.close(true);
        if let Err(why) = followed {
            drop(self.news.send(News::Failed(why.into())));
        }
    }

    /// Reads on until nobody is left.
    async fn follow(&mut self, mut places: Places) -> Result<(), String> {
        let mut look = tokio::time::interval(LOOK);
        loop {
            while self.look_on(&mut places).await? {}
            loop {
                tokio::select! {
                    grown = self.growth.recv() => match grown {
                        Ok(grown) if self.is_of(&grown) => break,
                        Ok(_) => {}
                        // Told too much at once: whatever it was, the next look finds it.
                        Err(RecvError::Lagged(_)) => break,
                        Err(RecvError::Closed) => return Ok(()),
                    },
                    _ = look.tick() => if self.close(false) { return Ok(()) },
                }
            }
        }
    }

    /// Whether a notice is about its topic; one about nothing is about all.
    fn is_of(&self, grown: &[(TopicId, PartitionId)]) -> bool {
        grown.is_empty() || grown.iter().any(|(topic, _)| *topic == self.topic.id)
    }

    /// Hands on what has come since. True when anything had.
    async fn look_on(&mut self, places: &mut Places) -> Result<bool, String> {
        let turns = read_turn(&self.host, self.topic.id, places.0.clone()).await?;
        let mut has_read = false;
        for Turn { partition, from, bounds, read } in turns {
            if from < bounds.start {
                drop(self.news.send(News::Gap { partition, from, to: bounds.start }));
            }
            if read.is_empty() {
                // The rest of the partition was compacted or removed.
                places.set(partition, bounds.end);
            }
            for stored in read {
                has_read = true;
                places.set(partition, stored.offset.next());
                let happened = self.happened(partition, places, &stored)?;
                drop(self.news.send(News::Event(Arc::new(happened))));
                self.wait_for_streams().await;
            }
        }
        Ok(has_read)
    }

    /// Lets streams catch up, once they are behind by half of what they may be. One that stands
    /// still holds the others up for no longer than that, and not again before it is let go.
    async fn wait_for_streams(&mut self) {
        self.sent_on = self.sent_on.saturating_sub(1);
        if self.sent_on > 0 || self.news.len() <= BEHIND_MAX / 2 {
            return;
        }
        let until = Instant::now() + WAIT_MAX;
        while self.news.len() > BEHIND_MAX / 2 {
            if Instant::now() >= until {
                self.sent_on = BEHIND_MAX;
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn happened(
        &self,
        partition: PartitionId,
        places: &Places,
        stored: &Stored,
    ) -> Result<Happened, String> {
        let event = EventJson::new(&self.topic.name, partition.0, stored);
        Ok(Happened {
            partition,
            offset: stored.offset,
            kind: kind_of(&self.topic.name, stored).into_owned(),
            id: places.text(),
            places: places.clone(),
            json: serde_json::to_string(&event).map_err(|error| error.to_string())?,
            block: OnceLock::new(),
        })
    }

    /// Takes it out of the table, if nobody is left or `anyway`. True when it was.
    fn close(&self, anyway: bool) -> bool {
        let mut open = self.hubs.lock();
        let is_over = anyway || self.news.receiver_count() == 0;
        if is_over {
            open.remove(&(self.topic.id, self.topic.partitions));
        }
        is_over
    }
}

/// The ends of all partitions.
async fn ends(api: &Api, topic: &Topic) -> Result<Places, ApiError> {
    let (topic, partitions) = (topic.id, topic.partitions);
    let look = move |host: &Host| {
        let end = |partition| {
            let bounds = host.broker().bounds(topic, PartitionId(partition))?;
            Ok((PartitionId(partition), bounds.end))
        };
        (0..partitions).map(end).collect()
    };
    api.blocking(look).await.map(Places)
}

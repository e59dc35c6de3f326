//! Follows the topics in which commands are answered, each from when it is first asked for, and
//! looks back once at what was answered before. It understands no answer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use bytestring::ByteString;
use gristmill_engine::{Bytes as Size, Instant, Offset, PartitionId, TopicId};
use gristmill_kafka::{Heard, Tail};
use gristmill_store::{ReadLimit, Stored, Topic};
use tokio::sync::{Mutex, broadcast, mpsc, watch};

use super::desk::Desk;
use super::kept::Place;
use crate::broker;
use crate::host::Host;
use crate::shared::Shared;

/// Records read of a partition at once.
const PAGE: ReadLimit = ReadLimit { events: 1_000, bytes: Size::mib(1) };
/// Longest wait for a record before it is looked whether the host ends, or there is more to follow.
const PATIENCE: Duration = Duration::from_millis(50);
/// Pause after an error that does not pass by itself.
pub(super) const REFUSED_PAUSE: Duration = Duration::from_secs(1);

/// Partitions to follow, each from an offset on.
#[derive(Debug)]
struct Followed {
    topic: Topic,
    places: Vec<(PartitionId, Offset)>,
}

/// What is followed of a topic.
#[derive(Debug)]
struct Known {
    partitions: u32,
    /// Whether everything before was looked at.
    looked_back: watch::Receiver<bool>,
}

/// Has topics followed.
#[derive(Debug)]
pub(super) struct Follower {
    host: Host,
    desk: Arc<Desk>,
    known: Mutex<BTreeMap<TopicId, Known>>,
    requests: mpsc::UnboundedSender<Followed>,
}

impl Follower {
    /// Follows nothing yet. Without commands it never will, and costs nothing: whoever listens to
    /// what grows has the store tell of every append.
    pub(super) fn start(host: &Host, desk: &Arc<Desk>, stopping: watch::Receiver<bool>) -> Self {
        let (requests, received) = mpsc::unbounded_channel();
        let new =
            Self { host: host.clone(), desk: Arc::clone(desk), known: Mutex::default(), requests };
        let (shared, desk) = (Arc::clone(host.shared()), Arc::clone(desk));
        if shared.config.commands.named.is_empty() {
            return new;
        }
        if shared.broker.kafka().is_some() {
            tokio::task::spawn_blocking(move || in_cluster(&shared, &desk, received, &stopping));
        } else {
            let growth = host.growth();
            tokio::spawn(in_store(desk, host.clone(), received, growth, stopping));
        }
        new
    }

    /// Follows a topic from now on, unless it is followed already. What comes back says whether
    /// what was there before has been looked at.
    ///
    /// # Errors
    ///
    /// The broker's.
    pub(super) async fn follow(
        &self,
        topic: &Topic,
    ) -> Result<watch::Receiver<bool>, broker::Error> {
        let mut known = self.known.lock().await;
        let followed = known.get(&topic.id).map_or(0, |known| known.partitions);
        if let Some(known) = known.get(&topic.id).filter(|_| followed >= topic.partitions) {
            // One that could not look back is asked again.
            if *known.looked_back.borrow() || known.looked_back.has_changed().is_ok() {
                return Ok(known.looked_back.clone());
            }
        }
        let (of, host) = (topic.clone(), self.host.clone());
        let look = move || -> Result<Vec<_>, broker::Error> {
            let numbers = (0..of.partitions).map(PartitionId);
            numbers.map(|number| Ok((number, host.broker().bounds(of.id, number)?.end))).collect()
        };
        let ends = tokio::task::spawn_blocking(look).await.unwrap_or_else(|_| Ok(Vec::new()))?;
        let new = ends.iter().filter(|(number, _)| number.0 >= followed).copied().collect();
        let (looked, looked_back) = watch::channel(false);
        // Nobody follows any more where the host ends.
        drop(self.requests.send(Followed { topic: topic.clone(), places: new }));
        let (host, desk, of) = (self.host.clone(), Arc::clone(&self.desk), topic.clone());
        tokio::task::spawn_blocking(move || match look_back(host.shared(), &desk, &of, &ends) {
            Ok(()) => drop(looked.send_replace(true)),
            Err(error) => tracing::warn!(code = error.code(), %error, topic = %of.name,
                    "earlier answers to commands are not known yet; looking again when asked"),
        });
        let partitions = topic.partitions;
        known.insert(topic.id, Known { partitions, looked_back: looked_back.clone() });
        Ok(looked_back)
    }
}

/// Hears what was answered before `ends`, as far back as answers are remembered.
fn look_back(
    shared: &Shared,
    desk: &Desk,
    topic: &Topic,
    ends: &[(PartitionId, Offset)],
) -> Result<(), broker::Error> {
    let kept = shared.config.commands.replies_kept.0;
    let since = Instant(shared.clock.now().0.saturating_sub(kept));
    for (partition, end) in ends {
        let mut next = shared.broker.offset_at(topic.id, *partition, since)?;
        while next < *end {
            let read = shared.broker.read(topic.id, *partition, next, PAGE)?;
            let Some(last) = read.last().map(|stored| stored.offset) else { break };
            hear_all(desk, topic.id, &topic.name, *partition, &read);
            next = last.next();
        }
    }
    Ok(())
}

fn hear_all(
    desk: &Desk,
    topic: TopicId,
    name: &ByteString,
    partition: PartitionId,
    read: &[Stored],
) {
    for stored in read {
        desk.hear(name, Place { topic, partition, offset: stored.offset }, stored);
    }
}

/// Name of the topic, and the next offset, by place.
type Cursors = BTreeMap<(TopicId, PartitionId), (ByteString, Offset)>;

/// Follows topics of the embedded store, which says what grew.
async fn in_store(
    desk: Arc<Desk>,
    host: Host,
    mut requests: mpsc::UnboundedReceiver<Followed>,
    mut growth: broadcast::Receiver<Arc<[(TopicId, PartitionId)]>>,
    mut stopping: watch::Receiver<bool>,
) {
    let mut cursors = Cursors::new();
    loop {
        let grown: Vec<_> = tokio::select! {
            request = requests.recv() => match request {
                Some(Followed { topic, places }) => {
                    let of = |(number, from): (PartitionId, Offset)| {
                        ((topic.id, number), (topic.name.clone(), from))
                    };
                    let new: Cursors = places.into_iter().map(of).collect();
                    let places = new.keys().copied().collect();
                    cursors.extend(new);
                    places
                }
                None => return,
            },
            grown = growth.recv() => match grown {
                Ok(grown) => grown.iter().filter(|it| cursors.contains_key(it)).copied().collect(),
                // Told too much at once: whatever it was, a look everywhere finds it.
                Err(broadcast::error::RecvError::Lagged(_)) => cursors.keys().copied().collect(),
                Err(broadcast::error::RecvError::Closed) => return,
            },
            _ = stopping.wait_for(|stop| *stop) => return,
        };
        if grown.is_empty() {
            continue;
        }
        let (desk, host) = (Arc::clone(&desk), host.clone());
        let read = tokio::task::spawn_blocking(move || {
            read_on(&desk, host.shared(), &mut cursors, &grown);
            cursors
        });
        let Ok(back) = read.await else { return };
        cursors = back;
    }
}

/// Reads each of these places to its end.
fn read_on(desk: &Desk, shared: &Shared, cursors: &mut Cursors, grown: &[(TopicId, PartitionId)]) {
    for place in grown {
        while let Some((name, next)) = cursors.get_mut(place) {
            match shared.broker.read(place.0, place.1, *next, PAGE) {
                Ok(read) => {
                    let Some(last) = read.last() else { break };
                    *next = last.offset.next();
                    hear_all(desk, place.0, name, place.1, &read);
                }
                Err(error) => {
                    // A topic that was deleted answers nothing any more.
                    tracing::debug!(code = error.code(), %error, topic = %name,
                        "answers to commands are followed no more");
                    cursors.remove(place);
                }
            }
        }
    }
}

/// Follows topics of a cluster with one client, which is made when there is something to follow.
fn in_cluster(
    shared: &Shared,
    desk: &Desk,
    mut requests: mpsc::UnboundedReceiver<Followed>,
    stopping: &watch::Receiver<bool>,
) {
    let mut topics: BTreeMap<ByteString, TopicId> = BTreeMap::new();
    let mut followed: BTreeSet<(ByteString, u32)> = BTreeSet::new();
    let Some(first) = requests.blocking_recv() else { return };
    let Some(tail) = made(shared, stopping) else { return };
    let mut waiting = vec![first];
    let mut has_told = false;
    while !*stopping.borrow() {
        while let Ok(request) = requests.try_recv() {
            waiting.push(request);
        }
        for Followed { topic, places } in waiting.drain(..) {
            // A topic may be known by another number than before; the client knows its name.
            let is_new = |(number, _): &(PartitionId, Offset)| {
                followed.insert((topic.name.clone(), number.0))
            };
            let new = places.into_iter().filter(is_new);
            let new: Vec<_> = new.map(|(number, from)| (number.0, from)).collect();
            if let Err(error) = tail.follow(&topic.name, &new) {
                tracing::warn!(code = error.code(), %error, "follow answers to commands");
            }
            topics.insert(topic.name, topic.id);
        }
        match tail.hear(PATIENCE) {
            Ok(Some(Heard { topic, partition, record })) => {
                let Some(id) = topics.get(&topic).copied() else { continue };
                let stored = broker::stored(record);
                hear_all(desk, id, &topic, PartitionId(partition), &[stored]);
                has_told = false;
            }
            Ok(None) => {}
            Err(error) => {
                if !std::mem::replace(&mut has_told, true) {
                    tracing::warn!(code = error.code(), %error, "follow answers to commands");
                }
                thread::sleep(REFUSED_PAUSE);
            }
        }
    }
}

/// The client that follows; `None` when the host ends before there is one.
fn made(shared: &Shared, stopping: &watch::Receiver<bool>) -> Option<Tail> {
    let kafka = shared.broker.kafka()?;
    let mut has_told = false;
    while !*stopping.borrow() {
        match Tail::new(kafka.cluster()) {
            Ok(tail) => return Some(tail),
            Err(error) if !std::mem::replace(&mut has_told, true) => {
                tracing::warn!(code = error.code(), %error, "follow answers to commands");
            }
            Err(_) => {}
        }
        thread::sleep(REFUSED_PAUSE);
    }
    None
}

//! Makes a batch of rows count once: publishing it and remembering which rows it was are one write
//! of the store, or one transaction of the cluster. It marks nothing in the table: whoever comes
//! next asks what was remembered, and does that first.
//!
//! On Kafka each shard has a transactional id of its own. A publisher is opened, which ends and
//! fences whatever had that id before, and only then does its holder look whether the shard is
//! still its own. So nobody publishes rows of a shard that somebody else has taken meanwhile.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;
use gristmill_engine::transaction::Guarantee;
use gristmill_engine::{Bytes as Size, Offset};
use gristmill_kafka::{Committer, Ended, Error as KafkaError, ReadLimit, Transaction};
use gristmill_store::{Append, Batch, Change, Failed};
use tokio::sync::oneshot;

use super::relay::Relay;
use super::state::Trouble;
use crate::broker::{self, Kafka};
use crate::shared::Shared;
use crate::topics;

/// Shards there may be: memories of all of them are looked for.
const SHARDS_MAX: u32 = 64;
/// Offsets that are looked back first for what was remembered last; each further look goes 16
/// times as far.
const LOOK_BACK: u64 = 16;

/// Publishes rows of one shard.
pub(super) struct Publisher {
    /// The shard.
    number: u32,
    shared: Arc<Shared>,
    outbox: String,
    /// Where topics live in a cluster: its transactions, and the topic of memories.
    kafka: Option<(Committer, ByteString)>,
}

/// What became of a batch.
#[derive(Debug)]
pub(super) enum Published {
    /// It is durable, with what is remembered of it.
    Done,
    /// Nobody can say: what is remembered tells.
    Unknown(Trouble),
    /// The same, and this publisher can do nothing more.
    Over(Trouble),
    /// None of it is, because of the event at that place, which will never be taken.
    Undeliverable(usize, KafkaError),
}

impl fmt::Debug for Publisher {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Publisher").field("number", &self.number).finish_non_exhaustive()
    }
}

impl Publisher {
    /// Makes sure that nobody else publishes rows of the shard from now on. Waits until the
    /// cluster answers.
    pub(super) async fn open(relay: &Relay, number: u32) -> Result<Self, Trouble> {
        let (shared, outbox) = (Arc::clone(relay.host.shared()), relay.name.clone());
        if shared.broker.kafka().is_none() {
            return Ok(Self { number, shared, outbox, kafka: None });
        }
        let (of, count) = (Arc::clone(&shared), relay.config.shards);
        let name = outbox.clone();
        let opened = blocking(move || open(&of, &name, (number, count))).await?;
        let publisher = Self { number, shared, outbox, kafka: Some(opened) };
        // The transaction of nothing: once it has ended, the id is this publisher's.
        match publisher.transact(Transaction::default()).await {
            Ended::Committed(_) => Ok(publisher),
            Ended::Aborted(_, error) | Ended::Failed(error) | Ended::Undeliverable(_, error) => {
                publisher.close().await;
                Err(Trouble::from(&broker::Failed::Kafka(error)))
            }
        }
    }

    /// Ids of the rows of the last batch, published by whomever.
    pub(super) async fn recall(&self) -> Result<Vec<String>, Trouble> {
        let (shared, outbox, number) = (Arc::clone(&self.shared), self.outbox.clone(), self.number);
        blocking(move || recall(&shared, &outbox, number)).await
    }

    /// Publishes events, and remembers of which rows they are.
    pub(super) async fn publish(&self, events: Vec<Append>, ids: &[String]) -> Published {
        let memory = Bytes::from(serde_json::to_vec(ids).unwrap_or_default());
        match self.shared.broker.kafka().zip(self.kafka.as_ref()) {
            None => self.write(events, memory).await,
            Some((kafka, (_, topic))) => {
                let memory = gristmill_kafka::NewRecord {
                    topic: topic.clone(),
                    partition: self.number,
                    timestamp_ms: self.shared.clock.now().0,
                    key: Some(Bytes::from(self.number.to_string())),
                    headers: Vec::new(),
                    payload: Some(memory),
                };
                let count = events.len();
                let events = events.into_iter().map(|event| kafka.record(event));
                let records = events.chain(std::iter::once(memory)).collect();
                self.transacted(Transaction { records, events: count, offsets: Vec::new() }).await
            }
        }
    }

    /// Gives up the shard's id, where there is one.
    pub(super) async fn close(self) {
        let closed = tokio::task::spawn_blocking(move || drop(self)).await;
        // A thread that panicked has said so.
        drop(closed);
    }

    async fn write(&self, appends: Vec<Append>, memory: Bytes) -> Published {
        let name = document(&self.outbox, self.number);
        let changes = vec![Change::Document { name, value: Some(memory) }];
        let (sender, receiver) = oneshot::channel();
        let done = Box::new(move |result| drop(sender.send(result)));
        self.shared.store.submit(Batch { ingest: true, appends, changes }, done);
        match receiver.await.unwrap_or(Err(Failed::Closed)) {
            Ok(_) => Published::Done,
            Err(failed) => {
                let is_over = matches!(failed, Failed::Closed | Failed::Io(_));
                let trouble = Trouble::from(&broker::Failed::Store(failed));
                if is_over { Published::Over(trouble) } else { Published::Unknown(trouble) }
            }
        }
    }

    async fn transacted(&self, transaction: Transaction) -> Published {
        let events = transaction.events;
        match self.transact(transaction).await {
            Ended::Committed(_) => Published::Done,
            Ended::Undeliverable(place, error) if place < events => {
                Published::Undeliverable(place, error)
            }
            Ended::Aborted(_, error) | Ended::Undeliverable(_, error) => {
                Published::Unknown(Trouble::from(&broker::Failed::Kafka(error)))
            }
            Ended::Failed(error) => Published::Over(Trouble::from(&broker::Failed::Kafka(error))),
        }
    }

    async fn transact(&self, transaction: Transaction) -> Ended {
        let (sender, receiver) = oneshot::channel();
        if let Some((committer, _)) = &self.kafka {
            committer.commit(transaction, Box::new(move |ended| drop(sender.send(ended))));
        }
        receiver.await.unwrap_or_else(|_closed| Ended::Failed(closed()))
    }
}

/// Ids of the rows of the last batch of every shard there ever was.
pub(super) async fn recall_all(relay: &Relay) -> Result<Vec<String>, Trouble> {
    let (shared, outbox) = (Arc::clone(relay.host.shared()), relay.name.clone());
    blocking(move || {
        let mut ids = Vec::new();
        for number in 0..shards_ever(&shared, &outbox) {
            ids.extend(recall(&shared, &outbox, number)?);
        }
        Ok(ids)
    })
    .await
}

/// Makes the topic of memories where it is not there, and starts the shard's transactions.
fn open(
    shared: &Shared,
    outbox: &str,
    (number, count): (u32, u32),
) -> Result<(Committer, ByteString), broker::Failed> {
    let kafka = shared.broker.kafka().ok_or_else(closed)?;
    let memory = kafka.changelog(&memory_name(shared, outbox), count, true)?;
    let prefix = match &shared.config.broker {
        gristmill_config::Broker::Kafka(kafka) => &kafka.transactional_id_prefix,
        gristmill_config::Broker::Embedded => &shared.config.name,
    };
    let id = format!("{prefix}.outbox.{outbox}.{number}");
    let hook: gristmill_kafka::Hook = Arc::new(|_step, _took| {});
    let committer = Committer::start(kafka.cluster(), &id, Guarantee::ExactlyOnce, hook)?;
    Ok((committer, memory.name))
}

fn recall(shared: &Shared, outbox: &str, number: u32) -> Result<Vec<String>, broker::Failed> {
    let memory = match shared.broker.kafka() {
        None => shared.store.document(&document(outbox, number)).map_err(broker::Error::from)?,
        Some(kafka) => last(kafka, &memory_name(shared, outbox), number)?,
    };
    // Only this module writes it.
    Ok(memory.and_then(|it| serde_json::from_slice(&it).ok()).unwrap_or_default())
}

/// The last record of a partition: what is beyond it are ends of transactions.
fn last(kafka: &Kafka, topic: &str, partition: u32) -> Result<Option<Bytes>, KafkaError> {
    let (start, end) = kafka.cluster().bounds(topic, partition)?;
    let limit = ReadLimit { events: 1_000, bytes: Size::mib(8) };
    let mut back = LOOK_BACK;
    loop {
        let first = Offset(end.0.saturating_sub(back).max(start.0));
        let (mut next, mut last) = (first, None);
        while next < end {
            let place = (topic, partition);
            let Some(record) = kafka.reader().read(place, next, limit, Duration::ZERO)?.pop()
            else {
                break;
            };
            next = record.offset.next();
            last = Some(record);
        }
        if last.is_some() || first == start {
            return Ok(last.and_then(|record| record.payload));
        }
        back = back.saturating_mul(16);
    }
}

/// Shards that something may be remembered of.
fn shards_ever(shared: &Shared, outbox: &str) -> u32 {
    match shared.broker.kafka() {
        None => SHARDS_MAX,
        Some(_) => {
            shared.broker.topic(&memory_name(shared, outbox)).map_or(0, |topic| topic.partitions)
        }
    }
}

fn memory_name(shared: &Shared, outbox: &str) -> String {
    topics::outbox_in_cluster(&shared.config.name, outbox)
}

fn document(outbox: &str, number: u32) -> String {
    format!("outbox/{outbox}/{number}")
}

/// Does what waits on a thread that may.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, broker::Failed> + Send + 'static,
) -> Result<T, Trouble> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(|failed| Trouble::from(&failed)),
        Err(_stopped) => Err(Trouble::from(&broker::Failed::Kafka(closed()))),
    }
}

fn closed() -> KafkaError {
    KafkaError::Full { doing: "publish rows of an outbox".to_owned() }
}

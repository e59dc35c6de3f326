//! Reads a topic as a consumer of committed records would, while it is written, and counts what
//! it sees. It takes part in no group and slows nobody down on purpose.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::clock::Clock;
use super::tally::Tally;
use super::work;

/// Time between two looks at whether it is to end.
const LOOK: Duration = Duration::from_millis(50);
/// At the end of every partition, nothing new for so long means that nothing comes.
const QUIET: Duration = Duration::from_millis(500);
/// An end that is not reached by then never is: a transaction was left open.
const PATIENCE: Duration = Duration::from_secs(30);
/// The headers of one record in so many are looked at.
const LOOKED_AT: u64 = 1_000;
/// What each must have.
const HEADERS: [&str; 5] = ["ce_specversion", "ce_type", "ce_source", "ce_id", "content-type"];

/// Everything that was seen.
#[derive(Debug)]
pub struct Seen {
    /// Number and moment of every record, in the order of their moments.
    pub arrivals: Vec<(u64, u64)>,
    /// When the broker appended the first record, in nanoseconds since 1970.
    pub first_append: u64,
    tally: Tally,
}

impl Seen {
    /// When the last record became visible.
    pub fn last(&self) -> u64 {
        self.arrivals.last().map_or(0, |(_, moment)| *moment)
    }

    /// Holds what was seen against what was expected.
    ///
    /// # Errors
    ///
    /// When something is lost, repeated or strange.
    pub fn check(&self) -> Result<()> {
        self.tally.check()
    }
}

/// A thread that reads. It ends when this is dropped.
#[derive(Debug)]
pub struct Reader {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Result<Seen>>>,
}

#[derive(Debug)]
struct Shared {
    missing: AtomicU64,
    count: AtomicU64,
    ends: AtomicBool,
}

impl Reader {
    /// Reads `topic` from its beginning.
    ///
    /// # Errors
    ///
    /// When the client cannot be made.
    pub fn start(
        brokers: &str,
        topic: &str,
        partitions: i32,
        tally: Tally,
        clock: Clock,
    ) -> Result<Self> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("group.id", "bench-reader")
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            // A reader that fell behind goes on at once; the default pauses for a second.
            .set("fetch.queue.backoff.ms", "10")
            .create()?;
        let mut all = TopicPartitionList::new();
        for partition in 0..partitions {
            all.add_partition_offset(topic, partition, Offset::Beginning)?;
        }
        consumer.assign(&all)?;
        let (missing, count) = (AtomicU64::new(tally.missing()), AtomicU64::new(0));
        let shared = Arc::new(Shared { missing, count, ends: AtomicBool::new(false) });
        let ends = vec![false; usize::try_from(partitions)?];
        let mut reading =
            Reading { consumer, clock, shared: Arc::clone(&shared), ends, seen: empty(tally) };
        let builder = thread::Builder::new().name("reader".to_owned());
        let thread = builder.spawn(move || {
            reading.run()?;
            Ok(reading.seen)
        })?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Records that must still come.
    pub fn missing(&self) -> u64 {
        self.shared.missing.load(Ordering::Acquire)
    }

    /// Records seen until now.
    pub fn count(&self) -> u64 {
        self.shared.count.load(Ordering::Acquire)
    }

    /// Whether it reads no more, which only a failure explains.
    pub fn is_over(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Reads on to the end of every partition and returns what there was.
    ///
    /// # Errors
    ///
    /// When reading failed.
    pub fn finish(mut self) -> Result<Seen> {
        self.shared.ends.store(true, Ordering::Release);
        let thread = self.thread.take().context("it reads until it is finished")?;
        thread.join().map_err(|_panic| anyhow!("the reader panicked"))?
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.shared.ends.store(true, Ordering::Release);
    }
}

fn empty(tally: Tally) -> Seen {
    Seen { arrivals: Vec::new(), first_append: u64::MAX, tally }
}

/// The state of the thread.
struct Reading {
    consumer: BaseConsumer,
    clock: Clock,
    shared: Arc<Shared>,
    /// Partitions whose end was reached.
    ends: Vec<bool>,
    seen: Seen,
}

impl Reading {
    fn run(&mut self) -> Result<()> {
        let mut changed = Instant::now();
        let mut ending: Option<Instant> = None;
        loop {
            match self.consumer.poll(LOOK) {
                None => {}
                Some(Ok(message)) => {
                    changed = Instant::now();
                    let moment = self.clock.now();
                    look_at(&message, moment, &mut self.seen);
                    self.at_end(message.partition(), false)?;
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => self.at_end(partition, true)?,
                Some(Err(error)) => return Err(anyhow!(error).context("read what came out")),
            }
            self.shared.missing.store(self.seen.tally.missing(), Ordering::Release);
            self.shared.count.store(self.seen.tally.count(), Ordering::Release);
            if self.shared.ends.load(Ordering::Acquire) {
                let since = *ending.get_or_insert_with(Instant::now);
                let all = self.ends.iter().all(|end| *end);
                if all && changed.elapsed() > QUIET && since.elapsed() > QUIET {
                    return Ok(());
                }
                if since.elapsed() > PATIENCE {
                    return Err(anyhow!("the end of the output is not reached"));
                }
            }
        }
    }

    fn at_end(&mut self, partition: i32, reached: bool) -> Result<()> {
        let place = usize::try_from(partition)?;
        *self.ends.get_mut(place).context("a partition that was not assigned")? = reached;
        Ok(())
    }
}

fn look_at(message: &BorrowedMessage<'_>, moment: u64, seen: &mut Seen) {
    let payload = message.payload().unwrap_or_default();
    if let Some(millis) = message.timestamp().to_millis() {
        let append = u64::try_from(millis).unwrap_or(0) * 1_000_000;
        seen.first_append = seen.first_append.min(append);
    }
    let Some(number) = work::number_of(payload) else {
        seen.tally.complain(format!("no event's id in {}", String::from_utf8_lossy(payload)));
        return;
    };
    if number.is_multiple_of(LOOKED_AT) {
        let is_there = |name: &&str| {
            message.headers().is_some_and(|headers| headers.iter().any(|it| it.key == *name))
        };
        for name in HEADERS.iter().filter(|name| !is_there(name)) {
            seen.tally.complain(format!("event {number} has no header {name}"));
        }
    }
    seen.arrivals.push((number, moment));
    seen.tally.add(number);
}

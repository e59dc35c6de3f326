//! Writes events to topics: as fast as the broker takes them, or each in its moment. A delivery
//! that fails is never passed over.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};

use super::clock::Clock;
use super::work::Input;

/// Deliveries that take longer fail.
const PATIENCE: Duration = Duration::from_mins(1);

/// Counts deliveries that failed.
#[derive(Debug, Default)]
pub struct Deliveries {
    failed: AtomicU64,
}

impl Deliveries {
    /// How many failed.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, _nothing: ()) {
        if result.is_err() {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A producer of the benchmark itself.
pub struct Writer {
    producer: BaseProducer<Deliveries>,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

impl Writer {
    /// Connects; a record waits `linger` for others to go with it.
    ///
    /// # Errors
    ///
    /// When the client cannot be made.
    pub fn connect(brokers: &str, linger: Duration) -> Result<Self> {
        let producer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("acks", "all")
            .set("linger.ms", linger.as_millis().to_string())
            // As the Java client, so that keys have the partitions they have elsewhere.
            .set("partitioner", "murmur2_random")
            .create_with_context(Deliveries::default())?;
        Ok(Self { producer })
    }

    /// Hands an event over to the client, with headers of a `CloudEvent` where it says so.
    ///
    /// # Errors
    ///
    /// When the client does not take it.
    pub fn write(&self, topic: &str, input: &Input, id: Option<&str>) -> Result<()> {
        let mut record = BaseRecord::to(topic).key(&input.key).payload(&input.payload);
        if let Some(id) = id {
            record = record.headers(headers(id));
        }
        loop {
            match self.producer.send(record) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), refused)) => {
                    record = refused;
                    self.producer.poll(Duration::from_millis(1));
                }
                Err((error, _)) => return Err(anyhow!(error).context(format!("write to {topic}"))),
            }
        }
        self.producer.poll(Duration::ZERO);
        Ok(())
    }

    /// Waits until everything is delivered.
    ///
    /// # Errors
    ///
    /// When something is not.
    pub fn flush(&self) -> Result<()> {
        self.producer.flush(PATIENCE)?;
        match self.producer.context().failed() {
            0 => Ok(()),
            failed => bail!("{failed} records were not delivered"),
        }
    }

    /// Calls `write` with each number of `count` in its moment, `rate` a second; returns the
    /// moments and how late it ever was.
    ///
    /// # Errors
    ///
    /// The first of `write`.
    pub fn pace(
        &self,
        clock: Clock,
        rate: u64,
        count: u64,
        mut write: impl FnMut(&Self, u64) -> Result<()>,
    ) -> Result<(Vec<u64>, Duration)> {
        let (began, mut late) = (Instant::now(), Duration::ZERO);
        let mut moments = Vec::new();
        for number in 0..count {
            let moment = began + Duration::from_nanos(number * 1_000_000_000 / rate);
            match moment.checked_duration_since(Instant::now()) {
                Some(early) => thread::sleep(early),
                None => late = late.max(moment.elapsed()),
            }
            moments.push(clock.now());
            write(self, number)?;
        }
        self.flush()?;
        Ok((moments, late))
    }
}

/// Headers that make a record a `CloudEvent`.
pub fn headers(id: &str) -> OwnedHeaders {
    let mut headers = OwnedHeaders::new_with_capacity(5);
    for (key, value) in [
        ("ce_specversion", "1.0"),
        ("ce_type", "seat.changed"),
        ("ce_source", "/bench"),
        ("ce_id", id),
        ("content-type", "application/json"),
    ] {
        headers = headers.insert(Header { key, value: Some(value) });
    }
    headers
}

//! Appends records outside of transactions and tells their offsets. Each record is written once or
//! fails; several handed over together are not one unit. Chooses no partition.

mod batch;

use std::{
    fmt, io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use gristmill_engine::{Bytes as Size, Offset};
use rdkafka::{
    error::{KafkaError, RDKafkaErrorCode as Code},
    message::{DeliveryResult, Message},
    producer::{BaseProducer, Producer, ProducerContext},
};

use self::batch::{Batch, InFlight, Slot};
use crate::{
    cluster::{Cluster, client, look_at},
    context::Context,
    error::{About, Error, code_of},
    record::NewRecord,
};

/// How long the thread serves acknowledgements before it looks whether it shall end.
const SLICE: Duration = Duration::from_millis(100);

/// How much may wait for acknowledgements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppenderBounds {
    /// Records at most.
    pub records: u64,
    /// Bytes of keys, headers and payloads at most.
    pub bytes: Size,
}

/// Called once with the offsets of all records, in their order, or with the first failure.
pub type Appended = Box<dyn FnOnce(Result<Vec<Offset>, Error>) + Send>;

/// Appends records. Dropping it waits until all are acknowledged, as long as a call to the cluster
/// may take.
pub struct Appender {
    cluster: Cluster,
    in_flight: Arc<InFlight>,
    /// The producer; another one after the client library gave one up.
    running: Mutex<Running>,
}

/// A producer with the thread that serves it.
struct Running {
    producer: Arc<BaseProducer<Acknowledged>>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Takes the acknowledgements to their batches.
struct Acknowledged {
    context: Context,
}

impl Default for AppenderBounds {
    /// 10,000 records and 64 MiB: a second's worth of a busy host, and a fraction of its memory.
    fn default() -> Self {
        Self { records: 10_000, bytes: Size::mib(64) }
    }
}

impl Appender {
    /// Makes the producer and waits for no broker.
    ///
    /// # Errors
    ///
    /// As [`Cluster::connect`].
    pub fn new(cluster: &Cluster, bounds: AppenderBounds) -> Result<Self, Error> {
        let running = Mutex::new(Running::start(cluster)?);
        Ok(Self { cluster: cluster.clone(), in_flight: InFlight::new(bounds), running })
    }

    /// Hands over `records`, and returns at once. `done` is called once: from here when they are
    /// refused, else from the appender's thread, which must not be held up.
    ///
    /// After a failure, some of the records may have been appended, or may be yet. Records of one
    /// partition keep their order, also over several calls.
    ///
    /// `done` gets [`Error::Full`] when too much waits already, which refuses all of the records;
    /// [`Error::TooLarge`]; [`Error::TopicUnknown`]; [`Error::PartitionUnknown`];
    /// [`Error::Unauthorised`]; [`Error::Unavailable`] when an acknowledgement did not come in
    /// time.
    pub fn append(&self, records: &[NewRecord], done: Appended) {
        if records.is_empty() {
            done(Ok(Vec::new()));
            return;
        }
        let sizes: Vec<u64> = records.iter().map(NewRecord::size).collect();
        let Some(claims) = self.in_flight.claim(&sizes) else {
            done(Err(Error::Full { doing: format!("append {} records", records.len()) }));
            return;
        };
        let batch = Batch::new(records.len(), done);
        for (index, (record, claim)) in records.iter().zip(claims).enumerate() {
            let slot = Box::new(Slot::new(&batch, index, claim));
            if let Err((error, slot)) = self.send(record, slot) {
                slot.fail(error);
                return;
            }
        }
    }

    /// Records that wait for their acknowledgement.
    pub fn in_flight(&self) -> u64 {
        self.in_flight.records()
    }

    fn send(&self, record: &NewRecord, slot: Box<Slot>) -> Result<(), (Error, Box<Slot>)> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let (error, slot) = match running.send(record, slot) {
            Ok(()) => return Ok(()),
            Err(refused) => refused,
        };
        if error.rdkafka_error_code() == Some(Code::UnknownPartition) {
            look_at(running.producer.client(), &record.topic);
            let sent = running.send(record, slot);
            return sent.map_err(|(error, slot)| (failed(record, &error), slot));
        }
        if error.rdkafka_error_code() != Some(Code::Fatal) {
            return Err((failed(record, &error), slot));
        }
        // The client library lost the order of its records for good, and takes no more of them.
        let anew = match Running::start(&self.cluster) {
            Ok(anew) => anew,
            Err(error) => return Err((error, slot)),
        };
        let lost = std::mem::replace(&mut *running, anew);
        let sent = running.send(record, slot);
        drop(running);
        // Its end tells those who still wait, and they may hand over more at once.
        drop(lost);
        sent.map_err(|(error, slot)| (failed(record, &error), slot))
    }
}

impl Drop for Appender {
    fn drop(&mut self) {
        let timeout = self.cluster.timeout();
        if !self.in_flight.drained(timeout) {
            // Their callers are told by the end of the producer.
            let waiting = self.in_flight.records();
            tracing::warn!(
                target: "gristmill::kafka",
                waiting,
                "records were not acknowledged before the end"
            );
        }
    }
}

impl Running {
    fn start(cluster: &Cluster) -> Result<Self, Error> {
        let context = Acknowledged { context: cluster.context("appender") };
        let producer: BaseProducer<_> = client(&cluster.settings().appender(), context)?;
        let producer = Arc::new(producer);
        let ended = Arc::new(AtomicBool::new(false));
        let (served, end) = (Arc::clone(&producer), Arc::clone(&ended));
        let serve = move || {
            while !end.load(Ordering::Relaxed) {
                served.poll(SLICE);
            }
        };
        let started = thread::Builder::new().name("kafka-appender".to_owned()).spawn(serve);
        let refused = |error: io::Error| Error::Client { reason: error.to_string() };
        Ok(Self { producer, ended, thread: Some(started.map_err(refused)?) })
    }

    fn send(&self, record: &NewRecord, slot: Box<Slot>) -> Result<(), (KafkaError, Box<Slot>)> {
        self.producer
            .send(record.native(slot))
            .map_err(|(error, native)| (error, native.delivery_opaque))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has ended too.
            drop(thread.join());
        }
        // What is still in flight fails when the producer ends, which purges it.
    }
}

crate::context::heard_by!(Acknowledged, context);

impl ProducerContext for Acknowledged {
    type DeliveryOpaque = Box<Slot>;

    fn delivery(&self, result: &DeliveryResult<'_>, slot: Box<Slot>) {
        match result {
            Ok(message) => {
                self.context.health().answered();
                slot.acknowledge(Offset(u64::try_from(message.offset()).unwrap_or(0)));
            }
            Err((error, message)) => {
                let partition = u32::try_from(message.partition()).unwrap_or(0);
                let failed = failed_at(message.topic(), partition, error);
                slot.fail(self.context.health().explain(failed, code_of(error)));
            }
        }
    }
}

impl fmt::Debug for Appender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Appender").field("in_flight", &self.in_flight()).finish_non_exhaustive()
    }
}

fn failed(record: &NewRecord, error: &KafkaError) -> Error {
    failed_at(&record.topic, record.partition, error)
}

fn failed_at(topic: &str, partition: u32, error: &KafkaError) -> Error {
    let doing = format!("append to partition {partition} of topic \"{topic}\"");
    Error::of(doing, error, About::Partition(topic, partition))
}

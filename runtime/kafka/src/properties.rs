//! Decides with which librdkafka properties each kind of client runs: those the host must set for
//! its promises, and the operator's for the rest. Connects to nothing.

use std::{collections::BTreeMap, fmt};

use gristmill_engine::Millis;
use rdkafka::{
    ClientConfig, config::RDKafkaLogLevel, consumer::BaseConsumer, error::KafkaResult,
    producer::BaseProducer,
};

use crate::{
    cluster::TIMEOUT_DEFAULT,
    context::{Context, Health},
    error::{About, Error},
};

/// How to reach a cluster, and as whom.
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    /// `host:port` of some brokers; the others are found through them.
    pub brokers: Vec<String>,
    /// librdkafka properties of the operator's, which go to every kind of client. Those that
    /// Gristmill must set itself are refused by [`check`].
    pub properties: BTreeMap<String, String>,
    /// `client.id`: what brokers' logs and quotas call this host. It also begins the group id of
    /// clients that only read and never commit.
    pub client_id: String,
    /// A topic that this user may describe, there or not. It is asked for where only brokers are
    /// wanted: the library asks for one topic or for all, and brokers log what they deny.
    pub own_topic: String,
    /// Who this host is among those of its name; it persists in the data directory.
    pub host_id: String,
    /// After how long without a sign of life a group gives this host's partitions away.
    pub session_timeout: Millis,
    /// After how long a broker aborts an open transaction that nobody ends; from 1 s.
    pub transaction_timeout: Millis,
    /// `group.instance.id` for static membership, unique per member of a group.
    pub group_instance_id: Option<String>,
    /// Time between two statistics of a client; zero for none.
    pub statistics_interval: Millis,
    /// What logs call the cluster; `None` where the host uses no other.
    pub label: Option<String>,
}

/// Time-out of a group's session where nothing else is set (source: the contract, "Transactions
/// on Kafka"; as long as the transaction's so that a dead host's work is not held up by either).
pub const SESSION_TIMEOUT_DEFAULT: Millis = Millis::seconds(10);

/// Time-out of a transaction where nothing else is set. Under the session's, so that a partition
/// is not given to another host while its records of an open transaction are still invisible.
pub const TRANSACTION_TIMEOUT_DEFAULT: Millis = Millis::seconds(8);

/// How long a member of a group may not ask for records, unless set (source: librdkafka's default
/// of `max.poll.interval.ms`).
const POLL_INTERVAL_DEFAULT: Millis = Millis::seconds(300);

/// How long a record may wait for its acknowledgement in a producer without transactions. A
/// broker's restart takes less; what takes longer is told to whoever sent the record.
const DELIVERY_TIMEOUT: Millis = Millis::seconds(30);

/// How long a producer collects records of one partition before it sends them. A batch of a
/// thousand small records is as quick as one record, so a few milliseconds pay at once.
const LINGER: Millis = Millis(5);

/// Longest wait of a fetch at the end of a partition. So long does a reader take to notice that
/// there is nothing more, so it is far below librdkafka's 500 ms; new records end it at once.
const FETCH_WAIT: Millis = Millis(50);

/// How long a topic that a broker does not know may be one that it does not know yet. Topics are
/// made before they are used and waited for, so it need not be librdkafka's 30 s: so late a record
/// for a topic that does not exist is refused.
const PROPAGATION: Millis = Millis::seconds(5);

/// How long a consumer does not fetch after its queue was full. librdkafka's second is longer than
/// it takes to empty the queue, so that a quick reader waits: 1,000 records of 350 bytes took 12 ms
/// to read on, on average, and 1 ms with this (measured).
const FETCH_BACKOFF: Millis = Millis(10);

/// Most a reader holds that nobody asked for yet, in KiB: readers are many and read by pages.
const READER_QUEUE_KIB: u64 = 4_096;

/// Largest record where nothing else is set, in bytes (source: librdkafka's default of
/// `message.max.bytes`).
const RECORD_BYTES_MAX_DEFAULT: u64 = 1_000_000;
/// Wait of a transactional producer before it repeats a request, at first; it doubles each time.
const RETRY_BACKOFF: Millis = Millis(2);
/// What is fetched ahead of one partition, in KiB: a second of it at 20,000 events of 400 bytes,
/// where the library's 64 MiB would take a GiB for 16 partitions with a backlog.
const MEMBER_QUEUE_KIB: u64 = 8 * 1024;
/// `batch.size` of librdkafka where nothing is set (source: its `CONFIGURATION.md`).
const BATCH_BYTES_DEFAULT: u64 = 1_000_000;

/// Properties that decide the host's promises, or who it is: never the operator's to set.
const OWNED: [&str; 28] = [
    "acks",
    "allow.auto.create.topics",
    "auto.commit.enable",
    "auto.offset.reset",
    "bootstrap.servers",
    "client.id",
    "delivery.timeout.ms",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.idempotence",
    "enable.partition.eof",
    "group.id",
    "group.instance.id",
    "group.protocol",
    "group.remote.assignor",
    "isolation.level",
    "log.queue",
    "log_level",
    "message.timeout.ms",
    "metadata.broker.list",
    "partition.assignment.strategy",
    "partitioner",
    "queuing.strategy",
    "request.required.acks",
    "session.timeout.ms",
    "statistics.interval.ms",
    "transaction.timeout.ms",
    "transactional.id",
];

impl Settings {
    /// The largest record that producers made of these settings take, in bytes with what the
    /// protocol adds; 1,000,000 unless `message.max.bytes` says otherwise.
    pub fn record_bytes_max(&self) -> u64 {
        let set = self.properties.get("message.max.bytes").and_then(|value| value.parse().ok());
        set.unwrap_or(RECORD_BYTES_MAX_DEFAULT)
    }

    /// Whether records are compressed before they are sent.
    pub(crate) fn compresses(&self) -> bool {
        ["compression.codec", "compression.type"].iter().any(|name| {
            let set = [(*name).to_owned(), format!("topic.{name}")];
            set.iter().filter_map(|name| self.properties.get(name)).any(|codec| codec != "none")
        })
    }

    /// The largest batch of several records that producers made of these settings send, in bytes
    /// before compression; 1,000,000 unless `batch.size` says otherwise.
    pub(crate) fn batch_bytes(&self) -> u64 {
        let set = self.properties.get("batch.size").and_then(|value| value.parse().ok());
        set.unwrap_or(BATCH_BYTES_DEFAULT)
    }

    /// Asks about topics, groups and offsets, and changes them.
    pub(crate) fn admin(&self) -> ClientConfig {
        let mut config = self.common("admin");
        // Its main queue, where log and statistics go, is polled by nobody.
        config.set_log_level(RDKafkaLogLevel::Emerg);
        config.set("statistics.interval.ms", "0");
        config
    }

    /// Appends records outside of transactions.
    pub(crate) fn appender(&self) -> ClientConfig {
        let mut config = self.producer("appender");
        config.set("delivery.timeout.ms", DELIVERY_TIMEOUT.0.to_string());
        config
    }

    /// Appends records in transactions of `id`.
    pub(crate) fn transactional(&self, id: &str) -> ClientConfig {
        // Records wait for their partitions to be taken into the transaction, and fill their
        // batches meanwhile.
        let mut config = self.checkpoints("transactions", "0");
        // The coordinator takes no new transaction while it still ends the last one, for a few
        // milliseconds, and the library asks again after this time: 100 ms by default, which came
        // to 112 ms per transaction at 1,000 events a second (measured).
        if !self.has("retry.backoff.ms") {
            config.set("retry.backoff.ms", RETRY_BACKOFF.0.to_string());
        }
        config
            // Whether a connection was closed decides whether the producer is used again.
            .set("log.connection.close", "true")
            .set("transactional.id", id)
            .set("transaction.timeout.ms", self.transaction_timeout.0.to_string());
        config
    }

    /// Appends the records of checkpoints outside of transactions.
    pub(crate) fn writer(&self) -> ClientConfig {
        self.checkpoints("writer", "1")
    }

    fn checkpoints(&self, role: &str, linger: &str) -> ClientConfig {
        let mut config = self.producer(role);
        // The end of a checkpoint waits for its last record, so each millisecond here is one of
        // latency; the records of a checkpoint come at once and fill their batches without it.
        if !self.has("linger.ms") && !self.has("queue.buffering.max.ms") {
            config.set("linger.ms", linger);
        }
        // A record that outlives its transaction is never sent.
        config.set("delivery.timeout.ms", self.transaction_timeout.0.to_string());
        config
    }

    /// Takes its share of the partitions of `group`, which `assignor` (`range`,
    /// `cooperative-sticky`) deals out. Its first offset is the earliest, it commits nothing by
    /// itself, and it does not tell the end of a partition.
    pub(crate) fn member(&self, group: &str, assignor: &str) -> ClientConfig {
        let mut config = self.consumer("group", group);
        config
            .set("partition.assignment.strategy", assignor)
            .set("session.timeout.ms", self.session_timeout.0.to_string())
            .set("auto.offset.reset", "earliest");
        if !self.has("queued.max.messages.kbytes") {
            config.set("queued.max.messages.kbytes", MEMBER_QUEUE_KIB.to_string());
        }
        if !self.has("max.poll.interval.ms") {
            // librdkafka wants it no shorter than the session.
            let interval = self.session_timeout.0.max(POLL_INTERVAL_DEFAULT.0);
            config.set("max.poll.interval.ms", interval.to_string());
        }
        if let Some(id) = &self.group_instance_id {
            config.set("group.instance.id", id);
        }
        config
    }

    /// Reads the partitions it is given from the offsets it is given, tells their ends, and says
    /// when an offset does not exist. It commits nothing and joins no group; librdkafka wants the
    /// name of one all the same, and asks for its coordinator: so it begins as those do that this
    /// user has a right to by default, and is no subscription's.
    pub(crate) fn reader(&self) -> ClientConfig {
        let mut config = self.consumer("reader", &format!("{}-.reader", self.client_id));
        config
            .set("enable.partition.eof", "true")
            .set("auto.offset.reset", "error")
            .set("fetch.wait.max.ms", FETCH_WAIT.0.to_string())
            .set("queued.max.messages.kbytes", READER_QUEUE_KIB.to_string())
            // It is polled only while somebody reads; they would heap up.
            .set("statistics.interval.ms", "0");
        config
    }

    /// As [`Settings::reader`], but it is polled all the time, and an offset that is not there any
    /// more stands for the first that is.
    pub(crate) fn tail(&self) -> ClientConfig {
        let mut config = self.consumer("tail", &format!("{}-.reader", self.client_id));
        config
            .set("auto.offset.reset", "earliest")
            .set("fetch.wait.max.ms", FETCH_WAIT.0.to_string())
            .set("queued.max.messages.kbytes", READER_QUEUE_KIB.to_string());
        config
    }

    /// Asks for topics, groups and offsets, these as `isolation` (`read_committed`,
    /// `read_uncommitted`) sees them. Reads no records and has no group.
    pub(crate) fn watcher(&self, isolation: &str) -> ClientConfig {
        let mut config = self.common("watcher");
        config.set("isolation.level", isolation);
        config
    }

    /// Reads and sets what `group` committed, without joining it. What it reads is stable: it
    /// waits for open transactions, because it is `read_committed`.
    pub(crate) fn bystander(&self, group: &str) -> ClientConfig {
        let mut config = self.consumer("bystander", group);
        // So long a commit waits for the group's coordinator, and then for its answer.
        let patience = TIMEOUT_DEFAULT.as_millis().to_string();
        config.set("session.timeout.ms", &patience);
        if !self.has("socket.timeout.ms") {
            config.set("socket.timeout.ms", &patience);
        }
        config
    }

    fn producer(&self, role: &str) -> ClientConfig {
        let mut config = self.common(role);
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("partitioner", "murmur2_random");
        if !self.has("linger.ms") && !self.has("queue.buffering.max.ms") {
            config.set("linger.ms", LINGER.0.to_string());
        }
        config
    }

    fn consumer(&self, role: &str, group: &str) -> ClientConfig {
        let mut config = self.common(role);
        config
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("isolation.level", "read_committed");
        if !self.has("fetch.queue.backoff.ms") {
            config.set("fetch.queue.backoff.ms", FETCH_BACKOFF.0.to_string());
        }
        config
    }

    fn common(&self, role: &str) -> ClientConfig {
        let mut config = ClientConfig::new();
        for (name, value) in &self.properties {
            config.set(name, value);
        }
        config
            .set("bootstrap.servers", self.brokers.join(","))
            .set("client.id", format!("{}-{}-{role}", self.client_id, self.host_id))
            .set("statistics.interval.ms", self.statistics_interval.0.to_string());
        // What does not exist is an error, not a topic with the cluster's defaults.
        config.set("allow.auto.create.topics", "false");
        if !self.has("topic.metadata.propagation.max.ms") {
            config.set("topic.metadata.propagation.max.ms", PROPAGATION.0.to_string());
        }
        if !self.has("client.software.name") {
            config.set("client.software.name", "gristmill");
            config.set("client.software.version", env!("CARGO_PKG_VERSION"));
        }
        // What is shown is decided where it is shown; `debug` asks for more than is useful.
        let verbose = self.has("debug");
        let level = if verbose { RDKafkaLogLevel::Debug } else { RDKafkaLogLevel::Info };
        config.set_log_level(level);
        config
    }

    fn has(&self, name: &str) -> bool {
        self.properties.contains_key(name)
    }
}

impl fmt::Debug for Settings {
    /// Names of properties without their values, which may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("brokers", &self.brokers)
            .field("properties", &self.properties.keys())
            .field("client_id", &self.client_id)
            .field("host_id", &self.host_id)
            .finish_non_exhaustive()
    }
}

/// Makes a client of each kind, so that a wrong property is found at the start, with its name.
/// Waits for no broker.
///
/// # Errors
///
/// [`Error::Property`] for a property that is unknown, has an impossible value or is one that
/// Gristmill sets itself; [`Error::Client`] when they do not go together or a file they name
/// cannot be read.
pub fn check(settings: &Settings) -> Result<(), Error> {
    if settings.brokers.iter().all(|broker| broker.trim().is_empty()) {
        let reason = "no broker is named".to_owned();
        return Err(Error::Property { name: "bootstrap.servers".to_owned(), reason });
    }
    for (name, value) in &settings.properties {
        // librdkafka takes a property of topics under this prefix too.
        if OWNED.contains(&name.strip_prefix("topic.").unwrap_or(name)) {
            let reason = "Gristmill sets it itself".to_owned();
            return Err(Error::Property { name: name.clone(), reason });
        }
        let mut alone = ClientConfig::new();
        let tried = alone.set(name, value).create_native_config();
        tried.map(drop).map_err(|error| failed(&error))?;
    }
    let health = Health::new(None);
    let context = || Context::new("check", &health, None);
    let producer = |config: &ClientConfig| -> KafkaResult<()> {
        config.create_with_context::<_, BaseProducer<Context>>(context()).map(drop)
    };
    let consumer = |config: &ClientConfig| -> KafkaResult<()> {
        config.create_with_context::<_, BaseConsumer<Context>>(context()).map(drop)
    };
    producer(&settings.appender()).map_err(|error| failed(&error))?;
    producer(&settings.transactional("check")).map_err(|error| failed(&error))?;
    consumer(&settings.member("check", "range")).map_err(|error| failed(&error))?;
    consumer(&settings.reader()).map_err(|error| failed(&error))
}

fn failed(error: &rdkafka::error::KafkaError) -> Error {
    Error::of("create Kafka client", error, About::Cluster)
}

//! Agrees on numbers and first values among all hosts of one name, by the order of one topic's
//! records. It gives no number back and changes no value.
//!
//! The topic has one partition and is compacted, so it never loses a record whose key is the last
//! of its kind. Every record has a key of its own: what is registered, and a random part. So
//! compaction removes none, and the *first* record of a name, which decides, stays at its offset
//! for ever. Two hosts that register a name at once both append; both then read, and see the same
//! first.

mod entry;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError, mpsc},
    time::{Duration, Instant},
};

use bytes::Bytes;
use bytestring::ByteString;
use gristmill_engine::{Bytes as Size, Offset};
use rdkafka::error::RDKafkaErrorCode as Code;

use self::entry::{Entry, Kind};
use crate::{
    appender::{Appender, AppenderBounds},
    cluster::{Cluster, NewTopic},
    error::{About, Cause, Error},
    reader::{ReadLimit, Reader},
    record::NewRecord,
};

/// Records of one read of the topic.
const PAGE: ReadLimit = ReadLimit { events: 10_000, bytes: Size::mib(4) };

/// The settings that keep every record.
const KEEP: [(&str, &str); 1] = [("cleanup.policy", "compact")];

/// Numbers and first values that all hosts of one name agree on. Calls come one after another.
pub struct Registry {
    cluster: Cluster,
    topic: ByteString,
    reader: Reader,
    known: Mutex<Known>,
}

/// What was read of the topic.
#[derive(Default)]
struct Known {
    numbers: BTreeMap<String, u64>,
    documents: BTreeMap<String, Bytes>,
    next: Offset,
    /// Made when something is registered, which most hosts never do.
    appender: Option<Appender>,
}

impl Registry {
    /// Opens the registry that `topic` holds, and makes the topic when there is none.
    ///
    /// # Errors
    ///
    /// [`Error::TopicInvalid`] when the topic has more than one partition or is not compacted,
    /// and so would not keep what it holds; [`Error::Unauthorised`]; [`Error::Unavailable`] when
    /// the topic cannot be read to its end in time.
    pub fn open(cluster: &Cluster, topic: &str) -> Result<Self, Error> {
        let configs = KEEP.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let new = NewTopic { name: topic.into(), partitions: 1, replication: None, configs };
        let found = cluster.ensure(&new)?;
        let invalid = |reason: String| Error::TopicInvalid {
            doing: format!("keep numbers in topic \"{topic}\""),
            source: Cause::new(reason),
        };
        if found.partitions != 1 {
            return Err(invalid(format!("it has {} partitions, not 1", found.partitions)));
        }
        let configs = cluster.configs(topic)?;
        for (name, wanted) in KEEP {
            if configs.get(name).is_none_or(|value| value != wanted) {
                return Err(invalid(format!("its {name} is not {wanted}")));
            }
        }
        let registry = Self {
            cluster: cluster.clone(),
            topic: topic.into(),
            reader: Reader::new(cluster),
            known: Mutex::default(),
        };
        let end = cluster.high_watermark(topic, 0)?;
        registry.read_to(&mut registry.lock(), end)?;
        Ok(registry)
    }

    /// The number of `text`: from memory, else the one another host gave it, else a new one.
    /// Numbers are not dense.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] when it cannot be registered in time: it may have a number all the
    /// same, so try again; [`Error::Unauthorised`].
    pub fn number(&self, text: &str) -> Result<u64, Error> {
        let mut known = self.lock();
        if let Some(number) = known.numbers.get(text) {
            return Ok(*number);
        }
        self.register(&mut known, &Entry::new(Kind::Number, text, Bytes::new()))?;
        known.numbers.get(text).copied().ok_or_else(|| self.lost(text))
    }

    /// All texts that have a number, as far as this host has read.
    pub fn numbers(&self) -> BTreeMap<String, u64> {
        self.lock().numbers.clone()
    }

    /// The value that was first proposed for `name`, by any host: `propose` when it is this one.
    /// Values are small: a secret, a setting.
    ///
    /// # Errors
    ///
    /// As [`Registry::number`]; [`Error::TooLarge`].
    pub fn first(&self, name: &str, propose: Bytes) -> Result<Bytes, Error> {
        let mut known = self.lock();
        if let Some(value) = known.documents.get(name) {
            return Ok(value.clone());
        }
        self.register(&mut known, &Entry::new(Kind::Document, name, propose))?;
        known.documents.get(name).cloned().ok_or_else(|| self.lost(name))
    }

    /// Appends an entry, and reads on past it.
    fn register(&self, known: &mut Known, entry: &Entry) -> Result<(), Error> {
        let appender = match &mut known.appender {
            Some(appender) => appender,
            none => none.insert(Appender::new(&self.cluster, AppenderBounds::default())?),
        };
        let record = NewRecord {
            topic: self.topic.clone(),
            partition: 0,
            timestamp_ms: 0,
            key: Some(entry.key()),
            headers: Vec::new(),
            payload: Some(entry.value.clone()),
        };
        let (told, outcome) = mpsc::sync_channel(1);
        // Nobody listens any more when this took longer than the producer tries.
        appender.append(&[record], Box::new(move |outcome| drop(told.send(outcome))));
        let late = |_: mpsc::RecvTimeoutError| self.late();
        let offsets = outcome.recv_timeout(self.cluster.timeout()).map_err(late)??;
        let end = offsets.first().map_or(known.next, |offset| offset.next());
        self.read_to(known, end)
    }

    /// Reads on until everything before `end` is known.
    fn read_to(&self, known: &mut Known, end: Offset) -> Result<(), Error> {
        let began = Instant::now();
        while known.next < end {
            let left = self.cluster.timeout().saturating_sub(began.elapsed());
            let records = self.reader.read((&self.topic, 0), known.next, PAGE, left)?;
            if records.is_empty() && left == Duration::ZERO {
                return Err(self.late());
            }
            for record in records {
                known.next = record.offset.next();
                let number = record.offset.0;
                let Some(entry) = Entry::of(record) else { continue };
                match entry.kind {
                    Kind::Number => {
                        known.numbers.entry(entry.name).or_insert(number);
                    }
                    Kind::Document => {
                        known.documents.entry(entry.name).or_insert(entry.value);
                    }
                }
            }
        }
        Ok(())
    }

    fn late(&self) -> Error {
        let doing = format!("read topic \"{}\" to its end", self.topic);
        self.cluster.refused(doing, Code::OperationTimedOut, About::Topic(&self.topic))
    }

    /// What was registered is not there: the topic is not what this host opened.
    fn lost(&self, name: &str) -> Error {
        let doing = format!("find \"{name}\" in topic \"{}\"", self.topic);
        Error::Other { doing, source: Cause::new("it was appended, and is not there") }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("topic", &self.topic).finish_non_exhaustive()
    }
}

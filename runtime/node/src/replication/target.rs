//! Reaches the other cluster: its topics, and the one that remembers how far a replication has
//! come. It decides nothing about records.

use std::collections::BTreeMap;
use std::time::Duration;

use bytestring::ByteString;
use gristmill_config::{Problem, ReplicationConfig};
use gristmill_engine::{Bytes as Size, Millis, Offset};
use gristmill_kafka::{Cluster, Error, Group, NewTopic, ReadLimit, Reader, Settings, Sought};

use super::progress::Progress;
use crate::topics;

/// Longest wait for one answer of the other cluster.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// Slots of a replication: how many hosts can share it.
const SLOTS: u32 = 16;
/// Small segments let the progress be compacted while there is little of it.
const SEGMENT_BYTES: &str = "8388608";
/// Largest record that the client sends where nothing is set: what is too large, the topic says.
const RECORD_BYTES_MAX: &str = "67108864";
/// Records of the progress read at once.
const PAGE: ReadLimit = ReadLimit { events: 5_000, bytes: Size::mib(4) };

/// The other cluster.
pub(super) struct Target {
    pub(super) cluster: Cluster,
    reader: Reader,
    /// Topic of the progress.
    pub(super) progress: ByteString,
    /// Group whose members share the slots.
    pub(super) group: String,
    /// Transactional id of this host.
    pub(super) transactional: String,
    replication: Option<u32>,
}

/// Who replicates: names that are the same on all hosts of one name, and this host's own.
#[derive(Debug, Clone, Copy)]
pub(super) struct Who<'a> {
    pub(super) host: &'a str,
    pub(super) host_id: &'a str,
    pub(super) replication: &'a str,
}

/// How a slot stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Settled {
    /// All of it is known.
    Yes,
    /// A transaction of whoever had it is still open.
    NotYet,
}

impl Target {
    /// How it is reached, with secrets read.
    pub(super) fn settings(who: Who<'_>, config: &ReplicationConfig) -> Result<Settings, Problem> {
        let mut properties = BTreeMap::new();
        for (name, secret) in &config.properties {
            properties.insert(name.clone(), gristmill_config::read::secret(secret)?);
        }
        properties
            .entry("message.max.bytes".to_owned())
            .or_insert_with(|| RECORD_BYTES_MAX.to_owned());
        Ok(Settings {
            brokers: config.brokers.clone(),
            properties,
            client_id: who.host.to_owned(),
            own_topic: progress_name(who, config),
            host_id: who.host_id.to_owned(),
            session_timeout: config.session_timeout,
            transaction_timeout: config.transaction_timeout,
            group_instance_id: None,
            statistics_interval: Millis(0),
            label: Some(config.to_cluster.clone()),
        })
    }

    /// Makes the clients and waits for no broker.
    pub(super) fn connect(
        who: Who<'_>,
        config: &ReplicationConfig,
        settings: Settings,
    ) -> Result<Self, Error> {
        let cluster = Cluster::connect(settings)?.within(ANSWER_MAX);
        let id = format!("{}.{}", config.cluster, who.replication);
        Ok(Self {
            reader: Reader::new(&cluster),
            cluster,
            progress: progress_name(who, config).into(),
            group: format!("{}-replication.{id}", who.host),
            transactional: format!("{}.replication.{id}.{}", who.host, who.host_id),
            replication: config.replication,
        })
    }

    /// The progress, of which nothing is read yet. Its topic is made where there is none. Waits.
    pub(super) fn open(&self) -> Result<Progress, super::error::Error> {
        use super::error::Error;
        const COMPACT: (&str, &str) = ("cleanup.policy", "compact");
        let configs = [COMPACT, ("segment.bytes", SEGMENT_BYTES)];
        let configs = configs.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let found = self.cluster.ensure(&NewTopic {
            name: self.progress.clone(),
            partitions: SLOTS,
            replication: self.replication,
            configs,
        });
        let found = found.map_err(Error::there)?;
        let kept = self.cluster.configs(&self.progress).map_err(Error::there)?;
        if kept.get(COMPACT.0).is_none_or(|policy| policy != COMPACT.1) {
            return Err(Error::Progress { topic: self.progress.to_string() });
        }
        Ok(Progress::new(found.partitions))
    }

    /// Asks for as little as can be, to see whether it answers. Waits.
    pub(super) fn answers(&self) -> Result<(), Error> {
        self.cluster.offsets(&[(&*self.progress, 0)], Sought::End).map(drop)
    }

    /// Reads on in slots where there is more, whoever holds them. Waits.
    pub(super) fn follow(&self, progress: &mut Progress, slots: &[u32]) -> Result<(), Error> {
        let asked: Vec<(&str, u32)> = slots.iter().map(|slot| (&*self.progress, *slot)).collect();
        let ends = self.cluster.offsets(&asked, Sought::End)?;
        for (slot, end) in slots.iter().zip(ends) {
            self.read_to(progress, *slot, end.unwrap_or_default())?;
        }
        Ok(())
    }

    /// Brings a slot that this host holds now up to date: all that whoever had it before wrote.
    /// Waits for no transaction to end.
    pub(super) fn take_over(
        &self,
        group: &Group,
        progress: &mut Progress,
        slot: u32,
    ) -> Result<Settled, Error> {
        // First what is committed, once nothing is undecided: the slot holds at least that much
        // when its present end is settled.
        group.committed(&[(self.progress.clone(), slot)], ANSWER_MAX)?;
        let end = self.cluster.high_watermark(&self.progress, slot)?;
        let (_, stable) = self.cluster.bounds(&self.progress, slot)?;
        if stable < end {
            return Ok(Settled::NotYet);
        }
        self.read_to(progress, slot, end)?;
        Ok(Settled::Yes)
    }

    fn read_to(&self, progress: &mut Progress, slot: u32, end: Offset) -> Result<(), Error> {
        if end < progress.read(slot) {
            progress.forget(slot);
        }
        let mut is_empty = false;
        while progress.read(slot) < end {
            let from = progress.read(slot);
            let read = self.reader.read((&self.progress, slot), from, PAGE, Duration::ZERO)?;
            // The first may only have heard of an end that was one earlier; the second looks anew.
            if read.is_empty() && is_empty {
                progress.pass(slot, end);
            }
            is_empty = read.is_empty();
            for record in &read {
                progress.take(slot, record);
            }
        }
        Ok(())
    }

    /// Partitions of a topic over there; `None` when there is none. Waits.
    pub(super) fn partitions(&self, name: &str) -> Result<Option<u32>, Error> {
        Ok(self.cluster.topic(name)?.map(|topic| topic.partitions))
    }

    /// Partitions of a topic over there, made as `topic` says where there is none. Waits.
    pub(super) fn ensure(&self, topic: NewTopic) -> Result<u32, Error> {
        let topic = NewTopic { replication: self.replication, ..topic };
        Ok(self.cluster.ensure(&topic)?.partitions)
    }
}

fn progress_name(who: Who<'_>, config: &ReplicationConfig) -> String {
    format!("{}replication.{}.{}.{}", topics::INTERNAL, who.host, config.cluster, who.replication)
}

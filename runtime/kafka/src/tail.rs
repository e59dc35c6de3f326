//! Follows many partitions on from where it is told, for whoever must hear at once of what is
//! committed. It joins no group, commits nothing, and forgets nothing it was told to follow.

use std::{fmt, time::Duration};

use bytestring::ByteString;
use gristmill_engine::Offset;
use rdkafka::{
    Message, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode as Code},
    topic_partition_list::Offset as Native,
};

use crate::{
    cluster::{Cluster, client},
    context::Context,
    error::{About, Error},
    record::Record,
};

/// Hears of every record committed to some partitions.
pub struct Tail {
    consumer: BaseConsumer<Context>,
}

/// A record and where it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// Its topic.
    pub topic: ByteString,
    /// Its partition.
    pub partition: u32,
    /// What it is.
    pub record: Record,
}

impl Tail {
    /// Follows nothing yet.
    ///
    /// # Errors
    ///
    /// [`Error::Client`].
    pub fn new(cluster: &Cluster) -> Result<Self, Error> {
        let context = cluster.context("tail");
        Ok(Self { consumer: client(&cluster.settings().tail(), context)? })
    }

    /// Follows these partitions of `topic` as well, each from its offset on. An offset that is not
    /// there any more stands for the partition's first.
    ///
    /// # Errors
    ///
    /// Those of the client.
    pub fn follow(&self, topic: &str, places: &[(u32, Offset)]) -> Result<(), Error> {
        if places.is_empty() {
            return Ok(());
        }
        let mut list = TopicPartitionList::new();
        for (partition, from) in places {
            let number = i32::try_from(*partition).unwrap_or(i32::MAX);
            let from = Native::Offset(i64::try_from(from.0).unwrap_or(i64::MAX));
            list.add_partition_offset(topic, number, from)
                .map_err(|error| failed(topic, &error))?;
        }
        self.consumer.incremental_assign(&list).map_err(|error| failed(topic, &error))
    }

    /// What is heard next, within `patience`. `None` when that is nothing, or only that a broker
    /// is away, which passes.
    ///
    /// # Errors
    ///
    /// [`Error::TopicUnknown`] when a topic that is followed is gone, [`Error::Unauthorised`].
    pub fn hear(&self, patience: Duration) -> Result<Option<Heard>, Error> {
        let Some(polled) = self.consumer.poll(patience) else { return Ok(None) };
        match polled {
            Ok(message) => Ok(Some(Heard {
                topic: message.topic().into(),
                partition: u32::try_from(message.partition()).unwrap_or(0),
                record: Record::of(&message),
            })),
            // It joins no group; who may not, need not.
            Err(error) if error.rdkafka_error_code() == Some(Code::GroupAuthorizationFailed) => {
                Ok(None)
            }
            Err(error) => {
                let failed = Error::of("follow topics", &error, About::Cluster);
                if failed.is_retriable() { Ok(None) } else { Err(failed) }
            }
        }
    }
}

fn failed(topic: &str, error: &KafkaError) -> Error {
    Error::of(format!("follow topic \"{topic}\""), error, About::Topic(topic))
}

impl fmt::Debug for Tail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tail").finish_non_exhaustive()
    }
}

//! Owns every error an operator can see from the store, its code and its advice. It decides no
//! recovery.

use std::{io, path::PathBuf, sync::Arc};

use gristmill_engine::{PartitionId, TopicId};

/// Why the store could not do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Another process holds the data directory.
    #[error("open store in {}: in use by process {pid}", path.display())]
    Locked {
        /// The data directory.
        path: PathBuf,
        /// Process id its lock file names; 0 when it names none.
        pid: u32,
    },
    /// The data directory cannot be created or written.
    #[error("write to data directory {}", path.display())]
    Directory {
        /// The directory or file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: Arc<io::Error>,
    },
    /// The data directory was written by a newer Gristmill, or is not one of ours.
    #[error(
        "open store in {}: format {found} is not one this version reads ({known})",
        path.display()
    )]
    Format {
        /// The format file.
        path: PathBuf,
        /// What it says.
        found: String,
        /// What this version reads.
        known: u32,
    },
    /// Checkpoints that were acknowledged are not on disk any more.
    #[error(
        "open store: {place}: checkpoint {synced} was durable, {readable} is the last readable"
    )]
    Damaged {
        /// File and byte where reading ended.
        place: String,
        /// Last checkpoint known to have been synced.
        synced: u64,
        /// Last checkpoint that can be read without a gap.
        readable: u64,
    },
    /// The storage engine does not open its files.
    #[error("open storage engine in {}", path.display())]
    Open {
        /// The engine's directory.
        path: PathBuf,
        /// What it said.
        #[source]
        source: Arc<fjall::Error>,
    },
    /// A write or its sync failed. Nothing is accepted after it; the process must stop.
    #[error("write checkpoint {checkpoint}")]
    Write {
        /// The checkpoint that may or may not be on disk.
        checkpoint: u64,
        /// What the storage engine said.
        #[source]
        source: Arc<fjall::Error>,
    },
    /// A read failed.
    #[error("read {what}")]
    Read {
        /// What was being read.
        what: &'static str,
        /// What the storage engine said.
        #[source]
        source: Arc<fjall::Error>,
    },
    /// Stored bytes, or those of a changelog, do not decode: damage, or a defect.
    #[error("decode {what}: {reason}")]
    Corrupt {
        /// What was being decoded.
        what: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// An entry of a changelog is of a form this version does not know: a newer one wrote it.
    #[error("decode {what}: {part} {found} is not known to this version")]
    ChangelogUnknown {
        /// What was being decoded.
        what: &'static str,
        /// What of it is not known: its kind or its version.
        part: &'static str,
        /// The byte found there.
        found: u8,
    },
    /// A file of a snapshot cannot be read by the system.
    #[error("read snapshot {}", path.display())]
    SnapshotRead {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: Arc<io::Error>,
    },
    /// A file of a snapshot is damaged, of a newer Gristmill, or none.
    #[error("read snapshot {}: {reason}", path.display())]
    SnapshotDamaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Free space is under the reserve.
    #[error("write to the store: {free} bytes free, {floor} are reserved")]
    Low {
        /// Free bytes on the file system.
        free: u64,
        /// Bytes that must stay free for a batch of this kind.
        floor: u64,
    },
    /// More waits for the writer than the queue holds.
    #[error("write to the store: {waiting} bytes wait already")]
    Busy {
        /// Bytes that wait.
        waiting: u64,
    },
    /// The store is closed.
    #[error("use store: it is closed")]
    Closed,
    /// A topic of this name exists.
    #[error("create topic \"{name}\": it exists")]
    TopicExists {
        /// The name.
        name: String,
    },
    /// There is no topic of this name or number.
    #[error("find topic {topic}")]
    TopicUnknown {
        /// Its quoted name, or its number.
        topic: String,
    },
    /// The topic has no such partition.
    #[error("find partition {} of topic {}", partition.0, topic.0)]
    PartitionUnknown {
        /// The topic.
        topic: TopicId,
        /// The partition that does not exist.
        partition: PartitionId,
    },
    /// A topic cannot be made like this.
    #[error("create topic \"{name}\": {reason}")]
    TopicInvalid {
        /// The name.
        name: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// A key, name or value is larger than the store can hold.
    #[error("store {what}: {size} bytes, at most {max} are possible")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        max: u64,
    },
}

/// What a caller does about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Try again later.
    Retry,
    /// Do not try the same again.
    Reject,
    /// Stop the process; it recovers from its last checkpoint.
    Fatal,
}

impl Error {
    /// Stable code, `E0201` to `E0299`; its page is `docs/errors/CODE.md`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Locked { .. } => "E0201",
            Self::Directory { .. } => "E0202",
            Self::Format { .. } => "E0203",
            Self::Damaged { .. } => "E0204",
            Self::Open { .. } => "E0205",
            Self::Write { .. } => "E0206",
            Self::Read { .. } => "E0207",
            Self::Corrupt { .. } => "E0208",
            Self::Low { .. } => "E0209",
            Self::Busy { .. } => "E0210",
            Self::Closed => "E0211",
            Self::TopicExists { .. } => "E0212",
            Self::TopicUnknown { .. } => "E0213",
            Self::PartitionUnknown { .. } => "E0214",
            Self::TopicInvalid { .. } => "E0215",
            Self::TooLarge { .. } => "E0216",
            Self::ChangelogUnknown { .. } => "E0217",
            Self::SnapshotRead { .. } | Self::SnapshotDamaged { .. } => "E0218",
        }
    }

    /// What to do about it.
    pub fn class(&self) -> Class {
        match self {
            Self::Low { .. } | Self::Busy { .. } => Class::Retry,
            Self::TopicExists { .. }
            | Self::TopicUnknown { .. }
            | Self::PartitionUnknown { .. }
            | Self::TopicInvalid { .. }
            | Self::TooLarge { .. }
            | Self::SnapshotRead { .. }
            | Self::SnapshotDamaged { .. } => Class::Reject,
            Self::Locked { .. }
            | Self::Directory { .. }
            | Self::Format { .. }
            | Self::Damaged { .. }
            | Self::Open { .. }
            | Self::Write { .. }
            | Self::Read { .. }
            | Self::Corrupt { .. }
            | Self::ChangelogUnknown { .. }
            | Self::Closed => Class::Fatal,
        }
    }

    /// One line of advice for the operator.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Locked { .. } => {
                "stop the other process, or give this one its own data directory"
            }
            Self::Directory { .. } => "make the directory writable for this user, or name another",
            Self::Format { .. } => "start the version that wrote it, or name an empty directory",
            Self::Damaged { .. } => {
                "restore the data directory from a copy, or read docs/errors/E0204.md before \
                 accepting the loss"
            }
            Self::Open { .. } => {
                "read the cause; keep a copy of the directory before changing anything"
            }
            Self::Write { .. } => {
                "check the disk, then start again: it recovers from the last checkpoint"
            }
            Self::Read { .. } | Self::Corrupt { .. } => {
                "check the disk; restore the data directory from a copy if it goes on"
            }
            Self::ChangelogUnknown { .. } => "start the version that wrote it, or a newer one",
            Self::SnapshotRead { .. } | Self::SnapshotDamaged { .. } => {
                "use another snapshot, or a copy of this one"
            }
            Self::Low { .. } => "free disk space, shorten retention, or lower `reserve`",
            Self::Busy { .. } => "slow down; it clears as soon as the disk catches up",
            Self::Closed => "the host is stopping; send it again when it is back",
            Self::TopicExists { .. } => "use the topic that exists, or delete it first",
            Self::TopicUnknown { .. } => "create the topic, or correct its name",
            Self::PartitionUnknown { .. } => {
                "partitions are numbered from 0 to the topic's count less one"
            }
            Self::TopicInvalid { .. } => {
                "use 1 to 249 of a-z A-Z 0-9 . _ - and 1 to 10000 partitions"
            }
            Self::TooLarge { .. } => "make it smaller, or keep it elsewhere and store a reference",
        }
    }
}

/// Why a batch was not made durable.
///
/// `Low`, `Busy` and `Rejected` mean that nothing of the batch was written. After `Io` it is
/// unknown whether it is on disk: the process must stop and recover, and nothing after it is
/// accepted. A sync is never retried (source: `docs/adr/2026-11-21-store-durability.md`).
#[derive(Debug, Clone, thiserror::Error)]
pub enum Failed {
    /// Free space is under the reserve. Retry when [`Space::low`](crate::Space) is false.
    #[error(transparent)]
    Low(Error),
    /// The queue is full; only told to batches with `ingest`.
    #[error(transparent)]
    Busy(Error),
    /// The store was closed before it took the batch.
    #[error("use store: it is closed")]
    Closed,
    /// The batch names a topic or partition that does not exist, or holds something too large.
    #[error(transparent)]
    Rejected(Error),
    /// A write or sync failed, for this batch or an earlier one. Fatal.
    #[error(transparent)]
    Io(Error),
}

impl Failed {
    /// The error behind it, with its code, class and hint.
    pub fn error(&self) -> Error {
        match self {
            Self::Closed => Error::Closed,
            Self::Low(error) | Self::Busy(error) | Self::Rejected(error) | Self::Io(error) => {
                error.clone()
            }
        }
    }
}

//! Owns the errors that stop a host, their codes (E0450 to E0499) and hints. What a single event
//! or request fails by is no error of the host.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use gristmill_engine::Violation;

use crate::broker;

/// Why a host cannot start, or must stop.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store cannot be used.
    #[error("use the store")]
    Store(#[from] gristmill_store::Error),
    /// A write failed; what is on disk is whole, and a restart recovers from it.
    #[error("write to the store")]
    Write(#[from] gristmill_store::Failed),
    /// The cluster cannot be used.
    #[error("use Kafka")]
    Kafka(#[source] gristmill_kafka::Error),
    /// A secret of the configuration cannot be read.
    #[error("read a secret of the configuration: {0}")]
    Secret(gristmill_config::Problem),
    /// Schemas of the configuration cannot be used.
    #[error("read the schemas: {0}")]
    Schemas(gristmill_config::Problems),
    /// Keys of the configuration cannot be used.
    #[error("read the keys of encrypted fields: {0}")]
    Encryption(gristmill_config::Problems),
    /// Databases of the configuration cannot be used.
    #[error("read how the databases of outboxes are reached: {0}")]
    Outbox(gristmill_config::Problems),
    /// The Wasm engine cannot be used.
    #[error("use the plugin engine")]
    Plugins(#[from] gristmill_plugin_host::Error),
    /// The address is taken or not this machine's.
    #[error("listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The HTTP server ended.
    #[error("serve http")]
    Serve(#[source] io::Error),
    /// A folder the host needs cannot be made.
    #[error("make folder {}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A thread cannot be started.
    #[error("start a worker thread")]
    Thread(#[source] io::Error),
    /// What the store remembers of a plugin cannot be read.
    #[error("read the history of plugin {plugin:?}")]
    Ledger {
        /// The plugin.
        plugin: String,
        /// Why not.
        #[source]
        source: serde_json::Error,
    },
    /// What the store remembers of the host cannot be read.
    #[error("read the stored document {name:?}")]
    Document {
        /// The document.
        name: &'static str,
        /// Why not.
        #[source]
        source: serde_json::Error,
    },
    /// A declared topic exists with other settings that cannot be changed.
    #[error("topic {topic:?} has {has} partitions, the configuration declares {declared}")]
    Partitions {
        /// The topic.
        topic: String,
        /// What it has.
        has: u32,
        /// What is declared.
        declared: u32,
    },
    /// Engine and driver disagree: a defect. The process stops and recovers.
    #[error("protocol broken: {what}")]
    Broken {
        /// What was found, in a sentence.
        what: &'static str,
    },
    /// A worker thread ended without saying why.
    #[error("a worker ended unexpectedly")]
    WorkerGone,
}

impl Error {
    /// The defect `what`.
    pub(crate) fn broken(what: &'static str) -> Self {
        Self::Broken { what }
    }

    /// Stable code; `docs/errors` has a page for each.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Store(error) => error.code(),
            Self::Write(failed) => failed.error().code(),
            Self::Kafka(error) => error.code(),
            Self::Secret(problem) => problem.code,
            Self::Schemas(problems) => problems.iter().next().map_or("E0126", |it| it.code),
            Self::Encryption(problems) => problems.iter().next().map_or("E0129", |it| it.code),
            Self::Outbox(problems) => problems.iter().next().map_or("E0130", |it| it.code),
            Self::Plugins(error) => error.code(),
            Self::Listen { .. } => "E0455",
            Self::Serve(_) => "E0456",
            Self::Folder { .. } => "E0457",
            Self::Thread(_) => "E0458",
            Self::Ledger { .. } | Self::Document { .. } => "E0459",
            Self::Partitions { .. } => "E0460",
            Self::Broken { .. } | Self::WorkerGone => "E0461",
        }
    }

    /// What to do about it, where something can be done.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Store(error) => Some(error.hint().to_owned()),
            Self::Write(failed) => Some(failed.error().hint().to_owned()),
            Self::Kafka(error) => Some(error.hint().to_owned()),
            Self::Listen { address, .. } => Some(format!(
                "another process may use port {}; stop it or set `listen` in gristmill.toml",
                address.port()
            )),
            Self::Partitions { topic, has, .. } => Some(format!(
                "keys would change their partition; write `partitions = {has}` for {topic:?}, or \
                 delete the topic if its events may go"
            )),
            Self::Broken { .. } | Self::WorkerGone => {
                Some("this is a defect of Gristmill; restart, and report the log".to_owned())
            }
            Self::Folder { .. } => Some("check `data_dir` and its permissions".to_owned()),
            Self::Schemas(_) | Self::Encryption(_) | Self::Outbox(_) => {
                Some("`gristmill check` tells all of them".to_owned())
            }
            Self::Secret(_)
            | Self::Plugins(_)
            | Self::Serve(_)
            | Self::Thread(_)
            | Self::Ledger { .. }
            | Self::Document { .. } => None,
        }
    }
}

impl From<broker::Error> for Error {
    fn from(error: broker::Error) -> Self {
        match error {
            broker::Error::Store(error) => Self::Store(error),
            broker::Error::Kafka(error) => Self::Kafka(error),
        }
    }
}

impl From<broker::Failed> for Error {
    fn from(failed: broker::Failed) -> Self {
        match failed {
            broker::Failed::Store(failed) => Self::Write(failed),
            broker::Failed::Kafka(error) => Self::Kafka(error),
        }
    }
}

impl From<Violation> for Error {
    fn from(violation: Violation) -> Self {
        Self::Broken { what: violation.what }
    }
}

/// The error and what caused it, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

//! Talks: Kafka's topics, groups, transactions and changelogs. It decides nothing about events,
//! and nothing of rdkafka appears in its public interface.

mod appender;
mod cluster;
mod committer;
mod context;
mod error;
mod ffi;
mod group;
mod limits;
mod properties;
mod reader;
mod record;
mod registry;
mod tail;

pub use appender::{Appended, Appender, AppenderBounds};
pub use cluster::{
    Cluster, CommittedOffset, GroupDescription, MemberDescription, NewTopic, Node, Probe, Sought,
    TIMEOUT_DEFAULT, TopicDescription,
};
pub use committer::{Committer, Done, Ended, GroupOffsets, Hook, Step, Transaction};
pub use context::{Statistics, Trouble};
pub use error::{Cause, Class, Error};
pub use group::{Group, Listener, Membered, Read, Reading, Term};
pub use properties::{SESSION_TIMEOUT_DEFAULT, Settings, TRANSACTION_TIMEOUT_DEFAULT, check};
pub use reader::{ReadLimit, Reader};
pub use record::{NewRecord, Record};
pub use registry::Registry;
pub use tail::{Heard, Tail};

//! Does: drives engines, plugins and the store under tokio, watches the plugin directory and
//! serves HTTP. It contains no policy: the engine decides what happens to an event, the
//! configuration what an operator wants.
//!
//! Start at [`Node::start`]; the life of an event is in `worker`.

mod admission;
mod binding;
mod broker;
mod clock;
mod commands;
mod connecting;
mod consumer_groups;
mod encryption;
mod envelope;
mod error;
mod gate;
mod gauges;
mod groups;
mod host;
mod http;
mod letters;
mod metrics;
mod outbox;
mod plugins;
mod progress;
mod rebuild;
mod repartition;
mod replay;
mod replication;
mod running;
mod schemas;
mod shared;
mod snapshots;
mod states;
mod telemetry;
mod topics;
mod worker;

pub use consumer_groups::{
    ConsumerGroups, GroupMember, GroupReport, GroupSummary, GroupsError, MemberTopic, OffsetChange,
    PartitionLag, Reset, ResetTo, StateChoice,
};
pub use encryption::check as check_encryption;
pub use error::Error;
pub use outbox::check as check_outbox;
pub use running::{Node, Settings};
pub use schemas::check_schemas;

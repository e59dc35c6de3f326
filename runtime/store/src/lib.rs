//! Remembers: embedded topics and state, durable before anybody is told. It decides nothing about
//! events, and no other crate knows what is on disk.
//!
//! Start at [`Store::submit`]: it is the only way anything changes.

mod change;
mod error;
mod figures;
mod murmur;
mod settings;
mod store;
mod topic;

pub use change::{
    Append, Batch, Change, Cleared, Loaded, Parked, ParkedRecord, ReadLimit, Receipt, Scope,
    Stored, TimerRecord,
};
pub use error::{Class, Error, Failed};
pub use figures::{Figures, Histogram, MarkFigures, Space};
pub use settings::{Clock, Hook, Settings, Step};
pub use store::{Done, Keys, Listener, Names, Store};
pub use topic::{
    Bounds, NAME_BYTES_MAX, PARTITIONS_MAX, Retention, Topic, TopicFigures, TopicSpec, TopicUpdate,
};

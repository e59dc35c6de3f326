//! Remembers: embedded topics and state, durable before anybody is told. It decides nothing about
//! events, and no other crate knows what is on disk.
//!
//! Start at [`Store::submit`]: it is the only way anything changes.

mod change;
pub mod changelog;
mod codec;
mod commit;
mod compact;
mod disk;
mod error;
mod figures;
mod filter;
mod journal;
mod key;
mod log;
mod memory;
mod moment;
mod murmur;
mod open;
mod prepare;
mod recent;
mod reclaim;
mod record;
mod retain;
mod scoped;
mod settings;
mod shared;
pub mod snapshot;
mod space;
mod store;
mod synced;
mod topic;
mod topics;
mod upkeep;
mod writer;

pub use change::{
    Append, Batch, Change, Cleared, Header, Loaded, Parked, ParkedRecord, ReadLimit, Receipt,
    Scope, StateEntry, Stored, TimerRecord,
};
pub use error::{Class, Error, Failed};
pub use figures::{Figures, Histogram, MarkFigures, Space};
pub use moment::{Contents, Moment};
pub use settings::{Clock, Hook, Settings, Step};
pub use store::{Done, Keys, Listener, Names, Store};
pub use topic::{
    Bounds, NAME_BYTES_MAX, PARTITIONS_MAX, Retention, Topic, TopicFigures, TopicSpec, TopicUpdate,
};

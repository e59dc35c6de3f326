//! What `gristmill-kafka` promises of a cluster, its topics, groups and records, on a real one.
//! Other clients than ours prepare what ours must see.

mod appender;
mod brokers;
mod groups;
mod memberships;
mod offsets;
mod properties;
mod raw;
mod reader;
mod registry;
mod shared;
mod topics;

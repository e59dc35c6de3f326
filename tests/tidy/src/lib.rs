//! Checks the house rules that a machine can check. Changes nothing, and judges no behaviour.
//!
//! Each rule is a function from text to [`Finding`]s, proved by a bad sample in a unit test
//! beside it; `tests/tidy.rs` applies the rules to this repository, one test each.

pub mod decisions;
pub mod edges;
pub mod errors;
pub mod layout;
pub mod markdown;
pub mod messages;
pub mod names;
pub mod repo;
pub mod sizes;
pub mod sources;

pub use repo::{Finding, Repo};

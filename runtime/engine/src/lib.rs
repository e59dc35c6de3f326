//! Decides what happens to every event: when it runs, is tried again, waits, is parked, given up
//! on, and becomes durable. It never reads a clock, draws randomness it was not given, sees a
//! payload byte or performs I/O.
//!
//! One engine serves one worker. The driver turns what happened into [`Input`]s, calls
//! [`Engine::step`] and executes the [`Effect`]s in the order they were appended. The two enums
//! *are* the protocol: read [`input`] and [`effect`] first.
#![no_std]
#![forbid(unsafe_code)]
#![warn(clippy::arithmetic_side_effects, clippy::indexing_slicing, clippy::as_conversions)]
#![cfg_attr(
    test,
    expect(
        clippy::arithmetic_side_effects,
        clippy::wildcard_enum_match_arm,
        reason = "tests count small numbers and pick out the effects they look for"
    )
)]

extern crate alloc;

mod assignment;
mod backpressure;
mod breaker;
mod checkpoint;
mod cursor;
mod dead_letter;
mod dedupe;
mod dispatch;
mod drain;
mod engine;
mod fetch;
mod guard;
mod lane;
mod pace;
mod parking;
mod partition;
mod retry;
#[cfg(test)]
mod rig;
mod settle;
mod share;
mod subscription;
mod timers;
mod upgrade;
mod worker;

pub mod effect;
pub mod id;
pub mod input;
pub mod policy;
pub mod takeover;
pub mod time;
pub mod transaction;

pub use effect::{Circuit, Effect, Observation, Progress, Staged, Terminal};
pub use engine::Engine;
pub use id::{
    AttemptId, CheckpointId, EventRef, Generation, IdHash, KeyHash, Offset, OffsetRange,
    PartitionId, Position, SubscriptionId, TimerHash, TopicId, Version,
};
pub use input::{
    Assignment, Cursor, FailureClass, Fetched, Input, Mark, Outcome, ParkedEvent, ParkedLane,
    StoredProgress, TimerChange, TimerEntry, Verdict,
};
pub use policy::{
    BreakerPolicy, ClassPolicy, Figures, GuardPolicy, OnDead, OnExhausted, Order, Policy,
    WorkerPolicy,
};
pub use time::{Bytes, Instant, Millis};

/// The driver broke the protocol. The process must stop and recover from its last checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// What was broken, in a sentence.
    pub what: &'static str,
}

impl core::fmt::Display for Violation {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.what)
    }
}

impl core::error::Error for Violation {}

//! Owns how an attempt ended and what it cost. It never decides what happens next.

use std::time::Duration;

use gristmill_engine::{FailureClass, Millis};
use gristmill_telemetry::Span;

use crate::Effects;

/// How an attempt ended.
#[derive(Debug, Clone)]
pub struct Finished {
    /// Its effects, or why there are none.
    pub result: Result<Effects, Failure>,
    /// What it cost.
    pub usage: Usage,
    /// Spans of its requests, where spans are made.
    pub calls: Vec<Span>,
}

impl Finished {
    /// An attempt that ended before its guest was called.
    pub(crate) fn uncalled(failure: Failure) -> Self {
        Self { result: Err(failure), usage: Usage::default(), calls: Vec::new() }
    }
}

/// Why an attempt failed. Its effects are void.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Class, as policy knows it.
    pub class: FailureClass,
    /// Delay the handler asked for.
    pub retry_after: Option<Millis>,
    /// Why, in a sentence; at most 1 KiB.
    pub reason: String,
    /// A stable word: the handler's own (class `rejected`), else an error code such as `E0341`.
    pub code: Option<String>,
    /// More for operators, such as a Wasm backtrace with function names; at most 8 KiB, may be
    /// empty.
    pub detail: String,
}

/// What an attempt cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// From the first poll to the end, waits included.
    pub wall: Duration,
    /// Time the attempt held its thread: guest code, host calls, making and ending its instance.
    pub busy: Duration,
    /// Most linear memory the instance had, in bytes.
    pub memory_bytes_peak: u64,
    /// Emissions accepted, whether or not the attempt succeeded.
    pub emissions: u32,
    /// Fuel used, where it is metered.
    pub fuel: Option<u64>,
    /// True when the attempt had an instance of its own.
    pub fresh: bool,
}

//! Owns the bounds of one attempt and what a subscription is granted. It never measures: the
//! limiter and the attempt do.

use std::time::Duration;

/// Bounds of one attempt. Reaching one is told to the guest or ends the attempt in a failure
/// class; none is ever exceeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Linear memory of an instance, in bytes. Default 64 MiB; at most
    /// [`RuntimeSettings::memory_bytes_max`](crate::RuntimeSettings). Past it: class `memory`.
    pub memory_bytes: u64,
    /// Elements of all tables of an instance. Default 20,000.
    pub table_elements: u32,
    /// Wall time of the attempt, waits included. Default 5 s. Past it: class `timeout`.
    pub timeout: Duration,
    /// Fuel of the attempt, about one unit per Wasm instruction; needs
    /// [`RuntimeSettings::fuel`](crate::RuntimeSettings). Default none. Past it: class `timeout`.
    pub fuel: Option<u64>,
    /// Emissions of one attempt. Default 1,000.
    pub emissions: u32,
    /// Bytes of all emissions of one attempt. Default 8 MiB.
    pub emitted_bytes: u64,
    /// Bytes of one state value. Default 1 MiB.
    pub value_bytes: u64,
    /// Bytes of all state and timer changes of one attempt, names included. Default 8 MiB.
    pub state_bytes: u64,
    /// Timer changes of one attempt. Default 1,000.
    pub timers: u32,
    /// Bytes of log of one attempt; the rest is dropped with one notice. Default 64 KiB.
    pub log_bytes: u64,
    /// Events one instance serves: 0 and 1 mean a fresh instance per event. Default 0.
    pub reuse: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 64 << 20,
            table_elements: 20_000,
            timeout: Duration::from_secs(5),
            fuel: None,
            emissions: 1_000,
            emitted_bytes: 8 << 20,
            value_bytes: 1 << 20,
            state_bytes: 8 << 20,
            timers: 1_000,
            log_bytes: 64 << 10,
            reuse: 0,
        }
    }
}

/// What a subscription's manifest grants beyond the event itself. Emission grants are asked of
/// [`World::check_emission`](crate::World::check_emission).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Grants {
    /// State of the event's key.
    pub state: bool,
    /// Timers of the event's key.
    pub timers: bool,
    /// The machine's wall clock instead of the event's time.
    pub wall_clock: bool,
}

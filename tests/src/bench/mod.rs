//! Measures a host from outside, as its users would, and writes down what it measured. It asserts
//! nothing: a slow machine is no failure.

pub mod commands;
pub mod commerce;
pub mod figure;
pub mod idle;
pub mod kafka;
pub mod latency;
pub mod outbox;
pub mod process;
pub mod readers;
pub mod scene;
pub mod start;
pub mod systems;
pub mod telemetry;
pub mod throughput;
pub mod windows;

use std::path::PathBuf;

use anyhow::Result;

use self::figure::Figure;

/// What to measure, and how much of it.
#[derive(Debug, Clone)]
pub struct Options {
    /// The host's binary.
    pub binary: PathBuf,
    /// Events of a run for throughput.
    pub events: u64,
    /// Seconds of the runs for latency, commands, commerce and systems.
    pub seconds: u64,
    /// Events a second of the run of five systems.
    pub rate: u64,
    /// Plugins of the run for starting.
    pub plugins: u32,
}

/// Called with a line about what is going on.
pub type Progress<'a> = &'a mut dyn FnMut(&str);

type Measure = fn(&Options, Progress<'_>) -> Result<Vec<Figure>>;

/// Measurements by name, in the order they are taken.
pub const ALL: [(&str, Measure); 11] = [
    ("throughput", throughput::measure),
    ("telemetry", telemetry::measure),
    ("readers", readers::measure),
    ("windows", windows::measure),
    ("latency", latency::measure),
    ("commands", commands::measure),
    ("outbox", outbox::measure),
    ("commerce", commerce::measure),
    ("systems", systems::measure),
    ("start", start::measure),
    ("idle", idle::measure),
];

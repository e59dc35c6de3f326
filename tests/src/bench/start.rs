//! Measures how long a host with many plugins takes to get ready, cold and with compiled code of
//! an earlier start.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::figure::{Figure, Target};
use super::process::resident;
use super::{Options, Progress, scene};
use crate::support::component;
use crate::support::home::Home;

/// Warm starts, of which the middle one counts.
const STARTS: usize = 5;

/// Takes all starts.
///
/// # Errors
///
/// When the host does not get ready.
pub fn measure(options: &Options, progress: Progress<'_>) -> Result<Vec<Figure>> {
    let count = options.plugins;
    let home = scene::home(&options.binary)?;
    let handler = scene::handler()?;
    for number in 0..count {
        let name = format!("plugin-{number}");
        let component = component::marked(&handler, &name);
        home.put(&format!("{name}.wasm"), &component)?;
        home.put(&format!("{name}.toml"), scene::manifest(&name, 1).as_bytes())?;
    }
    progress(&format!("start: {count} plugins, cold"));
    let (cold, _) = start(&home)?;
    progress(&format!("start: {count} plugins, compiled before"));
    let mut warm = Vec::new();
    let mut memory = 0;
    for _ in 0..STARTS {
        let (took, resident) = start(&home)?;
        warm.push(took);
        memory = resident;
    }
    warm.sort_unstable();
    let middle = warm.get(STARTS / 2).copied().unwrap_or_default();
    let note = "from the start of the process to /readyz; each component differs";
    Ok(vec![
        Figure::new(format!("start with {count} plugins, cold"), cold.as_secs_f64(), "s")
            .noting(note),
        Figure::new(format!("start with {count} plugins, cached"), middle.as_secs_f64(), "s")
            .aiming(Target::AtMost(1.0))
            .noting(format!("{note}; middle one of {STARTS}")),
        Figure::new(format!("memory with {count} plugins"), mebibytes(memory), "MiB")
            .noting("resident, right after readiness"),
    ])
}

/// Starts and stops a host; returns the time to readiness and the memory then.
fn start(home: &Home) -> Result<(Duration, u64)> {
    let began = Instant::now();
    let mut process = home.start(&[])?;
    process.must_be_ready()?;
    let took = began.elapsed();
    let memory = resident(process.id())?;
    process.stop()?;
    Ok((took, memory))
}

/// Bytes as mebibytes.
#[expect(clippy::cast_precision_loss, reason = "figures have three digits")]
pub(super) fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

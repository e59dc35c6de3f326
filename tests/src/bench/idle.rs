//! Measures what a host costs that has a plugin and nothing to do.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::figure::{Figure, Target};
use super::process::{Cpu, resident};
use super::start::mebibytes;
use super::{Options, Progress, scene};

/// How long it is watched.
const WINDOW: Duration = Duration::from_secs(10);
/// What follows a start is over by then.
const REST: Duration = Duration::from_secs(2);

/// Watches a host.
///
/// # Errors
///
/// When it does not get ready.
pub fn measure(options: &Options, progress: Progress<'_>) -> Result<Vec<Figure>> {
    let home = scene::home(&options.binary)?;
    home.put("ordinary.wasm", &scene::handler()?)?;
    home.put("ordinary.toml", scene::manifest("ordinary", 1).as_bytes())?;
    let mut process = home.start(&[])?;
    process.must_be_ready()?;
    progress(&format!("idle: watching for {WINDOW:?}"));
    thread::sleep(REST);
    let (began, before) = (Instant::now(), Cpu::of(process.id())?);
    thread::sleep(WINDOW);
    let used = Cpu::of(process.id())?.since(before);
    let share = Duration::from_nanos(used.all()).as_secs_f64() / began.elapsed().as_secs_f64();
    let memory = resident(process.id())?;
    process.stop()?;
    Ok(vec![
        Figure::new("idle, memory", mebibytes(memory), "MiB")
            .aiming(Target::AtMost(80.0))
            .noting("resident, one plugin loaded"),
        Figure::new("idle, processor", share * 100.0, "%")
            .aiming(Target::AtMost(0.1))
            .noting(format!("of one core over {WINDOW:?}, all threads")),
    ])
}

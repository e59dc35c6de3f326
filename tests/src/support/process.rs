//! Signals processes that tests started, and reads the end of what they logged.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Sends the signal of that name, such as `TERM`.
///
/// # Errors
///
/// When there is no such process.
pub fn signal(id: u32, name: &str) -> Result<()> {
    let script = format!("kill -{name} \"$1\"");
    let told = Command::new("sh").args(["-c", &script, "sh", &id.to_string()]).status();
    if told.context("start sh")?.success() { Ok(()) } else { bail!("{id} takes no SIG{name}") }
}

/// The last `count` lines of a log; nothing where there is none.
pub fn tail(log: &Path, count: usize) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

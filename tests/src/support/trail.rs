//! Holds an audit trail beside its topics, by the command that an operator has for it.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::client::Client;
use super::component::binary;

/// Checks that a trail is whole and behind none of its topics, and has one entry for each of their
/// events; how many there are.
///
/// # Errors
///
/// When it is not so.
pub fn must_have_all(client: &Client, trail: &str, topics: &[&str]) -> Result<usize> {
    let mut events = 0;
    for topic in topics {
        events += client.topic(topic)?.iter().map(Vec::len).sum::<usize>();
    }
    let verified = Command::new(binary("debug"))
        .args(["audit", "verify", trail, "--sources", "--json", "--url", client.url()])
        .output()?;
    let told: Value = serde_json::from_slice(&verified.stdout)
        .with_context(|| String::from_utf8_lossy(&verified.stderr).into_owned())?;
    let chains = told["chains"].as_object().with_context(|| told.to_string())?.values();
    let entries: usize =
        chains.filter_map(|it| usize::try_from(it["entries"].as_u64()?).ok()).sum();
    ensure!(told["whole"] == true && told["behind"] == json!({}), "{told}");
    ensure!(entries == events, "{entries} entries of {events} events");
    Ok(entries)
}

//! Replaces a plugin again and again while events flow. It waits until each version is in use, so
//! that every swap is one.

use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::producer::Pace;
use super::world::World;
use crate::support::client::Client;
use crate::support::wait;

/// A new version is in use within this time, or never.
const PATIENCE: Duration = Duration::from_secs(30);

/// Replaces the plugin `wanted` times, letting `events` out evenly over the swaps; calls
/// `progress` after each.
///
/// # Errors
///
/// When a version does not come into use.
pub fn swap(
    (world, client): (&World, &Client),
    wanted: u64,
    events: u64,
    pace: &Pace,
    mut progress: impl FnMut(u64),
) -> Result<()> {
    let mut before = digest(client)?;
    for number in 1..=wanted {
        pace.allow(events.saturating_mul(number) / wanted.max(1));
        world.deploy(number)?;
        let seen = wait::until(PATIENCE, || {
            let now = digest(client)?;
            Ok((now != before).then_some(now))
        })?;
        let Some(now) = seen else { bail!("version {number} of the plugin is not in use") };
        before = now;
        progress(number);
    }
    Ok(())
}

/// Digest of the version in use.
fn digest(client: &Client) -> Result<String> {
    let answer = client.json("/api/v1/plugins")?;
    let plugin = &answer["plugins"][0];
    if let Some(error) = plugin["error"].as_str() {
        bail!("a version of the plugin was refused: {error}");
    }
    let digest = plugin["digest"].as_str();
    digest.map(str::to_owned).context("the plugin has no digest")
}

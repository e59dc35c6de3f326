//! Owns the host that chaos on the embedded store works on: its folder, its plugin, and how
//! everything it holds is read in the end. It judges nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::Result;

use super::check::History;
use super::complaints::{self, Expected};
use super::input::Event;
use super::reading;
use super::stage::{self, Versions};
use crate::support::client::{Client, Subscription};
use crate::support::home::Home;

/// A host's folder and the versions of its plugin.
#[derive(Debug)]
pub struct World {
    /// The folder.
    pub home: Home,
    versions: Versions,
}

impl World {
    /// A host of `binary` that was never started, with its plugin in place.
    ///
    /// # Errors
    ///
    /// When the binary or the plugin is not built.
    pub fn new(binary: &Path) -> Result<Self> {
        let world =
            Self { home: Home::new(binary, &stage::config(""))?, versions: Versions::new()? };
        world.deploy(0)?;
        Ok(world)
    }

    /// Puts a version of the plugin in place of the one before.
    ///
    /// # Errors
    ///
    /// When the files cannot be written.
    pub fn deploy(&self, number: u64) -> Result<()> {
        self.versions.deploy(&self.home, number)
    }

    /// Waits until nothing is left to do, as long as the host gets on. What is left then is
    /// returned by subscription: nothing, unless it is stuck.
    ///
    /// # Errors
    ///
    /// When the host does not answer.
    pub fn settle(client: &Client) -> Result<BTreeMap<String, u64>> {
        let client = std::slice::from_ref(client);
        stage::settle(|| stage::unsettled(client, Subscription::unsettled))
    }

    /// Reads everything the host holds beside what was `sent` to it, and what it complained of
    /// unexpectedly.
    ///
    /// # Errors
    ///
    /// When a topic cannot be read, or holds what cannot be understood.
    pub fn history(
        &self,
        client: &Client,
        sent: BTreeMap<String, Vec<Event>>,
        (left, expected): (&BTreeMap<String, u64>, &[Expected]),
    ) -> Result<History> {
        let mut history = reading::history(sent, left, |topic| client.topic(topic))?;
        let log = fs::read_to_string(self.home.log()).unwrap_or_default();
        history.strays = complaints::of(&log, expected);
        let known = stage::topics();
        for topic in client.topics()?.into_iter().filter(|topic| !known.contains(topic)) {
            let count: u64 = client.ends(&topic)?.iter().sum();
            history.strays.push(format!("topic {topic} with {count} records"));
        }
        Ok(history)
    }
}

//! Owns the broker and the two hosts: their folders, how they are let to deal with what is left,
//! and how all there is is read through Kafka's own client. It judges nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::chaos::check::{History, Partitions};
use crate::chaos::complaints::{self, Expected};
use crate::chaos::input::Event;
use crate::chaos::producer::Pace;
use crate::chaos::reading;
use crate::chaos::stage::{self, PARTITIONS, SOURCES, SUBSCRIPTIONS, Versions};
use crate::support::client::{Client, Stored, Subscription};
use crate::support::home::{Home, Process};
use crate::support::kafka::Cluster;
use crate::support::kafka::witness::Ground;

/// What is left to do, by subscription.
pub(super) type Left = BTreeMap<String, u64>;

/// How far groups have come, by subscription, topic and partition.
pub(super) type Committed = BTreeMap<(String, String, u32), u64>;

/// Two hosts of one name, and their broker.
#[derive(Debug)]
pub(super) struct Hosts {
    /// Their folders.
    pub(super) homes: [Home; 2],
    versions: Versions,
    ground: Ground,
}

impl Hosts {
    /// Hosts of `binary` that were never started, with their plugin in place, on a broker that
    /// runs.
    pub(super) fn new(binary: &Path, is_static: bool, ground: Ground) -> Result<Self> {
        let config = stage::config(&broker(&ground.cluster().bootstrap(), is_static));
        let homes = [Home::new(binary, &config)?, Home::new(binary, &config)?];
        let hosts = Self { homes, versions: Versions::new()?, ground };
        for at in 0..hosts.homes.len() {
            hosts.deploy(at, 0)?;
        }
        // One of them makes the topics: what is tried here is not how two begin at once.
        let mut first = hosts.homes[0].start(&[])?;
        first.must_be_ready()?;
        first.stop()?;
        Ok(hosts)
    }

    /// Puts a version of the plugin in place of the one before, at one of them.
    pub(super) fn deploy(&self, at: usize, number: u64) -> Result<()> {
        self.versions.deploy(&self.homes[at], number)
    }

    /// Their brokers.
    pub(super) fn cluster(&mut self) -> &mut Cluster {
        self.ground.cluster_mut()
    }

    /// Leaves all folders where they are.
    pub(super) fn keep(self) -> Vec<PathBuf> {
        let mut kept: Vec<_> = self.homes.into_iter().map(Home::keep).collect();
        kept.push(self.ground.keep());
        kept
    }

    /// Starts both, lets them deal with everything that is left, and ends them well; returns what
    /// they say is left.
    pub(super) fn finish(&self, pace: &Pace) -> Result<Left> {
        let running = self.start(pace)?;
        self.end(running, pace)
    }

    /// Starts both, and has producers ask them.
    pub(super) fn start(&self, pace: &Pace) -> Result<Vec<(Process, Client)>> {
        let mut processes = Vec::new();
        for home in &self.homes {
            processes.push(home.start(&[])?);
        }
        let mut running = Vec::new();
        for (at, mut process) in processes.into_iter().enumerate() {
            let client = process.must_be_ready()?;
            pace.connect(at, Some(client.clone()));
            running.push((process, client));
        }
        Ok(running)
    }

    /// Lets running hosts deal with everything that is left, and ends them well; returns what they
    /// say is left.
    pub(super) fn end(&self, running: Vec<(Process, Client)>, pace: &Pace) -> Result<Left> {
        pace.finish();
        pace.wait_until_published();
        let (processes, clients): (Vec<_>, Vec<_>) = running.into_iter().unzip();
        let left = self.settle(&clients)?;
        processes.into_iter().try_for_each(Process::stop)?;
        Ok(left)
    }

    /// Waits until nothing is left to do: neither by the hosts' word, nor by the broker's.
    fn settle(&self, clients: &[Client]) -> Result<Left> {
        let ends = self.ends()?;
        stage::settle(|| {
            // How far a partition has come only its owner knows, and the group.
            let mut left = stage::unsettled(clients, Subscription::pending)?;
            for (name, events) in &mut left {
                // While nobody holds a partition, nobody tells what is left of it.
                let held = self.ground.group(&group(name))?.members;
                let held: BTreeSet<_> = held.iter().flat_map(|member| &member.numbers).collect();
                let without = PARTITIONS.saturating_sub(held.len());
                *events += self.lag(name, &ends)? + u64::try_from(without)?;
            }
            Ok(left)
        })
    }

    /// Where the sources end. No transaction writes to them: nothing lies behind the last record.
    pub(super) fn ends(&self) -> Result<Ends> {
        let mut ends = self.ground.cluster().ends(&SOURCES.join("|"))?;
        ends.retain(|(topic, _), _| SOURCES.contains(&topic.as_str()));
        Ok(ends)
    }

    /// How far the groups of all subscriptions have come in the source topics.
    pub(super) fn committed(&self) -> Result<Committed> {
        let mut committed = Committed::new();
        for (name, _) in SUBSCRIPTIONS {
            let offsets = self.ground.group(&group(name))?.offsets;
            for at in offsets.into_iter().filter(|at| SOURCES.contains(&at.topic.as_str())) {
                committed.insert((name.to_owned(), at.topic, at.partition), at.committed);
            }
        }
        Ok(committed)
    }

    /// Events that a subscription has not finished, as its group has committed.
    fn lag(&self, subscription: &str, ends: &Ends) -> Result<u64> {
        let mut left = ends.clone();
        for at in self.ground.group(&group(subscription))?.offsets {
            if let Some(end) = left.get_mut(&(at.topic, at.partition)) {
                *end = end.saturating_sub(at.committed);
            }
        }
        Ok(left.values().sum())
    }

    /// Reads everything there is beside what was `sent`; `told` is what hosts said was left, and
    /// `expected` what they may log.
    pub(super) fn history(
        &self,
        sent: BTreeMap<String, Vec<Event>>,
        told: &Left,
        expected: &[Expected],
    ) -> Result<History> {
        let ends = self.ends()?;
        let mut left = Left::new();
        for (name, _) in SUBSCRIPTIONS {
            let events = told.get(name).copied().unwrap_or(1) + self.lag(name, &ends)?;
            left.insert(name.to_owned(), events);
        }
        let mut history = reading::history(sent, &left, |topic| self.records(topic))?;
        for home in &self.homes {
            let log = fs::read_to_string(home.log()).unwrap_or_default();
            history.strays.extend(complaints::of(&log, expected));
        }
        let known = stage::topics();
        let strange = |topic: &String| !topic.starts_with("__") && !known.contains(topic);
        for topic in self.ground.topics()?.into_iter().filter(strange) {
            let count: usize = self.records(&topic)?.iter().map(Vec::len).sum();
            history.strays.push(format!("topic {topic} with {count} records"));
        }
        Ok(history)
    }

    fn records(&self, topic: &str) -> Result<Partitions<Stored>> {
        let mut read = self.ground.read(&[topic])?;
        read.remove(topic).with_context(|| format!("topic {topic} was not read"))
    }
}

/// End offsets of the source topics' partitions.
pub(super) type Ends = BTreeMap<(String, u32), u64>;

fn group(subscription: &str) -> String {
    format!("chaos-{subscription}")
}

/// The table of the broker. Nothing waits for the dead longer than Kafka allows.
fn broker(servers: &str, is_static: bool) -> String {
    let servers: Vec<_> = servers.split(',').map(|one| format!("\"{one}\"")).collect();
    let servers = servers.join(", ");
    format!(
        r#"[broker]
kind = "kafka"
brokers = [{servers}]
static_membership = {is_static}
session_timeout = "6s"
transaction_timeout = "5s"
# A member hears with its next heartbeat that others come and go.
properties = {{ "heartbeat.interval.ms" = 500 }}
"#
    )
}

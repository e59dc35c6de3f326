//! Owns the host that chaos works on: its configuration, its plugin in interchangeable versions,
//! and how everything it holds is read in the end. It judges nothing.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};
use std::{fs, thread};

use anyhow::{Context, Result};

use super::check::{Arrival, Effect, History, Letter, Observed, Partitions, Source};
use super::input::Event;
use crate::support::client::{Client, Stored};
use crate::support::component;
use crate::support::home::Home;

/// Topics that are published to.
pub const SOURCES: [&str; 2] = ["orders", "returns"];
/// Subscriptions, each of all sources, and the topic each publishes to.
const SUBSCRIPTIONS: [(&str, &str); 2] = [("tally-a", "numbered-a"), ("tally-b", "numbered-b")];
/// Partitions of every topic.
pub const PARTITIONS: usize = 8;
/// Workers of the host.
const WORKERS: u32 = 2;
/// A host that gets nothing done for this long will not get it done.
const STUCK: Duration = Duration::from_mins(1);
/// Time between two looks at what is left to do.
const LOOK: Duration = Duration::from_millis(20);

/// A host's folder and the versions of its plugin.
#[derive(Debug)]
pub struct World {
    /// The folder.
    pub home: Home,
    components: [Vec<u8>; 2],
}

impl World {
    /// A host of `binary` that was never started, with its plugin in place.
    ///
    /// # Errors
    ///
    /// When the binary or the plugin is not built.
    pub fn new(binary: &Path) -> Result<Self> {
        let tally = component::guest("tally")?;
        let components = [component::marked(&tally, "one"), component::marked(&tally, "other")];
        let world = Self { home: Home::new(binary, &config())?, components };
        world.deploy(0)?;
        Ok(world)
    }

    /// Puts a version of the plugin in place of the one before. Versions differ in manifest, in
    /// limits and, each time `number` is even, in the component; they do the same.
    ///
    /// # Errors
    ///
    /// When the files cannot be written.
    pub fn deploy(&self, number: u64) -> Result<()> {
        if number.is_multiple_of(2) {
            let variant = usize::from(number.is_multiple_of(4));
            self.home.put("tally.wasm", &self.components[variant])?;
        }
        self.home.put("tally.toml", manifest(number).as_bytes())
    }

    /// Waits until nothing is left to do, as long as the host gets on. What is left then is
    /// returned by subscription: nothing, unless it is stuck.
    ///
    /// # Errors
    ///
    /// When the host does not answer.
    pub fn settle(client: &Client) -> Result<BTreeMap<String, u64>> {
        let mut before = BTreeMap::new();
        let mut moved = Instant::now();
        loop {
            let mut left = BTreeMap::new();
            for subscription in client.subscriptions()? {
                left.insert(subscription.name.clone(), subscription.unsettled());
            }
            let is_done = left.len() == SUBSCRIPTIONS.len() && left.values().all(|it| *it == 0);
            if is_done || (left == before && moved.elapsed() > STUCK) {
                return Ok(left);
            }
            if left != before {
                (before, moved) = (left, Instant::now());
            }
            thread::sleep(LOOK);
        }
    }

    /// Reads everything the host holds beside what was `sent` to it.
    ///
    /// # Errors
    ///
    /// When a topic cannot be read, or holds what cannot be understood.
    pub fn history(
        &self,
        client: &Client,
        sent: BTreeMap<String, Vec<Event>>,
        left: &BTreeMap<String, u64>,
    ) -> Result<History> {
        let mut history = History { strays: self.complaints(), ..History::default() };
        let mut known: Vec<String> = Vec::new();
        for (topic, sent) in sent {
            let arrived = read(client, &topic, arrival)?;
            known.push(topic.clone());
            history.sources.insert(topic, Source { sent, arrived });
        }
        for (name, output) in SUBSCRIPTIONS {
            let unsettled = left.get(name).copied().unwrap_or(1);
            let effects = read(client, output, effect)?;
            known.push(output.to_owned());
            let mut letters = BTreeMap::new();
            for source in SOURCES {
                let topic = format!("{source}.{name}.dlq");
                letters.insert(source.to_owned(), read(client, &topic, letter)?);
                known.push(topic);
            }
            history.subscriptions.insert(name.to_owned(), Observed { effects, letters, unsettled });
        }
        for topic in client.topics()?.into_iter().filter(|topic| !known.contains(topic)) {
            let count: u64 = client.ends(&topic)?.iter().sum();
            history.strays.push(format!("topic {topic} with {count} records"));
        }
        Ok(history)
    }

    /// Lines of the hosts' logs by which they ask for somebody.
    fn complaints(&self) -> Vec<String> {
        let log = fs::read_to_string(self.home.log()).unwrap_or_default();
        let lines = log
            .lines()
            .filter(|line| ["WARN", "ERROR", "panicked"].iter().any(|word| line.contains(word)));
        lines.map(|line| format!("log: {line}")).collect()
    }
}

fn config() -> String {
    let mut text = format!(
        r#"name = "chaos"
listen = "127.0.0.1:0"
data_dir = "data"
plugins_dir = "plugins"
workers = {WORKERS}

[storage]
reserve = "64MiB"

[plugins]
rescan = "500ms"

[topics.defaults]
partitions = {PARTITIONS}
"#
    );
    let outputs = SUBSCRIPTIONS.iter().map(|(_, output)| *output);
    for topic in SOURCES.into_iter().chain(outputs) {
        // Writing to a string cannot fail.
        let _written = write!(text, "\n[topics.\"{topic}\"]\npartitions = {PARTITIONS}\n");
    }
    text
}

/// The manifest of version `number`. Retries are quick, so that a run sees all of them.
fn manifest(number: u64) -> String {
    let memory = 16 + number % 8;
    let reuse = 1 + number % 3 * 50;
    let sources = SOURCES.map(|topic| format!("\"{topic}\"")).join(", ");
    let mut text = format!("# version {number}\n[plugin]\nname = \"tally\"\n");
    for (name, output) in SUBSCRIPTIONS {
        // Writing to a string cannot fail.
        let _written = write!(
            text,
            r#"
[[subscription]]
name = "{name}"
topics = [{sources}]

[subscription.grants]
emit = ["{output}"]
state = true
timers = true
config = {{ to = "{output}" }}

[subscription.limits]
memory = "{memory}MiB"
instances = {{ reuse = {reuse} }}

[subscription.retry]
initial_interval = "5ms"
max_interval = "80ms"
max_attempts = 20
inline_attempts = 3
inline_time = "50ms"
"#
        );
    }
    text
}

fn read<T>(
    client: &Client,
    topic: &str,
    one: impl Fn(&Stored) -> Result<T>,
) -> Result<Partitions<T>> {
    let partitions = client.topic(topic)?;
    let all = partitions.iter().map(|records| records.iter().map(&one).collect());
    all.collect::<Result<_>>().with_context(|| format!("understand topic {topic}"))
}

fn arrival(record: &Stored) -> Result<Arrival> {
    let id = record.payload["id"].as_str().context("an arrival without id")?.to_owned();
    Ok(Arrival { id, timestamp_ms: record.timestamp_ms })
}

fn effect(record: &Stored) -> Result<Effect> {
    let id = record.payload["id"].as_str().context("an effect without id")?.to_owned();
    let number = record.payload["number"].as_u64().context("an effect without number")?;
    let key = record.key.clone().context("an effect without key")?;
    Ok(Effect { id, key, number, timestamp_ms: record.timestamp_ms })
}

fn letter(record: &Stored) -> Result<Letter> {
    let id = record.payload["id"].as_str().context("a dead letter without id")?.to_owned();
    let class = record.header("dlq-error-class").context("a dead letter without class")?.to_owned();
    Ok(Letter { id, class })
}

//! Owns what every host of chaos is given, wherever it keeps its events: the topics, and the plugin
//! in interchangeable versions. And how long hosts are given to deal with all that.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::support::client::{Client, Subscription};
use crate::support::component;
use crate::support::home::Home;

/// Topics that are published to.
pub const SOURCES: [&str; 2] = ["orders", "returns"];
/// Subscriptions, each of all sources, and the topic each publishes to.
pub const SUBSCRIPTIONS: [(&str, &str); 2] = [("tally-a", "numbered-a"), ("tally-b", "numbered-b")];
/// Partitions of every topic.
pub const PARTITIONS: usize = 8;
/// Workers of a host.
const WORKERS: u32 = 2;
/// A host that gets nothing done for this long will not get it done.
const STUCK: Duration = Duration::from_mins(1);
/// Time between two looks at what is left to do.
const LOOK: Duration = Duration::from_millis(20);

/// Interchangeable versions of the plugin.
#[derive(Debug)]
pub struct Versions {
    components: [Vec<u8>; 2],
}

impl Versions {
    /// All of them.
    ///
    /// # Errors
    ///
    /// When the plugin is not built.
    pub fn new() -> Result<Self> {
        let tally = component::guest("tally")?;
        let components = [component::marked(&tally, "one"), component::marked(&tally, "other")];
        Ok(Self { components })
    }

    /// Puts a version of the plugin in place of the one before. Versions differ in manifest, in
    /// limits and, each time `number` is even, in the component; they do the same.
    ///
    /// # Errors
    ///
    /// When the files cannot be written.
    pub fn deploy(&self, home: &Home, number: u64) -> Result<()> {
        if number.is_multiple_of(2) {
            let variant = usize::from(number.is_multiple_of(4));
            home.put("tally.wasm", &self.components[variant])?;
        }
        home.put("tally.toml", manifest(number).as_bytes())
    }
}

/// The configuration of a host, with `tables` of where it keeps its events.
pub fn config(tables: &str) -> String {
    let mut text = format!(
        r#"name = "chaos"
listen = "127.0.0.1:0"
data_dir = "data"
plugins_dir = "plugins"
workers = {WORKERS}

{tables}
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

/// The topic of dead letters.
pub fn letters(source: &str, subscription: &str) -> String {
    format!("{source}.{subscription}.dlq")
}

/// Every topic there is to be.
pub fn topics() -> Vec<String> {
    let mut topics: Vec<String> = SOURCES.map(str::to_owned).into();
    for (name, output) in SUBSCRIPTIONS {
        topics.push(output.to_owned());
        topics.extend(SOURCES.map(|source| letters(source, name)));
    }
    topics
}

/// What hosts say is left to do, all together, by subscription, as `left` finds it in what they
/// say of one. A subscription that a host does not know is something to do.
///
/// # Errors
///
/// When a host does not answer.
pub fn unsettled(
    clients: &[Client],
    left: impl Fn(&Subscription) -> u64,
) -> Result<BTreeMap<String, u64>> {
    let mut all = BTreeMap::new();
    for client in clients {
        let told = client.subscriptions()?;
        for (name, _) in SUBSCRIPTIONS {
            let one = told.iter().find(|it| it.name == name).map_or(1, &left);
            *all.entry(name.to_owned()).or_default() += one;
        }
    }
    Ok(all)
}

/// Waits until `look` sees nothing left to do, as long as anything changes. What is left then is
/// returned by subscription: nothing, unless a host is stuck.
///
/// # Errors
///
/// Those of `look`.
pub fn settle(
    mut look: impl FnMut() -> Result<BTreeMap<String, u64>>,
) -> Result<BTreeMap<String, u64>> {
    let mut before = BTreeMap::new();
    let mut moved = Instant::now();
    loop {
        let left = look()?;
        let is_done = left.values().all(|it| *it == 0);
        if is_done || (left == before && moved.elapsed() > STUCK) {
            return Ok(left);
        }
        if left != before {
            (before, moved) = (left, Instant::now());
        }
        thread::sleep(LOOK);
    }
}

/// The manifest of version `number`. Retries are quick, so that a run sees all of them, and events
/// fail on purpose, where few are left mostly those: no breaker may open.
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
breaker.enabled = false

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

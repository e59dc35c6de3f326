//! Owns what the hosts of one story share: their name, topics, plugin and input; and how all that
//! came of it is read. What is right follows from the input alone, and `chaos::check` decides it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use gristmill_tests::chaos::check::{History, Observed, Partitions, Source, check};
use gristmill_tests::chaos::input::{Event, Input};
use gristmill_tests::chaos::reading::{self, arrival, effect, letter};
use gristmill_tests::chaos::{complaints, stage};
use gristmill_tests::support::client::{Client, Stored};
use gristmill_tests::support::component::{binary, guest};
use gristmill_tests::support::home::Home;
use gristmill_tests::support::kafka::witness::{Ground, Written};
use gristmill_tests::support::process;
use gristmill_tests::support::random::Random;
use serde_json::json;

/// What is waited for comes within this time, or not at all.
pub(super) const PATIENCE: Duration = Duration::from_mins(2);
/// Partitions of every topic.
pub(super) const PARTITIONS: u32 = 6;
/// Subscriptions, each of all sources.
pub(super) const SUBSCRIPTIONS: [&str; 2] = ["tally-a", "tally-b"];
/// Partitions of the second source where it has fewer.
const PARTITIONS_FEWER: u32 = 4;
const SOURCES: [&str; 2] = ["orders", "returns"];
/// Events of one write.
const BATCH: usize = 500;
/// Events of each topic that are published at once.
const BURST: usize = 1_000;
/// Violations shown in full.
const SHOWN: usize = 30;
/// Lines of a host's log that are shown when it does not finish.
const EVIDENCE: usize = 60;

/// Partition numbers of a group by the member that holds them.
pub(super) type Held = BTreeMap<String, BTreeSet<u32>>;

/// Hosts of one name on the broker that tests share.
pub(super) struct Scene {
    pub(super) ground: Arc<Ground>,
    pub(super) name: String,
    inputs: Vec<(String, Input)>,
    sent: BTreeMap<String, Vec<Event>>,
    /// Records of source topics, by topic and partition.
    ends: BTreeMap<(String, u32), u64>,
    /// Logs of all hosts there were.
    logs: Vec<std::path::PathBuf>,
    /// Whether source topics differ in their partitions, and events are forwarded to that of
    /// their key.
    is_uneven: bool,
}

/// Waits until a group has `members` members who hold all its numbers, each some: those of each.
pub(super) fn held_by(
    ground: &Ground,
    group: &str,
    members: usize,
    partitions: u32,
) -> Result<Held> {
    let seen = ground.until(PATIENCE, |ground| {
        let view = ground.group(group)?;
        let all: BTreeSet<u32> =
            view.members.iter().flat_map(|it| it.numbers.iter().copied()).collect();
        let is_shared = view.members.len() == members
            && view.members.iter().all(|it| !it.numbers.is_empty())
            && all.len() == usize::try_from(partitions)?;
        let held = view.members.into_iter().map(|it| (it.id, it.numbers)).collect();
        Ok(is_shared.then_some(held))
    })?;
    let view = ground.group(group);
    seen.with_context(|| format!("{group} is not shared by {members} members: {view:?}"))
}

impl Scene {
    /// One with topics of its own, and nothing published.
    pub(super) fn new(name: &str) -> Result<Self> {
        let random = Random::new(7);
        let inputs = (0_u64..).zip(SOURCES).map(|(number, source)| {
            let topic = format!("{name}-{source}");
            (topic.clone(), Input::new(&topic, random.fork(number)))
        });
        Ok(Self {
            ground: Ground::shared()?,
            name: name.to_owned(),
            inputs: inputs.collect(),
            sent: BTreeMap::new(),
            ends: BTreeMap::new(),
            logs: Vec::new(),
            is_uneven: false,
        })
    }

    /// The same, but the second source has fewer partitions than the first.
    pub(super) fn uneven(name: &str) -> Result<Self> {
        Ok(Self { is_uneven: true, ..Self::new(name)? })
    }

    /// The folder of one more host. Its transactional ids begin with the name and `host`.
    pub(super) fn home(&mut self, host: &str) -> Result<Home> {
        let home = Home::new(&binary("debug"), &self.config(host))?;
        home.put("tally.toml", self.manifest().as_bytes())?;
        home.put("tally.wasm", &guest("tally")?)?;
        self.logs.push(home.log());
        Ok(home)
    }

    fn config(&self, host: &str) -> String {
        let Self { name, ground, .. } = self;
        let brokers = ground.cluster().bootstrap();
        let mut text = format!(
            r#"name = "{name}"
listen = "127.0.0.1:0"
data_dir = "data"
plugins_dir = "plugins"
workers = 2

[broker]
kind = "kafka"
brokers = ["{brokers}"]
transactional_id_prefix = "{name}-{host}"
session_timeout = "6s"
# A member hears with its next heartbeat that others come and go.
properties = {{ "heartbeat.interval.ms" = 500 }}

[telemetry]
log = "info,gristmill=debug,gristmill_node=debug"

[storage]
reserve = "64MiB"

[topics.defaults]
partitions = {PARTITIONS}
"#
        );
        for topic in self.sources().into_iter().chain(self.outputs()) {
            // Writing to a string cannot fail.
            let _written = write!(text, "\n[topics.\"{topic}\"]\n");
            if self.is_uneven && topic == self.sources()[1] {
                let _written = writeln!(text, "partitions = {PARTITIONS_FEWER}");
            }
        }
        text
    }

    /// Retries are quick, so that a run sees all of them, and events fail on purpose, where few are
    /// left mostly those: no breaker may open.
    fn manifest(&self) -> String {
        let sources = self.sources().map(|topic| format!("\"{topic}\"")).join(", ");
        let mut text = String::from("[plugin]\nname = \"tally\"\n");
        let more =
            if self.is_uneven { format!("repartition = {PARTITIONS}\n") } else { String::new() };
        for name in SUBSCRIPTIONS {
            let output = self.output(name);
            // Writing to a string cannot fail.
            let _written = write!(
                text,
                r#"
[[subscription]]
name = "{name}"
topics = [{sources}]
breaker.enabled = false
envelope = "json"
{more}
[subscription.fields]
id = "/id"

[subscription.grants]
emit = ["{output}"]
state = true
timers = true
config = {{ to = "{output}" }}

[subscription.limits]
instances = {{ reuse = 50 }}

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

    /// Topics that are published to.
    pub(super) fn sources(&self) -> [String; 2] {
        SOURCES.map(|source| format!("{}-{source}", self.name))
    }

    /// Topics that subscriptions publish to.
    pub(super) fn outputs(&self) -> [String; 2] {
        SUBSCRIPTIONS.map(|subscription| self.output(subscription))
    }

    fn output(&self, subscription: &str) -> String {
        format!("{}-{}-numbered", self.name, subscription)
    }

    /// The consumer groups.
    pub(super) fn groups(&self) -> [String; 2] {
        SUBSCRIPTIONS.map(|subscription| format!("{}-{subscription}", self.name))
    }

    /// Publishes `count` events to each source topic.
    pub(super) fn publish(&mut self, count: usize) -> Result<()> {
        for at in 0..self.inputs.len() {
            let (topic, input) = &mut self.inputs[at];
            let (topic, events) = (topic.clone(), input.by_ref().take(count).collect());
            self.send(&topic, events)?;
        }
        Ok(())
    }

    /// Publishes the last `count` events of each source topic once more.
    pub(super) fn repeat(&mut self, count: usize) -> Result<()> {
        for topic in self.sources() {
            let sent = self.sent.get(&topic).map(Vec::as_slice).unwrap_or_default();
            let events = sent[sent.len().saturating_sub(count)..].to_vec();
            self.send(&topic, events)?;
        }
        Ok(())
    }

    fn send(&mut self, topic: &str, events: Vec<Event>) -> Result<()> {
        let records: Vec<Written> = events.iter().map(record).collect();
        self.write(topic, &records)?;
        self.sent.entry(topic.to_owned()).or_default().extend(events);
        Ok(())
    }

    /// Writes records to a source topic.
    pub(super) fn write(&mut self, topic: &str, records: &[Written]) -> Result<()> {
        for records in records.chunks(BATCH) {
            for partition in self.ground.write(topic, records)? {
                *self.ends.entry((topic.to_owned(), partition)).or_default() += 1;
            }
        }
        Ok(())
    }

    /// Partitions of source topics that have events.
    pub(super) fn places(&self) -> impl Iterator<Item = &(String, u32)> {
        self.ends.keys()
    }

    /// Transactions of `host` that have begun and not ended.
    pub(super) fn open_transactions(&self, host: &str) -> Result<usize> {
        let prefix = format!("{}-{host}.", self.name);
        Ok(self.ground.open_transactions(&prefix)?.len())
    }

    /// Events that each group has not finished, by partition number.
    pub(super) fn lags(&self) -> Result<Vec<BTreeMap<u32, u64>>> {
        self.groups().iter().map(|group| self.lag(group)).collect()
    }

    /// Events of a group that are not finished, by partition number.
    fn lag(&self, group: &str) -> Result<BTreeMap<u32, u64>> {
        let mut lag = BTreeMap::new();
        let mut left = self.ends.clone();
        for at in self.ground.group(group)?.offsets {
            if let Some(end) = left.get_mut(&(at.topic, at.partition)) {
                *end = end.saturating_sub(at.committed);
            }
        }
        for ((_, partition), events) in left {
            *lag.entry(partition).or_default() += events;
        }
        Ok(lag)
    }

    /// Publishes so much at once that hosts are still at it when it returns: whatever is done to
    /// one must be done then.
    pub(super) fn burst(&mut self) -> Result<()> {
        self.publish(BURST)
    }

    /// Waits until the groups have `members` members who hold all numbers, each some; returns
    /// them: by group the numbers of each member.
    pub(super) fn shared_by(&self, members: usize) -> Result<Vec<Held>> {
        let groups = self.groups();
        groups.iter().map(|group| held_by(&self.ground, group, members, PARTITIONS)).collect()
    }

    /// Waits until everything published is finished by both groups, and every effect is there.
    pub(super) fn settle(&self) -> Result<()> {
        let (outputs, wanted) = (self.outputs(), self.effects());
        self.finish()?;
        let settled = self.ground.until(PATIENCE, |ground| {
            let read = ground.read(&outputs)?;
            let is_whole = read.values().all(|it| it.iter().map(Vec::len).sum::<usize>() >= wanted);
            Ok(is_whole.then_some(()))
        })?;
        let late =
            || format!("{wanted} effects are not there after {PATIENCE:?}\n{}", self.evidence());
        settled.with_context(late)
    }

    /// Waits until everything published is finished by both groups.
    pub(super) fn finish(&self) -> Result<()> {
        let finished = self.ground.until(PATIENCE, |_| {
            let is_behind = self.lags()?.iter().any(|lag| lag.values().any(|events| *events > 0));
            Ok((!is_behind && (!self.is_uneven || self.are_at_rest()?)).then_some(()))
        })?;
        let late =
            || format!("not finished after {PATIENCE:?}: {:?}\n{}", self.lags(), self.evidence());
        finished.with_context(late)
    }

    /// Whether the hosts that run have nothing to do: what was forwarded is not told by the lag of
    /// source topics.
    fn are_at_rest(&self) -> Result<bool> {
        let addresses = self.logs.iter().map(|log| log.with_file_name("data/address"));
        let hosts = addresses.filter_map(|path| fs::read_to_string(path).ok());
        let clients = hosts.map(|address| Client::new(address.trim()));
        for client in clients.filter(Client::is_ready) {
            if client.subscriptions()?.iter().any(|it| it.unsettled() > 0) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What hosts logged last, and what those that run say of themselves.
    fn evidence(&self) -> String {
        let mut told = String::new();
        for log in &self.logs {
            let last = process::tail(log, EVIDENCE);
            let address = fs::read_to_string(log.with_file_name("data/address"));
            let metrics = address.map(|it| Client::new(it.trim()).get("/metrics"));
            let counts = |it: String| {
                it.lines().filter(|it| !it.starts_with('#')).collect::<Vec<_>>().join("\n")
            };
            let metrics = metrics.map(|it| it.map_or_else(|error| error.to_string(), counts));
            // Writing to a string cannot fail.
            let _written =
                writeln!(told, "{}:\n{last}\n{}", log.display(), metrics.unwrap_or_default());
        }
        told
    }

    /// Effects that what was published leads to, in each output.
    fn effects(&self) -> usize {
        let events: BTreeMap<_, _> = self.sent.values().flatten().map(|it| (&it.id, it)).collect();
        let effects = |event: &&Event| match event {
            Event { poison: true, .. } => 0,
            Event { timer_ms: Some(_), .. } => 2,
            Event { .. } => 1,
        };
        events.values().map(effects).sum()
    }

    /// Reads everything there is, and finds nothing wrong with it.
    pub(super) fn check(&self) -> Result<()> {
        let violations = check(&self.history()?);
        if violations.is_empty() {
            return Ok(());
        }
        let shown: Vec<_> = violations.iter().take(SHOWN).map(|it| format!("{it:?}")).collect();
        anyhow::bail!("{} violations:\n{}", violations.len(), shown.join("\n"))
    }

    fn history(&self) -> Result<History> {
        let mut topics: Vec<String> = self.sources().into_iter().chain(self.outputs()).collect();
        for name in SUBSCRIPTIONS {
            topics.extend(self.sources().iter().map(|source| stage::letters(source, name)));
        }
        let read = self.ground.read(&topics)?;
        let mut history = History { strays: self.complaints(), ..History::default() };
        for (topic, sent) in &self.sent {
            let source = Source { sent: sent.clone(), arrived: each(&read, topic, arrival)? };
            history.sources.insert(topic.clone(), source);
        }
        for name in SUBSCRIPTIONS {
            let effects = each(&read, &self.output(name), effect)?;
            let mut letters = BTreeMap::new();
            for source in self.sources() {
                let found = each(&read, &stage::letters(&source, name), letter)?;
                letters.insert(source, found);
            }
            let unsettled = self.lag(&format!("{}-{name}", self.name))?.values().sum();
            history.subscriptions.insert(name.to_owned(), Observed { effects, letters, unsettled });
        }
        Ok(history)
    }

    /// Lines of the hosts' logs by which they ask for somebody.
    fn complaints(&self) -> Vec<String> {
        let mut found = Vec::new();
        for log in &self.logs {
            let log = fs::read_to_string(log).unwrap_or_default();
            found.extend(complaints::of(&log, &[]));
        }
        found
    }
}

/// The records of one topic of those that were read, each understood by `one`.
fn each<T>(
    read: &BTreeMap<String, Partitions<Stored>>,
    topic: &str,
    one: impl Fn(&Stored) -> Result<T>,
) -> Result<Partitions<T>> {
    reading::each(topic, read.get(topic).context("it was not read")?, one)
}

fn record(event: &Event) -> Written {
    let Event { id, key, fails, poison, timer_ms } = event;
    let payload = json!({ "id": id, "fails": fails, "poison": poison, "timer_ms": timer_ms });
    Written { key: key.clone(), payload: payload.to_string(), partition: None }
}

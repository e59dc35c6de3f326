//! Owns the story most faults are told on: two topics, two subscriptions that number the events
//! of each key, hosts of one name. What is right is the checker's to say.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;
use std::{fs, thread};

use anyhow::{Context, Result, anyhow, bail, ensure};
use gristmill_tests::chaos::check::{
    Arrival, Effect, History, Letter, Observed, Partitions, Source, Violation, check,
};
use gristmill_tests::chaos::complaints;
use gristmill_tests::chaos::input::{Event, Input};
use gristmill_tests::support::client::{Client, Stored, Subscription};
use gristmill_tests::support::component::{binary, guest};
use gristmill_tests::support::home::{Home, Process};
use gristmill_tests::support::kafka::{Cluster, Producer};
use gristmill_tests::support::random::Random;
use gristmill_tests::support::{process, wait};
use serde_json::json;

/// What has not happened by then does not happen.
pub(super) const PATIENCE: Duration = Duration::from_mins(2);
/// Partitions of every topic.
const PARTITIONS: u32 = 4;
/// The sources, without the scene's name.
pub(super) const SOURCES: [&str; 2] = ["orders", "returns"];
/// Subscriptions that do what their events say, and emit what is asked for to `out`.
pub(super) const PUPPETS: [&str; 2] = ["puppet-a", "puppet-b"];
/// The subscriptions; each publishes to a topic that is named like it.
pub(super) const SUBSCRIPTIONS: [&str; 2] = ["tally-a", "tally-b"];

/// Retries that a test sees all of.
pub(super) const QUICK: &str = r#"
initial_interval = "5ms"
max_interval = "80ms"
max_attempts = 20
inline_attempts = 3
inline_time = "50ms"
"#;
/// What was written, by topic.
pub(super) type Told = BTreeMap<String, Vec<Event>>;

/// Events per topic told at once by [`Story::during`], and the time between.
const AT_ONCE: usize = 4;
const PACE: Duration = Duration::from_millis(20);

/// Names of one test, which no other test has.
#[derive(Debug)]
pub(super) struct Scene {
    /// Name of its hosts, and beginning of all its topics.
    pub(super) name: &'static str,
    bootstrap: String,
    /// Lines of `[broker]`.
    broker: String,
}

impl Scene {
    pub(super) fn new(cluster: &Cluster, name: &'static str, broker: &str) -> Self {
        Self { name, bootstrap: cluster.bootstrap(), broker: broker.to_owned() }
    }

    /// A host's folder with the plugin in it; it was never started.
    pub(super) fn home(&self) -> Result<Home> {
        Self::home_with(&self.config(), &self.manifest(QUICK))
    }

    /// The same with another configuration or manifest.
    pub(super) fn home_with(config: &str, manifest: &str) -> Result<Home> {
        let home = Home::new(&binary("debug"), config)?;
        home.put("tally.toml", manifest.as_bytes())?;
        home.put("tally.wasm", &guest("tally")?)?;
        Ok(home)
    }

    /// The folder of a host with [`PUPPETS`] instead of what numbers events; it was never started.
    pub(super) fn puppets(&self) -> Result<Home> {
        let out = self.topic("out");
        let config = format!("{}\n[topics.\"{out}\"]\n\n[topics.\"answers\"]\n", self.config());
        let home = Home::new(&binary("debug"), &config)?;
        let sources = SOURCES.map(|source| format!("\"{}\"", self.topic(source))).join(", ");
        let mut manifest = "[plugin]\nname = \"puppet\"\n".to_owned();
        for name in PUPPETS {
            // Writing to a string cannot fail.
            let _written = write!(
                manifest,
                "\n[[subscription]]\nname = \"{name}\"\ntopics = [{sources}]\nenvelope = \"raw\"\n\
                 \n[subscription.grants]\nemit = [\"{out}\", \"answers\"]\n"
            );
        }
        home.put("puppet.toml", manifest.as_bytes())?;
        home.put("puppet.wasm", &guest("puppet")?)?;
        Ok(home)
    }

    /// The scene's topic of that name.
    pub(super) fn topic(&self, name: &str) -> String {
        format!("{}-{name}", self.name)
    }

    /// Consumer groups of all subscriptions.
    pub(super) fn groups(&self) -> [String; 2] {
        SUBSCRIPTIONS.map(|subscription| self.topic(subscription))
    }

    /// Whether everything that was written has been dealt with, by what the groups committed.
    pub(super) fn is_level(&self, cluster: &Cluster) -> Result<bool> {
        self.are_level(cluster, SUBSCRIPTIONS)
    }

    /// The same of [`PUPPETS`].
    pub(super) fn puppets_are_level(&self, cluster: &Cluster) -> Result<bool> {
        self.are_level(cluster, PUPPETS)
    }

    fn are_level(&self, cluster: &Cluster, subscriptions: [&str; 2]) -> Result<bool> {
        let groups = subscriptions.map(|subscription| self.topic(subscription));
        let lags = cluster.lags(&groups.each_ref().map(String::as_str))?;
        let sources = SOURCES.map(|source| self.topic(source));
        let of_sources = lags.iter().filter(|((_, topic, _), _)| sources.contains(topic));
        let levels: Vec<bool> = of_sources.map(|(_, lag)| lag.events() == 0).collect();
        // Where nothing is committed there is no line.
        let expected = SUBSCRIPTIONS.len() * SOURCES.len() * PARTITIONS as usize;
        Ok(levels.len() == expected && levels.into_iter().all(|is_level| is_level))
    }

    /// Waits until nothing is left to do, ends the hosts kindly, and has everything checked that
    /// they did. Log lines by which they ask for somebody must contain one of `allowed`.
    pub(super) fn finish(
        &self,
        cluster: &Cluster,
        hosts: Vec<(&Home, Process)>,
        told: Told,
        allowed: &[&str],
    ) -> Result<()> {
        let violations = self.judge(cluster, hosts, told, allowed)?;
        let shown: Vec<_> = violations.iter().take(20).map(|it| format!("{it:?}")).collect();
        let count = violations.len();
        ensure!(violations.is_empty(), "{count} violations, first:\n{}", shown.join("\n"));
        Ok(())
    }

    /// The same, with what is wrong as its result.
    pub(super) fn judge(
        &self,
        cluster: &Cluster,
        hosts: Vec<(&Home, Process)>,
        told: Told,
        allowed: &[&str],
    ) -> Result<Vec<Violation>> {
        let homes: Vec<&Home> = hosts.iter().map(|(home, _)| *home).collect();
        self.settle(cluster, &homes)?;
        let mut strays = Vec::new();
        for (home, process) in hosts {
            process.stop()?;
            strays.extend(complaints(home, allowed));
        }
        let history = self.history(cluster, told, strays)?;
        let effects = history.subscriptions.values().flat_map(|it| &it.effects).map(Vec::len);
        ensure!(effects.sum::<usize>() > 0, "there are no effects at all");
        Ok(check(&history))
    }

    /// Waits until the hosts of these folders have nothing left to do.
    pub(super) fn settle(&self, cluster: &Cluster, homes: &[&Home]) -> Result<()> {
        let clients = homes.iter().map(|home| client(home)).collect::<Result<Vec<_>>>()?;
        let left = || -> Result<u64> {
            let mut left = 0;
            for client in &clients {
                left += client.subscriptions()?.iter().map(Subscription::pending).sum::<u64>();
            }
            Ok(left)
        };
        // Twice, with what the groups say between: a number on its way between hosts is nowhere.
        let settled = wait::until(PATIENCE, || {
            Ok((left()? == 0 && self.is_level(cluster)? && left()? == 0).then_some(()))
        })?;
        if settled.is_some() {
            return Ok(());
        }
        let groups = self.groups();
        let lags = cluster.lags(&groups.each_ref().map(String::as_str))?;
        let behind: Vec<_> = lags.iter().filter(|(_, lag)| lag.events() > 0).collect();
        let tails: Vec<_> = homes.iter().map(|home| process::tail(&home.log(), 20)).collect();
        bail!("not at rest: {} under way, behind: {behind:#?}\n{}", left()?, tails.join("\n---\n"))
    }

    fn history(&self, cluster: &Cluster, told: Told, strays: Vec<String>) -> Result<History> {
        let mut history = History { strays, ..History::default() };
        let mut topics = cluster.records(&self.topic(".*"))?;
        let mut take = |topic: &str| topics.remove(topic).unwrap_or_default();
        for name in SUBSCRIPTIONS {
            let effects = each(&take(&self.topic(&format!("{name}-out"))), effect)?;
            let mut observed = Observed { effects, ..Observed::default() };
            for topic in told.keys() {
                let letters = each(&take(&format!("{topic}.{name}.dlq")), letter)?;
                observed.letters.insert(topic.clone(), letters);
            }
            history.subscriptions.insert(name.to_owned(), observed);
        }
        for (topic, sent) in told {
            let arrived = each(&take(&topic), arrival)?;
            history.sources.insert(topic, Source { sent, arrived });
        }
        history.strays.extend(topics.into_keys().map(|topic| format!("records in {topic}")));
        Ok(history)
    }

    /// Its hosts' configuration.
    pub(super) fn config(&self) -> String {
        let Self { name, bootstrap, broker } = self;
        let mut text = format!(
            r#"name = "{name}"
listen = "127.0.0.1:0"
data_dir = "data"
plugins_dir = "plugins"
workers = 2

[broker]
kind = "kafka"
brokers = ["{}"]
{broker}

[storage]
reserve = "64MiB"

[topics.defaults]
partitions = {PARTITIONS}
"#,
            bootstrap.replace(',', "\", \"")
        );
        let outputs = SUBSCRIPTIONS.map(|subscription| format!("{subscription}-out"));
        for topic in SOURCES.into_iter().chain(outputs.each_ref().map(String::as_str)) {
            // Writing to a string cannot fail.
            let _written = write!(text, "\n[topics.\"{}\"]\n", self.topic(topic));
        }
        text
    }

    /// The plugin's manifest, with these lines on retries.
    pub(super) fn manifest(&self, retry: &str) -> String {
        let sources = SOURCES.map(|source| format!("\"{}\"", self.topic(source))).join(", ");
        let mut text = "[plugin]\nname = \"tally\"\n".to_owned();
        for name in SUBSCRIPTIONS {
            let output = self.topic(&format!("{name}-out"));
            // Writing to a string cannot fail.
            let _written = write!(
                text,
                r#"
[[subscription]]
name = "{name}"
topics = [{sources}]
breaker.enabled = false
envelope = "json"

[subscription.fields]
id = "/id"

[subscription.grants]
emit = ["{output}"]
state = true
timers = true
config = {{ to = "{output}" }}

[subscription.retry]
{retry}
"#
            );
        }
        text
    }
}

/// The input of a scene, written by and by.
#[derive(Debug)]
pub(super) struct Story {
    topics: Vec<Teller>,
}

#[derive(Debug)]
struct Teller {
    topic: String,
    input: Input,
    producer: Producer,
    sent: Vec<Event>,
}

impl Story {
    /// Begins to write to the sources of a scene, which must be there.
    pub(super) fn begin(cluster: &Cluster, scene: &Scene) -> Result<Self> {
        let mut topics = Vec::new();
        for (seed, source) in (1..).zip(SOURCES) {
            let topic = scene.topic(source);
            let input = Input::new(&topic, Random::new(seed));
            let producer = cluster.producer(&topic)?;
            topics.push(Teller { topic, input, producer, sent: Vec::new() });
        }
        Ok(Self { topics })
    }

    /// Goes on telling, a few events at a time, as long as `work` lasts.
    pub(super) fn during<T>(&mut self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let (ended, end) = channel::<()>();
        thread::scope(|scope| {
            let teller = scope.spawn(move || -> Result<()> {
                while end.recv_timeout(PACE) == Err(RecvTimeoutError::Timeout) {
                    self.tell(AT_ONCE)?;
                }
                Ok(())
            });
            let done = work();
            drop(ended);
            let told = teller.join().map_err(|_panic| anyhow!("the teller panicked"))?;
            let done = done?;
            told.map(|()| done)
        })
    }

    /// Hands over so many more events per topic.
    pub(super) fn tell(&mut self, events: usize) -> Result<()> {
        for Teller { input, producer, sent, .. } in &mut self.topics {
            for event in input.by_ref().take(events) {
                producer.send(&event.key, &payload(&event))?;
                sent.push(event);
            }
        }
        Ok(())
    }

    /// Hands over one event for the source of that name.
    pub(super) fn tell_one(&mut self, source: &str, event: Event) -> Result<()> {
        let of = |it: &&mut Teller| it.topic.ends_with(source);
        let teller = self.topics.iter_mut().find(of).context("no such source")?;
        teller.producer.send(&event.key, &payload(&event))?;
        teller.sent.push(event);
        Ok(())
    }

    /// Waits until everything is acknowledged; what was written, by topic.
    pub(super) fn end(self) -> Result<Told> {
        let mut told = BTreeMap::new();
        for mut teller in self.topics {
            teller.producer.finish()?;
            told.insert(teller.topic, teller.sent);
        }
        Ok(told)
    }
}

/// An event as its topic holds it.
fn payload(Event { id, fails, poison, timer_ms, .. }: &Event) -> String {
    json!({ "id": id, "fails": fails, "poison": poison, "timer_ms": timer_ms }).to_string()
}

/// A client of the host that runs in a folder.
pub(super) fn client(home: &Home) -> Result<Client> {
    let address = fs::read_to_string(home.path().join("data/address")).context("no host runs")?;
    Ok(Client::new(address.trim()))
}

/// Waits until a host has dealt with so many more events.
pub(super) fn wait_done(client: &Client, events: u64) -> Result<()> {
    let name = "gristmill_events_completed_total";
    let before = wait::until(PATIENCE, || Ok(metric(client, name).ok()))?;
    let Some(before) = before else { bail!("no metrics: {:?}", metric(client, name)) };
    let wanted = before + events;
    // While brokers are away there may be no answer.
    let is_done = || metric(client, name).is_ok_and(|done| done >= wanted);
    let done = wait::until(PATIENCE, || Ok(is_done().then_some(())))?;
    done.with_context(|| format!("{name} does not come to {wanted}"))
}

/// The sum of a metric over all its labels.
pub(super) fn metric(client: &Client, name: &str) -> Result<u64> {
    let metrics = client.get("/metrics")?;
    let begin = format!("{name}{{");
    let lines = metrics.lines().filter(|line| line.starts_with(&begin));
    Ok(lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum())
}

/// Lines of a folder's log by which a host asks for somebody, but for those allowed.
pub(super) fn complaints(home: &Home, allowed: &[&str]) -> Vec<String> {
    let log = fs::read_to_string(home.log()).unwrap_or_default();
    let mut lines = complaints::of(&log, &[]);
    lines.retain(|line| !allowed.iter().any(|it| line.contains(it)));
    lines
}

fn each<T>(records: &[Vec<Stored>], one: impl Fn(&Stored) -> Result<T>) -> Result<Partitions<T>> {
    records.iter().map(|records| records.iter().map(&one).collect()).collect()
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

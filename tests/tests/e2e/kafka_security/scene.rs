//! Owns what the hosts of these tests share: their broker, their configuration and rights, their
//! plugin and its input, and how what came of it is read by who needs no right.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use gristmill_tests::chaos::complaints::{self, Expected};
use gristmill_tests::support::client::{Client, Stored};
use gristmill_tests::support::component::{binary, guest};
use gristmill_tests::support::home::Home;
use gristmill_tests::support::kafka::witness::{Committed, Written};
use gristmill_tests::support::kafka::{Guarded, Right};
use gristmill_tests::support::wait;
use serde_json::Value;

/// What is waited for comes within this time, or not at all.
pub(super) const PATIENCE: Duration = Duration::from_mins(1);
/// Partitions of every topic.
const PARTITIONS: u32 = 2;
/// Subscriptions, each of all sources.
const SUBSCRIPTIONS: [&str; 2] = ["one", "other"];
const SOURCES: [&str; 2] = ["orders", "returns"];
/// Keys of events.
const KEYS: usize = 7;
/// Where the guest says what it did; all hosts emit to it.
const ANSWERS: &str = "answers";

/// By subscription, each event that something came of, with how often.
type Counted = BTreeMap<(String, String), usize>;

/// A host's name, and all that belongs to it on the broker.
pub(super) struct Scene {
    pub(super) guarded: Arc<Guarded>,
    name: &'static str,
    /// Its subscriptions have a number of partitions of their own.
    forwards: bool,
}

impl Scene {
    /// One whose host never ran, and which has topics where it emits to.
    pub(super) fn new(name: &'static str) -> Result<Self> {
        let scene = Self { guarded: Guarded::shared()?, name, forwards: false };
        for topic in [ANSWERS.to_owned(), scene.topic("forbidden")] {
            scene.guarded.ground().make(&topic, PARTITIONS)?;
        }
        Ok(scene)
    }

    /// The same, where events are forwarded to other partitions before they are handled.
    pub(super) fn forwarding(name: &'static str) -> Result<Self> {
        Ok(Self { forwards: true, ..Self::new(name)? })
    }

    /// The topics that its events are forwarded to.
    pub(super) fn forwarded(&self) -> [String; 2] {
        SUBSCRIPTIONS.map(|it| format!("__repartition.{}.{it}", self.name))
    }

    /// The topic of that name among those of this scene.
    pub(super) fn topic(&self, name: &str) -> String {
        format!("{}-{name}", self.name)
    }

    /// The rights that a host needs, row by row as `docs/kafka.md` has them, where it makes topics
    /// by this right.
    pub(super) fn rights(&self, creates: Right) -> Vec<Right> {
        let name = self.name;
        let sources = SOURCES.map(|source| self.topic(source));
        let letters = sources.each_ref().map(|source| format!("{source}.*"));
        let mut own = vec!["changelog", "redrive"];
        own.extend(self.forwards.then_some("repartition"));
        let own = own.into_iter().map(|kind| format!("__{kind}.{name}.*"));
        let all = sources.into_iter().chain(letters).chain(own);
        let topic = |name| Right {
            kind: "TOPIC",
            name,
            operations: &["READ", "WRITE", "DESCRIBE", "DESCRIBE_CONFIGS"],
        };
        let mut rights: Vec<_> = all.chain([format!("__registry.{name}")]).map(topic).collect();
        rights.extend([
            Right { kind: "TOPIC", name: ANSWERS.into(), operations: &["WRITE", "DESCRIBE"] },
            creates,
            Right { kind: "GROUP", name: format!("{name}-*"), operations: &["READ", "DESCRIBE"] },
            Right {
                kind: "TRANSACTIONAL_ID",
                name: format!("{name}.*"),
                operations: &["WRITE", "DESCRIBE"],
            },
        ]);
        rights
    }

    /// The folder of a host that reaches the broker at `address`, with `broker` in its `[broker]`
    /// and these properties. It was never started.
    pub(super) fn home(&self, address: &str, broker: &str, properties: &str) -> Result<Home> {
        let mut config = format!(
            "name = \"{}\"\nlisten = \"127.0.0.1:0\"\ndata_dir = \"data\"\n\
             plugins_dir = \"plugins\"\nworkers = 2\n\n\
             [broker]\nkind = \"kafka\"\nbrokers = [\"{address}\"]\n{broker}\n\n\
             [broker.properties]\n{properties}\n\n\
             [storage]\nreserve = \"64MiB\"\n",
            self.name
        );
        for source in SOURCES {
            write!(config, "\n[topics.\"{}\"]\npartitions = {PARTITIONS}\n", self.topic(source))?;
        }
        let home = Home::new(&binary("debug"), &config)?;
        home.put("puppet.toml", self.manifest()?.as_bytes())?;
        home.put("puppet.wasm", &guest("puppet")?)?;
        Ok(home)
    }

    fn manifest(&self) -> Result<String> {
        let sources = SOURCES.map(|source| format!("\"{}\"", self.topic(source))).join(", ");
        let forbidden = self.topic("forbidden");
        let forwards = if self.forwards { "repartition = 3\n" } else { "" };
        let mut manifest = "[plugin]\nname = \"puppet\"\n".to_owned();
        for name in SUBSCRIPTIONS {
            write!(
                manifest,
                "\n[[subscription]]\nname = \"{name}\"\ntopics = [{sources}]\nenvelope = \"raw\"\n\
                 {forwards}\n[subscription.grants]\nemit = [\"{ANSWERS}\", \"{forbidden}\"]\n"
            )?;
        }
        Ok(manifest)
    }

    /// Writes these events to each source. By source, the position of each.
    pub(super) fn publish(&self, scripts: &[String]) -> Result<Vec<String>> {
        let mut places = Vec::new();
        for source in SOURCES {
            let topic = self.topic(source);
            let record = |(number, script): (usize, &String)| Written {
                key: format!("key-{}", number % KEYS),
                payload: script.clone(),
                partition: None,
            };
            let records: Vec<_> = scripts.iter().enumerate().map(record).collect();
            let mut next = BTreeMap::new();
            for partition in self.guarded.ground().write(&topic, &records)? {
                let offset = next.entry(partition).or_insert(0_u64);
                places.push(format!("{topic}/{partition}/{offset}"));
                *offset += 1;
            }
        }
        Ok(places)
    }

    /// Waits until the groups have committed the end of every source.
    pub(super) fn settle(&self, home: &Home, places: &[String]) -> Result<()> {
        let mut ends: BTreeMap<String, u64> = BTreeMap::new();
        for place in places {
            let (partition, _) = place.rsplit_once('/').context("a place has an offset")?;
            *ends.entry(partition.to_owned()).or_default() += 1;
        }
        let mut committed = Vec::new();
        let level = self.guarded.ground().until(PATIENCE, |ground| {
            committed.clear();
            for name in SUBSCRIPTIONS {
                let offsets = ground.group(&self.topic(name))?.offsets;
                let sources = offsets.into_iter().filter(|it| !it.topic.starts_with("__"));
                let offset =
                    |it: Committed| (format!("{}/{}", it.topic, it.partition), it.committed);
                committed.push(sources.map(offset).collect::<BTreeMap<_, _>>());
            }
            // A partition without events is committed too, or not.
            let is_level = |of: &BTreeMap<String, u64>| {
                ends.iter().all(|(partition, end)| of.get(partition) == Some(end))
            };
            Ok(committed.iter().all(is_level).then_some(()))
        })?;
        if level.is_none() {
            let log = fs::read_to_string(home.log())?;
            bail!("committed is {committed:?}, the ends are {ends:?}\n{log}");
        }
        Ok(())
    }

    /// What this scene's hosts emitted, as whoever reads committed records sees it.
    pub(super) fn answers(&self) -> Result<Counted> {
        self.counted(&self.guarded.ground().read(&[ANSWERS])?)
    }

    /// Dead letters of both subscriptions.
    pub(super) fn letters(&self) -> Result<Vec<Stored>> {
        let mut topics = Vec::new();
        for source in SOURCES {
            topics.extend(SUBSCRIPTIONS.map(|it| format!("{}.{it}.dlq", self.topic(source))));
        }
        let read = self.guarded.ground().read(&topics)?;
        Ok(read.into_values().flatten().flatten().collect())
    }

    fn counted(&self, topics: &BTreeMap<String, Vec<Vec<Stored>>>) -> Result<Counted> {
        let mut counted = Counted::new();
        for record in topics.values().flatten().flatten() {
            let source = record.header("ce_source").context("a source")?;
            let Some(subscription) = source.strip_prefix(&format!("/{}/", self.name)) else {
                continue;
            };
            let cause = record.header("ce_causationid").context("a cause")?;
            *counted.entry((subscription.to_owned(), cause.to_owned())).or_default() += 1;
        }
        Ok(counted)
    }
}

/// Properties of a host that says who it is by a password, written as TOML has it.
pub(super) fn by_password(user: &str, password: &str, authority: &Path) -> String {
    format!(
        "\"security.protocol\" = \"SASL_SSL\"\n\"sasl.mechanism\" = \"SCRAM-SHA-512\"\n\
         \"sasl.username\" = \"{user}\"\n\"sasl.password\" = {password}\n\
         \"ssl.ca.location\" = \"{}\"\n",
        authority.display()
    )
}

/// Properties of a host that says it by a certificate, or does not where there is no folder with
/// one.
pub(super) fn by_certificate(folder: Option<&Path>, authority: &Path) -> String {
    let own = folder.map(|folder| {
        let folder = folder.display();
        format!(
            "\"ssl.certificate.location\" = \"{folder}/host.pem\"\n\
             \"ssl.key.location\" = \"{folder}/host.key\"\n"
        )
    });
    format!(
        "\"security.protocol\" = \"SSL\"\n\"ssl.ca.location\" = \"{}\"\n{}",
        authority.display(),
        own.unwrap_or_default()
    )
}

/// The right to make any topic.
pub(super) fn creates_all() -> Right {
    Right { kind: "CLUSTER", name: "kafka-cluster".into(), operations: &["CREATE"] }
}

/// Fails unless each of these events is in each subscription once.
pub(super) fn must_be_once(counted: &Counted, places: &[&String]) -> Result<()> {
    let often: Vec<_> = counted.iter().filter(|(_, count)| **count != 1).collect();
    ensure!(often.is_empty(), "not once: {often:?}");
    let found: BTreeSet<_> = counted.keys().cloned().collect();
    let wanted = SUBSCRIPTIONS
        .iter()
        .flat_map(|name| places.iter().map(|place| ((*name).to_owned(), (*place).clone())));
    let wanted: BTreeSet<_> = wanted.collect();
    let missing: Vec<_> = wanted.difference(&found).collect();
    let strange: Vec<_> = found.difference(&wanted).collect();
    ensure!(missing.is_empty() && strange.is_empty(), "missing {missing:?}, strange {strange:?}");
    Ok(())
}

/// Waits until a host says why it is not ready, and the reason contains all of these.
pub(super) fn must_say(client: &Client, home: &Home, parts: &[&str]) -> Result<()> {
    let mut last = String::new();
    let said = wait::until(PATIENCE, || {
        let (status, body) = client.answer("/readyz")?;
        ensure!(status == 503, "{status}: {body}");
        let told: Value = serde_json::from_str(&body)?;
        let checks = told["checks"].as_array().into_iter().flatten();
        let broker = checks.filter(|it| it["name"] == "broker" && it["ok"] == false);
        last = broker.filter_map(|it| it["reason"].as_str()).collect();
        Ok(parts.iter().all(|part| last.contains(part)).then_some(()))
    })?;
    if said.is_none() {
        bail!("not {parts:?} but {last:?}:\n{}", fs::read_to_string(home.log())?);
    }
    client.get("/healthz").map(drop)
}

/// Fails when a host asked for somebody, but for what is expected.
pub(super) fn must_not_complain(home: &Home, expected: &[Expected]) -> Result<()> {
    let complaints = complaints::of(&fs::read_to_string(home.log())?, expected);
    ensure!(complaints.is_empty(), "{complaints:#?}");
    Ok(())
}

//! Owns the host's configuration: what an operator decides about one host, checked. It never
//! reads a file or an environment by itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    num::NonZeroU32,
    path::PathBuf,
};

use gristmill_engine::{Bytes, Millis, WorkerPolicy};

use crate::{
    AccessRule, Broker, Commands, EncryptionConfig, Env, Glob, Guarantee, HttpOrigin, KeyRule,
    KeyTemplate, OutboxConfig, Place, Problem, Problems, ReplicationConfig, Schemas, Secret,
    Severity, Source, Telemetry, TokenConfig, TopicNames, TopicSelector, access, broker, commands,
    encryption,
    keys::host::{HOST, KAFKA_INTERVAL_MIN},
    names::Template,
    outbox,
    problem::code,
    replication,
    report::Report,
    schemas, telemetry,
    text::Text,
    tokens, units,
    walk::{Checked, Value, checked::disagree, folder, walk},
};

/// The checked content of `gristmill.toml`. Defaults are in `docs/configuration.md`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostConfig {
    /// The document it came from, as it was named.
    pub file: String,
    /// Name of the host, equal on all replicas; it names groups. `[a-z0-9-]`, 1 to 64 characters.
    pub name: String,
    /// Address of the HTTP surface. Not loopback only with [`Http::allow_anonymous`].
    pub listen: SocketAddr,
    /// Folder of topics, state and compiled plugins; the document's folder is already in it.
    pub data_dir: PathBuf,
    /// Folder of plugins and manifests; the document's folder is already in it.
    pub plugins_dir: PathBuf,
    /// Workers, 1 to 256; `None` for one per core.
    pub workers: Option<NonZeroU32>,
    /// Attempts running at once on one worker, over all subscriptions, 1 to 4,096.
    pub attempts_max: u32,
    /// Where topics live.
    pub broker: Broker,
    /// The embedded store.
    pub storage: Storage,
    /// Topics and what holds for those not declared.
    pub topics: Topics,
    /// Schemas, by which events are judged.
    pub schemas: Schemas,
    /// Fields that are encrypted, by name.
    pub encryption: BTreeMap<String, EncryptionConfig>,
    /// Topics that are copied to other clusters, by the name of what copies them.
    pub replication: BTreeMap<String, ReplicationConfig>,
    /// Commands and queries.
    pub commands: Commands,
    /// Tables whose rows are published, by name.
    pub outbox: BTreeMap<String, OutboxConfig>,
    /// The HTTP surface.
    pub http: Http,
    /// Who is admitted to it, by name; where there is nobody, everybody is.
    pub tokens: BTreeMap<String, TokenConfig>,
    /// What the host tells of itself.
    pub telemetry: Telemetry,
    /// What no manifest exceeds.
    pub ceilings: Ceilings,
    /// When effects become durable.
    pub checkpoint: Checkpoint,
    /// How the plugin directory is watched.
    pub plugins: Plugins,
    /// What was accepted but is probably not what was meant.
    pub warnings: Problems,
}

/// The embedded store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Storage {
    /// Disk space kept free: below it, writes from outside are refused.
    pub reserve: Reserve,
    /// Memory for cached blocks, 1 MiB to 1 TiB.
    pub cache: Bytes,
    /// Snapshots kept of each subscription, 1 to 1,000.
    pub snapshots_max: u32,
}

/// Disk space kept free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reserve {
    /// This many bytes.
    Bytes(Bytes),
    /// This share of the file system's size, 0 to 90 per cent.
    Percent(u32),
}

/// Topics and what holds for those not declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topics {
    /// Declared topics by their names on the broker.
    pub declared: BTreeMap<String, TopicConfig>,
    /// What holds for any other topic, and for what a declaration leaves out.
    pub defaults: TopicConfig,
    /// Whether publishing to an unknown topic creates it, with `defaults`.
    pub create_on_publish: bool,
    /// What declared topics are called on the broker; `declared` has them by that.
    pub names: TopicNames,
}

impl Topics {
    /// What holds for `topic`, declared or not.
    pub fn settings(&self, topic: &str) -> &TopicConfig {
        self.declared.get(topic).unwrap_or(&self.defaults)
    }

    /// Whether events of `topic` never leave the host.
    pub fn is_local(&self, topic: &str) -> bool {
        self.declared.get(topic).is_some_and(|config| config.local)
    }

    /// Names of the topics whose events never leave the host.
    pub fn local(&self) -> impl Iterator<Item = &str> {
        let local = self.declared.iter().filter(|(_, config)| config.local);
        local.map(|(name, _)| name.as_str())
    }
}

/// How one topic is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicConfig {
    /// Partitions, 1 to 1,024.
    pub partitions: u32,
    /// How long its events are kept.
    pub retention: Retention,
    /// Size per partition beyond which its oldest events go; `None` for no limit by size.
    pub retention_bytes: Option<Bytes>,
    /// Whether only the newest event of a key is kept.
    pub compaction: bool,
    /// Largest event (key, headers and payload), 1 KiB to 64 MiB.
    pub max_event_bytes: Bytes,
    /// Key of an event ingested over HTTP without `partitionkey`.
    pub key: KeyRule,
    /// Whether its events never leave the host: they are handled within the event that causes
    /// them, and nothing else here but `max_event_bytes` says anything of them.
    pub local: bool,
}

/// How long events are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retention {
    /// At least this long.
    For(Millis),
    /// For ever.
    Forever,
}

/// The HTTP surface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Http {
    /// Whether anyone who reaches the address may use it.
    pub allow_anonymous: bool,
    /// Largest request body, 1 KiB to 256 MiB.
    pub body_bytes_max: Bytes,
    /// Time between two heartbeats of a server-sent event stream, 1 s to 10 min.
    pub heartbeat: Millis,
    /// Origins of web pages that may use it, besides its own.
    pub origins: Vec<HttpOrigin>,
    /// Event streams open at once, 1 to 100,000.
    pub readers_max: u32,
}

/// What no manifest exceeds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ceilings {
    /// How often effects may count: where they may again, neither state nor timers may be granted.
    pub guarantee: Guarantee,
    /// Memory of one instance.
    pub memory: Bytes,
    /// Longest attempt.
    pub attempt_timeout: Millis,
    /// Attempts of one subscription running at once on one worker.
    pub concurrency: u32,
    /// Emissions per event.
    pub emissions: u32,
    /// Topics that may be granted: each pattern of a manifest must be covered by one of these.
    pub emit: Vec<Glob>,
    /// Whether state may be granted.
    pub state: bool,
    /// Whether timers may be granted.
    pub timers: bool,
    /// Whether the wall clock may be granted.
    pub wall_clock: bool,
    /// Addresses that may be granted for outgoing HTTP.
    pub http: Vec<HttpOrigin>,
    /// Topics whose events never leave the host, as `[topics]` declares them.
    pub local: BTreeSet<String>,
    /// What declared topics are called on the broker.
    pub names: TopicNames,
    /// Which plugins may use which topics.
    pub access: Vec<AccessRule>,
    /// Which plugins may see which encrypted fields; any may see all where no host is asked.
    pub encryption: Option<BTreeMap<String, Vec<Glob>>>,
}

/// When effects become durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    /// Least time between two checkpoints, 0 to 1 s.
    pub interval_min: Millis,
    /// A checkpoint at the latest this long after something was staged, 1 ms to 10 s.
    pub interval_max: Millis,
    /// A checkpoint at once when this many events are staged, 1 to 1,000,000.
    pub events_max: u32,
    /// The same by size of effects, 64 KiB to 1 GiB.
    pub bytes_max: Bytes,
    /// How long running attempts may go on after a revoke or at shutdown, 0 to 5 min.
    pub drain: Millis,
}

/// How the plugin directory is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plugins {
    /// Time between two scans; a notification of the file system only hastens one.
    pub rescan: Millis,
    /// Whether guests are compiled with metering, which [`Limits::fuel`](crate::Limits) needs.
    pub fuel: bool,
    /// Digests kept per plugin for rollback, 1 to 100.
    pub history: u32,
}

impl Ceilings {
    /// Whether what is read by that entry is a topic whose events never leave the host.
    pub(crate) fn is_local(&self, topic: &TopicSelector) -> bool {
        topic.name().is_some_and(|name| self.local.contains(name))
    }
}

impl Default for Ceilings {
    /// Those of an empty `gristmill.toml`.
    fn default() -> Self {
        let empty = Source { name: "", text: "" };
        match walk(&empty, &|_| None, &HOST) {
            Ok((checked, _)) => {
                let topics = topics(checked.table("topics"), &mut Report::new(empty));
                ceilings(&checked, &Broker::Embedded, &topics)
            }
            Err(_) => disagree("ceilings"),
        }
    }
}

impl HostConfig {
    /// Something wrong at a place of this document that only whoever uses it finds.
    pub fn problem(&self, place: Place, code: &'static str, reason: String) -> Problem {
        Problem {
            file: self.file.clone(),
            line: place.line,
            column: place.column,
            code,
            severity: Severity::Error,
            reason,
            instead: None,
        }
    }

    /// How each worker's engine is treated.
    pub fn worker_policy(&self) -> WorkerPolicy {
        WorkerPolicy {
            attempts_max: self.attempts_max,
            checkpoint_interval_min: self.checkpoint.interval_min,
            checkpoint_interval_max: self.checkpoint.interval_max,
            checkpoint_events_max: self.checkpoint.events_max,
            checkpoint_bytes_max: self.checkpoint.bytes_max,
            drain_max: self.checkpoint.drain,
        }
    }
}

/// The configuration, and the keys it was made from.
pub(crate) fn read(source: &Source<'_>, env: Env<'_>) -> Result<(HostConfig, Checked), Problems> {
    let (checked, mut report) = walk(source, env, &HOST)?;
    check_listen(&checked, &mut report);
    check_intervals(checked.table("checkpoint"), &mut report);
    check_local(checked.table("topics"), &mut report);
    let topics = topics(checked.table("topics"), &mut report);
    let broker = broker::read(checked.table("broker"), checked.text("name"), &mut report);
    let folder = folder(source);
    let encryption = encryption::read(checked.table("encryption"), &topics.names, &mut report);
    let readers = readers(&encryption);
    let config = HostConfig {
        file: source.name.to_owned(),
        name: checked.text("name").to_owned(),
        listen: address(&checked),
        data_dir: folder.join(checked.text("data_dir")),
        plugins_dir: folder.join(checked.text("plugins_dir")),
        workers: checked.count_if_any("workers").and_then(NonZeroU32::new),
        attempts_max: checked.count("attempts_max"),
        storage: storage(checked.table("storage")),
        schemas: schemas::read(checked.table("schemas"), (folder, &topics.names), &mut report),
        encryption,
        replication: replication::read(
            checked.table("replication"),
            (&topics, &broker),
            &mut report,
        ),
        commands: commands::read(checked.table("commands"), &topics, &mut report),
        outbox: outbox::read(checked.table("outbox"), &mut report),
        http: http(checked.table("http")),
        tokens: tokens::read(checked.table("tokens"), &topics.names, &mut report),
        telemetry: telemetry::read(checked.table("telemetry"), &mut report),
        ceilings: Ceilings { encryption: Some(readers), ..ceilings(&checked, &broker, &topics) },
        topics,
        checkpoint: checkpoint(checked.table("checkpoint"), &broker),
        broker,
        plugins: Plugins {
            rescan: checked.table("plugins").millis("rescan"),
            fuel: checked.table("plugins").flag("fuel"),
            history: checked.table("plugins").count("history"),
        },
        warnings: Problems::default(),
    };
    let problems = report.into_problems();
    if problems.has_errors() {
        return Err(problems);
    }
    Ok((HostConfig { warnings: problems, ..config }, checked))
}

fn address(checked: &Checked) -> SocketAddr {
    match checked.text("listen").parse() {
        Ok(address) => address,
        Err(_) => disagree("listen"),
    }
}

/// Whoever reaches the address may do anything, unless tokens are asked for: only an operator's
/// word opens it to others.
fn check_listen(checked: &Checked, report: &mut Report<'_>) {
    let http = checked.table("http");
    let sound = checked.sound("listen") && http.sound("allow_anonymous");
    let (address, asks) = (address(checked), !checked.table("tokens").open.is_empty());
    if http.flag("allow_anonymous") && asks {
        let reason = "`allow_anonymous` admits everybody, and `[tokens]` nobody without one";
        let place = http.place("allow_anonymous");
        let instead = Some("allow_anonymous = false".to_owned());
        report.error(place, code::CONTRADICTION, reason, instead);
    }
    if !sound || http.flag("allow_anonymous") || asks || address.ip().is_loopback() {
        return;
    }
    let reason = format!(
        "`listen = \"{address}\"` is open to other machines, and no one has to say who they are: \
         listen on loopback, admit those you know with `gristmill token new`, or set \
         `allow_anonymous = true` in `[http]` where the network is trusted"
    );
    let instead = format!("listen = \"127.0.0.1:{}\"", address.port());
    report.error(checked.place("listen"), code::OPEN_TO_ANYONE, reason, Some(instead));
}

fn check_intervals(checkpoint: &Checked, report: &mut Report<'_>) {
    let (least, most) = (checkpoint.millis("interval_min"), checkpoint.millis("interval_max"));
    let sound = checkpoint.sound("interval_min") && checkpoint.sound("interval_max");
    if sound && least > most {
        let (least, most) = (units::span(least.0), units::span(most.0));
        let reason = format!("`interval_min` of {least} is longer than `interval_max` of {most}");
        let instead = format!("interval_min = \"{most}\"");
        report.error(checkpoint.place("interval_min"), code::CONTRADICTION, reason, Some(instead));
    }
}

fn storage(checked: &Checked) -> Storage {
    let reserve = if let Value::Percent(percent) = checked.entry("reserve").value {
        Reserve::Percent(percent)
    } else {
        Reserve::Bytes(checked.bytes("reserve"))
    };
    Storage {
        reserve,
        cache: checked.bytes("cache"),
        snapshots_max: checked.count("snapshots_max"),
    }
}

fn topics(checked: &Checked, report: &mut Report<'_>) -> Topics {
    let defaults = checked.table("defaults");
    let (mut names, mut declared) = (TopicNames::default(), BTreeMap::new());
    for (own, table) in &checked.open {
        let on_broker = on_broker(own, table, checked, report);
        if !names.add(own, &on_broker) {
            let reason = format!("another topic is called \"{on_broker}\" on the broker as well");
            let instead = Some("name = \"".to_owned() + own + "\"");
            report.error(table.place, code::NO_TOPIC_NAME, reason, instead);
        }
        declared.insert(on_broker, topic(table, defaults));
    }
    if defaults.written("name") {
        let reason = "`name` says nothing here: each topic has its own";
        report.warning(defaults.place("name"), code::NO_TOPIC_NAME, reason, None);
    }
    Topics {
        declared,
        defaults: topic(defaults, defaults),
        create_on_publish: checked.flag("create_on_publish"),
        names,
    }
}

/// What a topic is called on the broker: as it says itself, else by the template, else by its own
/// name. A local topic is on no broker.
fn on_broker(own: &str, table: &Checked, topics: &Checked, report: &mut Report<'_>) -> String {
    if table.written("name") {
        return table.text("name").to_owned();
    }
    let template = topics.text_if_any("template").and_then(Template::new);
    let Some(template) = template.filter(|_| !is_local(table)) else { return own.to_owned() };
    let said = |placeholder: &str| {
        let tables = [table, topics.table("defaults"), topics];
        let written = tables.into_iter().filter(|table| table.written("names"));
        let mut pairs = written.flat_map(|table| table.pairs("names"));
        let found = pairs.find(|pair| pair.name == placeholder)?;
        if let Secret::Text(value) = &found.value { Some(value.clone()) } else { None }
    };
    let wrong = match template.fill(own, said) {
        Ok(name) if Text::Topic.check(&name).is_ok() => return name,
        Ok(name) => format!("the template makes it \"{name}\", which is no topic's name"),
        Err(missing) => {
            format!("the template needs `{{{missing}}}`, and nothing says what it stands for")
        }
    };
    let reason = format!("topic \"{own}\" has no name on the broker: {wrong}");
    let instead = Some(format!("name = \"{own}\""));
    report.error(table.place, code::NO_TOPIC_NAME, reason, instead);
    own.to_owned()
}

/// What `table` says of a topic, and `defaults` where it is silent.
fn topic(table: &Checked, defaults: &Checked) -> TopicConfig {
    let of = |key: &str| if table.written(key) { table } else { defaults };
    let retention = if let Value::Text(_) = of("retention").entry("retention").value {
        Retention::Forever
    } else {
        Retention::For(of("retention").millis("retention"))
    };
    let key = KeyTemplate::new(of("key").text("key"));
    let retention_bytes = of("retention_bytes").number_if_any("retention_bytes").map(Bytes);
    TopicConfig {
        partitions: of("partitions").count("partitions"),
        retention,
        retention_bytes,
        compaction: of("compaction").flag("compaction"),
        max_event_bytes: of("max_event_bytes").bytes("max_event_bytes"),
        key: key.map_or(KeyRule::None, KeyRule::Of),
        local: is_local(table),
    }
}

/// A topic is local by its own word, not by that of the defaults.
fn is_local(table: &Checked) -> bool {
    table.written("local") && table.flag("local")
}

/// Events of a local topic are in no partition and kept nowhere: what says how is a mistake.
fn check_local(topics: &Checked, report: &mut Report<'_>) {
    let defaults = topics.table("defaults");
    if is_local(defaults) {
        let reason = "topics are local one by one: if all were, nothing could come in from outside";
        let instead = Some("local = false".to_owned());
        report.error(defaults.place("local"), code::LOCAL_TOPIC, reason, instead);
    }
    for (name, table) in topics.open.iter().filter(|(_, table)| is_local(table)) {
        for key in ["partitions", "retention", "retention_bytes", "compaction", "key"] {
            if table.written(key) {
                let reason = format!(
                    "`{key}` says nothing of the local topic \"{name}\": its events are in no \
                     partition, and kept nowhere"
                );
                report.error(table.place(key), code::LOCAL_TOPIC, reason, None);
            }
        }
    }
}

fn http(checked: &Checked) -> Http {
    Http {
        allow_anonymous: checked.flag("allow_anonymous"),
        body_bytes_max: checked.bytes("body_bytes_max"),
        heartbeat: checked.millis("heartbeat"),
        origins: checked.origins("origins"),
        readers_max: checked.count("readers_max"),
    }
}

fn ceilings(host: &Checked, broker: &Broker, topics: &Topics) -> Ceilings {
    let checked = host.table("ceilings");
    let guarantee = match broker {
        Broker::Kafka(kafka) => kafka.guarantee,
        Broker::Embedded => Guarantee::ExactlyOnce,
    };
    Ceilings {
        guarantee,
        memory: checked.bytes("memory"),
        attempt_timeout: checked.millis("attempt_timeout"),
        concurrency: checked.count("concurrency"),
        emissions: checked.count("emissions"),
        emit: checked.globs("emit").iter().map(|it| topics.names.pattern(it)).collect(),
        state: checked.flag("state"),
        timers: checked.flag("timers"),
        wall_clock: checked.flag("wall_clock"),
        http: checked.origins("http"),
        local: topics.local().map(str::to_owned).collect(),
        names: topics.names.clone(),
        access: access::read(host.table("access"), &topics.names),
        encryption: Some(BTreeMap::new()),
    }
}

/// Who may see the fields of each.
fn readers(encryption: &BTreeMap<String, EncryptionConfig>) -> BTreeMap<String, Vec<Glob>> {
    encryption.iter().map(|(name, rule)| (name.clone(), rule.plugins.clone())).collect()
}

fn checkpoint(checked: &Checked, broker: &Broker) -> Checkpoint {
    let interval_max = checked.millis("interval_max");
    let interval_min = match broker {
        Broker::Kafka(_) if !checked.written("interval_min") => {
            Millis(KAFKA_INTERVAL_MIN).min(interval_max)
        }
        Broker::Kafka(_) | Broker::Embedded => checked.millis("interval_min"),
    };
    Checkpoint {
        interval_min,
        interval_max,
        events_max: checked.count("events_max"),
        bytes_max: checked.bytes("bytes_max"),
        drain: checked.millis("drain"),
    }
}

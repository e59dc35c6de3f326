//! Decides whether a plugin's files are good, and binds its subscriptions to topics. It changes
//! nothing that runs; topics a subscription needs for itself (dead letters, redrive) are made.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;
use gristmill_config::{Clock, Glob, Manifest, Problem, Source as Document, SubscriptionConfig};
use gristmill_engine::Version;
use gristmill_plugin_host::{Grants, Limits, Plugin, Runner, RunnerSettings};
use gristmill_store::{Failed, Topic, TopicSpec};

use super::ledger::Files;
use crate::binding::{Binding, DeadLetters, Source};
use crate::envelope::EnvelopeRules;
use crate::shared::Shared;
use crate::topics;

/// A version that is good in itself.
pub(super) struct Candidate {
    pub(super) manifest: Manifest,
    pub(super) plugin: Plugin,
}

/// Why a version is refused: what operators read in log, HTTP and command line.
#[derive(Debug, Clone)]
pub(super) struct Refused(String);

impl Refused {
    /// The files could not be kept for a later rollback.
    pub(super) fn keep(error: &std::io::Error) -> Self {
        Self(format!("keep the plugin's files for rollback: {error}"))
    }

    /// The store refused a write.
    pub(super) fn store(failed: &Failed) -> Self {
        Self(crate::error::chain(failed))
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// Checks and compiles a version. Takes as long as compilation does.
pub(super) fn candidate(shared: &Shared, stem: &str, files: &Files) -> Result<Candidate, Refused> {
    let name = shared.config.plugins_dir.join(format!("{stem}.toml"));
    let document = Document { name: &name.to_string_lossy(), text: &files.manifest };
    let env = |name: &str| std::env::var(name).ok();
    let manifest = gristmill_config::manifest(&document, &env, &shared.config.ceilings)
        .map_err(|problems| Refused(problems.to_string()))?;
    for warning in &manifest.warnings {
        tracing::warn!(plugin = stem, %warning, "manifest");
    }
    let plugin = shared.plugins.load(&files.component).map_err(|error| {
        let (code, hint) = (error.code(), error.hint());
        Refused(format!("[{code}] {}\nhint: {hint}", crate::error::chain(&error)))
    })?;
    Ok(Candidate { manifest, plugin })
}

/// A subscription's name is its state's name: two plugins must not share one.
pub(super) fn check_names(
    shared: &Shared,
    stem: &str,
    candidate: &Candidate,
) -> Result<(), Refused> {
    let board = shared.board.read();
    for subscription in &candidate.manifest.subscriptions {
        let other = board.subscriptions.get(&subscription.name);
        if let Some(other) = other.filter(|status| status.plugin != stem) {
            let name = &subscription.name;
            let theirs = &other.plugin;
            return Err(Refused(format!(
                "[E0119] {stem}.toml:{}: subscription {name:?} is also in {theirs}.toml\n  \
                 write: name = \"{stem}-{name}\"",
                subscription.place().line,
            )));
        }
    }
    Ok(())
}

/// Binds one subscription: resolves its topics and makes those that are its own.
pub(super) fn bind(
    shared: &Shared,
    candidate: &Candidate,
    config: &SubscriptionConfig,
    version: Version,
) -> Result<Arc<Binding>, Refused> {
    let use_store = |error: gristmill_store::Error| Refused(crate::error::chain(&error));
    let subscription = shared.store.subscription(&config.name).map_err(use_store)?;
    let runner = runner_settings(&candidate.manifest.name, config)
        .map_err(|problem| Refused(problem.to_string()))?;
    // The workers would find out too, when it is too late to refuse.
    Runner::new(&shared.plugins, &candidate.plugin, runner.clone()).map_err(|error| {
        let (code, hint) = (error.code(), error.hint());
        Refused(format!("[{code}] {}\nhint: {hint}", crate::error::chain(&error)))
    })?;
    let mut sources = Vec::new();
    for name in &config.topics {
        let topic = topics::find(shared, name)
            .map_err(|missing| Refused(format!("{}: {missing}", candidate.manifest.file)))?;
        sources.push(source(shared, config, &topic).map_err(use_store)?);
    }
    make_granted(shared, config).map_err(use_store)?;
    let partitions = sources.iter().map(|source| source.partitions).max().unwrap_or(1);
    let redrive =
        topics::ensure(shared, redrive_spec(&config.name, partitions)).map_err(use_store)?;
    sources.push(Source {
        topic: redrive.id,
        name: redrive.name.clone(),
        incarnation: redrive.incarnation(),
        partitions: redrive.partitions,
        dead_letters: None,
        is_redrive: true,
    });
    let names: Vec<ByteString> = sources.iter().map(|it| it.name.clone()).collect();
    let metrics = shared.metrics.subscription(&config.name, &candidate.manifest.name, &names);
    Ok(Arc::new(Binding {
        subscription,
        version,
        name: Arc::from(config.name.as_str()),
        plugin_name: Arc::from(candidate.manifest.name.as_str()),
        plugin: candidate.plugin.clone(),
        rules: EnvelopeRules::new(&config.envelope),
        runner,
        metrics,
        event_source: format!("/{}/{}", shared.config.name, config.name).into(),
        config: config.clone(),
        sources,
    }))
}

/// Makes the topics that grants name, where publishing makes topics: an attempt cannot wait for it.
fn make_granted(
    shared: &Shared,
    config: &SubscriptionConfig,
) -> Result<(), gristmill_store::Error> {
    let settings = &shared.config.topics;
    let names = config.grants.emit.iter().map(Glob::as_str).filter(|name| !name.contains('*'));
    for name in names.filter(|_| settings.create_on_publish) {
        if !name.starts_with(topics::INTERNAL) {
            topics::ensure(shared, topics::spec(name, settings.settings(name)))?;
        }
    }
    Ok(())
}

fn source(
    shared: &Shared,
    config: &SubscriptionConfig,
    topic: &Topic,
) -> Result<Source, gristmill_store::Error> {
    let dead_letters = match config.dead_letter_topic(&topic.name) {
        Some(name) => Some(dead_letter_topic(shared, name, topic.partitions)?),
        None => None,
    };
    Ok(Source {
        topic: topic.id,
        name: topic.name.clone(),
        incarnation: topic.incarnation(),
        partitions: topic.partitions,
        dead_letters,
        is_redrive: false,
    })
}

/// Dead letters are kept for ever unless the configuration declares their topic otherwise.
fn dead_letter_topic(
    shared: &Shared,
    name: String,
    partitions: u32,
) -> Result<DeadLetters, gristmill_store::Error> {
    let spec = TopicSpec {
        name,
        partitions,
        retention: gristmill_store::Retention::default(),
        compacted: false,
    };
    let topic = topics::ensure(shared, spec)?;
    Ok(DeadLetters { topic: topic.id, partitions: topic.partitions })
}

/// The subscription's own topic for redriven dead letters, kept for ever: it is small, and a host
/// that was down for long must still find what was redriven.
fn redrive_spec(subscription: &str, partitions: u32) -> TopicSpec {
    TopicSpec {
        name: topics::redrive_name(subscription),
        partitions,
        retention: gristmill_store::Retention::default(),
        compacted: false,
    }
}

/// How the subscription's attempts are run, secrets read.
fn runner_settings(
    plugin: &str,
    subscription: &SubscriptionConfig,
) -> Result<RunnerSettings, Problem> {
    let SubscriptionConfig { limits, grants, .. } = subscription;
    let mut config = Vec::with_capacity(grants.config.len());
    for (name, secret) in &grants.config {
        config.push((name.clone(), gristmill_config::read::secret(secret)?));
    }
    Ok(RunnerSettings {
        plugin: Arc::from(plugin),
        subscription: Arc::from(subscription.name.as_str()),
        limits: Limits {
            memory_bytes: limits.memory.0,
            timeout: Duration::from_millis(limits.attempt_timeout.0),
            fuel: limits.fuel,
            emissions: limits.emissions,
            emitted_bytes: limits.emitted_bytes.0,
            value_bytes: limits.value_bytes.0,
            log_bytes: limits.log_bytes.0,
            reuse: limits.reuse,
            ..Limits::default()
        },
        config,
        grants: Grants {
            state: grants.state,
            timers: grants.timers,
            wall_clock: grants.clock == Clock::Wall,
        },
    })
}

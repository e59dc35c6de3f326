//! Decides whether a plugin's files are good, and binds its subscriptions to topics. It changes
//! nothing that runs; topics a subscription needs for itself (dead letters, redrive) are made.

use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;
use gristmill_config::{
    Broker, Clock, Glob, HostConfig, HttpHost, HttpOrigin as GrantedOrigin, Manifest, Problem,
    Problems, Source as Document, SubscriptionConfig,
};
use gristmill_engine::{PartitionId, SubscriptionId, TopicId, Version};
use gristmill_plugin_host::{
    Grants, HttpGrants, HttpOrigin, Limits, Plugin, Runner, RunnerSettings,
};
use gristmill_store::Scope;

use super::ledger::Files;
use super::local::Expected;
use super::refused::Refused;
use super::sources;
use crate::binding::{Binding, Destination, Role, Source};
use crate::broker::{self, changelog_name};
use crate::envelope::EnvelopeRules;
use crate::shared::Shared;
use crate::topics;

/// A version that is good in itself.
pub(super) struct Candidate {
    pub(super) manifest: Manifest,
    pub(super) plugin: Plugin,
}

/// Checks and compiles a version. Takes as long as compilation does.
pub(super) fn candidate(shared: &Shared, stem: &str, files: &Files) -> Result<Candidate, Refused> {
    let manifest = manifest(shared, stem, files)
        .map_err(|problems| Refused::for_files(problems.to_string()))?;
    for warning in &manifest.warnings {
        tracing::warn!(plugin = stem, %warning, "manifest");
    }
    let plugin = shared.plugins.load(&files.component).map_err(|error| {
        let (code, hint) = (error.code(), error.hint());
        Refused::for_files(format!("[{code}] {}\nhint: {hint}", crate::error::chain(&error)))
    })?;
    Ok(Candidate { manifest, plugin })
}

/// Subscriptions of local topics that a manifest has; none where it cannot be read.
pub(super) fn local_subscriptions(shared: &Shared, stem: &str, files: &Files) -> Expected {
    let subscriptions =
        manifest(shared, stem, files).map_or_else(|_| Vec::new(), |it| it.subscriptions);
    let local = subscriptions.into_iter().filter(|subscription| subscription.local);
    let named = |subscription: &SubscriptionConfig| -> Vec<String> {
        subscription.named_topics().map(str::to_owned).collect()
    };
    local.map(|subscription| (subscription.name.clone(), named(&subscription))).collect()
}

fn manifest(shared: &Shared, stem: &str, files: &Files) -> Result<Manifest, Problems> {
    let name = shared.config.plugins_dir.join(format!("{stem}.toml"));
    let document = Document { name: &name.to_string_lossy(), text: &files.manifest };
    let env = |name: &str| std::env::var(name).ok();
    gristmill_config::manifest(&document, &env, &shared.config.ceilings)
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
        if other.is_some_and(|status| status.binding.config.local != subscription.local) {
            return Err(Refused::for_files(format!(
                "[E0125] {stem}.toml:{}: subscription {:?} cannot change between local and other \
                 topics while the host runs\n  give it another name, or restart the host",
                subscription.place().line,
                subscription.name,
            )));
        }
        if let Some(other) = other.filter(|status| status.plugin != stem) {
            let name = &subscription.name;
            let theirs = &other.plugin;
            return Err(Refused::for_files(format!(
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
    let subscription = shared.store.subscription(&config.name).map_err(broker::Error::from)?;
    let runner = runner_settings(&candidate.manifest.name, config)
        .map_err(|problem| Refused::for_files(problem.to_string()))?;
    // The workers would find out too, when it is too late to refuse.
    Runner::new(&shared.plugins, &candidate.plugin, runner.clone()).map_err(|error| {
        let (code, hint) = (error.code(), error.hint());
        Refused::for_files(format!("[{code}] {}\nhint: {hint}", crate::error::chain(&error)))
    })?;
    check_schemas(shared, &candidate.manifest.file, config)?;
    let Bound { sources, changelog, fallback } = if config.local {
        Bound::default()
    } else {
        bind_topics(shared, &candidate.manifest.file, config, subscription)?
    };
    make_granted(shared, config)?;
    let before = sources_before(shared, &config.name);
    let names: Vec<ByteString> = if config.local {
        config.topics.iter().map(|topic| topic.as_str().into()).collect()
    } else {
        sources.iter().map(|it| it.name.clone()).collect()
    };
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
        group: group_of(&shared.config, &config.name),
        changelog,
        event_source: format!("/{}/{}", shared.config.name, config.name).into(),
        config: config.clone(),
        sources,
        fallback,
        before,
    }))
}

/// Events whose schema never was here would only wait, and what else is to be done with them.
fn check_schemas(shared: &Shared, file: &str, config: &SubscriptionConfig) -> Result<(), Refused> {
    let reads = |topics: &Glob| config.named_topics().any(|name| topics.matches(name));
    let emits =
        |topics: &Glob| config.grants.emit.iter().any(|grant| topics.matches(grant.as_str()));
    match shared.schemas.away(|topics| reads(topics) || emits(topics)) {
        None => Ok(()),
        Some(away) => {
            let (code, reason) = (away.code, away.reason);
            Err(Refused::for_topics(format!(
                "{file}: [{code}] subscription {:?} needs what is not here: {reason}\n  \
                 it runs as soon as it is",
                config.name
            )))
        }
    }
}

/// The topics of a subscription; none where they are local.
#[derive(Default)]
struct Bound {
    sources: Vec<Source>,
    changelog: Option<ByteString>,
    fallback: Option<Destination>,
}

/// Resolves the topics of a subscription, and makes those that are its own.
fn bind_topics(
    shared: &Shared,
    file: &str,
    config: &SubscriptionConfig,
    subscription: SubscriptionId,
) -> Result<Bound, Refused> {
    let mut sources = sources::find(shared, file, config)?;
    check_spread(shared, config, subscription)?;
    let forwarded = sources::repartition(shared, config, &sources)?;
    sources.extend(forwarded);
    let partitions = sources.iter().map(|source| source.partitions).max().unwrap_or(1);
    let changelog = changelog(shared, config, partitions)?;
    check_equal(file, config, &sources)?;
    sources.push(sources::redrive(shared, config, partitions)?);
    let fallback = sources::fallback(shared, config, partitions)?;
    Ok(Bound { sources, changelog, fallback })
}

/// Topics that the subscription is bound to now, with the partitions they had then.
fn sources_before(shared: &Shared, subscription: &str) -> Vec<(TopicId, u32)> {
    let board = shared.board.read();
    let bound = board.subscriptions.get(subscription).map(|it| it.binding.sources.iter());
    bound.into_iter().flatten().map(|source| (source.topic, source.partitions)).collect()
}

/// Makes the topics that grants name, where publishing makes topics: an attempt cannot wait for it.
fn make_granted(shared: &Shared, config: &SubscriptionConfig) -> Result<(), broker::Error> {
    let settings = &shared.config.topics;
    let names = config.grants.emit.iter().map(Glob::as_str).filter(|name| !name.contains('*'));
    for name in names.filter(|_| settings.create_on_publish) {
        if !name.starts_with(topics::INTERNAL) && !settings.is_local(name) {
            topics::ensure(shared, topics::spec(name, settings.settings(name)))?;
        }
    }
    Ok(())
}

/// The topic a subscription's state is kept in, where topics live in a cluster. Its partitions are
/// those that are dealt out, so it has as many as the widest topic, and keeps them: state would
/// else be where nobody looks for it.
fn changelog(
    shared: &Shared,
    config: &SubscriptionConfig,
    partitions: u32,
) -> Result<Option<ByteString>, Refused> {
    let Some(kafka) = shared.broker.kafka() else { return Ok(None) };
    let subscription = &config.name;
    let name = changelog_name(&shared.config.name, subscription);
    // Where keys have partitions of their own, more of them hold nothing but progress.
    let grows = !config.keys_must_meet();
    let topic = kafka.changelog(&name, partitions, grows).map_err(broker::Error::from)?;
    if topic.partitions != partitions {
        let has = topic.partitions;
        return Err(Refused::misplaced(format!(
            "[E0466] the topics of subscription {subscription:?} have {partitions} partitions, \
             its state in {name:?} has {has}: keys would change their partition"
        )));
    }
    Ok(Some(topic.name))
}

/// A key's events of all topics must meet; topics that no document declares are only known here.
fn check_equal(file: &str, config: &SubscriptionConfig, sources: &[Source]) -> Result<(), Refused> {
    let mut given = sources.iter().filter(|source| source.role == Role::Given);
    let widest = given.clone().max_by_key(|source| source.partitions);
    let Some(widest) = widest.filter(|_| config.keys_must_meet()) else {
        return Ok(());
    };
    let Some(other) = given.find(|source| source.partitions != widest.partitions) else {
        return Ok(());
    };
    let Source { name, partitions, .. } = widest;
    Err(Refused::for_topics(format!(
        "{file}: [E0123] state and timers over several topics need equal partition counts, or \
         `repartition`: {name:?} has {partitions}, {:?} has {}\n  \
         write: repartition = {partitions}",
        other.name, other.partitions,
    )))
}

/// Whether state that is there from before `repartition` was set lies where it says.
fn check_spread(
    shared: &Shared,
    config: &SubscriptionConfig,
    subscription: SubscriptionId,
) -> Result<(), Refused> {
    let name = topics::repartition_name(shared, &config.name);
    let Some(wanted) = config.repartition else { return Ok(()) };
    if !config.stateful() || shared.broker.topic(&name).is_some() {
        return Ok(());
    }
    let has = if shared.broker.kafka().is_some() {
        let changelog = changelog_name(&shared.config.name, &config.name);
        shared.broker.topic(&changelog).map(|topic| topic.partitions)
    } else {
        let scope = Scope { subscription, partition: PartitionId(0) };
        let progress = shared.store.progress(scope).map_err(broker::Error::from)?;
        let read = progress.iter().filter_map(|(topic, _)| shared.broker.topic_by_id(*topic));
        read.map(|topic| topic.partitions).max()
    };
    match has.filter(|has| *has != wanted) {
        Some(has) => Err(sources::spread(config, wanted, has)),
        None => Ok(()),
    }
}

/// The consumer group of a subscription.
fn group_of(config: &HostConfig, subscription: &str) -> String {
    match &config.broker {
        Broker::Embedded => format!("{}-{subscription}", config.name),
        Broker::Kafka(kafka) => kafka.group_of(&config.name, subscription),
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
        http: HttpGrants {
            origins: grants.http.iter().map(origin).collect(),
            private: grants.http_private,
            requests: limits.http_requests,
            timeout: Duration::from_millis(limits.http_timeout.0),
            withheld: false,
        },
    })
}

fn origin(granted: &GrantedOrigin) -> HttpOrigin {
    let host = match &granted.host {
        HttpHost::Exactly(host) | HttpHost::Below(host) => host.clone(),
        HttpHost::Any => "*".to_owned(),
    };
    HttpOrigin { https: granted.https, host, port: granted.port }
}

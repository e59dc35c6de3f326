//! Decides what is wrong between documents that are each right: names used twice, topics nobody
//! declares, grants that reach nothing. It sees no store and no broker.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    HostConfig, Manifest, Place, Problem, Problems, Severity, SubscriptionConfig, TopicSelector,
    problem::code, suggest, walk::value::string,
};

/// Holds manifests against the host's configuration and against each other.
///
/// `existing` names topics that are there without being declared, such as those made by
/// `gristmill topics create`; it may be empty when the store is not at hand.
pub fn cross_check(host: &HostConfig, manifests: &[Manifest], existing: &[String]) -> Problems {
    let mut check = Check {
        host,
        existing,
        known: known(host, manifests, existing),
        problems: Problems::default(),
    };
    check.names(manifests);
    for manifest in manifests {
        for subscription in &manifest.subscriptions {
            check.topics(manifest, subscription);
            check.grants(manifest, subscription);
            check.partitions(manifest, subscription);
            check.local_state(manifest, subscription, manifests);
        }
    }
    check.problems
}

/// Topics that are declared, are there, or are made for dead letters.
fn known(host: &HostConfig, manifests: &[Manifest], existing: &[String]) -> BTreeSet<String> {
    let declared = host.topics.declared.keys().chain(existing).cloned();
    let subscriptions = manifests.iter().flat_map(|manifest| &manifest.subscriptions);
    let dead = subscriptions.flat_map(|subscription| {
        let named = subscription.named_topics();
        named.filter_map(|topic| subscription.dead_letter_topic(topic))
    });
    declared.chain(dead).collect()
}

struct Check<'a> {
    host: &'a HostConfig,
    existing: &'a [String],
    known: BTreeSet<String>,
    problems: Problems,
}

impl<'a> Check<'a> {
    /// Plugins and subscriptions have names of their own. Both files are named, the later in the
    /// order given is the one to change.
    fn names(&mut self, manifests: &[Manifest]) {
        let mut plugins = BTreeMap::new();
        let mut subscriptions = BTreeMap::new();
        for manifest in manifests {
            let file = manifest.file.as_str();
            if let Some(first) = plugins.insert(manifest.name.as_str(), file) {
                let reason = format!("plugin \"{}\" is already that of {first}", manifest.name);
                let instead = format!("plugin.name = \"{}-2\"", manifest.name);
                self.error(file, Place::START, (code::DUPLICATE, reason), Some(instead));
            }
            for subscription in &manifest.subscriptions {
                let name = subscription.name.as_str();
                let at = (file, subscription.place().line);
                let Some((first, line)) = subscriptions.insert(name, at) else { continue };
                let reason = format!("subscription \"{name}\" is already that of {first}:{line}");
                let own = if name == manifest.name {
                    format!("{name}-2")
                } else {
                    format!("{}-{name}", manifest.name)
                };
                let instead = format!("name = \"{own}\"");
                self.error(file, subscription.place(), (code::DUPLICATE, reason), Some(instead));
            }
        }
    }

    /// Topics that are read exist, or may come to exist.
    fn topics(&mut self, manifest: &Manifest, subscription: &SubscriptionConfig) {
        for (selector, place) in subscription.topics.iter().zip(&subscription.places.topics) {
            let Some(topic) = selector.name() else {
                self.expression(manifest, selector, *place);
                continue;
            };
            if self.known.contains(topic) {
                continue;
            }
            let near = self.nearest(topic);
            let (hint, instead) = if let Some(near) = near {
                let written = subscription.topics.iter().map(TopicSelector::as_str);
                let names = written.map(|name| if name == topic { near } else { name });
                let quoted: Vec<String> = names.map(string).collect();
                (format!("; \"{near}\" exists"), format!("topics = [{}]", quoted.join(", ")))
            } else {
                let hint = format!("; declare it in {}", self.host.file);
                (hint, format!("[topics.\"{topic}\"]"))
            };
            let reason = format!("unknown topic \"{topic}\"{hint}");
            let severity = if self.host.topics.create_on_publish {
                Severity::Warning
            } else {
                Severity::Error
            };
            let what = (severity, code::UNKNOWN_TOPIC, reason);
            self.add(&manifest.file, *place, what, Some(instead));
        }
    }

    /// An expression matches something, or may come to: it is no mistake that it does not yet.
    fn expression(&mut self, manifest: &Manifest, selector: &TopicSelector, place: Place) {
        if self.known.iter().any(|topic| selector.selects(topic)) {
            return;
        }
        let reason = format!("no topic is known that `{selector}` matches");
        let what = (Severity::Warning, code::UNKNOWN_TOPIC, reason);
        self.add(&manifest.file, place, what, None);
    }

    /// Grants reach a topic. With topics created on publish, any topic may come to exist.
    fn grants(&mut self, manifest: &Manifest, subscription: &SubscriptionConfig) {
        if self.host.topics.create_on_publish {
            return;
        }
        for (glob, place) in subscription.grants.emit.iter().zip(&subscription.places.emit) {
            if self.known.iter().any(|topic| glob.matches(topic)) {
                continue;
            }
            let near = self.nearest(glob.as_str());
            let names = subscription.grants.emit.iter();
            let names = names.map(|one| if one == glob { near } else { Some(one.as_str()) });
            let quoted: Vec<String> = names.flatten().map(|name| format!("\"{name}\"")).collect();
            let reason = format!("grant \"{glob}\" reaches no topic");
            let instead = format!("emit = [{}]", quoted.join(", "));
            let what = (Severity::Warning, code::GRANT_REACHES_NOTHING, reason);
            self.add(&manifest.file, *place, what, Some(instead));
        }
    }

    /// A key's events of all topics share one lane only when they share a partition number.
    fn partitions(&mut self, manifest: &Manifest, subscription: &SubscriptionConfig) {
        if !subscription.keys_must_meet() {
            return;
        }
        let declared = self.host.topics.declared.iter();
        let mut counts: Vec<_> = declared
            .filter(|(topic, config)| !config.local && subscription.reads(topic))
            .map(|(topic, config)| (topic, config.partitions))
            .collect();
        let written = |topic: &str| subscription.topics.iter().position(|it| it.selects(topic));
        counts.sort_by_key(|(topic, _)| written(topic));
        let Some((first, partitions)) = counts.first() else { return };
        let Some((other, others)) = counts.iter().find(|(_, count)| count != partitions) else {
            return;
        };
        let reason = format!(
            "state and timers over several topics need equal partition counts, or `repartition`: \
             in {}, \"{first}\" has {partitions}, \"{other}\" has {others}",
            self.host.file
        );
        let place = written(other).and_then(|at| subscription.places.topics.get(at)).copied();
        let place = place.unwrap_or(subscription.place());
        let instead = format!("repartition = {}", partitions.max(others));
        self.error(&manifest.file, place, (code::UNEQUAL_PARTITIONS, reason), Some(instead));
    }

    /// A handler of local topics keeps its state with the subscription that causes its events.
    fn local_state(
        &mut self,
        manifest: &Manifest,
        subscription: &SubscriptionConfig,
        manifests: &[Manifest],
    ) {
        if subscription.grants.state || subscription.local {
            return;
        }
        let all = manifests.iter().flat_map(|manifest| &manifest.subscriptions);
        let stateful: Vec<_> = all.filter(|other| other.local && other.grants.state).collect();
        for (glob, place) in subscription.grants.emit.iter().zip(&subscription.places.emit) {
            let caused = |other: &&&SubscriptionConfig| {
                other.named_topics().any(|topic| glob.matches(topic))
            };
            let Some(handler) = stateful.iter().find(caused) else { continue };
            let reason = format!(
                "\"{glob}\" causes local events that \"{}\" handles, which keeps state: it is \
                 kept with this subscription, which may keep none",
                handler.name
            );
            let instead = Some("grants.state = true".to_owned());
            self.error(&manifest.file, *place, (code::LOCAL_TOPIC, reason), instead);
        }
    }

    /// The topic that was probably meant: one declared or there, not one of dead letters alone.
    fn nearest(&self, topic: &str) -> Option<&'a str> {
        let declared = self.host.topics.declared.keys().chain(self.existing);
        suggest::nearest(topic, declared.map(String::as_str))
    }

    fn error(
        &mut self,
        file: &str,
        place: Place,
        (code, reason): (&'static str, String),
        instead: Option<String>,
    ) {
        self.add(file, place, (Severity::Error, code, reason), instead);
    }

    fn add(
        &mut self,
        file: &str,
        place: Place,
        (severity, code, reason): (Severity, &'static str, String),
        instead: Option<String>,
    ) {
        let file = file.to_owned();
        let Place { line, column } = place;
        self.problems.push(Problem { file, line, column, code, severity, reason, instead });
    }
}

//! Owns who may publish to topics and who may subscribe to them, as an operator says it by pattern.

use crate::{Glob, SubscriptionConfig, TopicNames, problem::code, report::Report, walk::Checked};

/// What holds for some topics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessRule {
    /// Its name.
    pub name: String,
    /// Topics that it holds for; not empty.
    pub topics: Vec<Glob>,
    /// Plugins that may publish there.
    pub publish: Vec<Glob>,
    /// Plugins that may subscribe to them.
    pub subscribe: Vec<Glob>,
}

impl AccessRule {
    /// Whether a plugin may publish where the rule holds.
    fn may_publish(&self, plugin: &str) -> bool {
        self.publish.iter().any(|pattern| pattern.matches(plugin))
    }

    /// Whether a plugin may subscribe to topics that the rule holds for.
    fn may_subscribe(&self, plugin: &str) -> bool {
        self.subscribe.iter().any(|pattern| pattern.matches(plugin))
    }

    /// Whether it holds for a topic.
    fn is_of(&self, topic: &str) -> bool {
        self.patterns().any(|pattern| pattern.matches(topic))
    }

    /// Whether it holds for a topic that `pattern` covers too.
    fn meets(&self, pattern: &Glob) -> bool {
        self.patterns().any(|own| own.meets(pattern))
    }

    /// Topics that it holds for: dead letters hold the same data as what they come from.
    fn patterns(&self) -> impl Iterator<Item = Glob> {
        self.topics.iter().cloned().flat_map(with_letters)
    }
}

/// Topics, and those of their dead letters.
pub(crate) fn with_letters(topics: Glob) -> [Glob; 2] {
    let letters = Glob::new(format!("{topics}.*.dlq"));
    [topics, letters]
}

/// Reads `[access]`.
pub(crate) fn read(checked: &Checked, names: &TopicNames) -> Vec<AccessRule> {
    let rule = |(name, table): &(String, Checked)| AccessRule {
        name: name.clone(),
        topics: table.globs("topics").iter().map(|it| names.pattern(it)).collect(),
        publish: table.globs("publish"),
        subscribe: table.globs("subscribe"),
    };
    checked.open.iter().map(rule).collect()
}

/// Topics that a plugin may not read.
pub(crate) fn barred(rules: &[AccessRule], plugin: &str) -> Vec<Glob> {
    let of_others = rules.iter().filter(|rule| !rule.may_subscribe(plugin));
    of_others.flat_map(AccessRule::patterns).collect()
}

/// A subscription reads, and publishes to, no topics of others.
pub(crate) fn check(
    plugin: &str,
    subscription: &SubscriptionConfig,
    rules: &[AccessRule],
    report: &mut Report<'_>,
) {
    for (selector, place) in subscription.topics.iter().zip(&subscription.places.topics) {
        let Some(topic) = selector.name() else { continue };
        let foreign = rules.iter().find(|rule| rule.is_of(topic) && !rule.may_subscribe(plugin));
        if let Some(rule) = foreign {
            let whose = whose(&rule.subscribe);
            let reason = format!(
                "plugin \"{plugin}\" may not subscribe to \"{topic}\": `access.{}` of the host \
                 lets {whose}",
                rule.name
            );
            report.error(*place, code::GRANT_REFUSED, reason, None);
        }
    }
    for (pattern, place) in subscription.grants.emit.iter().zip(&subscription.places.emit) {
        let foreign = rules.iter().find(|rule| rule.meets(pattern) && !rule.may_publish(plugin));
        if let Some(rule) = foreign {
            let topics: Vec<&str> = rule.topics.iter().map(Glob::as_str).collect();
            let reason = format!(
                "plugin \"{plugin}\" may not publish to {}, which \"{pattern}\" reaches: \
                 `access.{}` of the host lets {}",
                topics.join(", "),
                rule.name,
                whose(&rule.publish)
            );
            report.error(*place, code::GRANT_REFUSED, reason, None);
        }
    }
}

fn whose(plugins: &[Glob]) -> String {
    if plugins.is_empty() {
        return "nobody".to_owned();
    }
    plugins.iter().map(Glob::as_str).collect::<Vec<_>>().join(", ")
}

//! Knows which consumer group is of which subscription. What tells of a subscription is the topics
//! that it makes for itself, so that no plugin needs to be loaded.

use std::collections::BTreeMap;

use gristmill_config::{Broker, HostConfig, Kafka};
use gristmill_kafka::TopicDescription;

use crate::broker::changelog_name;
use crate::topics;

/// How a host name and its subscriptions name things in a cluster.
#[derive(Debug, Clone)]
pub(super) struct Names {
    host: String,
    kafka: Kafka,
}

impl Names {
    /// Those of a host's configuration; `None` where it names no cluster.
    pub(super) fn new(config: &HostConfig) -> Option<Self> {
        match &config.broker {
            Broker::Embedded => None,
            Broker::Kafka(kafka) => {
                Some(Self { host: config.name.clone(), kafka: (**kafka).clone() })
            }
        }
    }

    /// Subscriptions by group. Either topic will do: a cleared changelog is made anew only when
    /// the plugin loads.
    pub(super) fn by_group(&self, topics: &[TopicDescription]) -> BTreeMap<String, String> {
        // No name of a host has a dot, so no other host's subscription begins like that.
        let begins = [changelog_name(&self.host, ""), topics::redrive_in_cluster(&self.host, "")];
        let mut found = BTreeMap::new();
        for topic in topics {
            let subscription = begins.iter().find_map(|it| topic.name.strip_prefix(it.as_str()));
            if let Some(subscription) = subscription {
                let group = self.kafka.group_of(&self.host, subscription);
                found.insert(group, subscription.to_owned());
            }
        }
        found
    }

    /// Copies of each record of topics that are made, if not the cluster's default.
    pub(super) fn replication(&self) -> Option<u32> {
        self.kafka.replication
    }

    /// The topic that a subscription's events are forwarded to.
    pub(super) fn repartition(&self, subscription: &str) -> String {
        topics::repartition_in_cluster(&self.host, subscription)
    }

    /// The topic that a subscription's state is kept in.
    pub(super) fn changelog(&self, subscription: &str) -> String {
        changelog_name(&self.host, subscription)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscription_is_known_by_either_of_its_topics() {
        let text = "name = \"mill\"\n[broker]\nkind = \"kafka\"\nbrokers = [\"a:1\"]\n\
                    group = \"eu.{subscription}\"\n";
        let source = gristmill_config::Source { name: "gristmill.toml", text };
        let config = gristmill_config::host(&source, &|_| None).unwrap();
        let names = Names::new(&config).unwrap();
        let topic = |name: &str| TopicDescription { name: name.into(), id: 1, partitions: 1 };
        let topics = [
            "__changelog.mill.totals",
            "__redrive.mill.totals",
            "__redrive.mill.cleared.lately",
            "__changelog.mill-2.other",
            "__changelog.mills.other",
            "orders",
        ]
        .map(topic);
        let found: Vec<_> = names.by_group(&topics).into_iter().collect();
        let pair = |group: &str, subscription: &str| (group.to_owned(), subscription.to_owned());
        let expected = [pair("eu.cleared.lately", "cleared.lately"), pair("eu.totals", "totals")];
        assert_eq!(found, expected);
        assert_eq!(names.changelog("totals"), "__changelog.mill.totals");
        let embedded = gristmill_config::Source { name: "gristmill.toml", text: "" };
        let embedded = gristmill_config::host(&embedded, &|_| None).unwrap();
        assert!(Names::new(&embedded).is_none());
    }
}

//! Owns what an operator decides about topics that are copied to a second cluster, checked. It
//! opens no connection and reads no secret.

use std::{collections::BTreeMap, fmt};

use gristmill_engine::Millis;

use crate::{
    Broker, Secret, TopicNames, TopicSelector, Topics, broker,
    problem::code,
    report::Report,
    walk::{Checked, checked::disagree, value::string},
};

/// What stands for a topic's own name.
const TOPIC: &str = "{topic}";
/// Names of topics that no replication copies begin so.
const INTERNAL: &str = "__";

/// Topics that are copied to one cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicationConfig {
    /// Which topics, by their names on the broker; not empty.
    pub topics: Vec<TopicSelector>,
    /// Brokers of the other cluster, each `host:port`; 1 to 64, distinct.
    pub brokers: Vec<String>,
    /// Name of the cluster that records come from.
    pub cluster: String,
    /// Name of the other.
    pub to_cluster: String,
    /// What topics are called there; `None` for the name they have on this broker.
    pub rename: Option<TopicRename>,
    /// Where copying begins in topics that are there when it begins.
    pub from: CopyFrom,
    /// Whether records that came by replication are copied on.
    pub relay: bool,
    /// What becomes of records that are never taken.
    pub on_refused: OnRefused,
    /// Replication factor of topics made there, 1 to 16; `None` for that cluster's default.
    pub replication: Option<u32>,
    /// How long a host is silent until others copy what it copied, 6 s to 30 min.
    pub session_timeout: Millis,
    /// How long a transaction stays open until the other cluster aborts it, 1 s to 15 min.
    pub transaction_timeout: Millis,
    /// Properties of librdkafka by name, none of them one that the host decides by itself.
    /// [`read::secret`](crate::read::secret) gives their values.
    pub properties: BTreeMap<String, Secret>,
}

/// Where copying begins in topics that are there when it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyFrom {
    /// At their beginning.
    Earliest,
    /// At their end.
    Latest,
}

/// What becomes of records that the other cluster never takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnRefused {
    /// Their partition waits for them.
    Wait,
    /// They are left out.
    Skip,
}

/// A template of topic names with `{topic}`, which no two topics share a name by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicRename(String);

impl TopicRename {
    /// A template from its text, unless that is none.
    pub(crate) fn new(text: &str) -> Option<Self> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let (before, after) = text.split_once(TOPIC)?;
        let is_internal = before.starts_with(INTERNAL);
        let holds = before.chars().chain(after.chars()).all(is_plain) && !is_internal;
        holds.then(|| Self(text.to_owned()))
    }

    /// What a topic of this own name is called.
    pub fn fill(&self, topic: &str) -> String {
        self.0.replace(TOPIC, topic)
    }
}

impl fmt::Display for TopicRename {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Reads `[replication]`; `topics` and `here` are what `[topics]` and `[broker]` say.
pub(crate) fn read(
    checked: &Checked,
    (topics, here): (&Topics, &Broker),
    report: &mut Report<'_>,
) -> BTreeMap<String, ReplicationConfig> {
    let mut rules = BTreeMap::new();
    for (name, table) in &checked.open {
        check_clusters(name, table, here, report);
        check_topics(name, table, topics, report);
        broker::check_owned(table, report);
        rules.insert(name.clone(), rule(table, &topics.names));
    }
    rules
}

fn rule(table: &Checked, names: &TopicNames) -> ReplicationConfig {
    let selector = |text: &str| {
        TopicSelector::new(names.on_broker(text)).unwrap_or_else(|_| disagree("topics"))
    };
    let properties = table.pairs("properties").iter();
    ReplicationConfig {
        topics: table.texts("topics").iter().map(|(text, _)| selector(text)).collect(),
        brokers: table.texts("brokers").iter().map(|one| one.0.clone()).collect(),
        cluster: required(table, "cluster").unwrap_or_default().to_owned(),
        to_cluster: required(table, "to_cluster").unwrap_or_default().to_owned(),
        rename: table.text_if_any("rename").and_then(TopicRename::new),
        from: match table.text("from") {
            "earliest" => CopyFrom::Earliest,
            "latest" => CopyFrom::Latest,
            _ => disagree("from"),
        },
        relay: table.flag("relay"),
        on_refused: match table.text("on_refused") {
            "wait" => OnRefused::Wait,
            "skip" => OnRefused::Skip,
            _ => disagree("on_refused"),
        },
        replication: table.count_if_any("replication"),
        session_timeout: table.millis("session_timeout"),
        transaction_timeout: table.millis("transaction_timeout"),
        properties: properties.map(|one| (one.name.clone(), one.value.clone())).collect(),
    }
}

/// The value of a key that must be written; `None` where it is not, which is reported already.
fn required<'a>(table: &'a Checked, key: &str) -> Option<&'a str> {
    if table.written(key) { table.text_if_any(key) } else { None }
}

/// The two clusters are two: by their names, or nothing would be copied, and by their brokers, or
/// every topic would be copied to itself.
fn check_clusters(name: &str, table: &Checked, here: &Broker, report: &mut Report<'_>) {
    let cluster = required(table, "cluster");
    if cluster.is_some() && cluster == required(table, "to_cluster") {
        let cluster = cluster.unwrap_or_default();
        let reason = format!(
            "`replication.{name}` is from \"{cluster}\" to \"{cluster}\": nothing would be copied, \
             for all of it has been there"
        );
        let instead = format!("to_cluster = {}", string(&format!("{cluster}-2")));
        report.error(table.place("to_cluster"), code::SAME_CLUSTER, reason, Some(instead));
    }
    let Broker::Kafka(kafka) = here else { return };
    let brokers = table.texts("brokers").iter();
    let own = brokers.clone().find(|(broker, _)| kafka.brokers.contains(broker));
    if let (Some((broker, place)), None) = (own, table.text_if_any("rename")) {
        let reason = format!(
            "`replication.{name}` would copy topics to themselves: \"{broker}\" is a broker of \
             this host's own cluster"
        );
        let instead = Some("rename = \"copy.{topic}\"".to_owned());
        report.error(*place, code::SAME_CLUSTER, reason, instead);
    }
}

/// Topics that are named are such as can be copied.
fn check_topics(name: &str, table: &Checked, topics: &Topics, report: &mut Report<'_>) {
    for (topic, place) in table.texts("topics") {
        let why = if topics.is_local(topics.names.on_broker(topic)) {
            "is local: its events are kept nowhere"
        } else if topic.starts_with(INTERNAL) {
            "is a host's own"
        } else {
            continue;
        };
        let reason = format!("`replication.{name}` cannot copy \"{topic}\", which {why}");
        report.error(*place, code::NOT_COPIED, reason, None);
    }
}

#[cfg(test)]
mod tests {
    use super::TopicRename;

    #[test]
    fn a_rename_has_the_topic_once_and_letters_of_topics() {
        for (text, holds) in [
            ("{topic}", true),
            ("west.{topic}", true),
            ("{topic}-copy_2", true),
            ("west", false),
            ("", false),
            ("{topic}{topic}", false),
            ("{env}.{topic}", false),
            ("west/{topic}", false),
            ("__{topic}", false),
        ] {
            assert_eq!(TopicRename::new(text).is_some(), holds, "{text}");
        }
        assert_eq!(TopicRename::new("west.{topic}").unwrap().fill("orders"), "west.orders");
    }
}

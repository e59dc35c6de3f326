//! Owns what an operator decides about the place where topics live: this host's own store, or
//! Kafka. It opens no connection and reads no secret.

mod group;
mod rules;

use std::collections::BTreeMap;

use gristmill_engine::Millis;

pub use self::group::GroupTemplate;
pub(crate) use self::{group::mended, rules::check_owned};
use crate::{
    Secret,
    report::Report,
    walk::{Checked, checked::disagree},
};

/// Where topics live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Broker {
    /// In this host's own store.
    Embedded,
    /// On Kafka.
    Kafka(Box<Kafka>),
}

/// How often the effects of an event may count on Kafka.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guarantee {
    /// Once.
    ExactlyOnce,
    /// Again after a crash: for handlers that keep neither state nor timers.
    AtLeastOnce,
}

/// How the host uses Kafka. Defaults are in `docs/configuration.md`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kafka {
    /// Brokers to ask for all others, each `host:port`; 1 to 64, distinct.
    pub brokers: Vec<String>,
    /// How consumer groups are named.
    pub group: GroupTemplate,
    /// Beginning of transactional ids, 1 to 128 visible ASCII characters; the host's name where
    /// nothing is written.
    pub transactional_id_prefix: String,
    /// Replication factor of topics the host creates, 1 to 16; `None` for the broker's default.
    pub replication: Option<u32>,
    /// How often the effects of an event may count.
    pub guarantee: Guarantee,
    /// Whether a worker that comes back within `session_timeout` finds its partitions again.
    pub static_membership: bool,
    /// How long a host is silent until its partitions go to others, 6 s to 30 min.
    pub session_timeout: Millis,
    /// How long a transaction stays open until the broker aborts it, 1 s to 15 min.
    pub transaction_timeout: Millis,
    /// Time between two reports of the clients for metrics, 1 s to 1 h.
    pub statistics_interval: Millis,
    /// Properties of librdkafka by name, none of them one that the host decides by itself.
    /// [`read::secret`](crate::read::secret) gives their values.
    pub properties: BTreeMap<String, Secret>,
}

impl Kafka {
    /// Consumer group of a subscription of the host of this name.
    pub fn group_of(&self, host_name: &str, subscription: &str) -> String {
        self.group.fill(host_name, subscription)
    }
}

/// The broker that `[broker]` describes, and everything wrong between its parts.
pub(crate) fn read(table: &Checked, host_name: &str, report: &mut Report<'_>) -> Broker {
    rules::check(table, report);
    match table.text("kind") {
        "embedded" => Broker::Embedded,
        "kafka" => Broker::Kafka(Box::new(kafka(table, host_name))),
        _ => disagree("kind"),
    }
}

fn kafka(table: &Checked, host_name: &str) -> Kafka {
    let Some(group) = GroupTemplate::new(table.text("group")) else { disagree("group") };
    let prefix = table.text_if_any("transactional_id_prefix").unwrap_or(host_name);
    let properties = table.pairs("properties").iter();
    Kafka {
        brokers: table.texts("brokers").iter().map(|one| one.0.clone()).collect(),
        group,
        transactional_id_prefix: prefix.to_owned(),
        replication: table.count_if_any("replication"),
        guarantee: match table.text("guarantee") {
            "exactly-once" => Guarantee::ExactlyOnce,
            "at-least-once" => Guarantee::AtLeastOnce,
            _ => disagree("guarantee"),
        },
        static_membership: table.flag("static_membership"),
        session_timeout: table.millis("session_timeout"),
        transaction_timeout: table.millis("transaction_timeout"),
        statistics_interval: table.millis("statistics_interval"),
        properties: properties.map(|one| (one.name.clone(), one.value.clone())).collect(),
    }
}

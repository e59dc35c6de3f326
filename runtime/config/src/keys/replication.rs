//! Describes every key of `[replication]` in `gristmill.toml`.

use super::{Key, Kind, Open, Pairs, Table, broker};
use crate::text::Text;

pub(crate) static REPLICATION: Table = Table {
    doc: "Topics that are copied to a second cluster. A table `[replication.NAME]` says which, and \
          where to.",
    keys: &[],
    open: Some(Open { placeholder: "NAME", rule: Text::Name, table: &RULE, inherits: None }),
};

static RULE: Table = Table {
    doc: "Topics of this host's broker that are copied to another cluster. All hosts of one name \
          share the work.",
    open: None,
    keys: &[
        Key::required(
            "topics",
            Kind::Texts { of: Text::TopicSelector, min: 1, max: 256 },
            "[\"orders\"]",
            "Topics that are copied, by name or by an expression, which begins with `^` and finds \
             topics that come later too.",
        ),
        Key::required(
            "brokers",
            Kind::Texts { of: Text::Server, min: 1, max: 64 },
            "[\"kafka-west:9092\"]",
            "Brokers of the other cluster to ask for all others, as host and port.",
        ),
        Key::required(
            "cluster",
            Kind::Text(Text::Name),
            "\"east\"",
            "Name of the cluster that records come from. It goes with each of them in the header \
             `gristmill-provenance`.",
        ),
        Key::required(
            "to_cluster",
            Kind::Text(Text::Name),
            "\"west\"",
            "Name of the other cluster. What has been there already is not copied back.",
        ),
        Key::optional(
            "rename",
            Kind::Text(Text::TopicRename),
            "the topic's name here",
            "What topics are called over there; `{topic}` stands for the topic's own name.",
        ),
        Key::new(
            "from",
            Kind::Choice { now: &["earliest", "latest"], later: &[] },
            "\"earliest\"",
            "Where copying begins in topics that are there when an entry of `topics` is new. Those \
             that come later are copied from their beginning.",
        ),
        Key::new(
            "relay",
            Kind::Flag,
            "true",
            "Whether records that came here by replication are copied on. Where every cluster \
             copies to every other, `false` keeps them from coming twice.",
        ),
        Key::new(
            "on_refused",
            Kind::Choice { now: &["wait", "skip"], later: &[] },
            "\"wait\"",
            "What becomes of a record that the other cluster takes never, such as one that is too \
             large. With `wait` its partition waits for it, with `skip` it is left out, logged and \
             counted.",
        ),
        Key::optional(
            "replication",
            Kind::Count { min: 1, max: 16 },
            "the other cluster's default",
            "Replication factor of topics that are made there.",
        ),
        Key::new(
            "session_timeout",
            broker::SESSION,
            "\"10s\"",
            "How long a host is silent until others copy what it copied.",
        ),
        Key::new(
            "transaction_timeout",
            broker::TRANSACTION,
            "\"8s\"",
            "How long a transaction stays open until the other cluster aborts it.",
        ),
        Key::new(
            "properties",
            Kind::Pairs(Pairs::Properties),
            "{}",
            "Properties of librdkafka for the other cluster, as in `[broker]`.",
        ),
    ],
};

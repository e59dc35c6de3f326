//! Describes every key of `[broker]` in `gristmill.toml`. Nothing else names a key, a default or a
//! bound of it.

use super::{Key, Kind, Pairs, Table};
use crate::text::Text;

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;

/// Time-out of a session, within the bounds of a broker left as it is:
/// `group.min.session.timeout.ms` and `group.max.session.timeout.ms`. Beyond them no member may
/// join a group.
pub(super) const SESSION: Kind = Kind::Span { min: 6 * SECOND, max: 30 * MINUTE, word: None };
/// Time-out of a transaction, at most what a broker left as it is allows:
/// `transaction.max.timeout.ms`; at least what librdkafka takes.
pub(super) const TRANSACTION: Kind = Kind::Span { min: SECOND, max: 15 * MINUTE, word: None };

/// Where topics live.
pub(crate) static BROKER: Table = Table {
    doc: "Where topics live. Every key but `kind` is a setting of Kafka, and an error with \
          `kind = \"embedded\"`, where it would do nothing.",
    open: None,
    keys: &[
        Key::new(
            "kind",
            Kind::Choice { now: &["embedded", "kafka"], later: &[] },
            "\"embedded\"",
            "`embedded` keeps topics and state in `data_dir`; `kafka` keeps topics on the \
             `brokers`, with state in topics of its own and a copy in `data_dir`.",
        ),
        Key::optional(
            "brokers",
            Kind::Texts { of: Text::Server, min: 1, max: 64 },
            "required with `kind = \"kafka\"`",
            "Brokers to ask for all others, as host and port.",
        ),
        Key::new(
            "group",
            Kind::Text(Text::Group),
            "\"{name}-{subscription}\"",
            "How consumer groups are named: `{name}` stands for the host's `name`, \
             `{subscription}` for the subscription's.",
        ),
        Key::optional(
            "transactional_id_prefix",
            Kind::Text(Text::Prefix),
            "the host's `name`",
            "Beginning of transactional ids, which are `{prefix}.{host id}.{worker}`.",
        ),
        Key::optional(
            "replication",
            Kind::Count { min: 1, max: 16 },
            "the broker's default",
            "Replication factor of topics that the host creates.",
        ),
        Key::new(
            "guarantee",
            Kind::Choice { now: &["exactly-once", "at-least-once"], later: &[] },
            "\"exactly-once\"",
            "`exactly-once` makes effects and progress one transaction. With `at-least-once` \
             effects may come again after a crash, and manifests may grant neither state nor \
             timers.",
        ),
        Key::new(
            "static_membership",
            Kind::Flag,
            "false",
            "Whether a worker that comes back within `session_timeout` finds its partitions \
             again, without a rebalance.",
        ),
        Key::new(
            "session_timeout",
            SESSION,
            "\"10s\"",
            "How long a host is silent until its partitions go to others.",
        ),
        Key::new(
            "transaction_timeout",
            TRANSACTION,
            "\"8s\"",
            "How long a transaction stays open until the broker aborts it.",
        ),
        Key::new(
            "statistics_interval",
            Kind::Span { min: SECOND, max: 60 * MINUTE, word: None },
            "\"15s\"",
            "Time between two reports of librdkafka's clients for metrics.",
        ),
        Key::new(
            "properties",
            Kind::Pairs(Pairs::Properties),
            "{}",
            "Properties of librdkafka by name, such as `security.protocol = \"SASL_SSL\"`. \
             `{ file = \"/run/secrets/x\" }` reads a value from a file, relative to this file; a \
             name that ends in `.file` needs quotes. What the host decides by itself, or another \
             key sets, is an error.",
        ),
    ],
};

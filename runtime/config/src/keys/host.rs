//! Describes every key of `gristmill.toml` but those of `[broker]`. Nothing else names a key, a
//! default or a bound of it.

use super::{
    Key, Kind, Open, Pairs, Table, access::ACCESS, broker::BROKER, commands::COMMANDS,
    encryption::ENCRYPTION, outbox::OUTBOX, replication::REPLICATION, schemas::SCHEMAS,
    telemetry::TELEMETRY, tokens::TOKENS,
};
use crate::text::Text;

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const DAY: u64 = 24 * 60 * MINUTE;
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;

/// Default of `checkpoint.interval_min` with `kind = "kafka"`, in milliseconds (source:
/// `docs/semantics.md`, "Transactions on Kafka").
pub(crate) const KAFKA_INTERVAL_MIN: u64 = 5;

/// The document.
pub(crate) static HOST: Table = Table {
    doc: "The host itself.",
    open: None,
    keys: &[
        Key::new(
            "name",
            Kind::Text(Text::Name),
            "\"gristmill\"",
            "Name of the host, equal on all its replicas. Consumer groups are named \
             `{name}-{subscription}`, unless `broker.group` says otherwise.",
        ),
        Key::new(
            "listen",
            Kind::Text(Text::Address),
            "\"127.0.0.1:8080\"",
            "Address of the HTTP surface. An address other than loopback needs `[tokens]`, or \
             `http.allow_anonymous`.",
        ),
        Key::new(
            "data_dir",
            Kind::Text(Text::Path),
            "\".gristmill\"",
            "Folder of topics, state and compiled plugins, relative to this file.",
        ),
        Key::new(
            "plugins_dir",
            Kind::Text(Text::Path),
            "\"plugins\"",
            "Folder of plugins and their manifests, relative to this file.",
        ),
        Key::optional(
            "workers",
            Kind::Count { min: 1, max: 256 },
            "one per core",
            "Workers; each owns a share of the partitions.",
        ),
        Key::new(
            "attempts_max",
            Kind::Count { min: 1, max: 4_096 },
            "256",
            "Attempts running at once on one worker, over all subscriptions.",
        ),
        Key::table("broker", &BROKER),
        Key::table("storage", &STORAGE),
        Key::table("topics", &TOPICS),
        Key::table("access", &ACCESS),
        Key::table("schemas", &SCHEMAS),
        Key::table("encryption", &ENCRYPTION),
        Key::table("replication", &REPLICATION),
        Key::table("commands", &COMMANDS),
        Key::table("outbox", &OUTBOX),
        Key::table("http", &HTTP),
        Key::table("tokens", &TOKENS),
        Key::table("telemetry", &TELEMETRY),
        Key::table("ceilings", &CEILINGS),
        Key::table("checkpoint", &CHECKPOINT),
        Key::table("plugins", &PLUGINS),
    ],
};

static STORAGE: Table = Table {
    doc: "The embedded store.",
    open: None,
    keys: &[
        Key::new(
            "reserve",
            Kind::Size { min: 0, max: TIB, percent: Some(90) },
            "\"1GiB\"",
            "Disk space kept free, as a size or as a share of the file system such as `\"5%\"`. \
             With less free space, events from outside are refused.",
        ),
        Key::new(
            "cache",
            Kind::Size { min: MIB, max: TIB, percent: None },
            "\"64MiB\"",
            "Memory for cached blocks of the store.",
        ),
        Key::new(
            "snapshots_max",
            Kind::Count { min: 1, max: 1_000 },
            "10",
            "Snapshots kept of each subscription. When one more is taken the oldest is deleted.",
        ),
    ],
};

static TOPICS: Table = Table {
    doc: "Topics. A table `[topics.\"NAME\"]` declares the topic `NAME`, which is created at \
          start.",
    keys: &[
        Key::new(
            "create_on_publish",
            Kind::Flag,
            "false",
            "Whether publishing to an unknown topic creates it, as `[topics.defaults]` says. For a \
             handler, topics that its grants name without `*` are created when its plugin loads.",
        ),
        Key::optional(
            "template",
            Kind::Text(Text::TopicTemplate),
            "the names they are declared under",
            "What declared topics are called on the broker, such as \
             `{env}.{domain}.{scope}.{topic}.{version}`. `{topic}` stands for the topic's own \
             name, in lower case and plural; `development`, `production` and the like are \
             shortened for `{env}`.",
        ),
        Key::new(
            "names",
            Kind::Pairs(Pairs::Texts),
            "{}",
            "What the placeholders of `template` stand for.",
        ),
        Key::table("defaults", &TOPIC_DEFAULTS),
    ],
    open: Some(Open {
        placeholder: "NAME",
        rule: Text::Topic,
        table: &TOPIC,
        inherits: Some("defaults"),
    }),
};

static TOPIC_DEFAULTS: Table = Table {
    doc: "What holds for topics that are not declared, and for what a declaration leaves out.",
    open: None,
    keys: &TOPIC_KEYS,
};

static TOPIC: Table = Table { doc: "One declared topic.", open: None, keys: &TOPIC_KEYS };

static TOPIC_KEYS: [Key; 9] = [
    Key::new(
        "partitions",
        Kind::Count { min: 1, max: 1_024 },
        "8",
        "Partitions. A topic's partitions can grow, never shrink.",
    ),
    Key::new(
        "retention",
        Kind::Span { min: SECOND, max: 36_500 * DAY, word: Some("forever") },
        "\"7d\"",
        "How long events are kept.",
    ),
    Key::optional(
        "retention_bytes",
        Kind::Size { min: MIB, max: 1_024 * TIB, percent: None },
        "no limit by size",
        "Size per partition beyond which its oldest events go.",
    ),
    Key::new(
        "compaction",
        Kind::Flag,
        "false",
        "Whether only the newest event of each key is kept.",
    ),
    Key::new(
        "max_event_bytes",
        Kind::Size { min: KIB, max: 64 * MIB, percent: None },
        "\"1MiB\"",
        "Largest event: key, headers and payload together.",
    ),
    Key::new(
        "key",
        Kind::Text(Text::KeyOrNone),
        "\"none\"",
        "Key of an event ingested over HTTP without `partitionkey`: a JSON pointer into it, \
         several with text between them such as `{/tenantId}:{/orderId}`, or `none`. What a field \
         holds of that text is percent-encoded, so that no two different events have one key.",
    ),
    Key::optional(
        "name",
        Kind::Text(Text::Topic),
        "what `topics.template` makes of it",
        "What the topic is called on the broker. Everywhere else it goes by the name it is \
         declared under.",
    ),
    Key::new(
        "names",
        Kind::Pairs(Pairs::Texts),
        "{}",
        "What placeholders of `topics.template` stand for in its name, before `topics.names`.",
    ),
    Key::new(
        "local",
        Kind::Flag,
        "false",
        "Whether its events never leave the host: what a handler emits to it is handled at once, \
         within the same event, and kept nowhere. Only `max_event_bytes` goes with it, and no \
         defaults.",
    ),
];

static HTTP: Table = Table {
    doc: "The HTTP surface.",
    open: None,
    keys: &[
        Key::new(
            "allow_anonymous",
            Kind::Flag,
            "false",
            "Whether anyone who reaches an address other than loopback may use it. With `[tokens]` \
             nobody may without one.",
        ),
        Key::new(
            "body_bytes_max",
            Kind::Size { min: KIB, max: 256 * MIB, percent: None },
            "\"8MiB\"",
            "Largest request body.",
        ),
        Key::new(
            "heartbeat",
            Kind::Span { min: SECOND, max: 10 * MINUTE, word: None },
            "\"15s\"",
            "Time between two heartbeats of a stream of events.",
        ),
        Key::new(
            "origins",
            Kind::Texts { of: Text::Origin, min: 0, max: 64 },
            "[]",
            "Origins of web pages that may use it from a browser, besides its own: to follow \
             topics, ask, publish and operate as anybody may, or as their token says.",
        ),
        Key::new(
            "readers_max",
            Kind::Count { min: 1, max: 100_000 },
            "1024",
            "Streams of events open at once.",
        ),
    ],
};

static CEILINGS: Table = Table {
    doc: "What no manifest exceeds. A limit that a manifest does not set is its default or the \
          ceiling, whichever is lower.",
    open: None,
    keys: &[
        Key::new(
            "memory",
            Kind::Size { min: MIB, max: 4 * GIB, percent: None },
            "\"1GiB\"",
            "Memory of one instance.",
        ),
        Key::new(
            "attempt_timeout",
            Kind::Span { min: 1, max: 10 * MINUTE, word: None },
            "\"1m\"",
            "Wall time of one attempt.",
        ),
        Key::new(
            "concurrency",
            Kind::Count { min: 1, max: 4_096 },
            "1024",
            "Attempts of one subscription running at once on one worker.",
        ),
        Key::new(
            "emissions",
            Kind::Count { min: 0, max: 100_000 },
            "10000",
            "Emissions per event.",
        ),
        Key::new(
            "emit",
            Kind::Texts { of: Text::TopicPattern, min: 0, max: 256 },
            "[\"*\"]",
            "Topics that may be granted: every pattern of a manifest must be covered by one of \
             these.",
        ),
        Key::new("state", Kind::Flag, "true", "Whether state may be granted."),
        Key::new("timers", Kind::Flag, "true", "Whether timers may be granted."),
        Key::new("wall_clock", Kind::Flag, "true", "Whether `clock = \"wall\"` may be granted."),
        Key::new(
            "http",
            Kind::Texts { of: Text::Origin, min: 0, max: 256 },
            "[\"http://*:*\", \"https://*:*\"]",
            "Addresses that may be granted for outgoing HTTP: every one of a manifest must be \
             within one of these.",
        ),
    ],
};

static CHECKPOINT: Table = Table {
    doc: "When effects become durable. A worker without work in hand does not wait for these.",
    open: None,
    keys: &[
        Key::new(
            "interval_min",
            Kind::Span { min: 0, max: SECOND, word: None },
            "\"0s\"",
            "Least time between two checkpoints. With `kind = \"kafka\"` the default is `\"5ms\"`, \
             or `interval_max` where that is shorter.",
        ),
        Key::new(
            "interval_max",
            Kind::Span { min: 1, max: 10 * SECOND, word: None },
            "\"100ms\"",
            "A checkpoint at the latest this long after something was staged.",
        ),
        Key::new(
            "events_max",
            Kind::Count { min: 1, max: 1_000_000 },
            "10000",
            "A checkpoint at once when this many events are staged.",
        ),
        Key::new(
            "bytes_max",
            Kind::Size { min: 64 * KIB, max: GIB, percent: None },
            "\"8MiB\"",
            "A checkpoint at once when effects of this size are staged.",
        ),
        Key::new(
            "drain",
            Kind::Span { min: 0, max: 5 * MINUTE, word: None },
            "\"5s\"",
            "How long running attempts may go on at shutdown or when a partition moves.",
        ),
    ],
};

static PLUGINS: Table = Table {
    doc: "The plugin directory.",
    open: None,
    keys: &[
        Key::new(
            "rescan",
            Kind::Span { min: 100, max: 60 * MINUTE, word: None },
            "\"10s\"",
            "Time between two scans by digest. A notification of the file system only hastens \
             one.",
        ),
        Key::new(
            "history",
            Kind::Count { min: 1, max: 100 },
            "5",
            "Digests kept per plugin, for rollback.",
        ),
        Key::new(
            "fuel",
            Kind::Flag,
            "false",
            "Whether guests are compiled with metering, which `limits.fuel` of a manifest needs. \
             It costs about a third of their speed.",
        ),
    ],
};

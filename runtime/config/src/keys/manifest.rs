//! Describes every key of a plugin's manifest. Nothing else names a key, a default or a bound of
//! it.

use super::{Key, Kind, Pairs, Preset, Table};
use crate::{envelope::WORDS, text::Text};

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

const ON_EXHAUSTED: Kind = Kind::Choice {
    now: &["dead-letter", "pause-key", "pause-subscription", "discard"],
    later: &[],
};

/// The document.
pub(crate) static MANIFEST: Table = Table {
    doc: "A plugin's manifest, `NAME.toml` beside `NAME.wasm`.",
    open: None,
    keys: &[
        Key::table("plugin", &PLUGIN),
        Key {
            name: "subscription",
            kind: Kind::Tables(&SUBSCRIPTION),
            preset: Preset::Required("[[subscription]]"),
            doc: SUBSCRIPTION.doc,
        },
    ],
};

static PLUGIN: Table = Table {
    doc: "The plugin.",
    open: None,
    keys: &[Key::optional(
        "name",
        Kind::Text(Text::Name),
        "the file's name without `.toml`",
        "Name of the plugin.",
    )],
};

static SUBSCRIPTION: Table = Table {
    doc: "One subscription: the plugin bound to topics. There is at least one.",
    open: None,
    keys: &[
        Key::optional(
            "name",
            Kind::Text(Text::Name),
            "the plugin's name",
            "Name, unique on the host. It names the consumer group, metrics and dead letters.",
        ),
        Key::new("enabled", Kind::Flag, "true", "Whether it runs."),
        Key::required(
            "topics",
            Kind::Texts { of: Text::TopicSelector, min: 1, max: 64 },
            "[\"orders\"]",
            "Topics it reads, by name or by regular expressions that match whole names, such as \
             `^orders-.*`: what an expression matches later is read from its beginning.",
        ),
        Key::new(
            "start",
            Kind::Choice { now: &["earliest", "latest"], later: &[] },
            "\"earliest\"",
            "Where it begins on a topic it has no progress on.",
        ),
        Key::optional(
            "repartition",
            Kind::Count { min: 1, max: 10_000 },
            "events are handled in the partitions they are in",
            "Partitions that its keys are spread over, whatever its topics have: each event is \
             first forwarded, once and in order, to the partition of its key in a topic of the \
             host's own. For state or timers over topics with different partitions, and for \
             topics that are to grow under a subscription with state. It never changes.",
        ),
        Key::new(
            "order",
            Kind::Choice { now: &["key", "partition", "none"], later: &[] },
            "\"key\"",
            "Which events wait for each other. `none` is refused with state or timers.",
        ),
        Key::new(
            "state_of",
            Kind::Choice { now: &["key", "partition"], later: &[] },
            "\"key\"",
            "What state and timers belong to: each key, or each partition of a topic as a whole, \
             events without key among them. Its key is then `TOPIC/PARTITION`. `partition` needs \
             `order = \"partition\"`.",
        ),
        Key::new(
            "concurrency",
            Kind::Count { min: 1, max: 4_096 },
            "64",
            "Attempts running at once on one worker.",
        ),
        Key::new(
            "envelope",
            Kind::Choice { now: WORDS, later: &[] },
            "\"auto\"",
            "How events are wrapped. `auto`: CloudEvents where a record says it is one, else raw. \
             `json`: fields found by pointers. See the table of envelopes below.",
        ),
        Key::optional(
            "id_header",
            Kind::Text(Text::Header),
            "none",
            "Header that carries the event's id; it wins over a pointer.",
        ),
        Key::table("fields", &FIELDS),
        Key::table("filter", &FILTER),
        Key::table("grants", &GRANTS),
        Key::table("limits", &LIMITS),
        Key::table("retry", &RETRY),
        Key::optional(
            "events_per_second",
            Kind::Count { min: 1, max: 1_000_000 },
            "no limit",
            "Attempts that the host starts at most. What comes faster waits in its topics; a tenth \
             of a second's attempts may be saved up.",
        ),
        Key::table("breaker", &BREAKER),
        Key::table("dead_letter_guard", &GUARD),
        Key::new(
            "dead_letter",
            Kind::FlagOr(Text::Topic),
            "true",
            "Where events go that were given up on: `true` for the topic \
             `<source>.<subscription>.dlq`, a topic's name, or `false` to have no dead letters.",
        ),
        Key::new(
            "on_exhausted",
            ON_EXHAUSTED,
            "\"dead-letter\"",
            "What happens to an event whose attempts are used up. With `dead_letter = false` the \
             default is `pause-key`.",
        ),
        Key::new(
            "on_dead",
            Kind::Choice { now: &["continue", "block-key"], later: &[] },
            "\"continue\"",
            "What a dead letter does to the later events of its key.",
        ),
        Key::new(
            "window_events",
            Kind::Count { min: 1, max: 65_536 },
            "4096",
            "Events of one partition in memory before its topics pause.",
        ),
        Key::new(
            "window_bytes",
            Kind::Size { min: MIB, max: GIB, percent: None },
            "\"8MiB\"",
            "Bytes of one partition in memory before its topics pause.",
        ),
        Key::new(
            "strategy",
            Kind::Choice {
                now: &["replace"],
                later: &[("canary", "a later release"), ("shadow", "a later release")],
            },
            "\"replace\"",
            "How a new version of the plugin takes over.",
        ),
    ],
};

const fn field(name: &'static str, absent: &'static str, doc: &'static str) -> Key {
    Key::optional(name, Kind::OneOrMore { of: Text::Pointer, max: 8 }, absent, doc)
}

static FIELDS: Table = Table {
    doc: "Where an event's fields are: JSON pointers, of which the first that leads to a value \
          counts. With a JSON envelope they lead into the whole payload, else into the data.",
    open: None,
    keys: &[
        field("id", "the envelope's", "Identity."),
        field("type", "the envelope's", "Type."),
        field("version", "the envelope's", "Version of the type."),
        field("source", "the envelope's", "Who produced it."),
        field("time", "the envelope's", "When it happened: RFC 3339 or milliseconds since 1970."),
        field("subject", "the envelope's", "What it is about."),
        field("correlation", "the envelope's", "Correlation id."),
        field("causation", "the envelope's", "Causation id."),
        field("tenant", "the envelope's", "Tenant."),
        field("data", "the envelope's", "The data."),
    ],
};

static FILTER: Table = Table {
    doc: "Which events are the handler's: those that every rule accepts.",
    open: None,
    keys: &[
        Key::new(
            "type",
            Kind::Texts { of: Text::TypePattern, min: 0, max: 256 },
            "[]",
            "Patterns of types; `*` stands for any run of characters. Any type when empty.",
        ),
        Key::new(
            "version",
            Kind::Texts { of: Text::Any, min: 0, max: 256 },
            "[]",
            "Versions. Any, or none, when empty.",
        ),
        Key::new(
            "header",
            Kind::Pairs(Pairs::Texts),
            "{}",
            "Headers that must be there with exactly this value.",
        ),
    ],
};

static GRANTS: Table = Table {
    doc: "What the plugin may do. It is given its event and nothing else but this.",
    open: None,
    keys: &[
        Key::new(
            "emit",
            Kind::Texts { of: Text::TopicPattern, min: 0, max: 256 },
            "[]",
            "Topics it may publish to; `*` stands for any run of characters.",
        ),
        Key::new("state", Kind::Flag, "false", "Whether it may keep state by key."),
        Key::new("timers", Kind::Flag, "false", "Whether it may set timers."),
        Key::new(
            "clock",
            Kind::Choice { now: &["virtual", "wall"], later: &[] },
            "\"virtual\"",
            "`virtual` shows the event's timestamp, the same at every attempt; `wall` the time of \
             day.",
        ),
        Key::new(
            "config",
            Kind::Pairs(Pairs::Secrets),
            "{}",
            "Its configuration. `{ file = \"/run/secrets/x\" }` reads a value from a file, \
             relative to the manifest.",
        ),
        Key::new(
            "http",
            Kind::Texts { of: Text::Origin, min: 0, max: 64 },
            "[]",
            "Addresses it may call by HTTP.",
        ),
        Key::new(
            "http_private",
            Kind::Flag,
            "false",
            "Whether names that it may call may stand for addresses of this machine and of private \
             networks. An address that `http` names in numbers, and `localhost`, may be called \
             without.",
        ),
        Key::new(
            "decrypt",
            Kind::Texts { of: Text::Name, min: 0, max: 64 },
            "[]",
            "Fields it sees that are encrypted for others: names of the host's `[encryption]`, \
             which must let the plugin.",
        ),
    ],
};

static LIMITS: Table = Table {
    doc: "What one attempt may use.",
    open: None,
    keys: &[
        Key::new(
            "memory",
            Kind::Size { min: MIB, max: 4 * GIB, percent: None },
            "\"64MiB\"",
            "Memory of an instance.",
        ),
        Key::new(
            "attempt_timeout",
            Kind::Span { min: 1, max: 10 * MINUTE, word: None },
            "\"5s\"",
            "Wall time of an attempt, waits included.",
        ),
        Key::optional(
            "fuel",
            Kind::Count { min: 1, max: 1_000_000_000_000_000 },
            "no limit by fuel",
            "Instructions of an attempt, roughly. Counting them costs speed.",
        ),
        Key::new("emissions", Kind::Count { min: 0, max: 100_000 }, "1000", "Emissions."),
        Key::new("http_requests", Kind::Count { min: 0, max: 10_000 }, "16", "HTTP requests."),
        Key::new(
            "http_timeout",
            Kind::Span { min: 1, max: 10 * MINUTE, word: None },
            "\"3s\"",
            "Wait for the answer to one of them, within that for the attempt.",
        ),
        Key::new(
            "emitted_bytes",
            Kind::Size { min: 0, max: 256 * MIB, percent: None },
            "\"8MiB\"",
            "Bytes emitted.",
        ),
        Key::new(
            "value_bytes",
            Kind::Size { min: 1, max: 64 * MIB, percent: None },
            "\"1MiB\"",
            "Size of one state value.",
        ),
        Key::new(
            "log_bytes",
            Kind::Size { min: 0, max: 16 * MIB, percent: None },
            "\"64KiB\"",
            "Bytes logged. What is beyond is dropped and counted.",
        ),
        Key::table("instances", &INSTANCES),
    ],
};

static INSTANCES: Table = Table {
    doc: "How long an instance lives.",
    open: None,
    keys: &[Key::new(
        "reuse",
        Kind::Count { min: 1, max: 1_000_000 },
        "1",
        "Events one instance handles before a fresh one; 1 for a fresh instance per event.",
    )],
};

static RETRY: Table = Table {
    doc: "What happens after a failed attempt.",
    open: None,
    keys: &[
        Key::new(
            "initial_interval",
            Kind::Span { min: 1, max: HOUR, word: None },
            "\"100ms\"",
            "Delay before the second attempt.",
        ),
        Key::new(
            "multiplier",
            Kind::Decimal { min: 1_000, max: 100_000 },
            "2.0",
            "Growth of the delay per attempt.",
        ),
        Key::new(
            "max_interval",
            Kind::Span { min: 1, max: DAY, word: None },
            "\"30s\"",
            "Longest delay the policy itself asks for.",
        ),
        Key::new(
            "jitter",
            Kind::Decimal { min: 0, max: 1_000 },
            "0.2",
            "Most that chance adds to a delay, as a share of it.",
        ),
        Key::new(
            "max_attempts",
            Kind::Count { min: 1, max: 1_000_000 },
            "8",
            "Counted attempts before the event is exhausted.",
        ),
        Key::new(
            "max_age",
            Kind::Span { min: SECOND, max: 365 * DAY, word: None },
            "\"2h\"",
            "Time after the first failed attempt at which the event is exhausted.",
        ),
        Key::new(
            "retry_after_max",
            Kind::Span { min: 0, max: 30 * DAY, word: None },
            "\"1h\"",
            "Longest delay a handler may ask for.",
        ),
        Key::new(
            "inline_attempts",
            Kind::Count { min: 1, max: 1_000 },
            "3",
            "Attempts made before the key is parked: moved into durable state, so that its \
             partition goes on.",
        ),
        Key::new(
            "inline_time",
            Kind::Span { min: 0, max: 10 * MINUTE, word: None },
            "\"1s\"",
            "Time after the first failure before the key is parked.",
        ),
        Key::new(
            "parked_events_max",
            Kind::Count { min: 1, max: 1_000_000 },
            "10000",
            "Events a parked key holds before its partition pauses.",
        ),
        Key::new(
            "parked_bytes_max",
            Kind::Size { min: KIB, max: 4 * GIB, percent: None },
            "\"64MiB\"",
            "Bytes a parked key holds before its partition pauses.",
        ),
        Key::table("class", &CLASSES),
    ],
};

static BREAKER: Table = Table {
    doc: "When attempts stop for a while because too many fail: of the classes `retryable`, \
          `trap`, `timeout`, `memory` and `infrastructure`, on one worker. Meanwhile nothing is \
          attempted and nothing given up on. Then one attempt finds out, and 2, 4 and 8 after it.",
    open: None,
    keys: &[
        Key::new("enabled", Kind::Flag, "true", "Whether there is one."),
        Key::new(
            "attempts",
            Kind::Count { min: 1, max: 1_000_000 },
            "20",
            "Attempts within `span` before failures say anything.",
        ),
        Key::new(
            "failures",
            Kind::Decimal { min: 1, max: 1_000 },
            "0.5",
            "Share of failures at which it opens.",
        ),
        Key::new(
            "span",
            Kind::Span { min: SECOND, max: HOUR, word: None },
            "\"30s\"",
            "How long an attempt counts.",
        ),
        Key::new(
            "outages",
            Kind::Count { min: 1, max: 1_000_000 },
            "5",
            "Failures of class `infrastructure` in a row at which it opens, however few attempts \
             there were.",
        ),
        Key::new(
            "pause",
            Kind::Span { min: 1, max: DAY, word: None },
            "\"30s\"",
            "How long it stays open at first. Doubles each time it opens again.",
        ),
        Key::new(
            "max_pause",
            Kind::Span { min: 1, max: DAY, word: None },
            "\"5m\"",
            "How long it stays open at most.",
        ),
        Key::optional(
            "fallback",
            Kind::Text(Text::Topic),
            "events wait",
            "Topic that takes the events instead while it is open, as they are, with the headers \
             `fallback-subscription`, `fallback-topic`, `fallback-partition` and \
             `fallback-offset`. Timers, events that are parked, and dead letters that are driven \
             again wait all the same, and with them what is behind them. It is made where it is \
             missing, and kept for ever unless `[topics]` says otherwise.",
        ),
    ],
};

static GUARD: Table = Table {
    doc: "When so many events become dead letters, on one worker, that the subscription pauses \
          until an operator resumes it.",
    open: None,
    keys: &[
        Key::new("enabled", Kind::Flag, "true", "Whether there is one."),
        Key::new(
            "events",
            Kind::Count { min: 1, max: 1_000_000 },
            "100",
            "Events within `span` before dead letters say anything.",
        ),
        Key::new(
            "dead_letters",
            Kind::Decimal { min: 0, max: 1_000 },
            "0.2",
            "Share of dead letters above which it pauses.",
        ),
        Key::new(
            "span",
            Kind::Span { min: SECOND, max: HOUR, word: None },
            "\"1m\"",
            "How long an event counts.",
        ),
    ],
};

static CLASSES: Table = Table {
    doc: "What differs for one class of failure. The class `infrastructure` is tried again \
          without limit and has no table.",
    open: None,
    keys: &[
        Key::table("retryable", &RETRYABLE),
        Key::table("rejected", &REJECTED),
        Key::table("invalid", &INVALID),
        Key::table("output", &OUTPUT),
        Key::table("trap", &TRAP),
        Key::table("timeout", &TIMEOUT),
        Key::table("memory", &MEMORY),
    ],
};

const fn class(attempts: Preset) -> [Key; 2] {
    [
        Key {
            name: "max_attempts",
            kind: Kind::Count { min: 1, max: 1_000_000 },
            preset: attempts,
            doc: "Counted attempts before the event is exhausted.",
        },
        Key::optional("on_exhausted", ON_EXHAUSTED, "the subscription's", "What happens then."),
    ]
}

static RETRYABLE: Table = Table {
    doc: "The handler asked to be tried again.",
    open: None,
    keys: &class(Preset::Absent("that of `[subscription.retry]`")),
};

static REJECTED: Table =
    Table { doc: "The handler rejected the event.", open: None, keys: &class(Preset::Is("1")) };

static INVALID: Table = Table {
    doc: "The envelope or schema does not hold, or a stateful event has no key.",
    open: None,
    keys: &class(Preset::Is("1")),
};

static OUTPUT: Table = Table {
    doc: "An emission was refused or could not be delivered.",
    open: None,
    keys: &class(Preset::Is("1")),
};

static TRAP: Table = Table { doc: "The guest trapped.", open: None, keys: &class(Preset::Is("2")) };

static TIMEOUT: Table =
    Table { doc: "The deadline or the fuel was spent.", open: None, keys: &class(Preset::Is("3")) };

static MEMORY: Table =
    Table { doc: "The memory limit was hit.", open: None, keys: &class(Preset::Is("2")) };

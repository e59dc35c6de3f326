//! Describes every key of `[outbox]` in `gristmill.toml`.

use super::{Key, Kind, Open, Pairs, Table};
use crate::text::Text;

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const DAY: u64 = 24 * 60 * MINUTE;

pub(crate) static OUTBOX: Table = Table {
    doc: "Tables of PostgreSQL whose rows are published, once each. A table `[outbox.NAME]` says \
          which.",
    keys: &[],
    open: Some(Open { placeholder: "NAME", rule: Text::Name, table: &RELAY, inherits: None }),
};

static RELAY: Table = Table {
    doc: "One table of a service's own database: what its transactions wrote there is published \
          after they committed.",
    open: None,
    keys: &[
        Key::required(
            "database",
            Kind::Pairs(Pairs::Secrets),
            "{ host = \"db\", dbname = \"shop\", user = \"relay\" }",
            "How the database is reached: `host`, `port`, `dbname`, `user`, `password`, \
             `sslmode` (`disable`, `prefer` or `require`) and further parameters of libpq. \
             `{ file = \"PATH\" }` takes one from a file, relative to this one.",
        ),
        Key::new(
            "shape",
            Kind::Choice {
                now: &["gristmill", "shipping", "billing", "pos", "debezium"],
                later: &[],
            },
            "\"gristmill\"",
            "Which table it is: name, columns and rule of topics, as docs/outbox.md lists them.",
        ),
        Key::optional(
            "table",
            Kind::Text(Text::Any),
            "as the shape has it",
            "The table, with its schema before a dot where that is not on the search path. \
             Letters keep their case.",
        ),
        Key::new(
            "columns",
            Kind::Pairs(Pairs::Texts),
            "{}",
            "Columns that are called otherwise than the shape has them: `id`, `order`, `topic`, \
             `key`, `type`, `version`, `payload`, `headers`, `source`, `time`, `correlation`, \
             `trace`, `status`, `published`, `error`. An empty name stands for none.",
        ),
        Key::new(
            "states",
            Kind::Pairs(Pairs::Texts),
            "{}",
            "What the column `status` holds of a row that is to be published and of one that is, \
             such as the defaults `{ pending = \"PENDING\", published = \"PUBLISHED\" }`.",
        ),
        Key::optional(
            "topic",
            Kind::Text(Text::Any),
            "as the shape has it",
            "Topic of a row, such as `outbox.event.{topic}`. `{topic}` and `{type}` stand for \
             what those columns hold; of an address, for what follows its last slash.",
        ),
        Key::new(
            "on_misfit",
            Kind::Choice { now: &["park", "stop"], later: &[] },
            "\"park\"",
            "What becomes of a row that cannot be published: it is parked, and what follows it \
             under its key waits; or its whole shard stops.",
        ),
        Key::new(
            "keep",
            Kind::Span { min: 0, max: 3_650 * DAY, word: Some("forever") },
            "\"7d\"",
            "How long published rows are kept where a column says that they are. Without one, and \
             with `\"0s\"`, they are deleted when they are published.",
        ),
        Key::new(
            "poll",
            Kind::Span { min: 10, max: 10 * MINUTE, word: None },
            "\"1s\"",
            "Longest pause between two looks at a table in which nothing was found.",
        ),
        Key::optional(
            "notify",
            Kind::Text(Text::Any),
            "the host only polls",
            "Channel on which the database tells of new rows (`NOTIFY`), so that none waits for \
             the next look.",
        ),
        Key::new(
            "batch",
            Kind::Count { min: 1, max: 10_000 },
            "500",
            "Rows of one shard that are published at once.",
        ),
        Key::new(
            "shards",
            Kind::Count { min: 1, max: 64 },
            "4",
            "Parts that hosts share the table out in, by key: as many hosts can work on it at \
             once. Each costs a connection to the database, and on Kafka a producer.",
        ),
    ],
};

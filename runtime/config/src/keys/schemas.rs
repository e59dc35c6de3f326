//! Describes every key of `[schemas]` in `gristmill.toml`.

use super::{Key, Kind, Open, Table};
use crate::text::Text;

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const DAY: u64 = 24 * 60 * MINUTE;

pub(crate) static SCHEMAS: Table = Table {
    doc: "Schemas, by which events are judged when they are published and before they are handled. \
          A table `[schemas.NAME]` declares one.",
    keys: &[
        Key::optional(
            "registry",
            Kind::Text(Text::Url),
            "none",
            "Address of a registry with the Confluent API, for schemas that begin with \
             `registry:`.",
        ),
        Key::optional(
            "user",
            Kind::Text(Text::Any),
            "nobody",
            "Whom the registry is asked as, where it wants to know.",
        ),
        Key::optional(
            "password_file",
            Kind::Text(Text::Path),
            "none",
            "File with the password of `user`, relative to this file.",
        ),
        Key::new(
            "timeout",
            Kind::Span { min: 100, max: MINUTE, word: None },
            "\"5s\"",
            "Longest wait for one answer of the registry.",
        ),
        Key::new(
            "refresh",
            Kind::Span { min: SECOND, max: DAY, word: None },
            "\"5m\"",
            "How long the newest schema of a subject holds before the registry is asked again. \
             While it is away, what it said last holds, after a restart too.",
        ),
    ],
    open: Some(Open { placeholder: "NAME", rule: Text::Name, table: &SCHEMA, inherits: None }),
};

static SCHEMA: Table = Table {
    doc: "One schema. An event of a topic that has any is judged by the first, in the order of \
          their names, whose `types` and `versions` are its own; one that none is for is invalid.",
    open: None,
    keys: &[
        Key::required(
            "topics",
            Kind::Texts { of: Text::TopicPattern, min: 1, max: 256 },
            "[\"orders\"]",
            "Topics whose events it judges.",
        ),
        Key::new(
            "types",
            Kind::Texts { of: Text::TypePattern, min: 1, max: 256 },
            "[\"*\"]",
            "Types of events that it is for.",
        ),
        Key::new(
            "versions",
            Kind::Texts { of: Text::Any, min: 0, max: 64 },
            "[]",
            "Versions of events that it is for; any, and none, where it lists none.",
        ),
        Key::required(
            "schema",
            Kind::Text(Text::Path),
            "\"schemas/order.json\"",
            "A file, relative to this one: Avro where its name ends in `.avsc`, else JSON Schema. \
             Or `registry:SUBJECT` for the newest schema of a subject of the registry.",
        ),
        Key::new(
            "framed",
            Kind::Flag,
            "false",
            "Whether JSON is published with the id of its schema before it, as Confluent's \
             serializers do; read it is either way. Avro of a registry always is.",
        ),
        Key::optional(
            "follows",
            Kind::Text(Text::Name),
            "none",
            "The schema that it comes after, which `gristmill check` holds it against.",
        ),
        Key::new(
            "compatibility",
            Kind::Choice { now: &["none", "backward", "forward", "full"], later: &[] },
            "\"backward\"",
            "What it must be able to do with the schema it `follows`: read what that wrote \
             (`backward`), be read by it (`forward`), both or nothing.",
        ),
    ],
};

//! Describes every key of `[telemetry]` in `gristmill.toml`.

use super::{Key, Kind, Pairs, Table};
use crate::text::Text;

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;

pub(crate) static TELEMETRY: Table = Table {
    doc: "What the host tells of itself.",
    open: None,
    keys: &[
        Key::new("log", Kind::Text(Text::Directives), "\"info\"", "What is logged."),
        Key::new(
            "log_format",
            Kind::Choice { now: &["text", "json"], later: &[] },
            "\"text\"",
            "`text` for people, `json` for one object per line.",
        ),
        Key::new(
            "events_published",
            Kind::Flag,
            "false",
            "Whether `kafka_events_published_total` is counted, by topic and service: every event \
             that is published, with the plugin that emitted it, or the host's `name` where it \
             came over HTTP, as its service.",
        ),
        Key::table("otlp", &OTLP),
    ],
};

static OTLP: Table = Table {
    doc: "Traces and metrics for a collector of OpenTelemetry, by OTLP over HTTP.",
    open: None,
    keys: &[
        Key::optional(
            "endpoint",
            Kind::Text(Text::Url),
            "none: nothing is sent",
            "Address of the collector, such as `http://localhost:4318`: `/v1/traces` and \
             `/v1/metrics` are added to it.",
        ),
        Key::new(
            "headers",
            Kind::Pairs(Pairs::Secrets),
            "{}",
            "Headers of every request to the collector, such as `authorization`. \
             `{ file = \"PATH\" }` takes the value from a file, relative to this one.",
        ),
        Key::new(
            "timeout",
            Kind::Span { min: 100, max: MINUTE, word: None },
            "\"3s\"",
            "Longest wait for one answer of the collector.",
        ),
        Key::new(
            "sample",
            Kind::Decimal { min: 0, max: 1_000 },
            "0.01",
            "Share of the traces that begin here that are told of. One that comes from elsewhere \
             is told of where its `traceparent` says so.",
        ),
        Key::new(
            "metrics",
            Kind::Flag,
            "true",
            "Whether metrics are sent too: those of `/metrics`, and those that the semantic \
             conventions for messaging name.",
        ),
        Key::new(
            "metrics_interval",
            Kind::Span { min: SECOND, max: 60 * MINUTE, word: None },
            "\"30s\"",
            "Time between two looks at the metrics.",
        ),
    ],
};

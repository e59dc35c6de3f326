//! Describes every key of `[commands]` in `gristmill.toml`.

use super::{Key, Kind, Open, Table};
use crate::text::Text;

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const DAY: u64 = 24 * 60 * MINUTE;

pub(crate) static COMMANDS: Table = Table {
    doc: "Commands and queries: events that `POST /commands/NAME` publishes, and whose sender is \
          answered with what the handler emits. A table `[commands.NAME]` declares one.",
    keys: &[
        Key::new(
            "waiting_max",
            Kind::Count { min: 1, max: 100_000 },
            "1024",
            "Senders that wait for an answer at once; one more is refused.",
        ),
        Key::new(
            "replies_kept",
            Kind::Span { min: SECOND, max: 30 * DAY, word: None },
            "\"24h\"",
            "How long an `Idempotency-Key` is remembered: the same one is answered with the reply \
             there was. At most as long as replies stay in their topic, and a million on a host.",
        ),
    ],
    open: Some(Open { placeholder: "NAME", rule: Text::Name, table: &COMMAND, inherits: None }),
};

static COMMAND: Table = Table {
    doc: "One command, by the name it is sent under.",
    open: None,
    keys: &[
        Key::required(
            "topic",
            Kind::Text(Text::Topic),
            "\"billing.commands\"",
            "Topic it is published to, which `[topics]` declares.",
        ),
        Key::required(
            "subscription",
            Kind::Text(Text::Name),
            "\"billing\"",
            "The subscription that handles it.",
        ),
        Key::required(
            "reply",
            Kind::Text(Text::Topic),
            "\"replies\"",
            "Topic that the handler emits the reply to, which `[topics]` declares: the first event \
             there that the command caused answers its sender.",
        ),
        Key::optional(
            "type",
            Kind::Text(Text::Type),
            "the command's name",
            "Type of the event, its `ce_type`.",
        ),
        Key::optional(
            "key",
            Kind::Text(Text::Key),
            "the topic's rule",
            "Key of the event: a JSON pointer into the body, or several such as \
             `{/tenantId}:{/orderId}`. `?key=` goes before it.",
        ),
        Key::new(
            "timeout",
            Kind::Span { min: 1, max: 5 * MINUTE, word: None },
            "\"10s\"",
            "How long its sender waits. The command itself stays published, and is handled.",
        ),
        Key::optional(
            "fallback_reply",
            Kind::Text(Text::Json),
            "an error, `E0438`",
            "JSON that answers its sender when the command falls back because the breaker of its \
             subscription is open.",
        ),
    ],
};

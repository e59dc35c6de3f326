//! Owns what an operator decides about commands, checked. It sends none.

use std::collections::BTreeMap;

use gristmill_engine::Millis;

use crate::{KeyTemplate, TopicNames, Topics, problem::code, report::Report, walk::Checked};

/// Commands, and what holds for all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commands {
    /// Senders that wait at once, 1 to 100,000.
    pub waiting_max: u32,
    /// How long an idempotency key is remembered, 1 s to 30 days.
    pub replies_kept: Millis,
    /// Each by its name.
    pub named: BTreeMap<String, CommandConfig>,
}

/// One command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandConfig {
    /// Topic it is published to.
    pub topic: String,
    /// The subscription that handles it.
    pub subscription: String,
    /// Topic that replies are emitted to.
    pub reply: String,
    /// Type of the event.
    pub kind: String,
    /// Where its key is; `None` for the topic's rule.
    pub key: Option<KeyTemplate>,
    /// How long its sender waits, 1 ms to 5 min.
    pub timeout: Millis,
    /// JSON that answers it when it falls back.
    pub fallback_reply: Option<String>,
}

/// Reads `[commands]`; `topics` is what `[topics]` says.
pub(crate) fn read(checked: &Checked, topics: &Topics, report: &mut Report<'_>) -> Commands {
    let command = |(name, table): &(String, Checked)| {
        check(name, table, topics, report);
        (name.clone(), command(name, table, &topics.names))
    };
    Commands {
        waiting_max: checked.count("waiting_max"),
        replies_kept: checked.millis("replies_kept"),
        named: checked.open.iter().map(command).collect(),
    }
}

fn command(name: &str, table: &Checked, names: &TopicNames) -> CommandConfig {
    let text = |key: &str| required(table, key).unwrap_or_default().to_owned();
    CommandConfig {
        topic: names.on_broker(&text("topic")).to_owned(),
        subscription: text("subscription"),
        reply: names.on_broker(&text("reply")).to_owned(),
        kind: table.text_if_any("type").unwrap_or(name).to_owned(),
        key: table.text_if_any("key").and_then(KeyTemplate::new),
        timeout: table.millis("timeout"),
        fallback_reply: table.text_if_any("fallback_reply").map(ToOwned::to_owned),
    }
}

/// The value of a key that must be written; `None` where it is not, which is reported already.
fn required<'a>(table: &'a Checked, key: &str) -> Option<&'a str> {
    if table.written(key) { table.text_if_any(key) } else { None }
}

fn check(name: &str, table: &Checked, topics: &Topics, report: &mut Report<'_>) {
    for key in ["topic", "reply"] {
        let Some(topic) = required(table, key) else { continue };
        match topics.declared.get(topics.names.on_broker(topic)) {
            Some(config) if config.local => {
                let reason = format!(
                    "command `{name}`: its {key} \"{topic}\" is local, where only handlers \
                     publish and read"
                );
                report.error(table.place(key), code::LOCAL_TOPIC, reason, None);
            }
            Some(_) => {}
            None => {
                let reason =
                    format!("command `{name}`: no `[topics]` declares its {key} \"{topic}\"");
                let instead = format!("[topics.\"{topic}\"]");
                report.error(table.place(key), code::UNKNOWN_TOPIC, reason, Some(instead));
            }
        }
    }
    let topic = required(table, "topic");
    if topic.is_some() && topic == required(table, "reply") {
        let reason = format!(
            "command `{name}`: its replies would be in the topic of its commands, and be handled \
             as such"
        );
        report.error(table.place("reply"), code::CONTRADICTION, reason, None);
    }
}

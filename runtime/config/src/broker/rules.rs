//! Decides what is wrong between the parts of `[broker]`. Each part alone is right already.

use crate::{
    Secret,
    keys::{Kind, broker::BROKER},
    problem::code,
    report::Report,
    text::Text,
    walk::{
        Checked,
        checked::disagree,
        value::{line_of, list_of, literal},
    },
};

/// Properties of librdkafka that the host decides by itself, and what decides them. Written as
/// properties they would break a promise, or say a second time what a key says.
const OWNED: [(&str, &str); 17] = [
    ("bootstrap.servers", "`brokers` in `[broker]` names the brokers"),
    ("metadata.broker.list", "`brokers` in `[broker]` names the brokers"),
    ("group.id", "`group` in `[broker]` names consumer groups"),
    ("group.instance.id", "`static_membership` in `[broker]` gives every worker one of its own"),
    ("group.protocol", "its groups follow the classic protocol"),
    (
        "transactional.id",
        "it is made of `transactional_id_prefix` in `[broker]`, the host's id and the worker",
    ),
    ("transaction.timeout.ms", "`transaction_timeout` in `[broker]` sets it"),
    ("session.timeout.ms", "`session_timeout` in `[broker]` sets it"),
    ("enable.auto.commit", "progress is committed together with the effects it stands for"),
    ("auto.commit.enable", "progress is committed together with the effects it stands for"),
    ("enable.auto.offset.store", "progress is committed together with the effects it stands for"),
    ("auto.offset.reset", "`start` of a manifest's subscription says where it begins"),
    ("isolation.level", "it reads only what is committed"),
    ("enable.idempotence", "its producers are transactional, and so always idempotent"),
    ("partition.assignment.strategy", "it is `cooperative-sticky`"),
    ("partitioner", "it is `murmur2_random`, as with Java clients, so that keys keep partitions"),
    ("enable.partition.eof", "it finds the ends of partitions by itself"),
];

pub(super) fn check(table: &Checked, report: &mut Report<'_>) {
    if !table.sound("kind") {
        return;
    }
    if table.text("kind") == "embedded" {
        check_strays(table, report);
    } else {
        check_brokers(table, report);
        check_properties(table, report);
    }
}

/// A setting of Kafka would silently do nothing without Kafka.
fn check_strays(table: &Checked, report: &mut Report<'_>) {
    let keys = BROKER.keys.iter().map(|key| key.name).filter(|key| *key != "kind");
    for key in keys.filter(|key| table.written(key)) {
        let reason =
            format!("`{key}` is a setting of Kafka and does nothing with `kind = \"embedded\"`");
        let instead = Some("kind = \"kafka\"".to_owned());
        report.error(table.place(key), code::CONTRADICTION, reason, instead);
    }
}

/// Kafka is somewhere. A key that cannot be seen, because its line is not TOML, is not missing.
fn check_brokers(table: &Checked, report: &mut Report<'_>) {
    let seen = table.sound("brokers") && report.count(code::SYNTAX) == 0;
    if seen && !table.written("brokers") {
        let reason = "`brokers` is missing in `[broker]`, and `kind = \"kafka\"` needs it";
        let instead = Some(line_of("brokers", &BROKER.key("brokers").example()));
        report.error(table.place("kind"), code::MISSING, reason, instead);
    }
}

/// What the host decides is not decided in another table that reaches a cluster either.
pub(crate) fn check_owned(table: &Checked, report: &mut Report<'_>) {
    for property in table.pairs("properties") {
        let name = property.name.strip_prefix("topic.").unwrap_or(&property.name);
        if OWNED.iter().any(|(owned, _)| *owned == name) {
            let reason = format!("`{}` is the host's to decide", property.name);
            report.error(property.place, code::CONTRADICTION, reason, None);
        }
    }
}

/// What the host decides is not decided a second time.
fn check_properties(table: &Checked, report: &mut Report<'_>) {
    for property in table.pairs("properties") {
        // librdkafka takes a property of topics under this prefix too.
        let name = property.name.strip_prefix("topic.").unwrap_or(&property.name);
        let Some((_, why)) = OWNED.iter().find(|(owned, _)| *owned == name) else { continue };
        let reason = format!("`{}` is the host's to decide: {why}", property.name);
        let instead = instead(name, &property.value);
        report.error(property.place, code::CONTRADICTION, reason, instead);
    }
}

/// The line of `[broker]` that says what the property was to say, where there is one.
fn instead(name: &str, value: &Secret) -> Option<String> {
    let text = match value {
        Secret::Text(text) => text.as_str(),
        Secret::File(_) => "",
    };
    let (key, value) = match name {
        "bootstrap.servers" | "metadata.broker.list" => ("brokers", list_of(Text::Server, text)),
        "group.id" => ("group", None),
        "group.instance.id" => ("static_membership", Some("true".to_owned())),
        "transactional.id" => ("transactional_id_prefix", None),
        "transaction.timeout.ms" => ("transaction_timeout", span("transaction_timeout", text)),
        "session.timeout.ms" => ("session_timeout", span("session_timeout", text)),
        _ => return None,
    };
    Some(line_of(key, &value.unwrap_or_else(|| BROKER.key(key).example())))
}

/// Milliseconds as a duration that `key` takes.
fn span(key: &str, text: &str) -> Option<String> {
    let kind = &BROKER.key(key).kind;
    let Kind::Span { min, max, .. } = *kind else { disagree(key) };
    text.parse::<u64>().ok().map(|millis| literal(kind, millis.clamp(min, max)))
}

//! Owns which tables of services an operator has published, checked: where they are, what their
//! columns mean and what becomes of their rows. It asks no database.

use std::collections::BTreeMap;

use gristmill_engine::Millis;

use crate::{
    Place, Retention, Secret,
    problem::code,
    report::Report,
    walk::{
        Checked, Value,
        checked::{Pair, disagree},
        value::string,
    },
};

/// One table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxConfig {
    /// Parameters of its database, as libpq names them; never without `host` and `dbname`.
    pub database: Vec<(String, Secret)>,
    /// The table, with its schema before a dot or without.
    pub table: String,
    /// What its columns mean: each role at most once, and always `Id` and `Payload`.
    pub columns: Vec<OutboxColumn>,
    /// What `status` holds of a row that is to be published.
    pub pending: String,
    /// What it holds of one that is published.
    pub published: String,
    /// Whether payloads are Wolverine's serialised envelopes.
    pub is_enveloped: bool,
    /// Topic of a row.
    pub topic: OutboxTopic,
    /// Whether a row that cannot be published stops its shard; else it is parked.
    pub stops: bool,
    /// How long published rows are kept.
    pub keep: Retention,
    /// Longest pause between two looks, 10 ms to 10 min.
    pub poll: Millis,
    /// Channel of notifications.
    pub notify: Option<String>,
    /// Rows published at once, 1 to 10,000.
    pub batch: u32,
    /// Parts that hosts share it out in, 1 to 64.
    pub shards: u32,
    /// Where its database stands in its document.
    pub place: Place,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxColumn {
    /// What it means.
    pub role: OutboxRole,
    /// What it is called.
    pub name: String,
    /// Whether the operator says so: such a column must be there. Of those that only the shape has,
    /// `Id`, `Payload` and what topics are made of must.
    pub is_given: bool,
}

/// What a column means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum OutboxRole {
    /// Which row it is; the event's id.
    Id,
    /// What rows of one key are ordered by; `Id` where there is none.
    Order,
    /// What its topic is made of.
    Topic,
    /// The aggregate: the event's key.
    Key,
    /// The event's type.
    Type,
    /// The event's version.
    Version,
    /// The event's data.
    Payload,
    /// Further headers, a JSON object of texts.
    Headers,
    /// The event's source.
    Source,
    /// When it happened.
    Time,
    /// The correlation id.
    Correlation,
    /// The trace context, as W3C's `traceparent`.
    Trace,
    /// A word for whether it is published.
    Status,
    /// When it was published.
    Published,
    /// Why it cannot be.
    Error,
}

/// How a row's topic is made: text and columns, in turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxTopic(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Column(OutboxRole),
}

/// What a shape has.
struct Shape {
    table: &'static str,
    topic: &'static str,
    columns: &'static [(OutboxRole, &'static str)],
}

use OutboxRole::{
    Correlation, Error, Headers, Id, Key, Order, Payload, Published, Source, Status, Time, Topic,
    Trace, Type, Version,
};

const ROLES: [(&str, OutboxRole); 15] = [
    ("id", Id),
    ("order", Order),
    ("topic", Topic),
    ("key", Key),
    ("type", Type),
    ("version", Version),
    ("payload", Payload),
    ("headers", Headers),
    ("source", Source),
    ("time", Time),
    ("correlation", Correlation),
    ("trace", Trace),
    ("status", Status),
    ("published", Published),
    ("error", Error),
];

const GRISTMILL: Shape = Shape {
    table: "outbox",
    topic: "{topic}",
    columns: &[
        (Id, "id"),
        (Topic, "topic"),
        (Key, "key"),
        (Type, "type"),
        (Version, "version"),
        (Payload, "payload"),
        (Headers, "headers"),
        (Time, "created_at"),
        (Correlation, "correlation_id"),
        (Trace, "traceparent"),
        (Published, "published_at"),
        (Error, "error"),
    ],
};
/// As Entity Framework makes it of a class `OutboxEvent`.
const SHIPPING: Shape = Shape {
    table: "OutboxEvents",
    topic: "{topic}",
    columns: &[
        (Id, "Id"),
        (Order, "Sequence"),
        (Topic, "Topic"),
        (Key, "Key"),
        (Type, "EventType"),
        (Version, "Version"),
        (Payload, "Payload"),
        (Time, "CreatedAt"),
        (Correlation, "CorrelationId"),
        (Published, "PublishedAt"),
        (Error, "Error"),
    ],
};
/// Wolverine's own (source: its `EnvelopeSerializer` and its table of outgoing envelopes).
const BILLING: Shape = Shape {
    table: "wolverine.wolverine_outgoing_envelopes",
    topic: "{topic}",
    columns: &[
        (Id, "id"),
        (Order, "sequence"),
        (Topic, "destination"),
        (Type, "message_type"),
        (Payload, "body"),
    ],
};
/// As Prisma makes it of a model `OutboxEvent`.
const POS: Shape = Shape {
    table: "OutboxEvent",
    topic: "{topic}",
    columns: &[
        (Id, "id"),
        (Order, "sequence"),
        (Topic, "topic"),
        (Key, "aggregateId"),
        (Type, "eventType"),
        (Version, "eventVersion"),
        (Payload, "eventData"),
        (Time, "createdAt"),
        (Status, "status"),
        (Published, "publishedAt"),
        (Error, "error"),
    ],
};
/// What its outbox event router takes by default (source: its documentation).
const DEBEZIUM: Shape = Shape {
    table: "outboxevent",
    topic: "outbox.event.{topic}",
    columns: &[
        (Id, "id"),
        (Order, "sequence"),
        (Topic, "aggregatetype"),
        (Key, "aggregateid"),
        (Type, "type"),
        (Payload, "payload"),
    ],
};

/// Parameters of libpq that are understood.
const PARAMETERS: [&str; 14] = [
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "sslmode",
    "options",
    "connect_timeout",
    "tcp_user_timeout",
    "keepalives",
    "keepalives_idle",
    "target_session_attrs",
    "load_balance_hosts",
];

impl OutboxTopic {
    fn new(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, behind) = after.split_once('}').ok_or("a brace is not closed")?;
            let role = match name {
                "topic" => Topic,
                "type" => Type,
                other => {
                    return Err(format!(
                        "`{{{other}}}` stands for nothing: there are `{{topic}}` and `{{type}}`"
                    ));
                }
            };
            parts.push(Part::Text(before.to_owned()));
            parts.push(Part::Column(role));
            rest = behind;
        }
        if rest.contains('}') {
            return Err("a brace is not opened".to_owned());
        }
        parts.push(Part::Text(rest.to_owned()));
        Ok(Self(parts))
    }

    /// The topic of a row, given what its columns hold; the role of the first that holds nothing
    /// otherwise. Of an address, what follows its last slash counts.
    ///
    /// # Errors
    ///
    /// The role of a column that holds nothing.
    pub fn fill<'a>(
        &self,
        held: impl Fn(OutboxRole) -> Option<&'a str>,
    ) -> Result<String, OutboxRole> {
        let mut topic = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => topic.push_str(text),
                Part::Column(role) => {
                    let value = held(*role).filter(|it| !it.is_empty()).ok_or(*role)?;
                    topic.push_str(value.rsplit('/').next().unwrap_or(value));
                }
            }
        }
        Ok(topic)
    }

    /// Columns that it is made of.
    pub fn roles(&self) -> impl Iterator<Item = OutboxRole> {
        self.0.iter().filter_map(|part| match part {
            Part::Column(role) => Some(*role),
            Part::Text(_) => None,
        })
    }
}

impl OutboxRole {
    /// The word for it in the configuration.
    pub fn name(self) -> &'static str {
        ROLES.iter().find(|(_, role)| *role == self).map_or("", |(name, _)| name)
    }
}

/// Reads `[outbox]`.
pub(crate) fn read(checked: &Checked, report: &mut Report<'_>) -> BTreeMap<String, OutboxConfig> {
    let tables = checked.open.iter();
    tables.map(|(name, table)| (name.clone(), outbox(name, table, report))).collect()
}

fn outbox(name: &str, table: &Checked, report: &mut Report<'_>) -> OutboxConfig {
    check_database(name, table, report);
    let shape = shape(table);
    let text = table.text_if_any("topic").unwrap_or(shape.topic);
    let topic = OutboxTopic::new(text).unwrap_or_else(|why| {
        let reason = format!("`topic`: {why}");
        let instead = Some(format!("topic = {}", string(shape.topic)));
        report.error(table.place("topic"), code::NO_SUCH_COLUMN, reason, instead);
        OutboxTopic(Vec::new())
    });
    let columns = columns(table, shape, report);
    let needed = [Id, Payload].into_iter().chain(topic.roles());
    for role in needed.filter(|role| !columns.iter().any(|column| column.role == *role)) {
        let role = role.name();
        let reason = format!("`columns` of `outbox.{name}` takes `{role}` away, which is needed");
        report.error(table.place("columns"), code::NO_SUCH_COLUMN, reason, None);
    }
    let keep = if let Value::Text(_) = table.entry("keep").value {
        Retention::Forever
    } else {
        Retention::For(table.millis("keep"))
    };
    let state = |state: &str, usual: &str| {
        text_of(table.pairs("states"), state).unwrap_or(usual).to_owned()
    };
    let database = table.pairs("database").iter();
    OutboxConfig {
        database: database.map(|pair| (pair.name.clone(), pair.value.clone())).collect(),
        table: table.text_if_any("table").unwrap_or(shape.table).to_owned(),
        columns,
        pending: state("pending", "PENDING"),
        published: state("published", "PUBLISHED"),
        is_enveloped: table.text("shape") == "billing",
        topic,
        stops: table.text("on_misfit") == "stop",
        keep,
        poll: table.millis("poll"),
        notify: table.text_if_any("notify").map(str::to_owned),
        batch: table.count("batch"),
        shards: table.count("shards"),
        place: table.place("database"),
    }
}

fn shape(table: &Checked) -> &'static Shape {
    match table.text("shape") {
        "gristmill" => &GRISTMILL,
        "shipping" => &SHIPPING,
        "billing" => &BILLING,
        "pos" => &POS,
        "debezium" => &DEBEZIUM,
        _ => disagree("shape"),
    }
}

/// Columns of a shape, with what the operator says otherwise.
fn columns(table: &Checked, shape: &Shape, report: &mut Report<'_>) -> Vec<OutboxColumn> {
    let given = table.pairs("columns");
    for pair in given.iter().filter(|pair| ROLES.iter().all(|(name, _)| *name != pair.name)) {
        let known: Vec<&str> = ROLES.iter().map(|(name, _)| *name).collect();
        let reason =
            format!("`columns`: `{}` means nothing; there is {}", pair.name, known.join(", "));
        report.error(pair.place, code::NO_SUCH_COLUMN, reason, None);
    }
    for pair in table.pairs("states") {
        if !["pending", "published"].contains(&pair.name.as_str()) {
            let reason =
                format!("`states`: `{}` means nothing; there is pending, published", pair.name);
            report.error(pair.place, code::NO_SUCH_COLUMN, reason, None);
        }
    }
    let mut columns = Vec::with_capacity(ROLES.len());
    for (word, role) in ROLES {
        let own = text_of(given, word);
        let usual = shape.columns.iter().find(|(of, _)| *of == role).map(|(_, name)| *name);
        let Some(name) = own.or(usual).filter(|name| !name.is_empty()) else { continue };
        columns.push(OutboxColumn { role, name: name.to_owned(), is_given: own.is_some() });
    }
    columns
}

fn text_of<'a>(pairs: &'a [Pair], name: &str) -> Option<&'a str> {
    match &pairs.iter().find(|pair| pair.name == name)?.value {
        Secret::Text(text) => Some(text),
        Secret::File(_) => None,
    }
}

/// Parameters are those that are understood, and say where the database is.
fn check_database(name: &str, table: &Checked, report: &mut Report<'_>) {
    if !table.written("database") {
        return;
    }
    let pairs = table.pairs("database");
    for pair in pairs.iter().filter(|pair| !PARAMETERS.contains(&pair.name.as_str())) {
        let reason = format!("`database`: `{}` is none of {}", pair.name, PARAMETERS.join(", "));
        report.error(pair.place, code::NO_DATABASE, reason, None);
    }
    for needed in ["host", "dbname"] {
        let is_there =
            |pair: &Pair| pair.name == needed || (needed == "host" && pair.name == "hostaddr");
        if !pairs.iter().any(is_there) {
            let reason = format!("`database` of `outbox.{name}` has no `{needed}`");
            report.error(table.place("database"), code::NO_DATABASE, reason, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_made_of_text_and_columns() {
        let held = |role| Some(if role == Type { "order.placed" } else { "kafka://topic/orders" });
        for (text, expected) in [
            ("{topic}", "orders"),
            ("outbox.event.{topic}", "outbox.event.orders"),
            ("{topic}.{type}.v1", "orders.order.placed.v1"),
            ("orders", "orders"),
        ] {
            assert_eq!(
                OutboxTopic::new(text).unwrap().fill(held).as_deref(),
                Ok(expected),
                "{text}"
            );
        }
        for wrong in ["{topic", "topic}", "{key}", "{}"] {
            assert!(OutboxTopic::new(wrong).is_err(), "{wrong}");
        }
        assert_eq!(OutboxTopic::new("{type}").unwrap().fill(|_| None), Err(Type));
    }
}

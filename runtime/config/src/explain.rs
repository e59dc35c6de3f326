//! Says which settings hold for each subscription of a manifest, stage by stage of an event's way,
//! and where each comes from. It decides none of them: what differs from the documents is what
//! [`crate::manifest`] and [`crate::host`] make of them.

use gristmill_engine::OnExhausted;

use crate::{
    Broker, EncryptionConfig, Env, HostConfig, Problems, Role, SchemaConfig, SchemaSource, Secret,
    Source, SubscriptionConfig, TokenConfig, host,
    keys::{Key, Kind, Pairs, Preset, Table, host::HOST, manifest::MANIFEST},
    manifest, units,
    walk::{
        Checked, Entry, Origin, Value,
        checked::{Pair, disagree},
        value::string,
    },
};

/// What holds for one subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// Its name.
    pub subscription: String,
    /// The name of its plugin.
    pub plugin: String,
    /// In the order in which an event comes to them.
    pub stages: Vec<Stage>,
}

/// One stage of an event's way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// Its name.
    pub name: &'static str,
    /// What happens there, in a few words.
    pub about: &'static str,
    /// In the order of the reference page.
    pub settings: Vec<Setting>,
}

/// One setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Its key, such as `retry.max_attempts`; one of the host's begins with its table, such as
    /// `checkpoint.interval_min`.
    pub key: String,
    /// What holds: a value in TOML, or in words where there is none. Values that may be secret are
    /// not shown, only their names.
    pub value: String,
    /// Why.
    pub because: Because,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Because {
    /// It is written there.
    Written {
        /// The document, as it was named.
        file: String,
        /// Counted from 1.
        line: u32,
    },
    /// Nothing is written.
    Default,
    /// Nothing is written, and the host's ceiling of this key is below the default.
    Ceiling,
    /// Nothing is written, and another key decides.
    Follows(&'static str),
}

/// A stage: its name, what happens there, and the keys of the manifest that it is set by.
type Described = (&'static str, &'static str, &'static [&'static str]);

/// In the order in which an event comes to them. A key of several parts wins over its beginning.
const STAGES: [Described; 16] = [
    (AUTHENTICATE, "who may publish to its topics over HTTP", &[AUTHENTICATE]),
    (
        "read",
        "its topics, in the order of their offsets",
        &["enabled", "topics", "start", "window_events", "window_bytes"],
    ),
    ("forward", "to the partition of its key, where those differ", &["repartition"]),
    ("decode", "who the event is, and what its data is", &["envelope", "id_header", "fields"]),
    ("filter", "whether the event is the handler's", &["filter"]),
    (JUDGE, "whether its data is what the schemas of its topic say", &[JUDGE]),
    (
        DECRYPT,
        "which of its fields are encrypted, and which the handler sees",
        &[DECRYPT, "grants.decrypt"],
    ),
    ("log", "what the host, and handlers through it, say", &[]),
    ("trace", "a span for every attempt, emission and outgoing request", &[]),
    (
        "order",
        "which events wait for which",
        &["order", "state_of", "concurrency", "events_per_second"],
    ),
    ("retry", "how often it is attempted, and when again", &["retry"]),
    ("breaker", "whether anything is attempted now", &["breaker"]),
    ("handle", "an attempt in the plugin's sandbox", &["grants", "limits", "strategy"]),
    (
        "give up",
        "what follows the last failed attempt",
        &["on_exhausted", "on_dead", "dead_letter", "dead_letter_guard"],
    ),
    ("publish", "what the handler emitted, as CloudEvents", &["grants.emit"]),
    ("commit", "effects and progress, as one", &[]),
];

/// Where callers are asked who they are.
const AUTHENTICATE: &str = "authenticate";
/// Where schemas judge; left out where there are none.
const JUDGE: &str = "judge";
/// Where fields are decrypted.
const DECRYPT: &str = "decrypt";

/// The same for a handler of local topics: the rest is up to who causes its events.
const LOCAL_STAGES: [Described; 6] = [
    (
        "read",
        "what is emitted to its local topics, within the event whose handler emits it",
        &["enabled", "topics"],
    ),
    ("decode", "who the event is, and what its data is", &["envelope", "id_header", "fields"]),
    ("filter", "whether the event is the handler's", &["filter"]),
    (DECRYPT, "which of its fields the handler sees", &[DECRYPT, "grants.decrypt"]),
    (
        "handle",
        "an attempt in the plugin's sandbox; if it fails, so does the one that caused it",
        &["grants", "limits"],
    ),
    ("publish", "what the handler emitted, with what caused it", &["grants.emit"]),
];

/// Tables of the host's configuration that belong to a stage, and which of their keys.
const OF_THE_HOST: [(&[&str], &str, &[&str]); 4] = [
    (&["telemetry"], "log", &["log", "log_format"]),
    (&["telemetry", "otlp"], "trace", &["endpoint", "sample"]),
    (&["broker"], "commit", &["kind", "guarantee", "transaction_timeout"]),
    (
        &["checkpoint"],
        "commit",
        &["interval_min", "interval_max", "events_max", "bytes_max", "drain"],
    ),
];

/// Explains every subscription of a manifest, in their order.
///
/// # Errors
///
/// All problems of the two documents, when one of them is an error.
pub fn explain(
    host: &Source<'_>,
    manifest: &Source<'_>,
    env: Env<'_>,
) -> Result<Vec<Explanation>, Problems> {
    let (config, host_table) = host::read(host, env)?;
    let (read, table) = manifest::read(manifest, env, &config.ceilings)?;
    let Kind::Tables(described) = MANIFEST.key("subscription").kind else {
        disagree("subscription");
    };
    let shared = of_the_host(host, &config, &host_table);
    let tables = table.tables("subscription");
    let explained = read.subscriptions.into_iter().zip(tables).map(|(subscription, table)| {
        let within = Within { file: manifest.name, subscription: &subscription };
        let mut leaves = Vec::new();
        within.leaves(described, table, "", &mut leaves);
        let all: &[Described] = if subscription.local { &LOCAL_STAGES } else { &STAGES };
        leaves.extend(publishers(host.name, (&config, &host_table), &subscription));
        leaves.extend(schemas(host.name, &config, &subscription));
        leaves.extend(encryption(host.name, &config, &subscription));
        let stages = all.iter().map(|stage| staged((all, stage), &leaves, &shared));
        let stages = stages.filter(|it| it.name != JUDGE || !it.settings.is_empty()).collect();
        Explanation { subscription: subscription.name, plugin: read.name.clone(), stages }
    });
    Ok(explained.collect())
}

/// The tokens that may publish to a topic that a subscription names; without any token, who may
/// instead.
fn publishers(
    file: &str,
    (config, table): (&HostConfig, &Checked),
    subscription: &SubscriptionConfig,
) -> Vec<Setting> {
    let written = |line| Because::Written { file: file.to_owned(), line };
    if config.tokens.is_empty() {
        let http = table.table("http");
        let because = if http.written("allow_anonymous") {
            written(http.place("allow_anonymous").line)
        } else {
            Because::Default
        };
        let whoever = if config.http.allow_anonymous { "anybody" } else { "anybody on loopback" };
        let key = format!("{AUTHENTICATE}.anonymous");
        return vec![Setting { key, value: whoever.to_owned(), because }];
    }
    let may = |token: &TokenConfig| {
        let mut named = subscription.named_topics();
        token.roles.contains(&Role::Publish)
            && named.any(|topic| token.topics.iter().any(|it| it.matches(topic)))
    };
    let tokens = config.tokens.iter().filter(|(_, token)| may(token));
    let told = tokens.map(|(name, token)| {
        let topics: Vec<String> = token.topics.iter().map(|it| string(it.as_str())).collect();
        let place = table.table("tokens").open.iter().find(|(other, _)| other == name);
        Setting {
            key: format!("{AUTHENTICATE}.{name}"),
            value: format!("[{}]", topics.join(", ")),
            because: written(place.map_or(0, |(_, table)| table.place.line)),
        }
    });
    let told: Vec<Setting> = told.collect();
    if !told.is_empty() {
        return told;
    }
    let (key, value) = (format!("{AUTHENTICATE}.tokens"), "nobody".to_owned());
    vec![Setting { key, value, because: Because::Default }]
}

/// The schemas that judge events of the topics that a subscription names.
fn schemas(file: &str, config: &HostConfig, subscription: &SubscriptionConfig) -> Vec<Setting> {
    let judges = |schema: &SchemaConfig| {
        let mut named = subscription.named_topics();
        named.any(|topic| schema.topics.iter().any(|it| it.matches(topic)))
    };
    let judging = config.schemas.named.iter().filter(|(_, schema)| judges(schema));
    let told = judging.map(|(name, schema)| Setting {
        key: format!("{JUDGE}.{name}"),
        value: match &schema.source {
            SchemaSource::File(path) => string(&path.display().to_string()),
            SchemaSource::Subject(subject) => string(&format!("registry:{subject}")),
        },
        because: Because::Written { file: file.to_owned(), line: schema.place.line },
    });
    told.collect()
}

/// The encrypted fields of events of the topics that a subscription names.
fn encryption(file: &str, config: &HostConfig, subscription: &SubscriptionConfig) -> Vec<Setting> {
    let is_of = |rule: &EncryptionConfig| {
        let mut named = subscription.named_topics();
        named.any(|topic| rule.topics.iter().any(|it| it.matches(topic)))
    };
    let rules = config.encryption.iter().filter(|(_, rule)| is_of(rule));
    let told = rules.map(|(name, rule)| Setting {
        key: format!("{DECRYPT}.{name}"),
        value: {
            let fields: Vec<String> = rule.fields.iter().map(|field| string(field)).collect();
            format!("[{}]", fields.join(", "))
        },
        because: Because::Written { file: file.to_owned(), line: rule.place.line },
    });
    told.collect()
}

/// A stage with those of the settings that are its own.
fn staged(
    (all, (name, about, _)): (&[Described], &Described),
    leaves: &[Setting],
    shared: &[(&'static str, Setting)],
) -> Stage {
    let own = leaves.iter().filter(|setting| stage_of(all, &setting.key) == Some(name)).cloned();
    let of_host = shared.iter().filter(|(stage, _)| stage == name).map(|it| it.1.clone());
    Stage { name, about, settings: own.chain(of_host).collect() }
}

/// The stage that a key of the manifest sets, if any of these.
fn stage_of(stages: &[Described], key: &str) -> Option<&'static str> {
    let keys = stages.iter().flat_map(|(stage, _, keys)| keys.iter().map(|one| (*stage, *one)));
    let fits = |one: &str| {
        key.strip_prefix(one).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    keys.filter(|(_, one)| fits(one)).max_by_key(|(_, one)| one.len()).map(|(stage, _)| stage)
}

/// What the host's configuration says of stages.
fn of_the_host(
    source: &Source<'_>,
    config: &HostConfig,
    table: &Checked,
) -> Vec<(&'static str, Setting)> {
    let mut found = Vec::new();
    let is_kafka = matches!(config.broker, Broker::Kafka(_));
    for (path, stage, keys) in OF_THE_HOST {
        let (mut described, mut within) = (&HOST, table);
        for part in path {
            let Kind::Table(inner) = described.key(part).kind else { disagree(part) };
            (described, within) = (inner, within.table(part));
        }
        let name = path.join(".");
        let is_used =
            |key: &&Key| keys.contains(&key.name) && (is_kafka || !is_of_kafka(&name, key));
        for key in described.keys.iter().filter(is_used) {
            let entry = within.entry(key.name);
            let (mut value, mut because) = told(source.name, key.preset, &key.kind, entry);
            if is_kafka && key.name == "interval_min" && because == Because::Default {
                value = string(&units::span(config.checkpoint.interval_min.0));
                because = Because::Follows("broker.kind");
            }
            found.push((stage, Setting { key: format!("{name}.{}", key.name), value, because }));
        }
    }
    found
}

/// Whether a key does nothing on the embedded store.
fn is_of_kafka(table: &str, key: &Key) -> bool {
    table == "broker" && key.name != "kind"
}

/// The subscription that is explained.
struct Within<'a> {
    file: &'a str,
    subscription: &'a SubscriptionConfig,
}

impl Within<'_> {
    /// Every key of `described` but tables, in order, under its whole name.
    fn leaves(&self, described: &Table, table: &Checked, path: &str, into: &mut Vec<Setting>) {
        for key in described.keys {
            let name = format!("{path}{}", key.name);
            if let Kind::Table(inner) = key.kind {
                self.leaves(inner, table.table(key.name), &format!("{name}."), into);
                continue;
            }
            let entry = table.entry(key.name);
            let (value, because) = told(self.file, key.preset, &key.kind, entry);
            let (value, because) = match self.instead(&name, entry, &key.kind) {
                Some(other) if because == Because::Default => other,
                _ => (value, because),
            };
            into.push(Setting { key: name, value, because });
        }
    }

    /// What holds instead of the default.
    fn instead(&self, key: &str, entry: &Entry, kind: &Kind) -> Option<(String, Because)> {
        let SubscriptionConfig { envelope, limits, policy, .. } = self.subscription;
        if let Some(field) = key.strip_prefix("fields.") {
            let mut fields = envelope.fields.clone();
            let (_, pointers) = fields.named().into_iter().find(|(name, _)| *name == field)?;
            let texts: Vec<String> = pointers.iter().map(|it| string(it.as_str())).collect();
            let told = || (listed(kind, &texts), Because::Follows("envelope"));
            return (!texts.is_empty()).then(told);
        }
        if key == "on_exhausted" && policy.on_exhausted == OnExhausted::PauseKey {
            return Some((string("pause-key"), Because::Follows("dead_letter")));
        }
        let held = match key {
            "limits.memory" => limits.memory.0,
            "limits.attempt_timeout" => limits.attempt_timeout.0,
            "limits.emissions" => u64::from(limits.emissions),
            "concurrency" => u64::from(policy.concurrency),
            _ => return None,
        };
        let Value::Number(number) = entry.value else { return None };
        (held < number).then(|| (counted(kind, held), Because::Ceiling))
    }
}

/// A value as it would be written, and where it is.
fn told(file: &str, preset: Preset, kind: &Kind, entry: &Entry) -> (String, Because) {
    let value = match (&entry.value, preset) {
        (Value::Absent, Preset::Absent(words)) => words.to_owned(),
        (Value::Absent, _) => "none".to_owned(),
        (Value::Flag(flag), _) => flag.to_string(),
        (Value::Number(number), _) => counted(kind, *number),
        (Value::Percent(percent), _) => string(&format!("{percent}%")),
        (Value::Text(text), _) => string(text),
        (Value::Texts(texts), _) => {
            listed(kind, &texts.iter().map(|(text, _)| string(text)).collect::<Vec<_>>())
        }
        (Value::Pairs(pairs), _) => paired(kind, pairs),
        (Value::Table(_) | Value::Tables(_), _) => "{}".to_owned(),
    };
    let because = if entry.origin == Origin::Written {
        Because::Written { file: file.to_owned(), line: entry.place.line }
    } else {
        Because::Default
    };
    (value, because)
}

fn counted(kind: &Kind, number: u64) -> String {
    if let Kind::Span { .. } = kind {
        string(&units::span(number))
    } else if let Kind::Size { .. } = kind {
        string(&units::size(number))
    } else if let Kind::Decimal { .. } = kind {
        units::decimal(number)
    } else {
        number.to_string()
    }
}

fn listed(kind: &Kind, values: &[String]) -> String {
    match (kind, values) {
        (Kind::OneOrMore { .. }, [one]) => one.clone(),
        _ => format!("[{}]", values.join(", ")),
    }
}

/// Values that may be secret stay out.
fn paired(kind: &Kind, pairs: &[Pair]) -> String {
    let is_open = matches!(kind, Kind::Pairs(Pairs::Texts));
    let one = |pair: &Pair| match &pair.value {
        Secret::Text(text) if is_open => format!("{} = {}", string(&pair.name), string(text)),
        Secret::File(path) => {
            format!("{} = {{ file = {} }}", pair.name, string(&path.display().to_string()))
        }
        Secret::Text(_) => format!("{} = \u{2026}", pair.name),
    };
    let pairs: Vec<String> = pairs.iter().map(one).collect();
    if pairs.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", pairs.join(", ")) }
}

#[cfg(test)]
mod tests;

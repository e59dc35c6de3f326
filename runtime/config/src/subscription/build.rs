//! Decides what a checked table means for a subscription, and whether its parts contradict each
//! other or the host's ceilings. It reads no text.

use std::collections::BTreeMap;

use gristmill_engine::{
    BreakerPolicy, ClassPolicy, FailureClass, GuardPolicy, OnDead, OnExhausted, Order, Policy,
};

use super::{
    Clock, DeadLetter, Envelope, Filter, Grants, Limits, Places, Start, StateOf,
    SubscriptionConfig, rules,
};
use crate::{
    Ceilings, Secret, TopicNames, TopicSelector, access, encryption, envelope,
    report::Report,
    walk::{Checked, Value, checked::disagree},
};

/// The subscription that `table` describes, and everything wrong between its parts.
pub(crate) fn subscription(
    table: &Checked,
    plugin: &str,
    ceilings: &Ceilings,
    report: &mut Report<'_>,
) -> SubscriptionConfig {
    let dead_letter = if let Value::Flag(flag) = table.entry("dead_letter").value {
        if flag { DeadLetter::Default } else { DeadLetter::None }
    } else {
        DeadLetter::Topic(ceilings.names.on_broker(table.text("dead_letter")).to_owned())
    };
    let grants = grants(table.table("grants"), &ceilings.names);
    let policy = policy(table, &grants, &dead_letter, ceilings);
    let name = table.text_if_any("name").unwrap_or(plugin).to_owned();
    let topics = selectors(table, &ceilings.names);
    let places = |list: &Checked, key: &str| list.texts(key).iter().map(|one| one.1).collect();
    let subscription = SubscriptionConfig {
        name,
        enabled: table.flag("enabled"),
        local: topics.iter().any(|topic| ceilings.is_local(topic)),
        topics,
        envelope: envelope(table),
        filter: filter(table.table("filter")),
        limits: limits(table.table("limits"), ceilings),
        start: match table.text("start") {
            "earliest" => Start::Earliest,
            "latest" => Start::Latest,
            _ => disagree("start"),
        },
        repartition: table.number_if_any("repartition").and_then(|it| u32::try_from(it).ok()),
        state_of: match table.text("state_of") {
            "key" => StateOf::Key,
            "partition" => StateOf::Partition,
            _ => disagree("state_of"),
        },
        dead_letter,
        fallback: fallback(table, &ceilings.names),
        barred: access::barred(&ceilings.access, plugin),
        places: Places {
            name: table.place("name"),
            topics: places(table, "topics"),
            emit: places(table.table("grants"), "emit"),
        },
        grants,
        policy,
    };
    rules::check(table, &subscription, ceilings, report);
    access::check(plugin, &subscription, &ceilings.access, report);
    encryption::check_grants(plugin, table.table("grants"), ceilings.encryption.as_ref(), report);
    subscription
}

/// Where events go while the breaker is open.
fn fallback(table: &Checked, names: &TopicNames) -> Option<String> {
    let written = table.table("breaker").text_if_any("fallback");
    written.map(|topic| names.on_broker(topic).to_owned())
}

/// What it reads; expressions were checked when they were read.
fn selectors(table: &Checked, names: &TopicNames) -> Vec<TopicSelector> {
    let new = |text: &str| {
        TopicSelector::new(names.on_broker(text)).unwrap_or_else(|_| disagree("topics"))
    };
    table.texts("topics").iter().map(|(text, _)| new(text)).collect()
}

/// The fields of the preset, each replaced by what the manifest says of it.
fn envelope(table: &Checked) -> Envelope {
    let Some((format, mut fields)) = envelope::preset(table.text("envelope")) else {
        disagree("envelope");
    };
    let written = table.table("fields");
    for (key, field) in fields.named() {
        if written.written(key) {
            *field = written.pointers(key);
        }
    }
    Envelope { format, fields, id_header: table.text_if_any("id_header").map(str::to_owned) }
}

fn filter(table: &Checked) -> Filter {
    let headers = table.pairs("header").iter().filter_map(|header| match &header.value {
        Secret::Text(text) => Some((header.name.clone(), text.clone())),
        Secret::File(_) => None,
    });
    Filter {
        types: table.globs("type"),
        versions: table.texts("version").iter().map(|one| one.0.clone()).collect(),
        headers: headers.collect(),
    }
}

fn grants(table: &Checked, names: &TopicNames) -> Grants {
    let config = table.pairs("config").iter();
    Grants {
        emit: table.globs("emit").iter().map(|it| names.pattern(it)).collect(),
        state: table.flag("state"),
        timers: table.flag("timers"),
        clock: match table.text("clock") {
            "virtual" => Clock::Virtual,
            "wall" => Clock::Wall,
            _ => disagree("clock"),
        },
        config: config.map(|one| (one.name.clone(), one.value.clone())).collect(),
        http: table.origins("http"),
        http_private: table.flag("http_private"),
        decrypt: table.texts("decrypt").iter().map(|one| one.0.clone()).collect(),
    }
}

/// A limit that is not written is its default or the ceiling, whichever is lower; one that is
/// written above the ceiling is reported elsewhere.
fn limits(table: &Checked, ceilings: &Ceilings) -> Limits {
    Limits {
        memory: table.bytes("memory").min(ceilings.memory),
        attempt_timeout: table.millis("attempt_timeout").min(ceilings.attempt_timeout),
        fuel: table.number_if_any("fuel"),
        emissions: table.count("emissions").min(ceilings.emissions),
        emitted_bytes: table.bytes("emitted_bytes"),
        value_bytes: table.bytes("value_bytes"),
        log_bytes: table.bytes("log_bytes"),
        http_requests: table.count("http_requests"),
        http_timeout: table.millis("http_timeout"),
        reuse: table.table("instances").count("reuse"),
    }
}

fn policy(
    table: &Checked,
    grants: &Grants,
    dead_letter: &DeadLetter,
    ceilings: &Ceilings,
) -> Policy {
    let retry = table.table("retry");
    let without_dead_letters = *dead_letter == DeadLetter::None;
    Policy {
        order: match table.text("order") {
            "key" => Order::Key,
            "partition" => Order::Partition,
            "none" => Order::None,
            _ => disagree("order"),
        },
        stateful: grants.state || grants.timers,
        concurrency: table.count("concurrency").min(ceilings.concurrency),
        initial_interval: retry.millis("initial_interval"),
        multiplier_permille: retry.number("multiplier"),
        max_interval: retry.millis("max_interval"),
        jitter_permille: retry.number("jitter"),
        max_attempts: retry.count("max_attempts"),
        max_age: retry.millis("max_age"),
        retry_after_max: retry.millis("retry_after_max"),
        inline_attempts: retry.count("inline_attempts"),
        inline_time: retry.millis("inline_time"),
        on_exhausted: if without_dead_letters && !table.written("on_exhausted") {
            OnExhausted::PauseKey
        } else {
            on_exhausted(table.text("on_exhausted"))
        },
        on_dead: match table.text("on_dead") {
            "continue" => OnDead::Continue,
            "block-key" => OnDead::BlockKey,
            _ => disagree("on_dead"),
        },
        classes: classes(retry.table("class")),
        window_events: table.count("window_events"),
        window_bytes: table.bytes("window_bytes"),
        parked_events_max: retry.count("parked_events_max"),
        parked_bytes_max: retry.bytes("parked_bytes_max"),
        rate: table.number_if_any("events_per_second").map(|events| events.saturating_mul(1_000)),
        breaker: breaker(table.table("breaker")),
        guard: guard(table.table("dead_letter_guard")),
    }
}

fn breaker(table: &Checked) -> Option<BreakerPolicy> {
    table.flag("enabled").then(|| BreakerPolicy {
        attempts_min: table.count("attempts"),
        failures_permille: table.number("failures"),
        span: table.millis("span"),
        outages_max: table.count("outages"),
        pause: table.millis("pause"),
        pause_max: table.millis("max_pause"),
        falls_back: table.text_if_any("fallback").is_some(),
    })
}

fn guard(table: &Checked) -> Option<GuardPolicy> {
    table.flag("enabled").then(|| GuardPolicy {
        events_min: table.count("events"),
        dead_permille: table.number("dead_letters"),
        span: table.millis("span"),
    })
}

/// The classes that differ from the rest of the policy.
fn classes(table: &Checked) -> BTreeMap<FailureClass, ClassPolicy> {
    let class = |(name, class): (&str, FailureClass)| {
        let table = table.table(name);
        let policy = ClassPolicy {
            max_attempts: table.count_if_any("max_attempts"),
            on_exhausted: table.text_if_any("on_exhausted").map(on_exhausted),
        };
        (policy != ClassPolicy::default()).then_some((class, policy))
    };
    CLASSES.into_iter().filter_map(class).collect()
}

/// The classes a manifest can treat, by their names.
pub(super) const CLASSES: [(&str, FailureClass); 7] = [
    ("retryable", FailureClass::Retryable),
    ("rejected", FailureClass::Rejected),
    ("invalid", FailureClass::Invalid),
    ("output", FailureClass::Output),
    ("trap", FailureClass::Trap),
    ("timeout", FailureClass::Timeout),
    ("memory", FailureClass::Memory),
];

fn on_exhausted(word: &str) -> OnExhausted {
    match word {
        "dead-letter" => OnExhausted::DeadLetter,
        "pause-key" => OnExhausted::PauseKey,
        "pause-subscription" => OnExhausted::PauseSubscription,
        "discard" => OnExhausted::Discard,
        _ => disagree("on_exhausted"),
    }
}

//! Decides what is wrong with a subscription and local topics: those that it handles, and those
//! that it would put events in.

use super::SubscriptionConfig;
use crate::{
    Ceilings,
    problem::code,
    report::Report,
    walk::{
        Checked,
        value::{line_of, string},
    },
};

/// Keys that say nothing of a handler which runs within the event that causes its own.
const WITHOUT_MEANING: [&str; 14] = [
    "start",
    "repartition",
    "order",
    "state_of",
    "concurrency",
    "events_per_second",
    "window_events",
    "window_bytes",
    "retry",
    "on_exhausted",
    "on_dead",
    "breaker",
    "dead_letter",
    "dead_letter_guard",
];

pub(super) fn check(
    table: &Checked,
    subscription: &SubscriptionConfig,
    ceilings: &Ceilings,
    report: &mut Report<'_>,
) {
    check_filled(table, subscription, ceilings, report);
    if !subscription.local {
        return;
    }
    check_topics(subscription, ceilings, report);
    let grants = table.table("grants");
    if subscription.grants.timers {
        let reason = "a handler of local topics has no timers: it runs within an event of another \
                      subscription, which can set them";
        let instead = Some("timers = false".to_owned());
        report.error(grants.place("timers"), code::LOCAL_TOPIC, reason, instead);
    }
    for key in WITHOUT_MEANING.into_iter().filter(|key| table.written(key)) {
        let reason = format!(
            "`{key}` says nothing of a handler of local topics: it runs within an event of another \
             subscription, whose `{key}` holds"
        );
        report.warning(table.place(key), code::LOCAL_TOPIC, reason, None);
    }
}

/// Its topics are all local, by name.
fn check_topics(subscription: &SubscriptionConfig, ceilings: &Ceilings, report: &mut Report<'_>) {
    let local = subscription.topics.iter().filter(|topic| ceilings.is_local(topic));
    let local: Vec<String> = local.map(|topic| string(topic.as_str())).collect();
    for (topic, place) in subscription.topics.iter().zip(&subscription.places.topics) {
        if !ceilings.is_local(topic) {
            let reason = format!(
                "\"{topic}\" is not local and {} is: two subscriptions can handle them",
                local.join(", ")
            );
            let instead = format!("topics = [{}]", local.join(", "));
            report.error(*place, code::LOCAL_TOPIC, reason, Some(instead));
        }
    }
}

/// What it gives up on or passes on is kept, and a local topic keeps nothing.
fn check_filled(
    table: &Checked,
    subscription: &SubscriptionConfig,
    ceilings: &Ceilings,
    report: &mut Report<'_>,
) {
    let breaker = table.table("breaker");
    let named = [
        (table, "dead_letter", subscription.own_dead_letter_topic()),
        (breaker, "fallback", subscription.fallback.as_deref()),
    ];
    for (table, key, topic) in named {
        if let Some(topic) = topic.filter(|topic| ceilings.local.contains(*topic)) {
            let reason = format!("\"{topic}\" is local and keeps no events");
            let other = format!("{}.{key}", subscription.name).replace('_', "-");
            let instead = line_of(key, &string(&other));
            report.error(table.place(key), code::LOCAL_TOPIC, reason, Some(instead));
        }
    }
}

//! Decides what is wrong between the parts of one subscription, and between it and the host's
//! ceilings. Each part alone is right already.

use gristmill_engine::Order;

use super::{Clock, DeadLetter, StateOf, SubscriptionConfig, build::CLASSES, local};
use crate::{
    Ceilings, Glob, Guarantee, HttpOrigin, Place,
    problem::code,
    report::Report,
    text::{TOPIC_MAX, shortened},
    units,
    walk::{
        Checked,
        value::{line_of, string},
    },
};

pub(super) fn check(
    table: &Checked,
    subscription: &SubscriptionConfig,
    ceilings: &Ceilings,
    report: &mut Report<'_>,
) {
    check_limits(table, ceilings, report);
    check_emit(subscription, ceilings, report);
    check_http(table.table("grants"), ceilings, report);
    check_grants(table.table("grants"), subscription, ceilings, report);
    check_order(table, subscription, report);
    check_state_of(table, subscription, report);
    check_repartition(table, subscription, report);
    check_dead_letter(table, subscription, report);
    check_dead_letter_names(table, subscription, report);
    check_fallback(table.table("breaker"), subscription, report);
    local::check(table, subscription, ceilings, report);
    check_intervals(table.table("retry"), ("initial_interval", "max_interval"), report);
    check_intervals(table.table("breaker"), ("pause", "max_pause"), report);
}

/// Limits that are written stay below the ceilings.
fn check_limits(table: &Checked, ceilings: &Ceilings, report: &mut Report<'_>) {
    let limits = table.table("limits");
    let size: fn(u64) -> String = |bytes| string(&units::size(bytes));
    let span: fn(u64) -> String = |millis| string(&units::span(millis));
    let count: fn(u64) -> String = |number| number.to_string();
    for (table, key, ceiling, show) in [
        (limits, "memory", ceilings.memory.0, size),
        (limits, "attempt_timeout", ceilings.attempt_timeout.0, span),
        (table, "concurrency", u64::from(ceilings.concurrency), count),
        (limits, "emissions", u64::from(ceilings.emissions), count),
    ] {
        if table.written(key) && table.number(key) > ceiling {
            let (written, most) = (show(table.number(key)), show(ceiling));
            let reason = format!("`{key} = {written}` is above the host's ceiling, {most}");
            report.error(table.place(key), code::ABOVE_CEILING, reason, Some(line_of(key, &most)));
        }
    }
}

/// Every pattern granted is within one of the ceilings' patterns.
fn check_emit(subscription: &SubscriptionConfig, ceilings: &Ceilings, report: &mut Report<'_>) {
    let granted = subscription.grants.emit.iter().map(Glob::as_str);
    let granted = granted.zip(subscription.places.emit.iter().copied());
    let known: Vec<&str> = ceilings.emit.iter().map(Glob::as_str).collect();
    let allowed = |text: &str| {
        let glob = Glob::new(text);
        ceilings.emit.iter().any(|ceiling| ceiling.covers(&glob))
    };
    check_within(("emit", "granted"), granted.collect(), (&known, &allowed), report);
}

/// Every address granted is within one of the ceilings'.
fn check_http(table: &Checked, ceilings: &Ceilings, report: &mut Report<'_>) {
    let granted = table.texts("http").iter().map(|(text, place)| (text.as_str(), *place));
    let known: Vec<&str> = ceilings.http.iter().map(HttpOrigin::as_str).collect();
    // What is no origin is reported already.
    let allowed = |text: &str| {
        let origin = HttpOrigin::new(text);
        origin.is_none_or(|one| ceilings.http.iter().any(|ceiling| ceiling.covers(&one)))
    };
    check_within(("http", "called"), granted.collect(), (&known, &allowed), report);
}

/// Whether the ceilings let a text of a list be granted.
type Allowed<'a> = &'a dyn Fn(&str) -> bool;

/// Everything that a list of grants names is within the host's ceilings, which are `known`.
fn check_within(
    (key, what): (&str, &str),
    granted: Vec<(&str, Place)>,
    (known, allowed): (&[&str], Allowed<'_>),
    report: &mut Report<'_>,
) {
    let kept = granted.iter().filter(|(text, _)| allowed(text)).map(|(text, _)| string(text));
    let kept: Vec<String> = kept.collect();
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    for (text, place) in granted.into_iter().filter(|(text, _)| !allowed(text)) {
        let reason =
            format!("the host's ceilings do not let \"{text}\" be {what}; they allow {known}");
        let instead = format!("{key} = [{}]", kept.join(", "));
        report.error(place, code::GRANT_REFUSED, reason, Some(instead));
    }
}

fn check_grants(
    table: &Checked,
    subscription: &SubscriptionConfig,
    ceilings: &Ceilings,
    report: &mut Report<'_>,
) {
    let grants = &subscription.grants;
    if ceilings.guarantee == Guarantee::AtLeastOnce {
        for (key, granted) in [("state", grants.state), ("timers", grants.timers)] {
            if granted {
                let reason = format!(
                    "`{key}` cannot be granted with the host's `guarantee = \"at-least-once\"`: \
                     after a crash it would change twice"
                );
                let instead = line_of(key, "false");
                report.error(table.place(key), code::GRANT_REFUSED, reason, Some(instead));
            }
        }
    }
    for (key, granted, allowed, instead) in [
        ("state", grants.state, ceilings.state, "false"),
        ("timers", grants.timers, ceilings.timers, "false"),
        ("clock", grants.clock == Clock::Wall, ceilings.wall_clock, "\"virtual\""),
    ] {
        if granted && !allowed {
            let what = if key == "clock" { "clock = \"wall\"" } else { key };
            let reason = format!("the host's ceilings do not let `{what}` be granted");
            let instead = line_of(key, instead);
            report.error(table.place(key), code::GRANT_REFUSED, reason, Some(instead));
        }
    }
}

/// State and timers belong to a key, whose events must then follow each other.
fn check_order(table: &Checked, subscription: &SubscriptionConfig, report: &mut Report<'_>) {
    if subscription.policy.order == Order::None && subscription.stateful() {
        let grants = &subscription.grants;
        let what = match (grants.state, grants.timers) {
            (true, true) => "state and timers need",
            (true, false) => "state needs",
            (false, _) => "timers need",
        };
        let reason = format!("{what} the events of a key in order, not `order = \"none\"`");
        let instead = Some("order = \"key\"".to_owned());
        report.error(table.place("order"), code::STATE_WITHOUT_ORDER, reason, instead);
    }
}

/// What a partition keeps as a whole must be written by one event after the other, where they are.
fn check_state_of(table: &Checked, subscription: &SubscriptionConfig, report: &mut Report<'_>) {
    if subscription.state_of == StateOf::Key || !subscription.stateful() {
        return;
    }
    let place = table.place("state_of");
    if subscription.policy.order != Order::Partition {
        let reason = "state of a partition needs its events in order: `order = \"partition\"`";
        let instead = Some("order = \"partition\"".to_owned());
        report.error(place, code::STATE_WITHOUT_ORDER, reason, instead);
    }
    if subscription.repartition.is_some() {
        let reason = "`repartition` takes events out of the partitions whose state is kept";
        let instead = Some("state_of = \"key\"".to_owned());
        report.error(place, code::CONTRADICTION, reason, instead);
    }
}

/// What need not be in order need not be brought together.
fn check_repartition(table: &Checked, subscription: &SubscriptionConfig, report: &mut Report<'_>) {
    if subscription.repartition.is_some() && subscription.policy.order == Order::None {
        let reason = "`repartition` brings the events of a key together, and `order = \"none\"` \
                      lets them go apart";
        let instead = Some("order = \"key\"".to_owned());
        report.error(table.place("repartition"), code::CONTRADICTION, reason, instead);
    }
}

/// Without dead letters nothing can become one.
fn check_dead_letter(table: &Checked, subscription: &SubscriptionConfig, report: &mut Report<'_>) {
    if subscription.dead_letter != DeadLetter::None || !table.sound("dead_letter") {
        return;
    }
    let classes = table.table("retry").table("class");
    let tables = CLASSES.iter().map(|(name, _)| classes.table(name));
    for table in std::iter::once(table).chain(tables) {
        let exhausted = table.written("on_exhausted").then(|| table.text("on_exhausted"));
        if exhausted == Some("dead-letter") {
            let place = table.place("on_exhausted");
            let reason = "`on_exhausted = \"dead-letter\"` contradicts `dead_letter = false`";
            let instead = Some("on_exhausted = \"pause-key\"".to_owned());
            report.error(place, code::CONTRADICTION, reason, instead);
        }
    }
}

/// Topics of dead letters have names that are none of the subscription's own topics.
fn check_dead_letter_names(
    table: &Checked,
    subscription: &SubscriptionConfig,
    report: &mut Report<'_>,
) {
    for (topic, place) in subscription.topics.iter().zip(&subscription.places.topics) {
        // What an expression matches is not known, and is never one of them.
        let Some(topic) = topic.name() else { continue };
        let Some(dead) = subscription.dead_letter_topic(topic) else { return };
        if dead.len() > TOPIC_MAX {
            let reason = format!(
                "the dead letters of \"{}\" would need a topic of {} characters, and {TOPIC_MAX} \
                 are allowed",
                shortened(topic),
                dead.len()
            );
            let instead = format!("dead_letter = \"{}.dlq\"", subscription.name);
            report.error(*place, code::BAD_TOPIC, reason, Some(instead));
        }
        let reads = subscription.topics.iter().position(|other| other.name() == Some(&*dead));
        if let Some(index) = reads {
            let own: Place =
                subscription.places.topics.get(index).copied().unwrap_or(table.place("topics"));
            let reason = format!("\"{dead}\" is where its own dead letters go: it would read them");
            let instead = "dead_letter = true".to_owned();
            report.error(own, code::CONTRADICTION, reason, Some(instead));
        }
    }
}

/// What falls back is read by somebody else.
fn check_fallback(table: &Checked, subscription: &SubscriptionConfig, report: &mut Report<'_>) {
    let Some(fallback) = &subscription.fallback else { return };
    let place = table.place("fallback");
    if subscription.topics.iter().any(|topic| topic.name() == Some(fallback)) {
        let reason =
            format!("\"{fallback}\" is one of its own topics: it would read again what fell back");
        let instead = format!("fallback = \"{}.fallback\"", subscription.name);
        report.error(place, code::CONTRADICTION, reason, Some(instead));
    }
    if subscription.policy.breaker.is_none() {
        let reason =
            "nothing falls back without a breaker: `enabled = false` contradicts `fallback`";
        report.error(place, code::CONTRADICTION, reason, Some("enabled = true".to_owned()));
    }
}

/// The first of two spans is not longer than the longest.
fn check_intervals(
    table: &Checked,
    (first, most): (&'static str, &'static str),
    report: &mut Report<'_>,
) {
    let (short, long) = (table.millis(first), table.millis(most));
    if !(table.sound(first) && table.sound(most) && short > long) {
        return;
    }
    let (short, long) = (units::span(short.0), units::span(long.0));
    let reason = format!("`{first}` of {short} is longer than `{most}` of {long}");
    let (key, value) = if table.written(most) { (first, long) } else { (most, short) };
    let instead = Some(line_of(key, &string(&value)));
    report.error(table.place(first), code::CONTRADICTION, reason, instead);
}

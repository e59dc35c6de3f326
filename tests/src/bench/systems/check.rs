//! Reads what a host ended with, and compares it with what has to be there. It takes nobody's word
//! for a count.

use std::collections::{BTreeMap, HashMap};
use std::fmt::{Debug, Write as _};
use std::fs;
use std::hash::Hash;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::event::{self, SOURCE};
use super::expected::{Expected, Place, content};
use super::party::{self, Taken};
use super::topics::TOPICS;
use crate::support::client::{Client, Stored};

/// Differences of one kind that are told.
const TOLD_MAX: usize = 5;
/// The trails, and the topics of which every event is in them.
const TRAILS: [(&str, &[&str]); 2] = [
    (
        "audit-events",
        &[
            "user-events",
            "catalog-events",
            "inventory-events",
            "cart-events",
            "order-events",
            "payment-events",
            "shipping-events",
            "notification-events",
        ],
    ),
    ("AuditTrail", &["Invoice", "InvoiceV2", "Payment", "PaymentV2"]),
];

/// What was compared, and what it showed besides.
#[derive(Debug, Default)]
pub(super) struct Checked {
    /// Events that handlers published, each as it has to be.
    pub(super) told: u64,
    /// Dead letters.
    pub(super) letters: u64,
    /// Calls of outside parties, and how often those failed at first.
    pub(super) calls: u64,
    pub(super) failures: u64,
    /// Requests that came again after they had been taken.
    pub(super) repeated: u64,
    /// Values of state.
    pub(super) values: usize,
    /// Events from outside that some handler had to give up.
    pub(super) bad: u64,
    /// From the record of an order to that of its being on its way, in milliseconds.
    pub(super) shipped_ms: Vec<u64>,
}

/// Compares everything.
///
/// # Errors
///
/// All that differs, by kind.
pub(super) fn check(client: &Client, taken: &Taken, count: u64) -> Result<Checked> {
    let wanted = event::expected(count, Expected::default());
    let mut checked = Checked::default();
    let mut differences = String::new();
    let mut found = Expected::default();
    read(client, &mut found, &mut checked)?;
    lanes(client, (&wanted, &found), count, &mut differences)?;
    published(client, (&wanted, &found), &mut differences)?;
    tell("dead letters", &wanted.letters, &found.letters, &mut differences);
    given_up(&wanted, &found, &mut differences);
    checked.letters = found.letters.values().sum();
    calls(&wanted, taken, &mut checked, &mut differences);
    state(client, &wanted, &mut differences)?;
    checked.values = wanted.state.values().map(Vec::len).sum();
    checked.bad = wanted.bad;
    ensure!(differences.is_empty(), "not all is as it has to be:\n{differences}");
    Ok(checked)
}

/// Tells how many events were given up that need not have been, by code: what they would have led
/// to is missing elsewhere, and nothing of it is lost.
fn given_up(wanted: &Expected, found: &Expected, differences: &mut String) {
    let mut codes: BTreeMap<&str, u64> = BTreeMap::new();
    for letter in found.letters.keys().filter(|it| !wanted.letters.contains_key(*it)) {
        *codes.entry(&letter.2).or_default() += 1;
    }
    if !codes.is_empty() {
        // Writing to a string cannot fail.
        let _written = writeln!(differences, "given up for other reasons, by code: {codes:?}");
    }
}

/// Reads all topics that handlers publish to, dead letters among them.
fn read(client: &Client, found: &mut Expected, checked: &mut Checked) -> Result<()> {
    let mut placed = HashMap::new();
    for spec in TOPICS {
        client.each(spec.name, |record| {
            if spec.name == "order-events" {
                time(&record, &mut placed, checked);
            }
            if record.header("ce_source") != Some(SOURCE) {
                checked.told += 1;
                let (key, kind) = told(&record);
                found.told(spec.name, key, (kind, &record.payload));
            }
            Ok(())
        })?;
    }
    for topic in client.topics()? {
        if topic != "dlq-events" && topic.rsplit('.').next() != Some("dlq") {
            continue;
        }
        client.each(&topic, |record| {
            let header = |name| record.header(name).unwrap_or_default();
            let code = header("dlq-error-code");
            found.letter(header("dlq-subscription"), header("dlq-event-id"), code);
            Ok(())
        })?;
    }
    Ok(())
}

fn told(record: &Stored) -> (&str, &str) {
    (record.key.as_deref().unwrap_or_default(), record.header("ce_type").unwrap_or_default())
}

/// Notes how long an order took, by its records.
fn time(record: &Stored, placed: &mut HashMap<String, u64>, checked: &mut Checked) {
    let id = event::text(&record.payload["data"]["orderId"]);
    match record.header("ce_type") {
        Some("OrderCreated") => drop(placed.insert(id.to_owned(), record.timestamp_ms)),
        Some("OrderShipped") => {
            let placed = placed.remove(id);
            let taken = placed.map(|placed| record.timestamp_ms.saturating_sub(placed));
            checked.shipped_ms.extend(taken);
        }
        Some(_) | None => {}
    }
}

fn lanes(
    client: &Client,
    (wanted, found): (&Expected, &Expected),
    count: u64,
    differences: &mut String,
) -> Result<()> {
    let mut wrong: BTreeMap<&str, Vec<(Place, u64, u64)>> = BTreeMap::new();
    let places =
        wanted.lanes.keys().chain(found.lanes.keys().filter(|it| !wanted.lanes.contains_key(it)));
    for place in places {
        let (there, right) = (found.lanes.get(place), wanted.lanes.get(place));
        let may_be_empty = there.is_none() && wanted.all_or_nothing.contains(place);
        if there != right && !may_be_empty {
            let counts = [right, there].map(|it| it.map_or(0, |lane| lane.count));
            wrong.entry(place.0).or_default().push((*place, counts[0], counts[1]));
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    let shown = wrong.values().flat_map(|it| it.iter().take(TOLD_MAX).map(|(place, ..)| *place));
    let shown: Vec<Place> = shown.collect();
    let wanted = event::expected(count, Expected::watching(shown.iter().copied()));
    let mut found = Expected::watching(shown.iter().copied());
    for topic in wrong.keys() {
        client.each(topic, |record| {
            if record.header("ce_source") != Some(SOURCE) {
                let (key, kind) = told(&record);
                found.told(topic, key, (kind, &record.payload));
            }
            Ok(())
        })?;
    }
    for (topic, lanes) in &wrong {
        let (more, less) = lanes.iter().fold((0, 0), |(more, less), (_, right, there)| {
            (more + there.saturating_sub(*right), less + right.saturating_sub(*there))
        });
        writeln!(
            differences,
            "topic {topic}: {} lanes differ, {less} events are lost and {more} \
            are too many; such as",
            lanes.len()
        )?;
        for (place, ..) in lanes.iter().take(TOLD_MAX) {
            writeln!(
                differences,
                "  wanted {:#?}\n  found {:#?}",
                wanted.watched.get(place),
                found.watched.get(place)
            )?;
        }
    }
    Ok(())
}

/// Every event from outside is in its topic once, and every event that is audited in the trail.
fn published(
    client: &Client,
    (wanted, found): (&Expected, &Expected),
    differences: &mut String,
) -> Result<()> {
    let mut told: HashMap<&str, u64> = HashMap::new();
    for ((topic, _), lane) in &found.lanes {
        *told.entry(topic).or_default() += lane.count;
    }
    let mut there = BTreeMap::new();
    let trails = TRAILS.iter().flat_map(|(trail, audited)| audited.iter().chain([trail])).copied();
    for topic in wanted.published.keys().copied().chain(trails) {
        there.insert(topic, client.ends(topic)?.iter().sum::<u64>());
    }
    for (topic, published) in &wanted.published {
        let right = published + told.get(topic).copied().unwrap_or_default();
        if there[topic] != right {
            writeln!(differences, "topic {topic}: {} events, and not {right}", there[topic])?;
        }
    }
    for (trail, topics) in TRAILS {
        let audited: u64 = topics.iter().map(|topic| there[topic]).sum();
        if there[trail] != audited {
            writeln!(differences, "{trail}: {} entries of {audited} events", there[trail])?;
        }
    }
    Ok(())
}

fn calls(wanted: &Expected, taken: &Taken, checked: &mut Checked, differences: &mut String) {
    let mut found: HashMap<u64, u64> = HashMap::new();
    let mut wrong = Vec::new();
    for (key, request) in &taken.by_key {
        *found.entry(request.call).or_default() += 1;
        checked.calls += 1;
        let failures = party::failures(request.call);
        checked.failures += failures;
        // A caller that waited too long asks again under the same key, and is taken once.
        checked.repeated += request.attempts.saturating_sub(failures + 1);
        if request.attempts <= failures {
            wrong.push(format!(
                "  {key}: came {} times, fails {failures} times: {}",
                request.attempts, request.asked
            ));
        }
    }
    tell("calls of parties", &wanted.calls, &found, differences);
    if wrong.len() as u64 + taken.nameless > 0 {
        // Writing to a string cannot fail.
        let _written = writeln!(
            differences,
            "parties: {} requests never came through, such as\n{}\n{} had no idempotency key",
            wrong.len(),
            wrong.iter().take(TOLD_MAX).map(String::as_str).collect::<Vec<_>>().join("\n"),
            taken.nameless
        );
    }
}

fn state(client: &Client, wanted: &Expected, differences: &mut String) -> Result<()> {
    let mut wrong = 0;
    for ((subscription, key), values) in &wanted.state {
        let path = format!("/state/{subscription}/{}", encoded(key));
        let (status, text) = client.answer(&path)?;
        let there: Value = serde_json::from_str(&text)?;
        let entries = there["values"].as_array().map(Vec::as_slice).unwrap_or_default();
        for (name, pointer, value) in values {
            let entry = entries.iter().find(|entry| entry["name"] == *name);
            let part = entry.and_then(|entry| entry["value"].pointer(pointer));
            if part.is_some_and(|part| content(part, &[]) == content(value, &[])) {
                continue;
            }
            wrong += 1;
            if wrong <= TOLD_MAX {
                writeln!(
                    differences,
                    "state {subscription}/{key}/{name}: {entry:?} ({status}), and not {value}"
                )?;
            }
        }
    }
    if wrong > 0 {
        writeln!(differences, "state: {wrong} values differ")?;
    }
    let timers: u64 = client.subscriptions()?.iter().map(|it| it.timers_pending).sum();
    if timers != wanted.timers {
        writeln!(differences, "timers: {timers} are set, and not {}", wanted.timers)?;
    }
    Ok(())
}

/// A key as it stands in a path.
fn encoded(key: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    key.bytes().map(byte).collect()
}

/// Tells what is there more often, or less, than it has to be.
fn tell<K: Eq + Hash + Debug>(
    what: &str,
    wanted: &HashMap<K, u64>,
    found: &HashMap<K, u64>,
    differences: &mut String,
) {
    let count = |map: &HashMap<K, u64>, key: &K| map.get(key).copied().unwrap_or_default();
    let extra = found.keys().filter(|key| !wanted.contains_key(key));
    let wrong: Vec<&K> =
        wanted.keys().chain(extra).filter(|key| count(wanted, key) != count(found, key)).collect();
    if wrong.is_empty() {
        return;
    }
    // Writing to a string cannot fail.
    let _written = writeln!(differences, "{what}: {} differ, such as", wrong.len());
    for key in wrong.iter().take(TOLD_MAX) {
        let (right, there) = (count(wanted, key), count(found, key));
        let _written = writeln!(differences, "  {key:?}: {there} times, and not {right}");
    }
}

/// Fails where the host has logged what it should not.
///
/// # Errors
///
/// When there is such a line, or no log.
pub(super) fn log_is_quiet(log: &Path) -> Result<()> {
    let text = fs::read_to_string(log).context("read the host's log")?;
    let loud: Vec<&str> =
        text.lines().filter(|it| it.contains(" ERROR ") || it.contains("panicked")).collect();
    if let Some(first) = loud.first() {
        bail!("the host logged {} errors, such as {first}", loud.len());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_too_much_or_unknown_is_told() {
        let counts = |pairs: &[(&'static str, u64)]| pairs.iter().copied().collect();
        let told = |found: &[(&'static str, u64)]| {
            let mut differences = String::new();
            tell("letters", &counts(&[("a", 1), ("b", 2)]), &counts(found), &mut differences);
            differences
        };
        assert_eq!(told(&[("a", 1), ("b", 2)]), "");
        for (found, line) in [
            (&[("b", 2)][..], "\"a\": 0 times, and not 1"),
            (&[("a", 1), ("b", 3)], "\"b\": 3 times, and not 2"),
            (&[("a", 1), ("b", 2), ("c", 1)], "\"c\": 1 times, and not 0"),
        ] {
            assert!(told(found).contains(line), "{}", told(found));
        }
    }
}

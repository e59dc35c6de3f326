//! State that takes long to come back to a host that never had it: it shows how far it is, and goes
//! on where it was when the host died.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result, ensure};
use gristmill_tests::chaos::input::Event;
use gristmill_tests::support::home::{Home, Process};
use gristmill_tests::support::kafka::Cluster;
use gristmill_tests::support::wait;

use super::scene::{PATIENCE, SOURCES, Scene, Story};

/// Events of each source, each of a key of its own: so many records of state has each subscription,
/// several times what is taken over at once.
const EVENTS: usize = 12_000;
/// Bytes per second that each client of the new host may read: some seconds' worth is in its first
/// answers, and then it waits.
const SLOW: u32 = 100_000;
/// Answers are small, or the broker would give everything away before it counts.
const SMALL: &str = "[broker.properties]\nfetch.message.max.bytes = 20000\n";

/// How far the state of one partition of a subscription is, in records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Told {
    done: u64,
    all: u64,
}

/// What restores last told, by subscription and partition, after `skipped` bytes of the log.
fn told(home: &Home, skipped: usize) -> Result<BTreeMap<(String, String), Told>> {
    let log = fs::read_to_string(home.log())?;
    let mut found = BTreeMap::new();
    let lines = log.get(skipped..).unwrap_or_default().lines();
    for line in lines.filter(|line| line.contains("restoring state from the changelog [")) {
        let word = |name: &str| {
            let mut words = line.split_whitespace();
            let value = words.find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
            value.map(|it| it.trim_matches('"')).with_context(|| format!("{name} in {line}"))
        };
        let place = (word("subscription")?.to_owned(), word("partition")?.to_owned());
        let (done, all) = (word("done")?.parse()?, word("all")?.parse()?);
        ensure!(line.contains(&format!("] {} %", done * 100 / all)), "no share in {line}");
        // The first of each, which is furthest from its end.
        found.entry(place).or_insert(Told { done, all });
    }
    Ok(found)
}

/// Waits until a restore under way says how far it is, and has so much left that after a kill it
/// must say so again.
fn wait_told(home: &Home, host: &Process, skipped: usize) -> Result<()> {
    let said = wait::until(PATIENCE, || {
        let told = told(home, skipped)?;
        Ok(told.values().any(|it| it.done * 3 < it.all).then_some(()))
    })?;
    said.with_context(|| format!("no restore says how far it is:\n{}", host.tail()))
}

/// An event that is counted, and nothing else.
fn event(source: &str, id: usize, key: usize) -> Event {
    let (id, key) = (format!("{source}-{id}"), format!("{source}-key-{key}"));
    Event { id, key, fails: 0, poison: false, timer_ms: None }
}

#[test]
fn a_long_restore_says_how_far_it_is_and_goes_on_after_a_kill() -> Result<()> {
    // Of its own: all its clients are slowed down.
    let cluster = &Cluster::start(1)?;
    let scene = Scene::new(cluster, "restored", SMALL);
    let first_home = scene.home()?;
    let mut first = first_home.start(&[])?;
    first.must_be_ready()?;
    let mut story = Story::begin(cluster, &scene)?;
    for number in 0..EVENTS {
        for source in SOURCES {
            story.tell_one(source, event(source, number, number))?;
        }
    }
    scene.settle(cluster, &[&first_home])?;
    first.stop()?;

    cluster.limit_reads(Some(SLOW))?;
    let home = scene.home()?;
    let mut host = home.start(&[])?;
    wait_told(&home, &host, 0)?;
    host.kill()?;
    let killed = told(&home, 0)?;
    let skipped = fs::read_to_string(home.log())?.len();
    host = home.start(&[])?;
    // Of what was told of before.
    let resumed = wait::until(PATIENCE, || {
        let now = told(&home, skipped)?;
        let both = killed.iter().filter_map(|(place, before)| Some((*before, *now.get(place)?)));
        Ok(both.clone().next().is_some().then(|| both.collect::<Vec<_>>()))
    })?;
    let resumed = resumed.with_context(|| format!("nothing goes on:\n{}", host.tail()))?;
    for (before, now) in resumed {
        ensure!(now.all <= before.all - before.done, "{before:?}, and then {now:?}");
    }
    cluster.limit_reads(None)?;

    // What was handled before is known: ids that come again do nothing, keys go on counting.
    for number in 0..500 {
        for source in SOURCES {
            story.tell_one(source, event(source, number, number))?;
            story.tell_one(source, event(source, EVENTS + number, number))?;
        }
    }
    let written = story.end()?;
    scene.finish(cluster, vec![(&home, host)], written, &["cannot be restored yet"])
}

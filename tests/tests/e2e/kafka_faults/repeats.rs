//! Hosts whose effects need not count once only: no transaction, and nothing lost by a kill.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use gristmill_tests::support::client::Stored;
use gristmill_tests::support::kafka::witness::Ground;
use gristmill_tests::support::wait;

use super::scene::{PATIENCE, PUPPETS, SOURCES, Scene, complaints, wait_done};

/// Events of each source.
const EVENTS: usize = 6_000;
/// Kills, each while work is under way.
const KILLS: usize = 3;

#[test]
fn at_least_once_loses_nothing_and_repeats_under_the_same_id() -> Result<()> {
    let ground = Ground::of_faults()?;
    let cluster = ground.cluster();
    let scene = Scene::new(cluster, "repeats", "guarantee = \"at-least-once\"");
    let home = scene.puppets()?;
    let mut host = home.start(&[])?;
    host.must_be_ready()?;
    let out = scene.topic("out");
    for source in SOURCES {
        let keys = (0..EVENTS).map(|number| format!("key-{}", number % 50)).collect::<Vec<_>>();
        let records =
            keys.iter().zip(1..).map(|(key, size)| (&**key, format!("emit {out} {size}")));
        cluster.produce(&scene.topic(source), records)?;
    }
    for _ in 0..KILLS {
        wait_done(&host.must_be_ready()?, 1_000)?;
        host.kill()?;
        ensure!(!scene.puppets_are_level(cluster)?, "a kill came too late");
        host = home.start(&[])?;
    }
    let level = wait::until(PATIENCE, || Ok(scene.puppets_are_level(cluster)?.then_some(())))?;
    level.with_context(|| format!("not at rest:\n{}", host.tail()))?;
    host.stop()?;
    ensure!(cluster.transactions(&format!("{}.", scene.name))?.is_empty(), "a transaction");
    check(&cluster.topic(&out)?)?;
    let strays = complaints(&home, &[]);
    ensure!(strays.is_empty(), "{strays:?}");
    Ok(())
}

/// Each subscription emitted for each event of each source, and what it emitted again about one is
/// the same emission.
fn check(partitions: &[Vec<Stored>]) -> Result<()> {
    let mut by_cause: BTreeMap<(String, String), BTreeSet<(String, usize)>> = BTreeMap::new();
    for record in partitions.iter().flatten() {
        let header = |name: &str| record.header(name).with_context(|| format!("no {name}"));
        let of = (header("ce_source")?.to_owned(), header("ce_causationid")?.to_owned());
        let size = record.payload.as_str().context("a payload")?.len();
        by_cause.entry(of).or_default().insert((header("ce_id")?.to_owned(), size));
    }
    let differing: Vec<_> = by_cause.iter().filter(|(_, emissions)| emissions.len() != 1).collect();
    ensure!(differing.is_empty(), "{differing:?}");
    let mut sizes: Vec<usize> = by_cause.values().flatten().map(|(_, size)| *size).collect();
    sizes.sort_unstable();
    let times = PUPPETS.len() * SOURCES.len();
    let expected: Vec<usize> = (1..=EVENTS).flat_map(|size| vec![size; times]).collect();
    ensure!(sizes == expected, "{} emissions, not {}", sizes.len(), expected.len());
    Ok(())
}

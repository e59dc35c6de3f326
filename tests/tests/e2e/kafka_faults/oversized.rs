//! Events whose effects no topic takes because of their size, among others that it does.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use gristmill_tests::support::client::Stored;
use gristmill_tests::support::kafka::witness::Ground;
use gristmill_tests::support::wait;

use super::scene::{PATIENCE, PUPPETS, SOURCES, Scene, complaints};

/// Events of each source.
const EVENTS: usize = 400;

/// An event of `number` emits a hundred bytes and `number`, or more than its topic takes. Then its
/// own text is long too: what is to be emitted has a header of a long name.
fn script(out: &str, number: usize) -> String {
    if is_large(number) {
        return format!("emit {out} {} {}", 10_000 + number, "x".repeat(6_000));
    }
    format!("emit {out} {}", 100 + number)
}

fn is_large(number: usize) -> bool {
    number % 50 == 7
}

#[test]
fn what_no_topic_takes_becomes_a_dead_letter_and_others_go_on() -> Result<()> {
    let ground = Ground::of_faults()?;
    let cluster = ground.cluster();
    let scene = Scene::new(cluster, "oversized", "");
    let home = scene.puppets()?;
    let mut host = home.start(&[])?;
    host.must_be_ready()?;
    cluster.set_topic(&scene.topic("out"), "max.message.bytes=5000")?;
    for name in PUPPETS {
        let letters = format!("{}.{name}.dlq", scene.topic("returns"));
        cluster.set_topic(&letters, "max.message.bytes=5000")?;
    }
    for source in SOURCES {
        let keys = (0..EVENTS).map(|number| format!("key-{}", number % 20)).collect::<Vec<_>>();
        let out = scene.topic("out");
        let records = keys.iter().enumerate().map(|(number, key)| (&**key, script(&out, number)));
        cluster.produce(&scene.topic(source), records)?;
    }
    let level = wait::until(PATIENCE, || Ok(scene.puppets_are_level(cluster)?.then_some(())))?;
    level.with_context(|| format!("not at rest:\n{}", host.tail()))?;
    host.stop()?;
    check_emissions(&cluster.topic(&scene.topic("out"))?)?;
    check_letters(&cluster.records(&scene.topic(".*[.]dlq"))?, &scene)?;
    let strays = complaints(&home, &[]);
    ensure!(strays.is_empty(), "{strays:?}");
    Ok(())
}

/// Each subscription emits for each small event of each source once, in the order of its key.
fn check_emissions(partitions: &[Vec<Stored>]) -> Result<()> {
    let mut sizes: BTreeMap<(String, String), Vec<usize>> = BTreeMap::new();
    for record in partitions.iter().flatten() {
        let source = record.header("ce_source").context("a source")?.to_owned();
        let cause = record.header("ce_causationid").context("a cause")?;
        let topic = cause.split('/').next().unwrap_or_default().to_owned();
        let size = record.payload.as_str().context("a payload")?.len();
        sizes.entry((source, topic)).or_default().push(size);
    }
    ensure!(sizes.len() == 4, "{:?}", sizes.keys());
    let small = (0..EVENTS).filter(|number| !is_large(*number)).map(|number| 100 + number);
    let small: Vec<usize> = small.collect();
    for (of, mut found) in sizes {
        for key in 0..20 {
            let own: Vec<_> = found.iter().filter(|size| (**size - 100) % 20 == key).collect();
            ensure!(own.is_sorted(), "{of:?}: key-{key} is not in order: {own:?}");
        }
        found.sort_unstable();
        ensure!(found == small, "{of:?}: {} emissions, not {}", found.len(), small.len());
    }
    Ok(())
}

/// Each large event is a dead letter of each subscription once, with its payload where it fits.
fn check_letters(topics: &BTreeMap<String, Vec<Vec<Stored>>>, scene: &Scene) -> Result<()> {
    let mut seen = BTreeSet::new();
    for letter in topics.values().flatten().flatten() {
        let text = |name: &str| letter.header(name).unwrap_or_default().to_owned();
        let place = ["topic", "partition", "offset"].map(|it| text(&format!("__dlq.errors.{it}")));
        ensure!(text("dlq-error-class") == "output", "{letter:?}");
        let dropped = letter.header("dlq-payload-dropped-bytes");
        if place[0] == scene.topic("returns") {
            let size = script(&scene.topic("out"), 7).len();
            ensure!(letter.payload.is_null(), "{letter:?}");
            ensure!(dropped == Some(&*size.to_string()), "{letter:?}");
        } else {
            ensure!(
                letter.payload.as_str().is_some_and(|it| it.starts_with("emit ")),
                "{letter:?}"
            );
            ensure!(dropped.is_none(), "{letter:?}");
        }
        ensure!(seen.insert((text("dlq-subscription"), place)), "again: {letter:?}");
    }
    let large = (0..EVENTS).filter(|number| is_large(*number)).count();
    ensure!(seen.len() == 4 * large, "{} letters, not {}", seen.len(), 4 * large);
    Ok(())
}

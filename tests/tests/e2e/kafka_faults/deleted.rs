//! A topic that somebody deletes while a host reads it: its other topics must not notice, and what
//! comes under its name again is read from the beginning.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use gristmill_tests::support::client::Client;
use gristmill_tests::support::kafka::Cluster;
use gristmill_tests::support::kafka::witness::Ground;
use gristmill_tests::support::wait;

use super::scene::{PATIENCE, PUPPETS, SOURCES, Scene, complaints};

/// Events of one step and one source.
const EVENTS: usize = 300;

/// Writes events whose emissions are as long as the numbers `from` and on, one each.
fn tell(cluster: &Cluster, scene: &Scene, source: &str, from: usize) -> Result<()> {
    let out = scene.topic("out");
    let keys: Vec<String> = (from..from + EVENTS).map(|it| format!("key-{}", it % 50)).collect();
    let records = keys.iter().zip(from..).map(|(key, size)| (&**key, format!("emit {out} {size}")));
    cluster.produce(&scene.topic(source), records)
}

/// How many emissions there are of each length.
fn emitted(cluster: &Cluster, scene: &Scene) -> Result<BTreeMap<usize, usize>> {
    let mut times = BTreeMap::new();
    for record in cluster.topic(&scene.topic("out"))?.iter().flatten() {
        let length = record.payload.as_str().context("a payload")?.len();
        *times.entry(length).or_default() += 1;
    }
    Ok(times)
}

/// Waits until every event of a step was handled by each subscription once.
fn handled(cluster: &Cluster, scene: &Scene, from: usize) -> Result<()> {
    let wrong = || -> Result<Vec<(usize, usize)>> {
        let times = emitted(cluster, scene)?;
        let of = |length| (length, times.get(&length).copied().unwrap_or(0));
        Ok((from..from + EVENTS).map(of).filter(|(_, times)| *times != PUPPETS.len()).collect())
    };
    let seen = wait::until(PATIENCE, || Ok(wrong()?.is_empty().then_some(())))?;
    seen.with_context(|| format!("events and how often they were handled: {:?}", wrong()))
}

fn error_of(client: &Client) -> Result<String> {
    let plugins = client.json("/api/v1/plugins")?;
    Ok(plugins["plugins"][0]["error"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn a_topic_deleted_under_a_host_holds_up_no_other_and_is_read_anew() -> Result<()> {
    let ground = Ground::of_faults()?;
    let cluster = ground.cluster();
    let scene = Scene::new(cluster, "deleted", "");
    let home = scene.puppets()?;
    let mut host = home.start(&[])?;
    let client = host.must_be_ready()?;
    let [kept, gone] = SOURCES;
    tell(cluster, &scene, kept, 1_000)?;
    tell(cluster, &scene, gone, 2_000)?;
    handled(cluster, &scene, 1_000)?;
    handled(cluster, &scene, 2_000)?;

    // What is under way in it may be handled or not, but not twice.
    tell(cluster, &scene, gone, 3_000)?;
    cluster.delete_topic(&scene.topic(gone))?;
    tell(cluster, &scene, kept, 4_000)?;
    handled(cluster, &scene, 4_000)?;
    let told = wait::until(PATIENCE, || Ok(error_of(&client)?.contains("E0120").then_some(())))?;
    told.with_context(|| format!("nobody is told: {:?}\n{}", error_of(&client), host.tail()))?;
    tell(cluster, &scene, kept, 5_000)?;
    handled(cluster, &scene, 5_000)?;
    // Those who watch go on seeing the rest.
    let of_kept = format!("topic=\"{}\"", scene.topic(kept));
    ensure!(client.get("/metrics")?.contains(&of_kept), "no metrics of what is left");
    ensure!(client.subscriptions()?.len() == PUPPETS.len(), "{:?}", client.subscriptions()?);

    cluster.create_topic(&scene.topic(gone), 4, &[])?;
    tell(cluster, &scene, gone, 6_000)?;
    tell(cluster, &scene, kept, 7_000)?;
    handled(cluster, &scene, 6_000)?;
    handled(cluster, &scene, 7_000)?;
    ensure!(error_of(&client)?.is_empty(), "{}", error_of(&client)?);
    host.stop()?;

    let times = emitted(cluster, &scene)?;
    let more: Vec<_> = times.iter().filter(|(_, times)| **times > PUPPETS.len()).collect();
    ensure!(more.is_empty(), "handled again: {more:?}");
    let strays = complaints(&home, &["E0451", "E0606"]);
    ensure!(strays.is_empty(), "{strays:?}");
    Ok(())
}

//! Brokers that die: the only one, and one of three, while a host works and while it does not.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use gristmill_tests::support::client::Client;
use gristmill_tests::support::kafka::Cluster;
use gristmill_tests::support::wait;

use super::scene::{PATIENCE, SOURCES, Scene, Story, wait_done};

/// A dead broker's word for who holds what is not waited for longer than need be.
const SESSION: &str = "session_timeout = \"6s\"";

/// What hosts warn of while a broker is away.
const PASSING: [&str; 2] = ["no broker answers", "cannot be restored yet"];

#[test]
fn the_only_broker_is_killed_and_comes_back() -> Result<()> {
    let mut cluster = Cluster::start(1)?;
    let scene = Scene::new(&cluster, "restarted", SESSION);
    let home = scene.home()?;
    let mut host = home.start(&[])?;
    let client = host.must_be_ready()?;
    let mut story = Story::begin(&cluster, &scene)?;
    story.tell(3_000)?;
    story.during(|| {
        for _ in 0..2 {
            wait_done(&client, 1_000)?;
            cluster.broker(1)?.kill()?;
            cluster.broker(1)?.start()?;
            wait_done(&client, 1_000)?;
        }
        Ok(())
    })?;
    let told = story.end()?;
    scene.finish(&cluster, vec![(&home, host)], told, &PASSING)
}

#[test]
fn one_broker_of_three_is_killed() -> Result<()> {
    let mut cluster = Cluster::start(3)?;
    let scene = Scene::new(&cluster, "one-of-three", &format!("replication = 3\n{SESSION}"));
    let home = scene.home()?;
    let mut host = home.start(&[])?;
    let client = host.must_be_ready()?;
    let mut story = Story::begin(&cluster, &scene)?;
    story.tell(3_000)?;
    story.during(|| {
        for id in [1, 2] {
            wait_done(&client, 1_000)?;
            cluster.broker(id)?.kill()?;
            // Those that it led too, long before it comes back.
            all_go_on(&client, &scene)?;
            cluster.broker(id)?.start()?;
        }
        Ok(())
    })?;
    let told = story.end()?;
    scene.finish(&cluster, vec![(&home, host)], told, &PASSING)
}

/// Nothing is under way that would fail, and so tell the producers of it; and nobody comes back.
#[test]
fn a_coordinator_is_killed_while_there_is_nothing_to_do() -> Result<()> {
    let mut cluster = Cluster::start(3)?;
    let scene = Scene::new(&cluster, "coordinator", &format!("replication = 3\n{SESSION}"));
    let home = scene.home()?;
    let mut host = home.start(&[])?;
    host.must_be_ready()?;
    let mut story = Story::begin(&cluster, &scene)?;
    story.tell(500)?;
    scene.settle(&cluster, &[&home])?;
    let [group, _] = scene.groups();
    let dead = cluster.coordinator(&group)?;
    cluster.broker(dead)?.kill()?;
    let taken_over = wait::until(PATIENCE, || {
        Ok(cluster.coordinator(&group).is_ok_and(|id| id != dead).then_some(()))
    })?;
    taken_over.context("no other broker coordinates the group")?;
    story.tell(500)?;
    let told = story.end()?;
    scene.finish(&cluster, vec![(&home, host)], told, &PASSING)
}

/// Waits until every partition of every source is further with every group than it is now.
fn all_go_on(client: &Client, scene: &Scene) -> Result<()> {
    // While a broker is away there may be no answer.
    let before = wait::until(PATIENCE, || Ok(committed(client, scene).ok()))?;
    let before = before.with_context(|| format!("{:?}", committed(client, scene)))?;
    let mut behind = before.clone();
    let gone_on = wait::until(PATIENCE, || {
        for (place, now) in committed(client, scene).unwrap_or_default() {
            if before.get(&place).is_some_and(|before| now > *before) {
                behind.remove(&place);
            }
        }
        Ok(behind.is_empty().then_some(()))
    })?;
    gone_on.with_context(|| format!("these do not go on: {behind:?}"))
}

/// What the groups have committed of the sources, as the host tells it.
fn committed(client: &Client, scene: &Scene) -> Result<BTreeMap<(String, String, u64), u64>> {
    let sources = SOURCES.map(|source| scene.topic(source));
    let mut found = BTreeMap::new();
    for group in scene.groups() {
        let report = client.json(&format!("/api/v1/groups/{group}"))?;
        for row in report["offsets"].as_array().context("a group has no offsets")? {
            let topic = row["topic"].as_str().context("a row has no topic")?;
            if sources.iter().any(|source| source == topic) {
                let partition = row["partition"].as_u64().context("a row has no partition")?;
                let place = (group.clone(), topic.to_owned(), partition);
                found.insert(place, row["committed"].as_u64().unwrap_or(0));
            }
        }
    }
    Ok(found)
}

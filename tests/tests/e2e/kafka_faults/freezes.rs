//! Hosts that stand still: for longer than their group waits for them, and for longer than their
//! transaction may take.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gristmill_tests::support::home::Process;
use gristmill_tests::support::kafka::witness::Ground;
use gristmill_tests::support::{process, wait};

use super::scene::{PATIENCE, Scene, Story, metric, wait_done};

/// What hosts warn of when they come back and their transaction is over.
const OUTLIVED: [&str; 1] = ["cannot be restored yet"];

/// Has transactions be open nearly always: their records wait before they are sent.
const SLOW: &str = "[broker.properties]\nlinger.ms = 200\n";

/// What is being ended when its host stops has ended by then.
const ENDING: Duration = Duration::from_millis(500);

/// Stops a host's process while one of its transactions is open, and has it open.
fn freeze_in_transaction(ground: &Ground, scene: &Scene, host: &Process) -> Result<()> {
    let caught = wait::until(PATIENCE, || {
        process::signal(host.id(), "STOP")?;
        let ended = ground.until(ENDING, |_| Ok((!is_open(ground, scene)?).then_some(())))?;
        if ended.is_none() {
            return Ok(Some(()));
        }
        process::signal(host.id(), "CONT")?;
        Ok(None)
    })?;
    caught.context("no transaction is ever open")
}

fn is_open(ground: &Ground, scene: &Scene) -> Result<bool> {
    Ok(!ground.open_transactions(&format!("{}.", scene.name))?.is_empty())
}

/// How many members hold something of the scene's first group.
fn members(ground: &Ground, scene: &Scene) -> Result<usize> {
    let members = ground.group(&scene.groups()[0])?.members;
    Ok(members.iter().filter(|member| !member.numbers.is_empty()).count())
}

#[test]
fn a_host_frozen_beyond_its_session_makes_nothing_true_of_what_it_held() -> Result<()> {
    let ground = Ground::of_faults()?;
    let cluster = ground.cluster();
    let timeouts = "session_timeout = \"6s\"\ntransaction_timeout = \"5s\"";
    let scene = Scene::new(cluster, "frozen", &format!("{timeouts}\n{SLOW}"));
    let (home, other_home) = (scene.home()?, scene.home()?);
    let mut host = home.start(&[])?;
    let client = host.must_be_ready()?;
    let mut story = Story::begin(cluster, &scene)?;
    story.tell(3_000)?;
    let other = story.during(|| {
        wait_done(&client, 1_000)?;
        freeze_in_transaction(&ground, &scene, &host)?;
        let mut other = other_home.start(&[])?;
        let told = other.must_be_ready()?;
        // More than its share: the frozen host's numbers are its now.
        ground
            .until(PATIENCE, |ground| Ok((members(ground, &scene)? == 1).then_some(())))?
            .with_context(|| format!("the frozen host stays a member:\n{}", other.tail()))?;
        wait_done(&told, 3_000)?;
        Ok(other)
    })?;
    // All that the frozen one had not made true is made true by the other.
    let taken = wait::until(PATIENCE, || Ok(scene.is_level(cluster)?.then_some(())))?;
    taken.with_context(|| format!("the other takes not everything over:\n{}", other.tail()))?;
    story.during(|| {
        process::signal(host.id(), "CONT")?;
        let both =
            ground.until(PATIENCE, |ground| Ok((members(ground, &scene)? == 2).then_some(())))?;
        both.with_context(|| format!("the frozen host does not come back:\n{}", host.tail()))?;
        wait_done(&client, 500)
    })?;
    ensure!(metric(&client, "gristmill_txn_aborts_total")? > 0, "nothing was aborted");
    let told = story.end()?;
    scene.finish(cluster, vec![(&home, host), (&other_home, other)], told, &OUTLIVED)
}

#[test]
fn a_transaction_that_timed_out_is_done_again() -> Result<()> {
    let ground = Ground::of_faults()?;
    let cluster = ground.cluster();
    let timeouts = "session_timeout = \"45s\"\ntransaction_timeout = \"5s\"";
    let scene = Scene::new(cluster, "timed-out", &format!("{timeouts}\n{SLOW}"));
    let home = scene.home()?;
    let mut host = home.start(&[])?;
    let client = host.must_be_ready()?;
    let mut story = Story::begin(cluster, &scene)?;
    story.tell(3_000)?;
    story.during(|| {
        for round in 1..=3 {
            wait_done(&client, 500)?;
            freeze_in_transaction(&ground, &scene, &host)?;
            let closed =
                ground.until(PATIENCE, |ground| Ok((!is_open(ground, &scene)?).then_some(())))?;
            closed.context("the broker does not abort what is open")?;
            process::signal(host.id(), "CONT")?;
            let aborted = wait::until(PATIENCE, || {
                let aborts = metric(&client, "gristmill_txn_aborts_total")?;
                Ok((aborts >= round).then_some(()))
            })?;
            aborted.with_context(|| format!("no abort of round {round}:\n{}", host.tail()))?;
        }
        Ok(())
    })?;
    ensure!(members(&ground, &scene)? == 1, "the host has left its groups");
    let told = story.end()?;
    scene.finish(cluster, vec![(&home, host)], told, &OUTLIVED)
}

/// Nobody else is there to take over: what comes back is what was lost, and what was on its way
/// then is not on its way now.
#[test]
fn a_host_that_loses_its_session_and_finds_the_same_again_begins_anew() -> Result<()> {
    let ground = Ground::of_faults()?;
    let cluster = ground.cluster();
    let timeouts = "session_timeout = \"6s\"\ntransaction_timeout = \"30s\"";
    let scene = Scene::new(cluster, "returned", &format!("{timeouts}\n{SLOW}"));
    let home = scene.home()?;
    let mut host = home.start(&[])?;
    let client = host.must_be_ready()?;
    let mut story = Story::begin(cluster, &scene)?;
    story.tell(3_000)?;
    story.during(|| {
        for _ in 0..3 {
            wait_done(&client, 1_000)?;
            process::signal(host.id(), "STOP")?;
            let alone = |ground: &Ground| Ok((members(ground, &scene)? == 0).then_some(()));
            ground.until(PATIENCE, alone)?.context("the frozen host stays a member")?;
            process::signal(host.id(), "CONT")?;
        }
        wait_done(&client, 1_000)
    })?;
    let told = story.end()?;
    scene.finish(cluster, vec![(&home, host)], told, &OUTLIVED)
}

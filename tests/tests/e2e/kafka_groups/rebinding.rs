//! A subscription gets other topics while its group moves numbers about.

use std::fmt::Write as _;

use anyhow::{Context, Result, ensure};
use gristmill_tests::support::component::{binary, guest};
use gristmill_tests::support::home::Home;
use gristmill_tests::support::kafka::witness::{Ground, Written};
use serde_json::Value;

use super::scene::{PATIENCE, held_by};

/// Partitions of every topic.
const PARTITIONS: u32 = 4;
/// Longer than a group waits for a member that was killed.
const ATTEMPT: &str = "20s";
/// What becomes of events whose attempts take too long.
const LETTERS: [&str; 2] = ["rebound-orders.one.dlq", "rebound-orders.other.dlq"];

fn config(host: &str, brokers: &str) -> String {
    let mut config = format!(
        "name = \"rebound\"\nlisten = \"127.0.0.1:0\"\ndata_dir = \"data\"\nworkers = 1\n\
         [broker]\nkind = \"kafka\"\nbrokers = [\"{brokers}\"]\nsession_timeout = \"6s\"\n\
         transactional_id_prefix = \"rebound-{host}\"\n\
         properties = {{ \"heartbeat.interval.ms\" = 500 }}\n\
         [checkpoint]\ndrain = \"30s\"\n[storage]\nreserve = \"64MiB\"\n\
         [topics.defaults]\npartitions = {PARTITIONS}\n"
    );
    // The guest says to `answers` what it did.
    for topic in ["rebound-orders", "rebound-returns", "rebound-answers", "answers"] {
        // Writing to a string cannot fail.
        let _written = writeln!(config, "[topics.{topic}]");
    }
    config
}

/// Two subscriptions of these topics, whose attempts may take so long.
fn manifest(topics: &str, attempt: &str) -> String {
    let one = |name: &str| {
        format!(
            "[[subscription]]\nname = \"{name}\"\ntopics = [{topics}]\nenvelope = \"raw\"\n\
             [subscription.grants]\nemit = [\"rebound-answers\", \"answers\"]\n\
             [subscription.limits]\nattempt_timeout = \"{attempt}\"\n\
             [subscription.retry]\nmax_attempts = 1\n"
        )
    };
    format!("[plugin]\nname = \"puppet\"\n{}{}", one("one"), one("other"))
}

fn home(host: &str, ground: &Ground) -> Result<Home> {
    let home = Home::new(&binary("debug"), &config(host, &ground.cluster().bootstrap()))?;
    home.put("puppet.toml", manifest("\"rebound-orders\"", ATTEMPT).as_bytes())?;
    home.put("puppet.wasm", &guest("puppet")?)?;
    Ok(home)
}

/// Writes a script to each partition of a topic.
fn write(ground: &Ground, topic: &str, script: &str) -> Result<()> {
    let record = |number: u32| Written {
        key: format!("key-{number}"),
        payload: script.to_owned(),
        partition: Some(number),
    };
    ground.write(topic, &(0..PARTITIONS).map(record).collect::<Vec<_>>()).map(drop)
}

/// Waits until both groups have so many members, who hold everything.
fn shared_by(ground: &Ground, members: usize) -> Result<()> {
    for group in ["rebound-one", "rebound-other"] {
        held_by(ground, group, members, PARTITIONS)?;
    }
    Ok(())
}

fn count(ground: &Ground, topics: &[&str]) -> Result<usize> {
    Ok(ground.read(topics)?.values().flatten().map(Vec::len).sum())
}

/// A host is given the numbers of one that was killed, while its own are still being let go of
/// for other topics.
#[test]
fn numbers_granted_while_topics_change_are_read_with_the_new_topics() -> Result<()> {
    // Others read what the guest says to `answers`.
    let ground = Ground::start()?;
    let homes = [home("first", &ground)?, home("second", &ground)?];
    let (mut host, mut other) = (homes[0].start(&[])?, homes[1].start(&[])?);
    let client = host.must_be_ready()?;
    other.must_be_ready()?;
    shared_by(&ground, 2)?;
    write(&ground, "rebound-orders", "spin 1000000000")?;
    let spins = ground.until(PATIENCE, |_| {
        let all = client.subscriptions()?;
        Ok(all.iter().all(|it| it.events_in_flight > 0).then_some(()))
    })?;
    spins.with_context(|| format!("nothing runs:\n{}", host.tail()))?;
    homes[0]
        .put("puppet.toml", manifest("\"rebound-orders\", \"rebound-returns\"", "1s").as_bytes())?;
    let is_heard = ground.until(PATIENCE, |_| {
        let told = client.json("/api/v1/subscriptions")?;
        let all = told["subscriptions"].as_array().context("subscriptions")?;
        let is_given = |it: &Value| it["topics"].as_array().is_some_and(|it| it.len() == 2);
        Ok(all.iter().all(is_given).then_some(()))
    })?;
    is_heard.with_context(|| format!("the manifest is not taken:\n{}", host.tail()))?;
    other.kill()?;
    shared_by(&ground, 1)?;
    ensure!(count(&ground, &LETTERS)? == 0, "the machine is too slow: attempts have ended");

    for topic in ["rebound-orders", "rebound-returns"] {
        write(&ground, topic, "emit rebound-answers 5")?;
    }
    let wanted = 2 * 2 * usize::try_from(PARTITIONS)?;
    let answered = ground.until(PATIENCE, |ground| {
        Ok((count(ground, &["rebound-answers"])? == wanted).then_some(()))
    })?;
    answered.with_context(|| {
        let answers = count(&ground, &["rebound-answers"]);
        format!("{answers:?} of {wanted}: {:?}\n{}", client.subscriptions(), host.tail())
    })?;
    let letters = count(&ground, &LETTERS)?;
    ensure!(letters == 2 * usize::try_from(PARTITIONS)?, "{letters} dead letters");
    host.stop()
}

//! Topics that a subscription reads because a regular expression matches their names.

use anyhow::{Context, Result, ensure};
use gristmill_tests::support::client::Client;
use gristmill_tests::support::component::{binary, guest};
use gristmill_tests::support::home::Home;
use gristmill_tests::support::kafka::witness::{Ground, Written};
use gristmill_tests::support::wait;
use serde_json::json;

use super::scene::{PATIENCE, report, settle, start};

/// Events of a step.
const EVENTS: usize = 20;

/// A host whose one subscription reads every shard, from the newest event on.
fn home(ground: &Ground) -> Result<Home> {
    let config = format!(
        "name = \"shards\"\nlisten = \"127.0.0.1:0\"\ndata_dir = \"data\"\nworkers = 2\n\
         [broker]\nkind = \"kafka\"\nbrokers = [\"{}\"]\n[storage]\nreserve = \"64MiB\"\n\
         [topics.defaults]\npartitions = 2\n[topics.shards-out]\n",
        ground.cluster().bootstrap()
    );
    let manifest = "[[subscription]]\nname = \"tally\"\ntopics = ['^shards-in-\\w+.*']\n\
        start = \"latest\"\nenvelope = \"json\"\n[subscription.fields]\nid = \"/id\"\n\
        [subscription.grants]\nemit = [\"shards-out\"]\nconfig = { to = \"shards-out\" }\n\
        state = true\ntimers = true\n";
    let home = Home::new(&binary("debug"), &config)?;
    home.put("tally.toml", manifest.as_bytes())?;
    home.put("tally.wasm", &guest("tally")?)?;
    Ok(home)
}

fn write(ground: &Ground, topic: &str, poison: bool) -> Result<()> {
    let event = |number: usize| Written {
        key: format!("k{number}"),
        payload: json!({ "id": format!("{topic}-{number}"), "poison": poison }).to_string(),
        partition: None,
    };
    ground.write(topic, &(0..EVENTS).map(event).collect::<Vec<_>>()).map(drop)
}

/// Waits until events of these topics were handled, each once, and finds no others.
fn handled(ground: &Ground, topics: &[&str]) -> Result<()> {
    let each = |topic: &&str| (0..EVENTS).map(|it| format!("{topic}-{it}")).collect::<Vec<_>>();
    let mut expected: Vec<String> = topics.iter().flat_map(each).collect();
    expected.sort_unstable();
    let mut found = Vec::new();
    let seen = wait::until(PATIENCE, || {
        let records = ground.read(&["shards-out"])?.remove("shards-out").context("a topic")?;
        let ids = records.iter().flatten().filter_map(|it| it.payload["id"].as_str());
        found = ids.map(str::to_owned).collect();
        Ok((found.len() >= expected.len()).then_some(()))
    })?;
    found.sort_unstable();
    ensure!(seen.is_some() && found == expected, "of {topics:?} were handled: {found:?}");
    Ok(())
}

fn error_of(client: &Client) -> Result<String> {
    let plugins = client.json("/api/v1/plugins")?;
    Ok(plugins["plugins"][0]["error"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn an_expression_finds_topics_that_come_later_and_reads_them_whole() -> Result<()> {
    let ground = Ground::shared()?;
    let home = home(&ground)?;
    let mut host = home.start(&[])?;
    let client = host.listens()?;
    let is_told = || Ok(error_of(&client).is_ok_and(|it| it.contains("E0120")).then_some(()));
    wait::until(PATIENCE, is_told)?.with_context(|| format!("no error: {}", host.tail()))?;
    ensure!(!client.is_ready(), "it is ready, and its plugin runs on nothing");

    // What is there when it first runs is read from its end.
    ground.make("shards-in-a", 2)?;
    write(&ground, "shards-in-a", false)?;
    let joined = || Ok(report(&client, "shards-tally").ok());
    wait::until(PATIENCE, joined)?.with_context(|| format!("no group: {}", host.tail()))?;
    settle(&client, "shards-tally")?;
    ensure!(error_of(&client)?.is_empty(), "{}", error_of(&client)?);

    // What comes later is read from its beginning, though nobody looks for seconds; what is not
    // meant is not.
    for topic in ["shards-in-b", "shards-in-c", "old-shards-in-a"] {
        ground.make(topic, 2)?;
        write(&ground, topic, false)?;
    }
    handled(&ground, &["shards-in-b", "shards-in-c"])?;

    // Its own dead letters are not read, though their topics match.
    write(&ground, "shards-in-a", true)?;
    let letters = "shards-in-a.tally.dlq";
    let dead = wait::until(PATIENCE, || {
        let records = ground.read(&[letters])?.remove(letters).unwrap_or_default();
        Ok((records.iter().flatten().count() == EVENTS).then_some(()))
    })?;
    dead.with_context(|| format!("dead letters are missing: {}", host.tail()))?;

    // Whether a topic came while it was away, or one went, it goes on.
    host.stop()?;
    ground.make("shards-in-d", 2)?;
    write(&ground, "shards-in-d", false)?;
    ground.cluster().delete_topic("shards-in-c")?;
    let (host, client) = start(&home)?;
    handled(&ground, &["shards-in-b", "shards-in-c", "shards-in-d"])?;
    ground.cluster().delete_topic("shards-in-d")?;
    write(&ground, "shards-in-b", true)?;
    let read = wait::until(PATIENCE, || {
        let report = report(&client, "shards-tally")?;
        let topics = report["members"][0]["partitions"].as_array().context("partitions")?;
        let names: Vec<_> = topics.iter().filter_map(|it| it["topic"].as_str()).collect();
        let are_two = names.iter().filter(|it| it.starts_with("shards-in-")).count() == 2;
        Ok(are_two.then(|| names.join(" ")))
    })?;
    let read = read.with_context(|| format!("the topic that is gone is read: {}", host.tail()))?;
    ensure!(!read.contains("dlq"), "{read}");
    host.stop()?;
    handled(&ground, &["shards-in-b", "shards-in-c", "shards-in-d"])
}

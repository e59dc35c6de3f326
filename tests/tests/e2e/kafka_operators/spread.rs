//! State whose keys are spread by `repartition`: its topics grow, its group is reset, and the
//! spread itself stays.

use anyhow::{Context, Result, ensure};
use gristmill_tests::support::component::guest;
use gristmill_tests::support::home::{Home, Process};
use gristmill_tests::support::wait;

use super::scene::{PATIENCE, Scene, gristmill, settle, start};

/// Gives the manifest of `tally` a spread.
fn spread(home: &Home, partitions: u32) -> Result<()> {
    let text = std::fs::read_to_string(home.plugins().join("tally.toml"))?;
    let kept: Vec<&str> = text.lines().filter(|it| !it.starts_with("repartition")).collect();
    let line = format!("envelope = \"json\"\nrepartition = {partitions}");
    let text = kept.join("\n").replace("envelope = \"json\"", &line);
    home.put("tally.toml", text.as_bytes())
}

/// Every key counted its events from 1 on, whatever partition they came in.
fn counted(scene: &Scene, events: usize) -> Result<()> {
    let numbers = scene.numbers()?;
    for (key, numbers) in &numbers {
        let all: Vec<u64> = (1..=u64::try_from(numbers.len())?).collect();
        ensure!(*numbers == all, "key {key} counted {numbers:?}");
    }
    let found: usize = numbers.values().map(Vec::len).sum();
    ensure!(found == events, "{found} of {events} events");
    Ok(())
}

fn says(host: &Process, home: &Home, text: &str) -> Result<()> {
    let said = wait::until(PATIENCE, || {
        Ok(std::fs::read_to_string(home.log())?.contains(text).then_some(()))
    })?;
    said.with_context(|| format!("it does not say {text:?}:\n{}", host.tail()))
}

#[test]
fn topics_grow_under_state_that_is_spread_and_a_reset_handles_all_again() -> Result<()> {
    let scene = Scene::new("spread")?;
    let (home, group) = (scene.home()?, scene.group());
    let (host, client) = start(&home)?;
    scene.publish(&client, ("in", "a"), 27)?;
    settle(&client, &group)?;
    // Nobody declares this one: what it has is known when the plugin loads.
    scene.ground.make(&scene.topic("slim"), 2)?;
    let pair = std::fs::read_to_string(home.plugins().join("tally.toml"))?;
    let pair = pair.replace("\"tally\"", "\"pair\"").replace("spread-more", "spread-slim");
    home.put("pair.toml", pair.as_bytes())?;
    home.put("pair.wasm", &guest("tally")?)?;
    says(&host, &home, "[E0123]")?;
    std::fs::remove_file(home.plugins().join("pair.toml"))?;
    std::fs::remove_file(home.plugins().join("pair.wasm"))?;
    // Where state lies in four partitions already, it is spread over four.
    spread(&home, 5)?;
    says(&host, &home, "[E0469] `repartition = 5`")?;
    spread(&home, 4)?;
    let topics = |line: &str| gristmill(&home, &format!("topics {line} --url {}", client.url()));
    let grown = wait::until(PATIENCE, || {
        let grown = topics("grow spread-in --partitions 7")?;
        Ok((grown.code == Some(0)).then_some(()))
    })?;
    grown.context("it does not grow")?;
    scene.publish(&client, ("in", "b"), 54)?;
    scene.publish(&client, ("more", "c"), 18)?;
    settle(&client, &group)?;
    counted(&scene, 99)?;
    host.stop()?;

    let reset = |options: &str| gristmill(&home, &format!("groups reset {group} {options}"));
    reset("--topic spread-in --to-earliest --keep-state --yes")?.refused(1, "E0434")?;
    let planned = reset("--to-earliest --dry-run --json")?.json()?;
    ensure!(planned["repartition"] == "__repartition.spread.tally", "{planned}");
    ensure!(planned["offsets"].as_array().map(Vec::len) == Some(11), "{planned}");
    reset("--to-earliest --keep-state --yes")?.done()?;
    let config = home.path().join("gristmill.toml");
    let text = std::fs::read_to_string(&config)?;
    std::fs::write(
        &config,
        text.replace("[topics.spread-in]", "[topics.spread-in]\npartitions = 7"),
    )?;
    let (host, client) = start(&home)?;
    let seen = wait::until(PATIENCE, || {
        Ok((scene.records("out")?.iter().flatten().count() >= 198).then_some(()))
    })?;
    seen.with_context(|| format!("not all again:\n{}", host.tail()))?;
    settle(&client, &group)?;
    scene.all_times(2, 99)?;
    counted(&scene, 198)?;
    // Its topics have another number of partitions than its keys: it cannot do without.
    let path = home.plugins().join("tally.toml");
    let spread = std::fs::read_to_string(&path)?;
    home.put("tally.toml", spread.replace("repartition = 4\n", "").as_bytes())?;
    says(&host, &home, "without `repartition`, over topics of 7")?;
    scene.publish(&client, ("in", "d"), 9)?;
    settle(&client, &group)?;
    counted(&scene, 207)?;
    host.stop()
}

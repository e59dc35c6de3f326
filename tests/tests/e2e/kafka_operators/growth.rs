//! Topics that grow: what reads them goes on, unless state hangs on their keys.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use gristmill_tests::support::client::Client;
use gristmill_tests::support::component::guest;
use gristmill_tests::support::home::Process;
use gristmill_tests::support::kafka::witness::Ground;
use gristmill_tests::support::wait;
use serde_json::json;

use super::scene::{PATIENCE, Scene, gristmill, settle, start};

const ECHO: &str = "[[subscription]]\nname = \"echo\"\ntopics = [\"grown-jobs\"]\n\
    [subscription.grants]\nemit = [\"grown-answers\", \"answers\"]\n";
/// Emits one event, beside the plugin's own answer to `answers`.
const JOB: &str = "emit grown-answers 3";

fn publish(client: &Client, count: u32) -> Result<()> {
    for number in 0..count {
        client.send_text(&format!("/topics/grown-jobs?key=k{number}"), JOB)?;
    }
    Ok(())
}

/// Waits for so many answers, and finds no more.
fn answered((scene, host): (&Scene, &Process), expected: usize) -> Result<()> {
    let mut found = 0;
    let seen = wait::until(PATIENCE, || {
        found = scene.records("answers")?.iter().flatten().count();
        Ok((found >= expected).then_some(()))
    })?;
    seen.with_context(|| format!("{found} of {expected} answers:\n{}", host.tail()))?;
    ensure!(found == expected, "{found} of {expected} answers");
    Ok(())
}

#[test]
fn a_topic_grows_unless_state_hangs_on_its_keys() -> Result<()> {
    // The plugin publishes to `answers`, as other tests' does.
    let scene = Scene::on(Arc::new(Ground::start()?), "grown");
    let home = scene.home()?;
    let (host, client) = start(&home)?;
    let topics = |line: &str| gristmill(&home, &format!("topics {line} --url {}", client.url()));
    let has = |topic: &str, partitions: u32| -> Result<bool> {
        let described = scene.ground.cluster().describe_topic(topic)?;
        Ok(described.contains(&format!("PartitionCount: {partitions}")))
    };
    topics("create grown-jobs --partitions 2")?.done()?;
    topics("create grown-answers --partitions 1")?.done()?;
    topics("create answers --partitions 1")?.done()?;
    home.put("echo.toml", ECHO.as_bytes())?;
    home.put("echo.wasm", &guest("puppet")?)?;
    publish(&client, 8)?;
    answered((&scene, &host), 8)?;

    let refused = topics("grow grown-in --partitions 8")?;
    refused.refused(1, "E0429")?;
    assert!(refused.err.contains("E0466"), "{refused:?}");
    assert!(has("grown-in", 4)?);
    topics("grow grown-jobs --partitions 1")?.refused(1, "E0415")?;
    topics("grow grown-nothing --partitions 4")?.refused(1, "E0414")?;

    for _again in 0..2 {
        let grown = topics("grow grown-jobs --partitions 5")?;
        assert_eq!(grown.done()?, "topic grown-jobs has 5 partitions\n");
    }
    assert!(has("grown-jobs", 5)?);
    publish(&client, 40)?;
    answered((&scene, &host), 48)?;
    let filled = client.ends("grown-jobs")?;
    ensure!(filled.len() == 5 && filled.iter().all(|end| *end > 0), "{filled:?}");
    let report = settle(&client, "grown-echo")?;
    let read = &report["members"][0]["partitions"][1];
    assert_eq!(read["partitions"], json!([0, 1, 2, 3, 4]), "{report}");
    assert!(has("__changelog.grown.echo", 5)? && has("__redrive.grown.echo", 5)?);

    let declared = topics("grow grown-out --partitions 6")?;
    assert_eq!(declared.done()?, "topic grown-out has 6 partitions\n");
    assert!(declared.err.contains("declares 4: write `partitions = 6`"), "{declared:?}");
    topics("grow grown-answers --partitions 3")?.done()?;
    publish(&client, 12)?;
    answered((&scene, &host), 60)?;
    host.stop()
}

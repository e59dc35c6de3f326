//! Groups that are reset: what comes of it is computed from what went in.

use anyhow::{Context, Result};
use gristmill_tests::support::client::Stored;
use serde_json::{Value, json};

use super::scene::{Scene, by_kafka, gristmill, settle, start};

#[test]
fn a_reset_group_processes_again_exactly_once() -> Result<()> {
    let scene = Scene::new("again")?;
    let (home, group) = (scene.home()?, scene.group());
    let (host, client) = start(&home)?;
    scene.publish(&client, ("in", "a"), 21)?;
    scene.publish(&client, ("more", "b"), 14)?;
    settle(&client, &group)?;
    scene.all_times(1, 35)?;

    let reset = |options: &str| gristmill(&home, &format!("groups reset {group} {options}"));
    let keeping = "--to-earliest --keep-state --yes";
    reset(keeping)?.refused(1, "E0611")?;
    let path = format!("/api/v1/groups/{group}/reset");
    let body = json!({ "to": "earliest", "state": "keep" });
    let refused = client.send(&path, &body).expect_err("the host is a member");
    let refused = format!("{refused:#}");
    assert!(refused.contains("409") && refused.contains("E0611"), "{refused}");
    let planned = client.send(&path, &json!({ "to": "earliest", "dry_run": true }))?;
    assert_eq!((&planned["dry_run"], &planned["members"]), (&json!(true), &json!(1)), "{planned}");

    host.stop()?;
    let undecided = reset("--to-earliest --yes")?;
    undecided.refused(2, "E0563")?;
    assert!(undecided.err.contains("keep or clear the state"), "{undecided:?}");
    assert!(undecided.err.contains("hint: give --keep-state or --clear-state"), "{undecided:?}");
    let planned = reset("--to-earliest --dry-run --json")?.json()?;
    assert_eq!(planned["offsets"].as_array().map(Vec::len), Some(8), "{planned}");
    let done = reset(keeping)?;
    let told = format!("group {group} is reset; the state of tally is kept\n");
    assert!(done.done()?.ends_with(&told), "{done:?}");
    for ((topic, _), [committed, ..]) in by_kafka(&scene)? {
        assert!(topic.starts_with("__") || committed == "0", "{topic} is at {committed}");
    }
    let (host, client) = start(&home)?;
    settle(&client, &group)?;
    scene.all_times(2, 35)?;
    for (key, numbers) in scene.numbers()? {
        let all: Vec<u64> = (1..=u64::try_from(numbers.len())?).collect();
        assert_eq!(numbers, all, "key {key} goes on counting");
    }
    host.stop()?;

    let done = reset("--to-earliest --clear-state --yes --json")?.json()?;
    assert_eq!((&done["state"], &done["dry_run"]), (&json!("clear"), &json!(false)), "{done}");
    assert!(scene.ground.cluster().describe_topic("__changelog.again.tally").is_err());
    let (_host, client) = start(&home)?;
    settle(&client, &group)?;
    scene.all_times(3, 35)?;
    for (key, numbers) in scene.numbers()? {
        let third = u64::try_from(numbers.len())? / 3;
        let mut all: Vec<u64> = (1..=2 * third).chain(1..=third).collect();
        all.sort_unstable();
        assert_eq!(numbers, all, "key {key} begins to count anew");
    }
    Ok(())
}

fn becomes(answer: &Value) -> Vec<u64> {
    let changes = answer["offsets"].as_array().cloned().unwrap_or_default();
    changes.iter().filter_map(|change| change["becomes"].as_u64()).collect()
}

#[test]
fn a_reset_goes_to_an_offset_a_time_and_to_one_partition() -> Result<()> {
    let scene = Scene::new("places")?;
    let (home, group) = (scene.home()?, scene.group());
    let (host, client) = start(&home)?;
    scene.publish(&client, ("in", "a"), 28)?;
    settle(&client, &group)?;
    host.stop()?;
    let records = scene.records("in")?;
    let count = |records: &Vec<Stored>| u64::try_from(records.len()).unwrap_or(u64::MAX);
    let counts: Vec<u64> = records.iter().map(count).collect();
    let longest = (0..4).max_by_key(|number| counts[*number]).context("partitions")?;
    let reset = |options: &str| {
        gristmill(&home, &format!("groups reset {group} --topic places-in {options} --json"))
    };

    let time = records[longest].last().context("a record")?.timestamp_ms;
    let planned = reset(&format!("--to-timestamp {time} --dry-run"))?.json()?;
    let earlier = |records: &Vec<Stored>| {
        count(&records.iter().filter(|it| it.timestamp_ms < time).cloned().collect())
    };
    assert_eq!(becomes(&planned), records.iter().map(earlier).collect::<Vec<_>>());
    let beyond = reset("--to-offset 999 --dry-run")?.json()?;
    assert_eq!(becomes(&beyond), counts, "no offset lies beyond the end");
    let part = reset("--to-earliest --clear-state --yes")?;
    assert_eq!(part.code, Some(2), "state is cleared as a whole: {part:?}");
    let refused = reset("--partition 4 --to-latest --keep-state --yes")?;
    assert!(refused.code == Some(1) && refused.out.contains("E0609"), "{refused:?}");
    let line = format!("groups reset {group} --topic nowhere --to-latest --keep-state --yes");
    gristmill(&home, &line)?.refused(1, "E0606")?;

    let moved = reset(&format!("--partition {longest} --to-offset 1 --keep-state --yes"))?;
    assert_eq!(becomes(&moved.json()?), [1]);
    let told = by_kafka(&scene)?;
    for (number, count) in (0_u32..).zip(&counts) {
        let is_moved = usize::try_from(number)? == longest;
        let expected = if is_moved { 1 } else { *count };
        let row = &told[&(scene.topic("in"), number)];
        assert_eq!(row[0], expected.to_string(), "partition {number}");
    }
    let (_host, client) = start(&home)?;
    settle(&client, &group)?;
    let times = scene.times()?;
    let twice = u64::try_from(times.values().filter(|times| **times == 2).count())?;
    assert_eq!(times.len(), 28);
    assert_eq!(twice, counts[longest] - 1, "from the second event of one partition: {times:?}");
    Ok(())
}

#[test]
fn a_reset_to_the_end_skips_what_was_not_processed() -> Result<()> {
    let scene = Scene::new("skips")?;
    let (home, group) = (scene.home()?, scene.group());
    let (host, client) = start(&home)?;
    scene.publish(&client, ("in", "before"), 9)?;
    settle(&client, &group)?;
    client.post("/api/v1/subscriptions/tally/pause")?;
    scene.publish(&client, ("in", "skipped"), 9)?;
    host.stop()?;
    let line = format!("groups reset {group} --to-latest --keep-state --yes");
    gristmill(&home, &line)?.done()?;
    let (_host, client) = start(&home)?;
    client.post("/api/v1/subscriptions/tally/resume")?;
    scene.publish(&client, ("in", "after"), 9)?;
    settle(&client, &group)?;
    scene.all_times(1, 18)?;
    assert!(scene.times()?.keys().all(|id| !id.starts_with("skipped")));
    Ok(())
}

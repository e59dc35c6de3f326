//! Groups as they are shown: by a host, by the command line through a host and without one, and
//! by Kafka's own tool.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use gristmill_tests::support::wait;
use serde_json::{Value, json};

use super::scene::{PATIENCE, Rows, Scene, by_kafka, gristmill, report, rows, settle, start};

/// Without who reads what: of a subscription's topics Kafka knows nobody.
fn offsets(rows: Rows) -> BTreeMap<(String, u32), [String; 3]> {
    let own = rows.into_iter().filter(|((topic, _), _)| !topic.starts_with("__changelog"));
    own.map(|(place, [committed, end, lag, _])| (place, [committed, end, lag])).collect()
}

fn of_list(listed: &Value, group: &str) -> Option<Value> {
    let groups = listed["groups"].as_array()?;
    groups.iter().find(|it| it["group"] == group).cloned()
}

#[test]
fn groups_are_shown_as_kafkas_own_tool_shows_them() -> Result<()> {
    let scene = Scene::new("shown")?;
    let (home, other, group) = (scene.home()?, scene.home()?, scene.group());
    let (host, client) = start(&home)?;
    scene.publish(&client, ("in", "first"), 21)?;
    settle(&client, &group)?;
    let (second, _) = start(&other)?;
    let shared = wait::until(PATIENCE, || {
        let report = report(&client, &group)?;
        let members = report["members"].as_array().map(Vec::as_slice).unwrap_or_default();
        let holds = |it: &Value| it["partitions"].as_array().is_some_and(|it| !it.is_empty());
        Ok((members.len() == 2 && members.iter().all(holds)).then_some(()))
    })?;
    shared.context("the second host does not become a member")?;
    let report = settle(&client, &group)?;
    assert_eq!(report["subscription"], "tally");
    let told = by_kafka(&scene)?;
    assert_eq!(offsets(rows(&report)?), offsets(told.clone()));
    owners(&report, &told)?;

    second.stop()?;
    client.post("/api/v1/subscriptions/tally/pause")?;
    let alone = wait::until(PATIENCE, || {
        let group = of_list(&client.json("/api/v1/groups")?, &group).context("the group")?;
        Ok((group["members"] == 1 && group["state"] == "Stable").then_some(()))
    })?;
    alone.context("the second host does not leave")?;
    scene.publish(&client, ("more", "second"), 10)?;
    let expected = json!({
        "group": group, "subscription": "tally", "state": "Stable", "members": 1, "lag": 10,
    });
    let by_host = client.json("/api/v1/groups")?;
    assert_eq!(of_list(&by_host, &group), Some(expected.clone()));
    let by_way_of_host = gristmill(&home, "groups list --json")?.json()?;
    assert_eq!(of_list(&by_way_of_host, &group), Some(expected));
    host.stop()?;

    let report = gristmill(&home, &format!("groups describe {group} --json"))?.json()?;
    assert_eq!((&report["state"], &report["lag"]), (&json!("Empty"), &json!(10)), "{report}");
    assert_eq!(rows(&report)?, by_kafka(&scene)?);
    let shown = gristmill(&home, "groups list")?;
    let is_row = |line: &&str| line.starts_with(&group);
    let row = shown.done()?.lines().find(is_row).context("a row")?;
    let cells: Vec<_> = row.split_whitespace().collect();
    assert_eq!(cells, [group.as_str(), "tally", "Empty", "0", "10"]);
    gristmill(&home, "groups describe nobody")?.refused(1, "E0610")
}

/// Who holds a number of the changelog reads it of every topic.
fn owners(report: &Value, by_kafka: &Rows) -> Result<()> {
    let changelog = "__changelog.shown.tally".to_owned();
    let mut readers = BTreeSet::new();
    for ((topic, number), [.., member]) in rows(report)? {
        let holder = by_kafka.get(&(changelog.clone(), number)).map(|row| &row[3]);
        assert_eq!(Some(&member), holder, "{topic}/{number}");
        readers.insert(member);
    }
    ensure!(readers.len() == 2, "{readers:?}");
    for member in report["members"].as_array().context("members")? {
        assert_eq!(member["host"], "127.0.0.1");
        let topics: Vec<_> = member["partitions"].as_array().context("topics")?.iter().collect();
        let names: Vec<_> = topics.iter().map(|it| it["topic"].as_str()).collect();
        assert_eq!(names, [Some("__redrive.shown.tally"), Some("shown-in"), Some("shown-more")]);
        ensure!(topics.iter().all(|it| it["partitions"] == topics[0]["partitions"]), "{member}");
    }
    Ok(())
}

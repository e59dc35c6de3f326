//! Rebuilds: a state is made anew from its topics beside the running one and takes its place, on
//! the embedded store and on Kafka alike. What the state must be is computed from what was
//! published alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use gristmill_tests::support::client::Client;
use gristmill_tests::support::component::{binary, guest};
use gristmill_tests::support::home::{Home, Process};
use gristmill_tests::support::wait;
use serde_json::{Value, json};

use super::both::{Ground, embedded, on_both, settle, start};

/// Longest wait for anything.
pub(super) const PATIENCE: Duration = Duration::from_mins(2);
/// Where rebuilds are asked for.
pub(super) const PATH: &str = "/api/v1/subscriptions/tally/rebuild";
/// Keys that events have.
pub(super) const KEYS: u64 = 7;
/// Each key has so many events before anything is rebuilt.
pub(super) const ROUNDS: u64 = 20;
/// Topics of the stories.
pub(super) const TABLES: &str = "[topics.in]\npartitions = 2\n[topics.out]\npartitions = 2\n";

/// The manifest of `tally`, which counts by `step`. Events fail on purpose.
pub(super) fn manifest(step: u64) -> String {
    format!(
        "[[subscription]]\nname = \"tally\"\ntopics = [\"in\"]\nenvelope = \"json\"\n\
         breaker.enabled = false\n[subscription.fields]\nid = \"/id\"\n[subscription.grants]\n\
         emit = [\"out\"]\nstate = true\ntimers = true\n\
         config = {{ to = \"out\", step = \"{step}\" }}\n\
         [subscription.retry]\ninitial_interval = \"5ms\"\nmax_interval = \"20ms\"\n"
    )
}

pub(super) fn home(ground: &Ground, step: u64) -> Result<Home> {
    let home = Home::new(&binary("debug"), &ground.config)?;
    home.put("tally.toml", manifest(step).as_bytes())?;
    home.put("tally.wasm", &guest("tally")?)?;
    Ok(home)
}

/// What is published of a key in a round: some fail at first, or for long, some for good, and some
/// set a timer, which counts too.
pub(super) fn payload(round: u64, key: u64) -> Value {
    let number = round * KEYS + key;
    let mut payload = json!({ "id": format!("{key}-{round:05}") });
    match number % 10 {
        3 => payload["fails"] = json!(1),
        5 => payload["fails"] = json!(5),
        7 => payload["poison"] = json!(true),
        9 => payload["timer_ms"] = json!(20),
        _ => {}
    }
    payload
}

/// How often events of those rounds count, by key.
pub(super) fn counts(rounds: u64) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for round in 0..rounds {
        for key in 0..KEYS {
            let times = match (round * KEYS + key) % 10 {
                7 => 0,
                9 => 2,
                _ => 1,
            };
            *counts.entry(format!("k{key}")).or_default() += times;
        }
    }
    counts
}

pub(super) fn publish_round(client: &Client, round: u64) -> Result<()> {
    for key in 0..KEYS {
        client.send(&format!("/topics/in?key=k{key}"), &payload(round, key))?;
    }
    Ok(())
}

/// The events of a round as CloudEvents.
pub(super) fn batch(round: u64) -> Vec<String> {
    let event = |key: u64| {
        let (data, id) = (payload(round, key), format!("{key}-{round:05}"));
        json!({ "specversion": "1.0", "id": id, "source": "/test", "type": "counted",
            "partitionkey": format!("k{key}"), "data": data })
        .to_string()
    };
    (0..KEYS).map(event).collect()
}

/// The running state: the count of every key.
pub(super) fn state(client: &Client) -> Result<BTreeMap<String, u64>> {
    let mut state = BTreeMap::new();
    for key in 0..KEYS {
        let answer = client.json(&format!("/state/tally/k{key}"))?;
        let count = answer["values"][0]["value"].as_u64();
        state.insert(format!("k{key}"), count.with_context(|| format!("no count: {answer}"))?);
    }
    Ok(state)
}

/// The rebuild as it is told, once `is_wanted` of it.
fn follow(client: &Client, is_wanted: impl Fn(&Value) -> bool) -> Result<Value> {
    let report = wait::until(PATIENCE, || {
        let report = client.json(PATH)?;
        Ok(is_wanted(&report).then_some(report))
    })?;
    report.with_context(|| format!("it does not come to that: {:?}", client.json(PATH)))
}

/// Rebuilds to the end.
pub(super) fn rebuild(client: &Client, wanted: &Value) -> Result<Value> {
    client.send(PATH, wanted)?;
    let report = follow(client, |report| report["status"] != "running")?;
    ensure!(report["status"] == "done", "{report}");
    Ok(report)
}

/// A figure of what differs, over all partitions.
pub(super) fn differing(report: &Value, name: &str) -> u64 {
    let parts = report["partitions"].as_array().map(Vec::as_slice).unwrap_or_default();
    parts.iter().filter_map(|part| part["differs"][name].as_u64()).sum()
}

/// Every emission is there once: as many as count, and of as many ids.
pub(super) fn once(client: &Client, rounds: u64) -> Result<()> {
    let records = client.topic("out")?.concat();
    let ids: BTreeSet<_> = records.iter().filter_map(|it| it.header("ce_id")).collect();
    let about: BTreeSet<_> = records.iter().filter_map(|it| it.payload["id"].as_str()).collect();
    let all: u64 = counts(rounds).values().sum();
    let all = usize::try_from(all)?;
    ensure!(
        (records.len(), ids.len(), about.len()) == (all, all, all),
        "{} emissions of {} ids about {} and not {all}",
        records.len(),
        ids.len(),
        about.len()
    );
    Ok(())
}

/// Publishes the first rounds, and waits until all of them have counted.
pub(super) fn prepare(home: &Home, rounds: u64) -> Result<(Process, Client)> {
    let (host, client) = start(home)?;
    for round in 0..rounds {
        publish_round(&client, round)?;
    }
    settle(&client, &host)?;
    Ok((host, client))
}

#[test]
fn a_state_made_anew_is_the_running_one() -> Result<()> {
    on_both("equal", TABLES, |ground| {
        let (host, client) = prepare(&home(ground, 1)?, ROUNDS)?;
        ensure!(state(&client)? == counts(ROUNDS), "{:?}", state(&client));
        let ends = (client.ends("out")?, client.ends("in.tally.dlq")?);
        for is_dry in [true, false] {
            let report = rebuild(&client, &json!({ "dry_run": is_dry }))?;
            for name in ["keys", "added", "changed", "removed", "timers"] {
                ensure!(differing(&report, name) == 0, "{name} differ: {report}");
            }
            let failed = report["partitions"].as_array().into_iter().flatten();
            ensure!(failed.into_iter().all(|it| it["failed"] == json!({})), "{report}");
        }
        ensure!(state(&client)? == counts(ROUNDS), "{:?}", state(&client));
        ensure!(
            (client.ends("out")?, client.ends("in.tally.dlq")?) == ends,
            "it emitted something"
        );
        // It goes on counting from there.
        publish_round(&client, ROUNDS)?;
        settle(&client, &host)?;
        ensure!(state(&client)? == counts(ROUNDS + 1), "{:?}", state(&client));
        once(&client, ROUNDS + 1)?;
        host.stop()
    })
}

#[test]
fn a_spoilt_state_is_mended_while_events_go_on_coming() -> Result<()> {
    on_both("mended", TABLES, |ground| {
        let home = home(ground, 3)?;
        let (host, client) = prepare(&home, ROUNDS)?;
        let spoilt: BTreeMap<_, _> =
            counts(ROUNDS).into_iter().map(|(key, count)| (key, 3 * count)).collect();
        ensure!(state(&client)? == spoilt, "{:?}", state(&client));
        mend(&home, &client)?;
        let (is_over, round) = (AtomicBool::new(false), AtomicU64::new(ROUNDS));
        let report = thread::scope(|scope| -> Result<Value> {
            let publisher = scope.spawn(|| -> Result<()> {
                while !is_over.load(Ordering::Relaxed) {
                    publish_round(&client, round.fetch_add(1, Ordering::Relaxed))?;
                }
                Ok(())
            });
            let dry = rebuild(&client, &json!({ "dry_run": true }));
            let report = dry.and_then(|dry| {
                ensure!(differing(&dry, "changed") == KEYS, "{dry}");
                rebuild(&client, &json!({}))
            });
            is_over.store(true, Ordering::Relaxed);
            publisher.join().map_err(|_panic| anyhow!("the publisher panicked"))??;
            report
        })?;
        ensure!(differing(&report, "keys") == KEYS, "{report}");
        settle(&client, &host)?;
        let rounds = round.load(Ordering::Relaxed);
        ensure!(state(&client)? == counts(rounds), "{:?} of {rounds}", state(&client));
        once(&client, rounds)?;
        let report = rebuild(&client, &json!({ "dry_run": true }))?;
        ensure!(differing(&report, "keys") == 0, "{report}");
        host.stop()
    })
}

/// Drops in the version that counts right, and waits until it runs.
pub(super) fn mend(home: &Home, client: &Client) -> Result<()> {
    replace(home, client, &manifest(1))
}

/// Drops in a manifest, and waits until it is in use.
pub(super) fn replace(home: &Home, client: &Client, manifest: &str) -> Result<()> {
    let digest = |client: &Client| -> Result<Value> {
        let plugins = client.json("/api/v1/plugins")?;
        Ok(plugins["plugins"][0]["digest"].clone())
    };
    let before = digest(client)?;
    home.put("tally.toml", manifest.as_bytes())?;
    let changed = wait::until(PATIENCE, || Ok((digest(client)? != before).then_some(())))?;
    changed.context("the new version does not come")
}

/// Events per second of a rebuild that is met on its way.
const SLOWLY: u64 = 20;

#[test]
fn a_host_killed_in_a_rebuild_has_its_state_as_it_was() -> Result<()> {
    on_both("killed-early", TABLES, |ground| {
        let home = home(ground, 3)?;
        let (mut host, client) = prepare(&home, ROUNDS)?;
        mend(&home, &client)?;
        let before = state(&client)?;
        client.send(PATH, &json!({ "rate": SLOWLY }))?;
        kill_at(&mut host, &client, "replaying")?;
        let (host, client) = start(&home)?;
        settle(&client, &host)?;
        ensure!(state(&client)? == before, "{:?} and not {before:?}", state(&client));
        rebuild(&client, &json!({}))?;
        ensure!(state(&client)? == counts(ROUNDS), "{:?}", state(&client));
        once(&client, ROUNDS)?;
        host.stop()
    })
}

#[test]
fn a_host_killed_in_a_switch_has_one_state_or_the_other() -> Result<()> {
    on_both("killed-late", TABLES, |ground| {
        let home = home(ground, 3)?;
        let (mut host, client) = prepare(&home, ROUNDS)?;
        mend(&home, &client)?;
        client.send(PATH, &json!({ "rate": SLOWLY }))?;
        // What comes meanwhile is replayed while the partition is held: it is met there.
        let rounds = ROUNDS + 15;
        let events: Vec<String> = (ROUNDS..rounds).flat_map(batch).collect();
        client.publish("in", &format!("[{}]", events.join(",")))?;
        kill_at(&mut host, &client, "held")?;
        let (host, client) = start(&home)?;
        settle(&client, &host)?;
        let (now, first, new) = (state(&client)?, counts(ROUNDS), counts(rounds));
        for (key, count) in &now {
            // The right version went on counting from what the wrong one had left.
            let old = 3 * first[key] + new[key] - first[key];
            ensure!(*count == old || *count == new[key], "{key} is {count}, not {old}: {new:?}");
        }
        rebuild(&client, &json!({}))?;
        ensure!(state(&client)? == new, "{:?} and not {new:?}", state(&client));
        once(&client, rounds)?;
        host.stop()
    })
}

/// Kills the host when a partition of its rebuild is at that step.
fn kill_at(host: &mut Process, client: &Client, step: &str) -> Result<()> {
    let report = follow(client, |report| {
        let parts = report["partitions"].as_array().into_iter().flatten();
        let is_met = |part: &Value| part["step"] == step && part["events"].as_u64() > Some(3);
        parts.into_iter().any(is_met) || report["status"] != "running"
    })?;
    host.kill()?;
    ensure!(report["status"] == "running", "it was not met: {report}");
    Ok(())
}

#[test]
fn a_rebuild_is_cancelled_and_refused_where_it_cannot_be_right() -> Result<()> {
    let tables = format!("{TABLES}[topics.other]\npartitions = 1\nretention = \"1s\"\n");
    let ground = embedded("refused", &tables);
    let home = home(&ground, 3)?;
    let manifest = manifest(1);
    let other = |name: &str, topic: &str, lines: &str| {
        let text = manifest.replace("\"tally\"", &format!("\"{name}\""));
        text.replace("topics = [\"in\"]", &format!("topics = [\"{topic}\"]\n{lines}"))
    };
    for (file, text) in [
        ("spread", other("spread", "in", "repartition = 4")),
        ("forgetful", other("forgetful", "other", "")),
        ("stateless", other("stateless", "in", "").replace("state = true\ntimers = true\n", "")),
    ] {
        home.put(&format!("{file}.toml"), text.as_bytes())?;
        home.put(&format!("{file}.wasm"), &guest("tally")?)?;
    }
    let (host, client) = prepare(&home, 2)?;
    let json = [("content-type", "application/json")];
    let ask = |name: &str, wanted: &Value| {
        let path = format!("/api/v1/subscriptions/{name}/rebuild");
        client.ask(&path, &json, &wanted.to_string())
    };
    for (name, wanted, expected) in [
        ("spread", json!({}), "409 E0518"),
        ("stateless", json!({}), "409 E0518"),
        ("nobody", json!({}), "404 E0420"),
        ("tally", json!({ "rate": 0 }), "400 E0415"),
        ("tally", json!({ "rate": 100_001 }), "400 E0415"),
    ] {
        let answer = ask(name, &wanted)?;
        ensure!(answer.failure() == expected, "{name} {wanted}: {answer:?}");
    }
    let before = state(&client)?;
    ensure!(ask("tally", &json!({ "rate": 1 }))?.status == 202, "it does not begin");
    let answer = ask("tally", &json!({}))?;
    ensure!(answer.failure() == "409 E0515", "{answer:?}");
    client.delete(PATH)?;
    let report = client.json(PATH)?;
    ensure!(report["status"] == "cancelled", "{report}");
    ensure!(state(&client)? == before, "{:?} and not {before:?}", state(&client));
    forgotten(&client)?;
    host.stop()
}

/// What retention removed cannot be made of what is left, unless that is said.
fn forgotten(client: &Client) -> Result<()> {
    let gone = wait::until(PATIENCE, || {
        // Only what was filled is removed as a whole: so the topic goes on being written.
        client.send("/topics/other?key=k", &json!({ "id": "late" }))?;
        let topic = client.json("/api/v1/topics/other")?;
        Ok((topic["partitions"][0]["start_offset"].as_u64() > Some(0)).then_some(()))
    })?;
    gone.context("nothing was removed")?;
    let path = "/api/v1/subscriptions/forgetful/rebuild";
    for (from, status, code) in
        [("earliest", "failed", json!("E0500")), ("earliest_held", "done", Value::Null)]
    {
        client.send(path, &json!({ "from": from, "dry_run": true }))?;
        let report = wait::until(PATIENCE, || {
            let report = client.json(path)?;
            Ok((report["status"] != "running").then_some(report))
        })?;
        let report = report.context("it does not end")?;
        let told = (&report["status"], &report["error"]["code"]);
        ensure!(told == (&json!(status), &code), "{from}: {report}");
    }
    Ok(())
}

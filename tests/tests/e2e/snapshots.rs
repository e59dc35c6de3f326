//! Snapshots: what a subscription keeps is copied while it runs, and its state is rebuilt from the
//! copy, on the embedded store and on Kafka alike. What the state must be is computed from what was
//! published alone.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use anyhow::{Context, Result, anyhow, ensure};
use gristmill_engine::PartitionId;
use gristmill_store::{Scope, Store};
use gristmill_tests::support::client::{Client, Subscription};
use gristmill_tests::support::component::{binary, guest};
use gristmill_tests::support::home::{Home, Process};
use gristmill_tests::support::wait;
use serde_json::{Value, json};

use super::both::{Ground, embedded, on_both, settle, start};
use super::rebuild::{
    KEYS, PATH, PATIENCE, ROUNDS, TABLES, batch, counts, differing, home, manifest, mend, once,
    prepare, publish_round, rebuild, replace, state,
};

const SNAPSHOTS: &str = "/api/v1/subscriptions/tally/snapshots";

fn take(client: &Client, name: &str) -> Result<Value> {
    client.send(SNAPSHOTS, &json!({ "name": name })).context("take a snapshot")
}

/// Names of the snapshots there are, the oldest first.
fn names(client: &Client) -> Result<Vec<String>> {
    let answer = client.json(SNAPSHOTS)?;
    let all = answer["snapshots"].as_array().map(Vec::as_slice).unwrap_or_default();
    Ok(all.iter().filter_map(|it| it["name"].as_str().map(str::to_owned)).collect())
}

fn folder(home: &Home) -> PathBuf {
    home.path().join("data/snapshots/tally")
}

/// Events that a rebuild replayed.
fn replayed(report: &Value) -> u64 {
    let parts = report["partitions"].as_array().map(Vec::as_slice).unwrap_or_default();
    parts.iter().filter_map(|part| part["events"].as_u64()).sum()
}

/// A rebuild from that snapshot finds nothing that differs from the running state.
fn ensure_equal(client: &Client, name: &str) -> Result<Value> {
    let report = rebuild(client, &json!({ "from_snapshot": name, "dry_run": true }))?;
    let differ = (differing(&report, "keys"), differing(&report, "timers"));
    ensure!(differ == (0, 0), "from {name}: {report}");
    Ok(report)
}

/// Publishes rounds from the first one on, while `story` is told.
fn while_busy(client: &Client, story: impl FnOnce(&AtomicU64) -> Result<()>) -> Result<u64> {
    let (is_over, round) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| -> Result<()> {
        let publisher = scope.spawn(|| -> Result<()> {
            while !is_over.load(Ordering::Relaxed) {
                publish_round(client, round.load(Ordering::Relaxed))?;
                round.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        });
        let told = story(&round);
        is_over.store(true, Ordering::Relaxed);
        publisher.join().map_err(|_panic| anyhow!("the publisher panicked"))??;
        told
    })?;
    Ok(round.load(Ordering::Relaxed))
}

/// Waits until so many rounds more were published.
fn pass(round: &AtomicU64, more: u64) -> Result<()> {
    let until = round.load(Ordering::Relaxed) + more;
    let come =
        wait::until(PATIENCE, || Ok((round.load(Ordering::Relaxed) >= until).then_some(())))?;
    come.context("events are not published")
}

/// Waits until so many rounds are handled: those of a busy host lag behind what is published.
fn handle(client: &Client, rounds: u64) -> Result<()> {
    let wanted: u64 = counts(rounds).values().sum();
    // A key of which nothing is kept yet is not there.
    let sum = || state(client).map_or(0, |state| state.values().sum::<u64>());
    let handled = wait::until(PATIENCE, || Ok((sum() >= wanted).then_some(())))?;
    handled.with_context(|| format!("{wanted} are not handled: {:?}", state(client)))
}

#[test]
fn a_state_spoilt_after_a_snapshot_is_rebuilt_from_it() -> Result<()> {
    on_both("spoilt-later", TABLES, |ground| {
        let home = home(ground, 1)?;
        let (host, client) = start(&home)?;
        let rounds = while_busy(&client, |round| {
            pass(round, ROUNDS)?;
            handle(&client, ROUNDS / 2)?;
            let taken = take(&client, "busy")?;
            ensure!(taken["values"].as_u64() == Some(KEYS), "{taken}");
            pass(round, 3)?;
            replace(&home, &client, &manifest(3))?;
            pass(round, 5)?;
            mend(&home, &client)?;
            pass(round, 3)
        })?;
        settle(&client, &host)?;
        ensure!(state(&client)? != counts(rounds), "it was not spoilt");
        let report = rebuild(&client, &json!({ "from_snapshot": "busy" }))?;
        ensure!(differing(&report, "keys") > 0, "{report}");
        // What the snapshot has is not replayed.
        let (most, events) = ((rounds - ROUNDS / 2) * KEYS, replayed(&report));
        ensure!(events > 0 && events < most, "{events} of less than {most}: {report}");
        ensure!(state(&client)? == counts(rounds), "{:?} of {rounds}", state(&client));
        once(&client, rounds)?;
        let report = rebuild(&client, &json!({ "dry_run": true }))?;
        ensure!(differing(&report, "keys") == 0, "from the beginning: {report}");
        host.stop()
    })
}

/// A manifest under which an event that failed is parked for as long as a snapshot takes.
fn patient() -> String {
    let retry = "inline_attempts = 1\ninitial_interval = \"4s\"\nmax_interval = \"4s\"\n";
    let text = manifest(1);
    let (front, _) = text.split_once("initial_interval").unwrap_or_default();
    format!("{front}{retry}")
}

/// The subscription, once it is like that.
fn until_it(client: &Client, is: impl Fn(&Subscription) -> bool) -> Result<Subscription> {
    let seen = wait::until(PATIENCE, || Ok(client.subscriptions()?.into_iter().find(&is)))?;
    seen.with_context(|| format!("it does not come to that: {:?}", client.subscriptions()))
}

#[test]
fn what_was_parked_or_had_a_timer_at_a_snapshot_counts_once() -> Result<()> {
    on_both("parked", TABLES, |ground| {
        let home = home(ground, 1)?;
        home.put("tally.toml", patient().as_bytes())?;
        let (host, client) = start(&home)?;
        let mut expected = BTreeMap::new();
        for key in 0..KEYS {
            let (path, id) = (format!("/topics/in?key=k{key}"), |n: u64| format!("{key}-{n}"));
            client.send(&path, &json!({ "id": id(0) }))?;
            client.send(&path, &json!({ "id": id(1), "timer_ms": 8_000 }))?;
            // On even keys one fails, and what comes after it waits behind it.
            client.send(&path, &json!({ "id": id(2), "fails": u64::from(key % 2 == 0) }))?;
            client.send(&path, &json!({ "id": id(3) }))?;
            expected.insert(format!("k{key}"), 6);
        }
        until_it(&client, |it| {
            let is_durable = it.outcomes_uncommitted == 0 && it.events_in_flight == 0;
            is_durable && it.parked_events == 8 && it.timers_pending == KEYS
        })?;
        let taken = take(&client, "parked")?;
        ensure!(taken["parked"] == 8 && taken["timers"] == KEYS, "{taken}");
        for key in 0..KEYS {
            let path = format!("/topics/in?key=k{key}");
            client.send(&path, &json!({ "id": format!("{key}-4") }))?;
            // It was handled before the snapshot: once more is a duplicate.
            client.send(&path, &json!({ "id": format!("{key}-0") }))?;
        }
        settle(&client, &host)?;
        ensure!(state(&client)? == expected, "{:?}", state(&client));
        ensure_equal(&client, "parked")?;
        host.stop()
    })
}

#[test]
fn a_dead_letter_from_before_a_snapshot_counts_when_it_is_redriven_after() -> Result<()> {
    on_both("died-before", TABLES, |ground| {
        let home = home(ground, 1)?;
        let unguarded = manifest(1) + "[subscription.dead_letter_guard]\nenabled = false\n";
        // Whatever fails five times dies.
        let brief = unguarded.replace("retry]\n", "retry]\nmax_attempts = 2\n");
        home.put("tally.toml", brief.as_bytes())?;
        let (host, client) = prepare(&home, ROUNDS)?;
        take(&client, "dead")?;
        client.send("/api/v1/dlq/tally/redrive", &json!({}))?;
        settle(&client, &host)?;
        take(&client, "dead-twice")?;
        ensure!(state(&client)? != counts(ROUNDS), "nothing died");
        replace(&home, &client, &unguarded)?;
        client.send("/api/v1/dlq/tally/redrive", &json!({}))?;
        publish_round(&client, ROUNDS)?;
        settle(&client, &host)?;
        ensure!(state(&client)? == counts(ROUNDS + 1), "{:?}", state(&client));
        // Once more, from one that has the redrive behind it: what died for good dies again.
        take(&client, "redriven")?;
        client.send("/api/v1/dlq/tally/redrive", &json!({}))?;
        publish_round(&client, ROUNDS + 1)?;
        settle(&client, &host)?;
        ensure!(state(&client)? == counts(ROUNDS + 2), "{:?}", state(&client));
        for name in ["dead", "dead-twice", "redriven"] {
            ensure_equal(&client, name)?;
        }
        host.stop()
    })
}

#[test]
fn a_snapshot_outlives_a_host_that_is_killed_at_work() -> Result<()> {
    on_both("killed-after", TABLES, |ground| {
        let home = home(ground, 1)?;
        let (mut host, client) = prepare(&home, ROUNDS)?;
        take(&client, "before")?;
        let rounds = ROUNDS + 15;
        let events: Vec<String> = (ROUNDS..rounds).flat_map(batch).collect();
        client.publish("in", &format!("[{}]", events.join(",")))?;
        host.kill()?;
        let (host, client) = start(&home)?;
        settle(&client, &host)?;
        ensure!(names(&client)? == ["before"], "{:?}", names(&client));
        ensure!(state(&client)? == counts(rounds), "{:?}", state(&client));
        ensure_equal(&client, "before")?;
        rebuild(&client, &json!({ "from_snapshot": "before" }))?;
        publish_round(&client, rounds)?;
        settle(&client, &host)?;
        ensure!(state(&client)? == counts(rounds + 1), "{:?}", state(&client));
        once(&client, rounds + 1)?;
        host.stop()
    })
}

/// Snapshots that are begun until a host is killed in the middle of one.
const TRIES: u32 = 20;

#[test]
fn a_host_killed_while_it_takes_a_snapshot_leaves_all_of_it_or_nothing() -> Result<()> {
    let ground = embedded("killed-within", TABLES);
    let home = home(&ground, 1)?;
    let (mut host, mut client) = prepare(&home, ROUNDS)?;
    let mut is_met = false;
    for number in 0..TRIES {
        let name = format!("n{number}");
        is_met = kill_within(&home, &mut host, &client, &name)?;
        let halves = inside(&folder(&home))?.iter().any(|it| it.contains('.'));
        (host, client) = start(&home)?;
        settle(&client, &host)?;
        let left = inside(&folder(&home))?;
        ensure!(left.iter().all(|it| !it.contains('.')), "something was left: {left:?}");
        if names(&client)?.contains(&name) {
            ensure_equal(&client, &name)?;
        }
        is_met &= halves;
        if is_met {
            break;
        }
    }
    ensure!(is_met, "no snapshot was met half written");
    ensure!(state(&client)? == counts(ROUNDS), "{:?}", state(&client));
    host.stop()
}

/// Kills a host as soon as a snapshot is seen to be written.
fn kill_within(home: &Home, host: &mut Process, client: &Client, name: &str) -> Result<bool> {
    let (half, whole) = (folder(home).join(format!("{name}.coming")), folder(home).join(name));
    thread::scope(|scope| {
        // Its host dies before it answers, or has taken it.
        let taking = scope.spawn(|| take(client, name).is_ok());
        let seen = wait::until(PATIENCE, || Ok((half.exists() || whole.exists()).then_some(())))?;
        host.kill()?;
        let _has_answered = taking.join().map_err(|_panic| anyhow!("the taker panicked"))?;
        seen.context("it is not begun")?;
        Ok(half.exists())
    })
}

fn inside(folder: &Path) -> Result<Vec<String>> {
    let all = fs::read_dir(folder)?.map(|it| Ok(it?.file_name().to_string_lossy().into_owned()));
    all.collect()
}

#[test]
fn what_a_killed_rebuild_left_is_cleared_when_the_host_starts() -> Result<()> {
    let home = home(&embedded("left", TABLES), 1)?;
    let (mut host, client) = prepare(&home, ROUNDS)?;
    take(&client, "first")?;
    publish_round(&client, ROUNDS)?;
    settle(&client, &host)?;
    client.send(PATH, &json!({ "from_snapshot": "first", "rate": 1 }))?;
    let begun = wait::until(PATIENCE, || Ok((replayed(&client.json(PATH)?) > 0).then_some(())))?;
    host.kill()?;
    begun.context("it is not begun")?;
    ensure!(left(&home)? > 0, "nothing was left");
    let (host, _) = start(&home)?;
    host.stop()?;
    ensure!(left(&home)? == 0, "something is left");
    Ok(())
}

/// Values that a rebuild has in the store of a host that does not run.
fn left(home: &Home) -> Result<usize> {
    let store = Store::open(gristmill_store::Settings::new(home.path().join("data/store")))?;
    let subscription = store.subscription("rebuild/tally")?;
    let mut count = 0;
    for partition in [0, 1].map(PartitionId) {
        count += store.state_entries(Scope { subscription, partition }, None, 1_000)?.len();
    }
    Ok(count)
}

/// Bytes that a topic keeps in the next story, and that its large events have.
const KEPT: u64 = 1 << 20;
const LARGE: usize = 16 << 10;

#[test]
fn a_rebuild_from_a_snapshot_does_what_retention_has_made_impossible_without() -> Result<()> {
    let tables = "[topics.in]\npartitions = 1\nretention_bytes = \"1MiB\"\n\
                  [topics.out]\npartitions = 1\n";
    on_both("trimmed", tables, |ground| {
        let home = home(ground, 1)?;
        let (host, client) = prepare(&home, ROUNDS)?;
        let mut large = 0;
        while large < 16 {
            publish_large(&client, &mut large)?;
        }
        settle(&client, &host)?;
        take(&client, "kept")?;
        trim(ground, &client, &mut large)?;
        settle(&client, &host)?;
        client.send(PATH, &json!({}))?;
        let error = ended(&client)?["error"].clone();
        let hint = error["hint"].as_str().unwrap_or_default();
        ensure!(error["code"] == "E0500" && hint.contains("--from-snapshot"), "{error}");
        replace(&home, &client, &manifest(3))?;
        publish_round(&client, ROUNDS)?;
        settle(&client, &host)?;
        mend(&home, &client)?;
        let report = rebuild(&client, &json!({ "from_snapshot": "kept" }))?;
        ensure!(differing(&report, "keys") > 0, "{report}");
        let mut expected = counts(ROUNDS + 1);
        *expected.entry("k0".to_owned()).or_default() += large;
        ensure!(state(&client)? == expected, "{:?} and not {expected:?}", state(&client));
        host.stop()
    })
}

fn publish_large(client: &Client, number: &mut u64) -> Result<()> {
    let payload = json!({ "id": format!("large-{number}"), "pad": "x".repeat(LARGE) });
    client.send("/topics/in?key=k0", &payload)?;
    *number += 1;
    Ok(())
}

/// Has the topic lose its first events, and none that came after the snapshot.
fn trim(ground: &Ground, client: &Client, large: &mut u64) -> Result<()> {
    let topic = || client.json("/api/v1/topics/in");
    match &ground.cluster {
        Some(cluster) => cluster.trim("in", 0, ROUNDS * KEYS / 2)?,
        // A sixteenth of what is kept is removed at once: more than the first rounds, and less than
        // what came before the snapshot.
        None => {
            while topic()?["bytes"].as_u64() < Some(KEPT + KEPT / 16) {
                publish_large(client, large)?;
            }
        }
    }
    let trimmed = wait::until(PATIENCE, || {
        Ok(topic()?["partitions"][0]["start_offset"].as_u64().filter(|start| *start > 0))
    })?;
    let start = trimmed.context("nothing was removed")?;
    ensure!(start <= ROUNDS * KEYS + 16, "more was removed than is meant: {start}");
    Ok(())
}

/// The rebuild that was begun, when it has ended.
fn ended(client: &Client) -> Result<Value> {
    let report = wait::until(PATIENCE, || {
        let report = client.json(PATH)?;
        Ok((report["status"] != "running").then_some(report))
    })?;
    report.context("it does not end")
}

#[test]
fn a_snapshot_that_is_damaged_or_of_something_else_is_refused() -> Result<()> {
    let ground = embedded("unfit", TABLES);
    let home = home(&ground, 1)?;
    let text = manifest(1).replace("\"tally\"", "\"other\"");
    home.put("other.toml", text.as_bytes())?;
    home.put("other.wasm", &guest("tally")?)?;
    let (host, client) = prepare(&home, 2)?;
    let before = state(&client)?;
    take(&client, "good")?;
    let good = folder(&home).join("good");
    for name in ["torn", "rotten", "headless", "part"] {
        copy(&good, &folder(&home).join(name))?;
    }
    copy(&good, &home.path().join("data/snapshots/other/good"))?;
    change(&folder(&home).join("torn/1.snapshot"), |bytes| bytes.truncate(bytes.len() - 1))?;
    change(&folder(&home).join("rotten/1.snapshot"), |bytes| {
        let at = bytes.len() - 40;
        bytes[at] ^= 1;
    })?;
    change(&folder(&home).join("headless/0.snapshot"), |bytes| bytes[20] ^= 1)?;
    fs::remove_file(folder(&home).join("part/1.snapshot"))?;
    elsewhere(&folder(&home).join("foreign"))?;
    for (name, expected) in [
        ("headless", "409 E0218"),
        ("part", "409 E0532"),
        ("foreign", "409 E0531"),
        ("nothing", "404 E0420"),
        ("../tally/good", "404 E0420"),
    ] {
        let answer = ask(&client, PATH, &json!({ "from_snapshot": name }))?;
        ensure!(answer == expected, "{name}: {answer}");
    }
    let other = PATH.replace("tally", "other");
    let answer = ask(&client, &other, &json!({ "from_snapshot": "good" }))?;
    ensure!(answer == "409 E0531", "{answer}");
    for name in ["torn", "rotten"] {
        client.send(PATH, &json!({ "from_snapshot": name }))?;
        let report = ended(&client)?;
        ensure!(report["status"] == "failed" && report["error"]["code"] == "E0218", "{report}");
    }
    let told = client.json("/api/v1/snapshots")?;
    let broken = told["snapshots"].as_array().into_iter().flatten();
    let broken: Vec<_> = broken.filter(|it| !it["error"].is_null()).collect();
    ensure!(broken.len() == 1 && broken[0]["name"] == "headless", "{told}");
    ensure!(state(&client)? == before, "{:?} and not {before:?}", state(&client));
    ensure_equal(&client, "good")?;
    host.stop()
}

/// A snapshot of a subscription of this name on another host.
fn elsewhere(to: &Path) -> Result<()> {
    let home = home(&embedded("unfit", TABLES), 1)?;
    let (host, client) = prepare(&home, 1)?;
    take(&client, "there")?;
    copy(&folder(&home).join("there"), to)?;
    host.stop()
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for name in inside(from)? {
        fs::copy(from.join(&name), to.join(&name))?;
    }
    Ok(())
}

fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) -> Result<()> {
    let mut bytes = fs::read(path)?;
    change(&mut bytes);
    Ok(fs::write(path, bytes)?)
}

fn ask(client: &Client, path: &str, wanted: &Value) -> Result<String> {
    let json = [("content-type", "application/json")];
    Ok(client.ask(path, &json, &wanted.to_string())?.failure())
}

/// Snapshots that are kept in the next story.
const MOST: usize = 2;

#[test]
fn snapshots_are_taken_listed_and_deleted_and_no_more_kept_than_are_to_be() -> Result<()> {
    let ground = embedded("listed", TABLES);
    let config = ground.config.replace("[storage]\n", "[storage]\nsnapshots_max = 2\n");
    let home = home(&Ground { config, ..ground }, 1)?;
    let stateless = manifest(1).replace("\"tally\"", "\"stateless\"");
    let stateless = stateless.replace("state = true\ntimers = true\n", "");
    home.put("stateless.toml", stateless.as_bytes())?;
    home.put("stateless.wasm", &guest("tally")?)?;
    let (host, client) = prepare(&home, 2)?;
    for (path, wanted, expected) in [
        (SNAPSHOTS.replace("tally", "stateless"), json!({}), "409 E0518"),
        (SNAPSHOTS.replace("tally", "nobody"), json!({}), "404 E0420"),
        (SNAPSHOTS.to_owned(), json!({ "name": "a".repeat(65) }), "400 E0415"),
        (SNAPSHOTS.to_owned(), json!({ "name": "../a" }), "400 E0415"),
    ] {
        let answer = ask(&client, &path, &wanted)?;
        ensure!(answer == expected, "{wanted}: {answer}");
    }
    let said = run(&client, &["snapshot", "list", "tally"])?;
    ensure!(said.contains("there is no snapshot"), "{said}");
    let longest = "a".repeat(64);
    for name in [longest.as_str(), "b"] {
        let said = run(&client, &["snapshot", "take", "tally", "--name", name])?;
        ensure!(said.contains(&format!("snapshot {name} of tally")), "{said}");
        ensure!(!said.contains("deleted"), "{said}");
    }
    ensure!(names(&client)?.len() == MOST, "{:?}", names(&client));
    ensure!(ask(&client, SNAPSHOTS, &json!({ "name": "b" }))? == "409 E0530", "it is taken twice");
    // One more than are kept.
    let said = run(&client, &["snapshot", "take", "tally", "--name", "c"])?;
    ensure!(said.contains(&format!("snapshot {longest} was the oldest")), "{said}");
    ensure!(names(&client)? == ["b", "c"], "{:?}", names(&client));
    let metrics = client.get("/metrics")?;
    let shown =
        |name: &str| metrics.lines().any(|line| line.starts_with(name) && !line.ends_with(" 0"));
    for name in ["gristmill_snapshot_newest_timestamp_seconds{", "gristmill_snapshots_bytes{"] {
        ensure!(shown(name), "{name} is not shown: {metrics}");
    }
    let said = run(&client, &["snapshot", "list"])?;
    ensure!(said.contains("tally") && said.contains("KiB"), "{said}");
    let said = run(&client, &["rebuild", "tally", "--from-snapshot", "c", "--dry-run"])?;
    ensure!(said.contains("0 events, 0 keys differ"), "{said}");
    run(&client, &["snapshot", "delete", "tally", "c", "--yes"])?;
    ensure!(names(&client)? == ["b"], "{:?}", names(&client));
    ensure!(run(&client, &["snapshot", "delete", "tally", "c", "--yes"]).is_err(), "it was there");
    host.stop()
}

/// What a command prints.
fn run(client: &Client, arguments: &[&str]) -> Result<String> {
    let output =
        Command::new(binary("debug")).args(arguments).args(["--url", client.url()]).output()?;
    let complaints = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{arguments:?}: {complaints}");
    Ok(String::from_utf8(output.stdout)?)
}

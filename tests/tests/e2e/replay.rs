//! Replays: a range of a topic goes through a subscription once more, on the embedded store and on
//! Kafka alike. What must come out is computed from what was published alone.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use gristmill_tests::support::client::{Client, Stored};
use gristmill_tests::support::component::{binary, guest};
use gristmill_tests::support::home::Home;
use gristmill_tests::support::wait;
use serde_json::{Value, json};

use super::both::{Ground, embedded, on_both, settle, start};

const PATIENCE: Duration = Duration::from_mins(2);
const PATH: &str = "/api/v1/subscriptions/tally/replay";
const KEYS: u64 = 5;
const ROUNDS: u64 = 12;
const TABLES: &str = "[topics.in]\npartitions = 2\n[topics.out]\npartitions = 2\n";
/// Events fail on purpose: no breaker may stop them.
const MANIFEST: &str = r#"[[subscription]]
name = "tally"
topics = ["in"]
envelope = "json"
breaker.enabled = false
[subscription.fields]
id = "/id"
[subscription.grants]
emit = ["out"]
state = true
config = { to = "out" }
[subscription.retry]
initial_interval = "5ms"
max_interval = "20ms"
"#;

/// An event as it was published.
#[derive(Debug, Clone)]
struct Sent {
    key: String,
    id: String,
    is_poison: bool,
}

/// Everything there is to publish: some events fail at first, some for good.
fn events() -> Vec<Sent> {
    let event = |round: u64, key: u64| Sent {
        key: format!("k{key}"),
        id: format!("{key}-{round:03}"),
        is_poison: (round + key) % 7 == 3,
    };
    (0..ROUNDS).flat_map(|round| (0..KEYS).map(move |key| event(round, key))).collect()
}

fn publish(client: &Client, sent: &[Sent]) -> Result<()> {
    for (number, Sent { key, id, is_poison }) in sent.iter().enumerate() {
        let fails = if number % 11 == 5 { 2 } else { 0 };
        let payload = json!({ "id": id, "poison": is_poison, "fails": fails });
        client.send(&format!("/topics/in?key={key}"), &payload)?;
    }
    Ok(())
}

/// What comes out of each key: ids in their order, the first with number 1.
fn expected(sent: &[Sent]) -> BTreeMap<String, Vec<String>> {
    let mut expected: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for Sent { key, id, .. } in sent.iter().filter(|it| !it.is_poison) {
        expected.entry(key.clone()).or_default().push(id.clone());
    }
    expected
}

/// Everything that a replay must not change.
fn picture(client: &Client) -> Result<Value> {
    let ends = ["in", "out", "in.tally.dlq"].map(|topic| client.ends(topic));
    let ends: Result<Vec<_>> = ends.into_iter().collect();
    let mut state = Vec::new();
    for key in 0..KEYS {
        state.push(client.json(&format!("/state/tally/k{key}"))?);
    }
    Ok(json!({ "ends": ends?, "state": state }))
}

/// Begins a replay, and waits for its end. The report, and what its events did.
fn replay(client: &Client, wanted: &Value) -> Result<(Value, Vec<Value>)> {
    client.send(PATH, wanted)?;
    let mut shown = Vec::new();
    let report = wait::until(PATIENCE, || {
        let report = client.json(&format!("{PATH}?after={}", shown.len()))?;
        let page = report["shown"].as_array().cloned().unwrap_or_default();
        let is_over = page.is_empty() && report["status"] != "running";
        shown.extend(page);
        Ok(is_over.then_some(report))
    })?;
    Ok((report.context("a replay does not end")?, shown))
}

fn home(ground: &Ground) -> Result<Home> {
    let home = Home::new(&binary("debug"), &ground.config)?;
    home.put("tally.toml", MANIFEST.as_bytes())?;
    home.put("tally.wasm", &guest("tally")?)?;
    Ok(home)
}

/// What an emission is about: the key, the event's id and its number.
type About = (String, String, u64);

/// Ids of emissions with what they are about.
fn numbered(records: &[Stored]) -> Result<Vec<(String, About)>> {
    let of = |record: &Stored| {
        let id = record.header("ce_id").context("an id")?.to_owned();
        let event = record.payload["id"].as_str().context("the event's id")?.to_owned();
        let number = record.payload["number"].as_u64().context("a number")?;
        Ok((id, (record.key.clone().context("a key")?, event, number)))
    };
    records.iter().map(of).collect()
}

#[test]
fn a_suppressed_replay_tells_what_would_happen_and_changes_nothing() -> Result<()> {
    on_both("looking-back", TABLES, |ground| {
        let (host, client) = start(&home(ground)?)?;
        let sent = events();
        publish(&client, &sent)?;
        settle(&client, &host)?;
        let before = picture(&client)?;
        let wanted = json!({ "topic": "in", "show": true });
        let (report, shown) = replay(&client, &wanted)?;
        let poison = sent.iter().filter(|it| it.is_poison).count();
        let good = sent.len() - poison;
        let emitted = json!([{ "topic": "out", "type": "tally.numbered", "count": good }]);
        for (name, expected) in [
            ("status", json!("done")),
            ("events", json!(sent.len())),
            ("succeeded", json!(good)),
            ("failed", json!({ "rejected": poison })),
            ("emitted", emitted),
            ("applied", json!(0)),
            ("duplicates", json!(0)),
            ("unreplayable", json!(0)),
        ] {
            ensure!(report[name] == expected, "{name} is not {expected}: {report}");
        }
        check_shown(&client, &sent, &shown)?;
        // Upon the running state an event counts on from what there is.
        let (live, shown) =
            replay(&client, &json!({ "topic": "in", "show": true, "state": "live" }))?;
        ensure!(live["succeeded"] == json!(good), "{live}");
        let wanted = expected(&sent);
        for effect in shown.iter().filter(|it| it["outcome"] == "succeeded") {
            let key = effect["key"].as_str().context("a key")?;
            let number = effect["emitted"][0]["payload"]["number"].as_u64();
            let all = u64::try_from(wanted[key].len())?;
            ensure!(number > Some(all) && number <= Some(2 * all), "{effect} after {all}");
        }
        ensure!(picture(&client)? == before, "a replay changed something");
        host.stop()
    })
}

/// Every event was shown with the emission it had at first, id, number and all.
fn check_shown(client: &Client, sent: &[Sent], shown: &[Value]) -> Result<()> {
    ensure!(shown.len() == sent.len(), "{} of {} are shown", shown.len(), sent.len());
    let published: BTreeMap<_, _> = numbered(&client.topic("out")?.concat())?.into_iter().collect();
    let mut seen: BTreeMap<String, Vec<(u64, String)>> = BTreeMap::new();
    for effect in shown.iter().filter(|it| it["outcome"] == "succeeded") {
        let emission = &effect["emitted"][0];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let payload = &emission["payload"];
        let number = payload["number"].as_u64().context("a number")?;
        let about = (text(&emission["key"]), text(&payload["id"]), number);
        ensure!(published.get(&text(&emission["id"])) == Some(&about), "{effect}");
        ensure!(
            effect["state"]
                == json!([{ "name": "count", "value": number,
            "expires_ms": null }]),
            "{effect}"
        );
        seen.entry(about.0).or_default().push((number, about.1));
    }
    for (key, ids) in expected(sent) {
        let numbers = (1_u64..).zip(ids).collect::<Vec<_>>();
        ensure!(
            seen.get(&key) == Some(&numbers),
            "{key}: {:?} and not {numbers:?}",
            seen.get(&key)
        );
    }
    Ok(())
}

/// Offsets of a partition of `in`.
fn end_of(client: &Client, partition: usize) -> Result<u64> {
    client.ends("in")?.get(partition).copied().context("a partition")
}

#[test]
fn a_replay_that_is_applied_has_effects_once_more_with_the_same_ids() -> Result<()> {
    on_both("once-more", TABLES, |ground| {
        let (host, client) = start(&home(ground)?)?;
        let sent = events();
        publish(&client, &sent)?;
        settle(&client, &host)?;
        let first = numbered(&client.topic("out")?.concat())?;
        let letters: u64 = client.ends("in.tally.dlq")?.iter().sum();
        let records = client.topic("in")?;
        let chosen = &records[0];
        ensure!(chosen.len() > 12, "{} events in partition 0", chosen.len());
        // A part in the middle, by offset; the last is left out.
        let (from, to) = (chosen[3].offset, chosen[9].offset);
        let ids: BTreeSet<&str> =
            chosen[3..9].iter().filter_map(|it| it.payload["id"].as_str()).collect();
        let (code, said) = command(&client, &[from, to], &["--effects", "apply"])?;
        ensure!(
            code == Some(0) && said.contains("6 events are handled once more"),
            "{code:?} {said}"
        );
        let poison = sent.iter().filter(|it| it.is_poison && ids.contains(&*it.id)).count();
        let again = 6 - poison;
        let whole = first.len() + again;
        let all = wait::until(PATIENCE, || {
            Ok((client.topic("out")?.concat().len() >= whole).then_some(()))
        })?;
        all.with_context(|| format!("not {whole} effects\n{}", host.tail()))?;
        settle(&client, &host)?;
        let second = numbered(&client.topic("out")?.concat())?;
        ensure!(second.len() == whole, "{} effects and not {whole}", second.len());
        let known: BTreeMap<_, _> = first.iter().cloned().collect();
        ensure!(known.len() == first.len(), "an id came twice at first");
        let mut times: BTreeMap<&str, usize> = BTreeMap::new();
        for (id, (key, event, _)) in &second {
            let about = known.get(id).with_context(|| format!("{id} of {event} is new"))?;
            ensure!((&about.0, &about.1) == (key, event), "{id} is of {event} and of {about:?}");
            *times.entry(event).or_default() += 1;
        }
        for (event, times) in times {
            let expected = if ids.contains(event) { 2 } else { 1 };
            ensure!(times == expected, "{event} has {times} effects and not {expected}");
        }
        let now: u64 = client.ends("in.tally.dlq")?.iter().sum();
        ensure!(now == letters + u64::try_from(poison)?, "{now} dead letters after {letters}");
        for (key, ids_of_key) in expected(&sent) {
            let more = ids_of_key.iter().filter(|id| ids.contains(&***id)).count();
            let state = client.json(&format!("/state/tally/{key}"))?;
            let count = ids_of_key.len() + more;
            ensure!(state.to_string().contains(&format!("\"value\":{count}")), "{count}: {state}");
        }
        // Many are only applied when that is said.
        let asked = ["--effects", "apply", "--limit", "1001"];
        let (code, said) = command(&client, &[from, to], &asked)?;
        ensure!(code == Some(2) && said.contains("E0563"), "{code:?} {said}");
        host.stop()
    })
}

/// `gristmill replay` of offsets of partition 0: its exit code, and what it says.
fn command(client: &Client, range: &[u64; 2], options: &[&str]) -> Result<(Option<i32>, String)> {
    let [from, to] = range.map(|offset| offset.to_string());
    let output = Command::new(binary("debug"))
        .args(["replay", "tally", "--topic", "in", "--partition", "0", "--url", client.url()])
        .args(["--from", &from, "--to", &to])
        .args(options)
        .output()?;
    let said = [output.stdout, output.stderr].concat();
    Ok((output.status.code(), String::from_utf8(said)?))
}

#[test]
fn a_replay_is_bounded_by_its_limit_and_its_rate() -> Result<()> {
    let ground = embedded("bounded", TABLES);
    let (host, client) = start(&home(&ground)?)?;
    publish(&client, &events())?;
    settle(&client, &host)?;
    let all = end_of(&client, 0)?;
    for (limit, status, events) in
        [(all, "done", all), (all - 1, "limited", all - 1), (all + 1, "done", all)]
    {
        let wanted = json!({ "topic": "in", "partition": 0, "limit": limit });
        let (report, _) = replay(&client, &wanted)?;
        ensure!(report["status"] == status && report["events"] == json!(events), "{report}");
        ensure!(report["partitions"][0]["next"] == json!(events), "{report}");
    }
    for (name, taken, refused) in [
        ("limit", vec![1, 100_000], vec![0, 100_001]),
        ("rate", vec![1, 100_000], vec![0, 100_001]),
    ] {
        let asked = |value: u64| {
            let mut wanted = json!({ "topic": "in", "from": "latest" });
            wanted[name] = json!(value);
            wanted
        };
        for value in taken {
            let (report, _) = replay(&client, &asked(value))?;
            ensure!(
                report["status"] == "done" && report["events"] == 0,
                "{name} {value}: {report}"
            );
        }
        for value in refused {
            refuse(&client, &asked(value), "400 E0415")?;
        }
    }
    refuse(&client, &json!({ "topic": "in", "show": true, "limit": 1_001 }), "400 E0415")?;
    refuse(&client, &json!({ "topic": "in", "partition": 2 }), "400 E0415")?;
    refuse(&client, &json!({ "topic": "out" }), "400 E0510")?;
    refuse(&client, &json!({ "topic": "nowhere" }), "404 E0414")?;
    // The last of ten events at twenty per second begins 450 ms after the first.
    let began = Instant::now();
    let (report, _) = replay(&client, &json!({ "topic": "in", "limit": 10, "rate": 20 }))?;
    let took = began.elapsed();
    ensure!(report["events"] == 10 && took >= Duration::from_millis(450), "{took:?}: {report}");
    // One that takes its time is alone, and ends when it is told to.
    client.send(PATH, &json!({ "topic": "in", "partition": 0, "rate": 1 }))?;
    refuse(&client, &json!({ "topic": "in" }), "409 E0515")?;
    client.delete(PATH)?;
    let report = client.json(PATH)?;
    let done = report["events"].as_u64().context("events")?;
    ensure!(report["status"] == "cancelled" && done < all, "{report}");
    ensure!(report["partitions"][0]["next"] == json!(done), "{report}");
    host.stop()
}

fn refuse(client: &Client, wanted: &Value, expected: &str) -> Result<()> {
    let json = [("content-type", "application/json")];
    let answer = client.ask(PATH, &json, &wanted.to_string())?;
    ensure!(answer.failure() == expected, "{wanted} is not {expected}: {answer:?}");
    Ok(())
}

#[test]
fn events_whose_handler_calls_others_are_named_and_nobody_is_called() -> Result<()> {
    let tables = "[topics.in]\npartitions = 1\n[topics.answers]\npartitions = 1\n";
    let ground = embedded("withheld", tables);
    let home = Home::new(&binary("debug"), &ground.config)?;
    // Nobody listens there: an attempt that is made fails.
    let manifest = "[[subscription]]\nname = \"tally\"\ntopics = [\"in\"]\nenabled = false\n\
         grants.emit = [\"answers\"]\ngrants.http = [\"http://127.0.0.1:9\"]\n\
         grants.config = { url = \"http://127.0.0.1:9/\", to = \"answers\" }\n";
    home.put("webhook.toml", manifest.as_bytes())?;
    home.put("webhook.wasm", &guest("webhook")?)?;
    let (host, client) = start(&home)?;
    for number in 0..3 {
        client.send("/topics/in?key=k", &json!({ "number": number }))?;
    }
    let (report, shown) = replay(&client, &json!({ "topic": "in", "show": true }))?;
    ensure!(report["unreplayable"] == 3 && report["succeeded"] == 0, "{report}");
    ensure!(report["failed"] == json!({}), "{report}");
    for (offset, failure) in report["failures"].as_array().context("failures")?.iter().enumerate() {
        ensure!(failure["offset"] == json!(offset) && failure["code"] == "E0349", "{failure}");
    }
    ensure!(shown.len() == 3 && shown.iter().all(|it| it["code"] == "E0349"), "{shown:?}");
    host.stop()
}

#[test]
fn a_range_that_retention_has_removed_is_refused_with_the_way_out() -> Result<()> {
    let tables = "[topics.in]\npartitions = 1\nretention = \"1s\"\n[topics.out]\npartitions = 1\n";
    let ground = embedded("forgetful", tables);
    let (host, client) = start(&home(&ground)?)?;
    publish(&client, &events())?;
    settle(&client, &host)?;
    let start_of = || -> Result<u64> {
        let topic = client.json("/api/v1/topics/in")?;
        topic["partitions"][0]["start_offset"].as_u64().context("where it starts")
    };
    let gone = wait::until(PATIENCE, || {
        // Only what was filled is removed as a whole: so the topic goes on being written.
        client.send("/topics/in?key=k0", &json!({ "id": format!("late-{:?}", Instant::now()) }))?;
        Ok((start_of()? > 0).then_some(()))
    })?;
    gone.with_context(|| format!("nothing was removed\n{}", host.tail()))?;
    settle(&client, &host)?;
    let before = (client.ends("out")?, client.json("/state/tally/k0")?);
    let json = [("content-type", "application/json")];
    for place in [json!({ "offset": 0 }), json!({ "timestamp_ms": 1 })] {
        for effects in ["suppress", "apply"] {
            let wanted = json!({ "topic": "in", "from": place, "effects": effects });
            let answer = client.ask(PATH, &json, &wanted.to_string())?;
            ensure!(answer.failure() == "400 E0500", "{answer:?}");
            ensure!(answer.text.contains("--from earliest"), "{answer:?}");
        }
    }
    // The way out.
    let (report, _) = replay(&client, &json!({ "topic": "in", "from": "earliest" }))?;
    ensure!(report["status"] == "done", "{report}");
    ensure!((client.ends("out")?, client.json("/state/tally/k0")?) == before, "it was changed");
    host.stop()
}

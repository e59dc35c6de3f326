//! The trail of the plugin `audit`: it has every event of its topics, once, whatever happens to
//! the host; and whoever changes it is found out.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gristmill_tests::support::client::{Client, Stored};
use gristmill_tests::support::component::{binary, guest};
use gristmill_tests::support::example::{Place, completed};
use gristmill_tests::support::home::Home;
use gristmill_tests::support::kafka::witness::Ground;
use gristmill_tests::support::wait;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::both::{embedded, settle, start};

const PATIENCE: Duration = Duration::from_mins(2);
/// Topics of the trail with their partitions, which differ.
const TOPICS: [(&str, u32); 2] = [("audited-orders", 3), ("audited-returns", 2)];
const TRAIL: &str = "audited-trail";
/// Events of each topic.
const EVENTS: usize = 400;
/// Bytes of the largest event: quotes, which take two bytes each in an entry, more than that may
/// have.
const LARGE: usize = 600_000;

const MANIFEST: &str = r#"
[[subscription]]
name = "audit"
topics = ["audited-orders", "audited-returns"]
envelope = "raw"
order = "partition"
state_of = "partition"
dead_letter = false
on_exhausted = "pause-key"

[subscription.grants]
emit = ["audited-trail"]
state = true
config = { to = "audited-trail" }
"#;

fn home(place: &Place) -> Result<Home> {
    let topics = TOPICS.into_iter().chain([(TRAIL, 4)]);
    let tables = topics.map(|(topic, count)| format!("[topics.{topic}]\npartitions = {count}\n"));
    let config = embedded("audited", &tables.collect::<String>()).config + &place.config();
    let home = Home::new(&binary("debug"), &config)?;
    home.put("audit.toml", MANIFEST.as_bytes())?;
    home.put("audit.wasm", &guest("audit")?)?;
    Ok(home)
}

/// Publishes events of every kind, some of them twice.
fn publish(client: &Client, topic: &str, numbers: std::ops::Range<usize>) -> Result<()> {
    for number in numbers {
        let key = format!("k{}", number % 17);
        let id = format!("{topic}-{number}");
        match number % 10 {
            // Without a key, and no JSON.
            3 => {
                let path = format!("/topics/{topic}");
                let headers = [("content-type", "application/octet-stream"), ("x-header-n", "7")];
                client.ask_bytes(&path, &headers, &[0xff, 0x00, 0xfe])?;
            }
            // The same CloudEvent twice: a duplicate for handlers, two records for a trail.
            5 => {
                let event = json!([{
                    "specversion": "1.0", "id": id, "source": "/test", "type": "t", "data": number,
                }]);
                for _time in 0..2 {
                    client.publish(topic, &event.to_string())?;
                }
            }
            // JSON over several lines, which is shown otherwise than it is.
            7 => client.send_text(&format!("/topics/{topic}?key={key}"), "{\n\"a\":\n1}\r\n")?,
            _ => {
                let path = format!("/topics/{topic}?key={key}");
                client.send(&path, &json!({ "id": id, "amount": number }))?;
            }
        }
    }
    Ok(())
}

fn audit(client: &Client, words: &[&str]) -> Result<Output> {
    let mut command = Command::new(binary("debug"));
    Ok(command.arg("audit").args(words).args(["--url", client.url()]).output()?)
}

fn said(output: &Output) -> String {
    let [told, noted] = [&output.stdout, &output.stderr].map(|it| String::from_utf8_lossy(it));
    format!("{told}{noted}")
}

/// Places that the trail has entries of, each as often as it has.
fn places(records: &[Vec<Stored>]) -> Vec<(String, u64, u64)> {
    let mut places: Vec<(String, u64, u64)> = records
        .iter()
        .flatten()
        .map(|record| {
            let entry = &record.payload;
            let number = |name: &str| entry[name].as_u64().unwrap_or(u64::MAX);
            let topic = entry["topic"].as_str().unwrap_or_default().to_owned();
            (topic, number("partition"), number("offset"))
        })
        .collect();
    places.sort();
    places
}

/// A trail of everything, however often the host is killed.
fn has_everything(place: &Place) -> Result<()> {
    let home = home(place)?;
    let (mut host, client) = start(&home)?;
    for (topic, _) in TOPICS {
        publish(&client, topic, 0..EVENTS / 2)?;
    }
    client.post("/api/v1/subscriptions/audit/pause")?;
    for (topic, _) in TOPICS {
        publish(&client, topic, EVENTS / 2..EVENTS)?;
    }
    let large = "\"".repeat(LARGE);
    client.send_text(&format!("/topics/{}?key=large", TOPICS[0].0), &large)?;
    let before = completed(&client)?;
    client.post("/api/v1/subscriptions/audit/resume")?;
    let seen = wait::until(PATIENCE, || Ok((completed(&client)? > before).then_some(())))?;
    seen.context("nothing is handled")?;
    host.kill()?;
    let (host, client) = start(&home)?;
    let mut wanted = Vec::new();
    for (topic, _) in TOPICS {
        for record in place.read(&client, topic)?.iter().flatten() {
            wanted.push((topic.to_owned(), u64::from(record.partition), record.offset));
        }
    }
    wanted.sort();
    ensure!(wanted.len() >= 2 * EVENTS + 2 * (EVENTS / 10), "{} events", wanted.len());
    let whole = wait::until(PATIENCE, || {
        let found: usize = place.read(&client, TRAIL)?.iter().map(Vec::len).sum();
        Ok((found >= wanted.len()).then_some(()))
    })?;
    whole.with_context(|| format!("the trail lacks entries:\n{}", host.tail()))?;
    settle(&client, &host)?;
    let trail = place.read(&client, TRAIL)?;
    assert_eq!(places(&trail), wanted, "each event once");
    let omitted = trail.iter().flatten().filter(|it| it.payload["omitted"] == true).count();
    assert_eq!(omitted, 1, "one is too large for the trail");
    let chains: BTreeSet<&str> =
        trail.iter().flatten().filter_map(|it| it.key.as_deref()).collect();
    ensure!(chains.len() > 3, "{chains:?}");
    found_out(&client, wanted.len())?;
    behind(&client, wanted.len())?;
    host.stop()
}

/// Whoever changes a trail that was exported is found out.
fn found_out(client: &Client, count: usize) -> Result<()> {
    let folder = TempDir::new()?;
    let heads = folder.path().join("heads.json");
    let heads = heads.to_str().context("a path")?;
    let verified = audit(client, &["verify", TRAIL, "--sources", "--save-heads", heads])?;
    ensure!(verified.status.success(), "{}", said(&verified));
    ensure!(said(&verified).contains(&format!("{count} entries in")), "{}", said(&verified));
    let exported = audit(client, &["export", TRAIL])?;
    let lines: Vec<String> =
        String::from_utf8(exported.stdout)?.lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), count);
    let file = folder.path().join("trail.jsonl");
    fs::write(&file, lines.join("\n"))?;
    let untouched = verify_file(client, &file, heads)?;
    ensure!(untouched.status.success(), "{}", said(&untouched));
    let (chain, forgeries) = forgeries(&lines)?;
    for (what, forged, words) in &forgeries {
        fs::write(&file, forged.join("\n"))?;
        let verified = verify_file(client, &file, heads)?;
        let told = said(&verified);
        ensure!(verified.status.code() == Some(1), "{what}: {told}");
        ensure!(told.contains(words) && told.contains(&chain), "{what}: {told}");
    }
    unusual(client, &file, &forgeries)
}

/// What somebody did to a trail, what became of it, and by which words that is told.
type Forgery = (&'static str, Vec<String>, &'static str);

/// Forgeries of one chain of a trail, and its name.
fn forgeries(lines: &[String]) -> Result<(String, Vec<Forgery>)> {
    const AMOUNT: &str = "\\\"amount\\\":42}";
    let middle = lines.iter().position(|line| line.contains(AMOUNT));
    let middle = middle.context("an entry to change")?;
    let chain = chain_of(&lines[middle])?;
    let is_own = |at: &usize| chain_of(&lines[*at]).is_ok_and(|it| it == chain);
    let own: Vec<usize> = (0..lines.len()).filter(is_own).collect();
    let last = own[own.len() - 1];
    let without = |gone: usize| {
        let mut lines = lines.to_vec();
        lines.remove(gone);
        lines
    };
    let changed = |from: &str, to: &str| {
        let mut lines = lines.to_vec();
        lines[middle] = lines[middle].replace(from, to);
        lines
    };
    let mut swapped = lines.to_vec();
    swapped.swap(own[0], own[1]);
    let mut doubled = lines.to_vec();
    doubled.push(lines[last].clone());
    let time = "\"timestamp_ms\":";
    let forgeries = vec![
        ("the first is gone", without(own[0]), "the chain begins here"),
        ("a payload", changed(AMOUNT, "\\\"amount\\\":43}"), "payload was changed"),
        ("a time", changed(time, &format!("{time}1")), "its hash is another"),
        ("an entry is gone", without(middle), "is missing before it"),
        ("the last is gone", without(last), "it was there before"),
        ("two change places", swapped, "it comes after entry"),
        ("one comes twice", doubled, "it comes after entry"),
    ];
    Ok((chain, forgeries))
}

/// What retention removes may be gone where that is said, and what is no trail is told as that.
fn unusual(client: &Client, file: &Path, forgeries: &[Forgery]) -> Result<()> {
    let path = file.to_str().context("a path")?;
    fs::write(file, forgeries[0].1.join("\n"))?;
    let late = audit(client, &["verify", "--file", path, "--begins-late"])?;
    ensure!(late.status.success(), "{}", said(&late));
    fs::write(file, "no entry\n")?;
    let nonsense = audit(client, &["verify", "--file", path])?;
    ensure!(said(&nonsense).contains("E0590"), "{}", said(&nonsense));
    let nobody = audit(client, &["verify", TRAIL, "--heads", path])?;
    ensure!(said(&nobody).contains("E0591"), "{}", said(&nobody));
    Ok(())
}

fn verify_file(client: &Client, file: &Path, heads: &str) -> Result<Output> {
    audit(client, &["verify", "--file", file.to_str().context("a path")?, "--heads", heads])
}

fn chain_of(line: &str) -> Result<String> {
    let entry: Value = serde_json::from_str(line)?;
    let topic = entry["topic"].as_str().context("a topic")?;
    Ok(format!("{topic}/{}", entry["partition"]))
}

/// What was published since is told as that, and what never came into the trail is found out.
fn behind(client: &Client, count: usize) -> Result<()> {
    client.post("/api/v1/subscriptions/audit/pause")?;
    let published: BTreeMap<u64, u64> = (0..3)
        .map(|number| {
            let at = client.send(&format!("/topics/{}?key=new{number}", TOPICS[1].0), &json!(1))?;
            Ok((number, at["partition"].as_u64().unwrap_or(0)))
        })
        .collect::<Result<_>>()?;
    let verified = audit(client, &["verify", TRAIL, "--sources", "--json"])?;
    ensure!(verified.status.success(), "{}", said(&verified));
    let told: Value = serde_json::from_slice(&verified.stdout)?;
    let behind: u64 = told["behind"]
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(_, count)| count.as_u64())
        .sum();
    assert_eq!(behind, u64::try_from(published.len())?, "{told}");
    client.post("/api/v1/subscriptions/audit/resume")?;
    let whole = wait::until(PATIENCE, || {
        let verified = audit(client, &["verify", TRAIL, "--sources", "--json"])?;
        let told: Value = serde_json::from_slice(&verified.stdout)?;
        Ok((told["behind"] == json!({})).then_some(told))
    })?;
    let told = whole.context("the trail stays behind")?;
    assert_eq!(told["whole"], true, "{told}");
    let entries: u64 = told["chains"]
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(_, chain)| chain["entries"].as_u64())
        .sum();
    assert_eq!(entries, u64::try_from(count + published.len())?);
    Ok(())
}

#[test]
fn a_trail_has_every_event_once_and_whoever_changes_it_is_found_out() -> Result<()> {
    has_everything(&Place::Embedded)?;
    has_everything(&Place::Kafka(Ground::shared()?))
}

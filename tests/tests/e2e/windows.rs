//! Windows count the same whatever happens to the host, and again on a replay, on the embedded
//! store and on Kafka alike. What they must come to is told from the stored records alone.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gristmill_tests::support::client::{Client, Stored};
use gristmill_tests::support::component::{binary, guest, root};
use gristmill_tests::support::home::{Home, Process};
use gristmill_tests::support::wait;
use serde_json::json;

use super::both::{Ground, on_both, start};

const PATIENCE: Duration = Duration::from_mins(2);
const TOPICS: [&str; 2] = ["in", "more"];
const KEYS: u64 = 5;
/// Events of each half, of all keys and topics.
const HALF: u64 = 120;
/// As the guest has it and its manifest says, in milliseconds.
const LATENESS: u64 = 8_000;
const WINDOW: u64 = 2_000;
/// How long ago those happened that are too late for certain.
const LONG_AGO: u64 = 60_000;
const TABLES: &str = r"[topics.defaults]
partitions = 4
[topics.in]
[topics.more]
[topics.counts]
[topics.again]
[topics.clock]
";

/// A subscription that counts, from the beginning, and publishes to the topic of its name. It is
/// slow enough to be killed at work.
fn subscription(name: &str) -> String {
    format!(
        "[[subscription]]\nname = \"{name}\"\ntopics = {TOPICS:?}\nenvelope = \"json\"\n\
         events_per_second = 40\ndead_letter_guard.enabled = false\n\
         [subscription.fields]\nid = \"/id\"\ntime = \"/time\"\n\
         [subscription.grants]\nemit = [\"{name}\"]\nstate = true\ntimers = true\n\
         config = {{ to = \"{name}\", window_ms = \"{WINDOW}\" }}\n"
    )
}

/// What is counted: by key and start of the window, with the revision that was told.
type Counts = BTreeMap<(String, u64), (u64, u64)>;

/// The last result of each window that a subscription published.
fn counted(client: &Client, subscription: &str) -> Result<Counts> {
    let mut counts = Counts::new();
    for record in client.topic(subscription)?.iter().flatten() {
        let number = |field: &str| record.payload[field].as_u64().context("a number");
        let place = (record.key.clone().context("a key")?, number("start")?);
        let told = (number("revision")?, number("count")?);
        let last = counts.entry(place).or_insert(told);
        *last = (*last).max(told);
    }
    Ok(counts)
}

/// What must be counted, and the ids of what is too late: from when records happened and came.
fn expected(client: &Client) -> Result<(Counts, Vec<String>)> {
    let (mut counts, mut late) = (Counts::new(), Vec::new());
    for topic in TOPICS {
        for record in client.topic(topic)?.iter().flatten() {
            let time = record.payload["time"].as_u64().context("a time")?;
            let start = time - time % WINDOW;
            if record.timestamp_ms > start + WINDOW + LATENESS {
                late.push(id(record)?);
                continue;
            }
            let place = (record.key.clone().context("a key")?, start);
            let (revision, count) = counts.entry(place).or_insert((0, 0));
            (*revision, *count) = (*revision + 1, *count + 1);
        }
    }
    late.sort();
    Ok((counts, late))
}

fn id(record: &Stored) -> Result<String> {
    record.payload["id"].as_str().map(str::to_owned).context("an id")
}

/// Publishes events that happened up to six seconds ago, in no order, and of which one in thirteen
/// happened long ago.
fn publish(client: &Client, numbers: std::ops::Range<u64>) -> Result<()> {
    let mut now = now(client)?;
    for number in numbers {
        if number % 10 == 0 {
            now = self::now(client)?;
        }
        let topic = if number % 3 == 0 { "more" } else { "in" };
        let key = format!("k{}", number % KEYS);
        let ago = if number % 13 == 5 { LONG_AGO } else { number * 7_919 % 6_000 };
        let payload = json!({ "id": format!("e{number:04}"), "time": now - ago });
        client.send(&format!("/topics/{topic}?key={key}"), &payload)?;
    }
    Ok(())
}

/// The time, as the broker gives it to records.
fn now(client: &Client) -> Result<u64> {
    client.send("/topics/clock", &json!({}))?;
    let ticks = client.topic("clock")?.concat();
    ticks.iter().map(|tick| tick.timestamp_ms).max().context("no tick")
}

/// Waits until a subscription has told what it must, which is when the last window is over, and has
/// given up on what is too late.
fn must_count(client: &Client, host: &Process, name: &str) -> Result<()> {
    let (expected, late) = expected(client)?;
    ensure!(late.len() > 10 && expected.len() > 10, "{expected:?} {late:?}");
    let told = wait::until(PATIENCE, || {
        let is_told = counted(client, name)? == expected && refused(client, name)? == late;
        Ok(is_told.then_some(()))
    })?;
    told.with_context(|| {
        let found = (counted(client, name), refused(client, name));
        format!("{found:?}\nis not {expected:?} {late:?}\n{}", host.tail())
    })
}

/// Ids of what a subscription refused as too late.
fn refused(client: &Client, name: &str) -> Result<Vec<String>> {
    let (topics, mut refused) = (client.topics()?, Vec::new());
    for letters in TOPICS.map(|topic| format!("{topic}.{name}.dlq")) {
        // It is made with the first dead letter.
        if !topics.contains(&letters) {
            continue;
        }
        for letter in client.topic(&letters)?.iter().flatten() {
            let header = |name: &str| letter.header(name).unwrap_or_default();
            ensure!(header("dlq-error-code") == "too-late", "{letter:?}");
            ensure!(header("dlq-error-message").contains("raise `lateness`"), "{letter:?}");
            refused.push(id(letter)?);
        }
    }
    refused.sort();
    Ok(refused)
}

/// Events of a subscription that are not handled.
fn open(client: &Client, name: &str) -> Result<u64> {
    let subscriptions = client.subscriptions()?;
    let of_name = subscriptions.iter().find(|it| it.name == name).context("no subscription")?;
    Ok(of_name.lag.iter().map(|lag| lag.events).sum())
}

fn home(ground: &Ground) -> Result<Home> {
    let home = Home::new(&binary("debug"), &ground.config)?;
    home.put("windowed.toml", subscription("counts").as_bytes())?;
    home.put("windowed.wasm", &guest("windowed")?)?;
    Ok(home)
}

#[test]
fn windows_count_the_same_after_a_kill_and_on_a_replay() -> Result<()> {
    on_both("windows", TABLES, |ground| {
        let home = home(ground)?;
        let (mut host, client) = start(&home)?;
        client.post("/api/v1/subscriptions/counts/pause")?;
        publish(&client, 0..HALF)?;
        let all = open(&client, "counts")?;
        client.post("/api/v1/subscriptions/counts/resume")?;
        let is_busy = wait::until(PATIENCE, || {
            let open = open(&client, "counts")?;
            ensure!(open > 0, "all was done before the kill");
            Ok((open < all).then_some(()))
        })?;
        is_busy.with_context(|| format!("nothing moves:\n{}", host.tail()))?;
        host.kill()?;
        let (host, client) = start(&home)?;
        publish(&client, HALF..2 * HALF)?;
        must_count(&client, &host, "counts")?;
        // The same plugin once more: its windows are over before it reads the first event.
        let both = format!("{}{}", subscription("counts"), subscription("again"));
        home.put("windowed.toml", both.as_bytes())?;
        must_count(&client, &host, "again")?;
        ensure!(counted(&client, "counts")? == counted(&client, "again")?, "they differ");
        host.stop()
    })
}

/// The examples do what their golden files say, as components.
#[test]
fn revenue_abandoned_carts_and_alerts_are_as_recorded() -> Result<()> {
    let (example, plugins) = (root().join("examples/commerce"), tempfile::tempdir()?);
    for handler in ["revenue", "abandoned-carts", "payment-alerts"] {
        let name = format!("commerce-{handler}");
        let manifest = format!("{name}.toml");
        fs::write(plugins.path().join(format!("{name}.wasm")), guest(&name)?)?;
        fs::copy(example.join("plugins").join(&manifest), plugins.path().join(&manifest))?;
        let tested = Command::new(binary("debug"))
            .args(["plugin", "test"])
            .arg(example.join("handlers").join(handler))
            .arg("--plugins")
            .arg(plugins.path())
            .output()?;
        let told = String::from_utf8_lossy(&tested.stdout);
        ensure!(tested.status.success() && told.contains("passed"), "{handler}: {tested:?}");
    }
    Ok(())
}

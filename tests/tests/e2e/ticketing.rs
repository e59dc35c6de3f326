//! Plays the ticketing example on a real host and compares what comes out with what its input
//! alone says must: `expected/` is written by a script that knows no host.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use gristmill_tests::support::client::{Client, Stored, Subscription};
use gristmill_tests::support::component::{binary, guest, root};
use gristmill_tests::support::home::Home;
use gristmill_tests::support::wait;
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_mins(1);

/// How a topic is read: a list per partition, by offset.
pub(crate) type Read<'a> = &'a dyn Fn(&str) -> Result<Vec<Vec<Stored>>>;

/// The example as it is, but for where it listens and keeps its data, and for what `more` adds.
pub(crate) fn home(more: &str) -> Result<Home> {
    let example = root().join("examples/ticketing");
    let config = fs::read_to_string(example.join("gristmill.toml"))?
        .replace("\".gristmill\"", "\"data\"")
        .replace("../../docs/", "docs/")
        + more;
    let home = Home::new(&binary("debug"), &config)?;
    for plugin in ["ordering", "carts", "catalog", "expiry"] {
        let manifest = fs::read(example.join(format!("plugins/{plugin}.toml")))?;
        home.put(&format!("{plugin}.toml"), &manifest)?;
        home.put(&format!("{plugin}.wasm"), &guest(plugin)?)?;
    }
    Ok(home)
}

fn expected(name: &str) -> Result<Value> {
    let path = root().join("examples/ticketing/expected").join(name);
    serde_json::from_slice(&fs::read(&path)?).with_context(|| format!("read {}", path.display()))
}

/// Publishes a recorded topic line by line, as its producer would.
fn replay(client: &Client, topic: &str) -> Result<()> {
    let path = root().join("examples/ticketing/events").join(format!("{topic}.jsonl"));
    for line in fs::read_to_string(path)?.lines() {
        let line: Value = serde_json::from_str(line)?;
        let key = line["key"].as_str().context("a line without key")?;
        client.send(&format!("/topics/{topic}?key={key}"), &line["payload"])?;
    }
    Ok(())
}

fn settle(client: &Client) -> Result<()> {
    let settled = wait::until(PATIENCE, || {
        let open: u64 = client.subscriptions()?.iter().map(Subscription::unsettled).sum();
        Ok((open == 0).then_some(()))
    })?;
    settled.context("the example does not come to rest")
}

/// `eventId` of every event of `reservation-expired`, each as often as it is there.
fn expired(read: Read<'_>) -> Result<Vec<String>> {
    let records = read("reservation-expired")?;
    let ids = records.iter().flatten().map(|record| {
        let id = record.payload["eventId"].as_str().unwrap_or_default();
        id.to_owned()
    });
    let mut ids: Vec<String> = ids.collect();
    ids.sort();
    Ok(ids)
}

/// What each cart was told, from the topic itself: items still in it and orders paid.
fn carts(read: Read<'_>) -> Result<Value> {
    let mut carts = serde_json::Map::new();
    for record in read("ordering-carts")?.iter().flatten() {
        let key = record.key.clone().unwrap_or_default();
        let cart = carts.entry(key).or_insert_with(|| json!({"items": [], "paid": []}));
        let id = record.payload["reservationId"].clone();
        let (items, paid) = match record.payload["change"].as_str() {
            Some("item-added") => {
                if let Some(items) = cart["items"].as_array_mut() {
                    items.push(id);
                }
                continue;
            }
            Some("item-removed") => (true, false),
            Some("item-paid") => (true, true),
            other => anyhow::bail!("an unknown change {other:?}"),
        };
        if items && let Some(items) = cart["items"].as_array_mut() {
            items.retain(|item| *item != id);
        }
        if paid && let Some(list) = cart["paid"].as_array_mut() {
            list.push(id);
        }
    }
    Ok(Value::Object(carts))
}

/// The same shape from the expected carts, which say more of each item.
fn expected_carts() -> Result<Value> {
    let ids = |list: &Value| -> Value {
        let list = list.as_array().cloned().unwrap_or_default();
        list.into_iter().map(|item| item["reservationId"].clone()).collect()
    };
    let expected = expected("carts.json")?;
    let carts = expected.as_object().context("carts by customer")?;
    Ok(carts
        .iter()
        .map(|(key, cart)| {
            let cart = json!({"items": ids(&cart["items"]), "paid": ids(&cart["paid"])});
            (key.clone(), cart)
        })
        .collect::<serde_json::Map<_, _>>()
        .into())
}

fn letters(client: &Client, subscription: &str) -> Result<BTreeSet<(String, String, String)>> {
    let listed = client.json(&format!("/api/v1/dlq/{subscription}/events"))?;
    let events = listed["events"].as_array().context("dead letters")?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok(events
        .iter()
        .map(|letter| {
            let failure = &letter["failure"];
            (text(&failure["class"]), text(&failure["code"]), text(&failure["event_id"]))
        })
        .collect())
}

/// The cart of each customer, as the state it is kept in, a few at a time.
fn kept(client: &Client) -> Result<Value> {
    let mut carts = serde_json::Map::new();
    let mut after = String::new();
    loop {
        let page = client.json(&format!("/state/carts?limit=4{after}"))?;
        for entry in page["entries"].as_array().context("entries")? {
            let key = entry["key"].as_str().context("a key")?;
            let cart = client.json(&format!("/state/carts/{key}"))?;
            assert_eq!(cart["partition"], entry["partition"]);
            assert_eq!(cart["values"][0]["name"], entry["name"]);
            carts.insert(key.to_owned(), cart["values"][0]["value"].clone());
        }
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return Ok(carts.into()),
        }
    }
}

/// State is shown as handlers keep it, and what cannot be shown is said to be so.
fn can_be_asked_for(client: &Client) -> Result<()> {
    let wanted = expected("carts.json")?;
    // A checkpoint is shown when it is durable.
    let seen = wait::until(PATIENCE, || Ok((kept(client)? == wanted).then_some(())))?;
    seen.with_context(|| format!("not {wanted}, but {:?}", kept(client)))?;
    let one = wanted.as_object().and_then(|it| it.keys().next()).context("a cart")?;
    let narrowed = client.json(&format!("/state/carts?prefix={one}"))?;
    assert_eq!(narrowed["entries"].as_array().map(Vec::len), Some(1), "{narrowed}");
    assert_eq!(narrowed["partitions_elsewhere"], json!([]));
    for (path, wanted) in [
        ("/state/carts/nobody".to_owned(), (404, "E0433")),
        (format!("/state/carts/{one}?prefix=x"), (404, "E0433")),
        (format!("/state/carts/{one}?after=cart"), (404, "E0433")),
        ("/state/cart".to_owned(), (404, "E0420")),
        ("/state/carts?after=x".to_owned(), (400, "E0415")),
        ("/state/carts?limit=0".to_owned(), (400, "E0415")),
        ("/state/carts?limit=1001".to_owned(), (400, "E0415")),
    ] {
        let (status, body) = client.answer(&path)?;
        let told: Value = serde_json::from_str(&body)?;
        assert_eq!((status, told["error"]["code"].as_str()), (wanted.0, Some(wanted.1)), "{path}");
    }
    client.json("/state/carts?limit=1000")?;
    Ok(())
}

#[test]
fn the_example_ends_as_its_input_says() -> Result<()> {
    let home = home("")?;
    let mut host = home.start(&[("GRISTMILL_LISTEN", "127.0.0.1:0".to_owned())])?;
    let client = host.must_be_ready()?;
    plays_as_expected(&client, &|topic| client.topic(topic))
}

/// Plays the example on a host that has not seen any of it.
pub(crate) fn plays_as_expected(client: &Client, read: Read<'_>) -> Result<()> {
    replay(client, "payment-succeeded")?;
    settle(client)?;
    replay(client, "reservation-created")?;
    settle(client)?;

    let mut due: Vec<String> = serde_json::from_value(expected("expired.json")?)?;
    due.sort();
    assert_eq!(expired(read)?, due);
    assert_eq!(carts(read)?, expected_carts()?);
    can_be_asked_for(client)?;
    let dead = expected("dead-letters.json")?;
    for subscription in ["ordering", "carts", "catalog", "expiry"] {
        let expected: BTreeSet<_> = dead[subscription]
            .as_array()
            .into_iter()
            .flatten()
            .map(|letter| {
                let text = |name: &str| letter[name].as_str().unwrap_or_default().to_owned();
                (text("class"), text("code"), text("id"))
            })
            .collect();
        assert_eq!(letters(client, subscription)?, expected, "{subscription}");
    }

    // All of it once more, as a producer that lost every answer would: nothing changes.
    replay(client, "payment-succeeded")?;
    replay(client, "reservation-created")?;
    settle(client)?;
    assert_eq!(expired(read)?, due);
    assert_eq!(carts(read)?, expected_carts()?);
    Ok(())
}

#[test]
fn a_dead_letter_is_handled_by_the_version_dropped_in_for_it() -> Result<()> {
    let home = home("")?;
    let mut host = home.start(&[("GRISTMILL_LISTEN", "127.0.0.1:0".to_owned())])?;
    let client = host.must_be_ready()?;
    replay(&client, "reservation-created")?;
    settle(&client)?;
    mends(&home, &client)
}

/// Has the second version of the catalogue handle what the first could not.
pub(crate) fn mends(home: &Home, client: &Client) -> Result<()> {
    assert_eq!(letters(client, "catalog")?.len(), 1);
    let rehearsal = json!({"dry_run": true});
    let before = client.send("/api/v1/dlq/catalog/redrive", &rehearsal)?;
    assert_eq!(before["result"]["would_fail"], json!({"rejected": 1}), "{before}");

    let digest = |client: &Client| -> Result<Value> {
        let plugins = client.json("/api/v1/plugins")?;
        let plugins = plugins["plugins"].as_array().context("plugins")?.clone();
        let catalog = plugins.into_iter().find(|plugin| plugin["name"] == "catalog");
        Ok(catalog.context("catalog")?["digest"].clone())
    };
    let first = digest(client)?;
    home.put("catalog.wasm", &guest("catalog-v2")?)?;
    let swapped = wait::until(PATIENCE, || Ok((digest(client)? != first).then_some(())))?;
    swapped.context("the second version is not taken")?;

    let after = client.send("/api/v1/dlq/catalog/redrive", &rehearsal)?;
    assert_eq!(after["result"]["would_succeed"], 1, "{after}");
    assert_eq!(letters(client, "catalog")?.len(), 1, "a rehearsal changes nothing");
    let done = client.send("/api/v1/dlq/catalog/redrive", &json!({}))?;
    assert_eq!(done["result"]["redriven"], 1, "{done}");
    settle(client)?;
    assert!(letters(client, "catalog")?.is_empty());
    let again = client.send("/api/v1/dlq/catalog/redrive", &json!({}))?;
    assert_eq!(again["result"]["redriven"], 0, "a letter is driven again once: {again}");
    Ok(())
}

#[test]
fn the_demo_ends_by_itself_with_success() -> Result<()> {
    let guests =
        std::env::var_os("GUESTS").unwrap_or_else(|| root().join("target/guests").into_os_string());
    let output = Command::new(root().join("tests/scripts/demo.sh"))
        .arg("examples/ticketing/demo.sh")
        .current_dir(root())
        .env("GRISTMILL", binary("debug"))
        .env("GUESTS", guests)
        .output()?;
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(told.contains("What to try next"), "{told}");
    Ok(())
}

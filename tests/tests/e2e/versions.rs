//! Two versions of an event at once: producers of the old one, consumers of the old one, and what
//! is between them. Each version is judged by its own schema.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gristmill_tests::support::client::{Client, Stored, Subscription};
use gristmill_tests::support::component::{binary, guest};
use gristmill_tests::support::home::Home;
use gristmill_tests::support::wait;
use serde_json::{Value, json};

use super::both::{Ground, on_both, start};

const PATIENCE: Duration = Duration::from_mins(2);
const TABLES: &str = r#"[topics.defaults]
partitions = 2
[topics.orders]
[topics.orders-old]
[topics.out]

[schemas.order-1]
topics = ["orders", "orders-old"]
versions = ["1"]
schema = "order-1.json"

[schemas.order-2]
topics = ["orders"]
versions = ["2"]
schema = "order-2.json"
"#;
const FIRST: &str = r#"{"required":["id","cost"],"additionalProperties":false,
    "properties":{"id":{"type":"string"},"cost":{"type":"integer"}}}"#;
const SECOND: &str = r#"{"required":["id","price"],"additionalProperties":false,"properties":{
    "id":{"type":"string"},
    "price":{"required":["amount","currency"],"properties":{"amount":{"type":"integer"}}}}}"#;

/// Old events are made new where they are.
const UP: &str = r#"[[subscription]]
name = "up"
topics = ["orders"]
filter = { version = ["1"] }
[subscription.grants]
emit = ["orders"]
config = { to = "orders", version = "2", "move./cost" = "/price/amount", "set./price/currency" = "\"EUR\"" }
"#;
/// While somebody reads old ones, new ones are published to them as well.
const DOWN: &str = r#"[[subscription]]
name = "down"
topics = ["orders"]
filter = { version = ["2"] }
[subscription.grants]
emit = ["orders-old"]
config = { to = "orders-old", version = "1", "move./price/amount" = "/cost", "remove./price" = "" }
"#;
/// A handler of each version.
const TALLY: &str = r#"[[subscription]]
name = "new"
topics = ["orders"]
filter = { version = ["2"] }
grants = { emit = ["out"], state = true, config = { to = "out" } }

[[subscription]]
name = "old"
topics = ["orders-old"]
filter = { version = ["1"] }
grants = { emit = ["out"], state = true, config = { to = "out" } }
"#;

fn home(ground: &Ground) -> Result<Home> {
    let home = Home::new(&binary("debug"), &ground.config)?;
    fs::write(home.path().join("order-1.json"), FIRST)?;
    fs::write(home.path().join("order-2.json"), SECOND)?;
    for (name, manifest, component) in
        [("up", UP, "upcast"), ("down", DOWN, "upcast"), ("tally", TALLY, "tally")]
    {
        home.put(&format!("{name}.toml"), manifest.as_bytes())?;
        home.put(&format!("{name}.wasm"), &guest(component)?)?;
    }
    Ok(home)
}

fn publish(client: &Client, version: &str, data: &Value) -> Result<u16> {
    let headers = [
        ("ce-specversion", "1.0"),
        ("ce-id", data["id"].as_str().context("an id")?),
        ("ce-source", "/till"),
        ("ce-type", "order.placed"),
        ("ce-eventversion", version),
        ("content-type", "application/json"),
    ];
    Ok(client.ask("/topics/orders?key=k", &headers, &data.to_string())?.status)
}

/// Ids that a handler has numbered, in the order of their numbers.
fn numbered(client: &Client, handler: &str) -> Result<Vec<String>> {
    let by = format!("/{handler}");
    let mut own = client.topic("out")?.concat();
    own.retain(|record| record.header("ce_source").is_some_and(|source| source.ends_with(&by)));
    own.sort_by_key(|record| record.payload["number"].as_u64());
    let id = |record: &Stored| record.payload["id"].as_str().map(str::to_owned);
    own.iter().map(|record| id(record).context("an id")).collect()
}

#[test]
fn two_versions_of_an_event_live_side_by_side() -> Result<()> {
    on_both("versions", TABLES, |ground| {
        let home = home(ground)?;
        let (host, client) = start(&home)?;
        let new = |id: &str| json!({ "id": id, "price": { "amount": 7, "currency": "USD" } });
        ensure!(publish(&client, "1", &json!({ "id": "a", "cost": 5 }))? == 202);
        ensure!(publish(&client, "2", &new("b"))? == 202);
        // Each by its own schema.
        ensure!(publish(&client, "1", &new("c"))? == 400, "new data as an old event");
        ensure!(publish(&client, "3", &new("c"))? == 400, "a version nobody knows");
        let done = wait::until(PATIENCE, || {
            let open: u64 = client.subscriptions()?.iter().map(Subscription::unsettled).sum();
            let old = client.topic("orders-old")?.concat();
            let done = open == 0 && client.topic("out")?.concat().len() == 4 && old.len() == 2;
            Ok(done.then_some(old))
        })?;
        let old = done.with_context(|| format!("no four: {}", host.tail()))?;
        for handler in ["new", "old"] {
            let mut ids = numbered(&client, handler)?;
            ids.sort();
            ensure!(ids == ["a", "b"], "{handler} handled {ids:?}");
        }
        let mut costs: Vec<Value> = old.iter().map(|record| record.payload.clone()).collect();
        costs.sort_by_key(|data| data["id"].to_string());
        let expected = [json!({ "id": "a", "cost": 5 }), json!({ "id": "b", "cost": 7 })];
        ensure!(costs == expected, "{costs:?}");
        let upcast = client.topic("orders")?.concat();
        let upcast = upcast.iter().find(|record| record.payload["price"]["currency"] == "EUR");
        let upcast = upcast.context("the old one was not made new")?;
        ensure!(upcast.header("ce_causationid") == Some("a"), "{upcast:?}");
        ensure!(upcast.header("ce_eventversion") == Some("2"), "{upcast:?}");
        host.stop()
    })
}

//! Plays the system commerce as it is: the choreography of orders, the saga beside it, the trail of
//! all of it, what is seen in time, and the page that draws it.

mod page;
mod sagas;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gristmill_tests::support::client::{Client, Stored};
use gristmill_tests::support::component::{binary, root};
use gristmill_tests::support::example::{Example, Party, Place, settle};
use gristmill_tests::support::home::{Home, Process};
use gristmill_tests::support::kafka::witness::Ground;
use gristmill_tests::support::{trail, wait};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_mins(1);
const MORE: &str = "\n[storage]\nreserve = \"64MiB\"\n";
const DAY_MS: u64 = 24 * 60 * 60 * 1_000;
/// Topics with their partitions and days of retention.
const TOPICS: [(&str, u32, u64); 8] = [
    ("user-events", 12, 30),
    ("catalog-events", 8, 90),
    ("inventory-events", 16, 7),
    ("order-events", 20, 365),
    ("payment-events", 12, 7 * 365),
    ("shipping-events", 8, 365),
    ("notification-events", 4, 30),
    ("audit-events", 4, 7 * 365),
];
/// Topics that the trail is of: all of them but itself, and the carts.
const AUDITED: [&str; 8] = [
    "user-events",
    "catalog-events",
    "inventory-events",
    "order-events",
    "payment-events",
    "shipping-events",
    "notification-events",
    "cart-events",
];

fn example() -> Result<Example> {
    Example::of("commerce")
}

/// The environment of a host that calls this party.
fn variables(party: &Party) -> Vec<(&'static str, String)> {
    vec![
        ("GRISTMILL_LISTEN", "127.0.0.1:0".to_owned()),
        ("COMMERCE_PROVIDER", party.address().to_owned()),
        ("COMMERCE_MAIL", party.address().to_owned()),
    ]
}

fn start(home: &Home, variables: &[(&str, String)]) -> Result<(Process, Client)> {
    let mut host = home.start(variables)?;
    let client = host.must_be_ready()?;
    Ok((host, client))
}

/// An event in the system's envelope, sent to its topic.
fn send(client: &Client, topic: &str, id: &str, (kind, data): (&str, Value)) -> Result<Value> {
    send_at(client, topic, id, (kind, data), "2026-03-02T08:00:00Z")
}

fn send_at(
    client: &Client,
    topic: &str,
    id: &str,
    (kind, data): (&str, Value),
    moment: impl Into<Value>,
) -> Result<Value> {
    let event = json!({
        "eventId": id, "eventType": kind, "eventVersion": "v1", "timestamp": moment.into(),
        "source": "test", "correlationId": format!("request-{id}"), "data": data,
    });
    client.send(&format!("/topics/{topic}"), &event)
}

fn counted(product: &str, change: i64) -> (&'static str, Value) {
    let data = json!({ "productId": product, "change": change, "reason": "counted" });
    ("InventoryAdjusted", data)
}

/// An order of one piece of each product, for so many cents.
fn ordered(id: &str, user: &str, products: &[&str], cents: u64) -> (&'static str, Value) {
    let item = |product: &&str| json!({ "productId": product, "quantity": 1, "priceCents": cents });
    let items: Vec<Value> = products.iter().map(item).collect();
    let data = json!({
        "orderId": id, "userId": user, "items": items, "totalCents": cents, "currency": "EUR",
    });
    ("OrderCreated", data)
}

/// The first event of a topic that is wanted, once there is one.
fn awaited(
    client: &Client,
    host: &Process,
    topic: &str,
    is_wanted: impl Fn(&Stored) -> bool,
) -> Result<Stored> {
    let found = wait::until(PATIENCE, || {
        Ok(client.topic(topic)?.concat().into_iter().find(|record| is_wanted(record)))
    })?;
    found.with_context(|| format!("{topic} has no such event:\n{}", host.tail()))
}

fn is(kind: &str, order: &str) -> impl Fn(&Stored) -> bool {
    move |record| record.payload["eventType"] == kind && record.payload["data"]["orderId"] == order
}

/// The types of what happened to each order, in the order in which it was published.
fn lives(records: &[Vec<Stored>]) -> BTreeMap<String, Vec<String>> {
    let mut lives: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for record in records.iter().flatten() {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        if seen.insert(text(&record.payload["eventId"])) {
            let life = lives.entry(text(&record.payload["data"]["orderId"])).or_default();
            life.push(text(&record.payload["eventType"]));
        }
    }
    lives
}

/// The whole story, with a party that fails the first attempt at every fourth request.
fn plays(place: &Place) -> Result<()> {
    let example = example()?;
    let party = example.party(1)?;
    example.play(place, MORE, &variables(&party))?;
    let (mut keys, mut paths) = (BTreeSet::new(), BTreeMap::new());
    for call in party.calls()? {
        ensure!(keys.insert(call["key"].to_string()), "taken twice: {call}");
        *paths.entry(call["path"].as_str().context("a path")?.to_owned()).or_default() += 1;
    }
    let expected = root().join("examples/commerce/expected/topics.json");
    let expected: Value = serde_json::from_str(&fs::read_to_string(expected)?)?;
    let count = |topic: &str, kind: &str| {
        let events = expected[topic].as_array().into_iter().flatten();
        events.filter(|it| it["type"].as_str().is_some_and(|it| it.starts_with(kind))).count()
    };
    let payments = count("payment-events", "PaymentInitiated");
    let mails = count("notification-events", "Notification");
    let wanted = BTreeMap::from([("/mails".to_owned(), mails), ("/payments".to_owned(), payments)]);
    ensure!(paths == wanted && payments > 50, "{paths:?} is not {wanted:?}");
    Ok(())
}

#[test]
fn it_ends_as_its_input_says() -> Result<()> {
    plays(&Place::Embedded)
}

/// On a broker of its own: `shipping-events` is a topic of another system too.
#[test]
fn it_ends_as_its_input_says_on_kafka_with_topics_as_declared() -> Result<()> {
    let ground = Arc::new(Ground::start()?);
    let place = Place::Kafka(Arc::clone(&ground));
    plays(&place)?;
    for (topic, partitions, days) in TOPICS {
        let told = ground.cluster().describe_topic(topic)?;
        let words: Vec<&str> = told.split_whitespace().collect();
        let count = words.iter().position(|it| *it == "PartitionCount:").map(|at| words[at + 1]);
        ensure!(count == Some(&*partitions.to_string()), "{topic}: {told}");
        ensure!(told.contains(&format!("retention.ms={}", days * DAY_MS)), "{topic}: {told}");
    }
    sagas::each_way(&place)
}

#[test]
fn every_event_is_in_the_trail_and_every_order_lives_in_order() -> Result<()> {
    let (example, place) = (example()?, Place::Embedded);
    let party = example.party(0)?;
    let home = example.home(&place, MORE)?;
    let (host, client) = start(&home, &variables(&party))?;
    example.publish(&client)?;
    example.await_expected(&client, &host, &place)?;
    let entries = trail::must_have_all(&client, "audit-events", &AUDITED)?;
    ensure!(entries > 500, "{entries} entries");
    let lives = lives(&client.topic("order-events")?);
    let count = |wanted: &[&str]| lives.values().filter(|life| **life == wanted).count();
    let shipped = count(&["OrderCreated", "OrderConfirmed", "OrderShipped"]);
    let cancelled = count(&["OrderCreated", "OrderCancelled"]);
    ensure!(shipped + cancelled == lives.len() && shipped > 40 && cancelled > 5, "{lives:?}");
    is_judged(&client)?;
    host.stop()
}

/// What is no order does not come in, and everything that is wrong with it is said.
fn is_judged(client: &Client) -> Result<()> {
    let (_, mut data) = ordered("o-odd", "ada", &["tea"], 500);
    data["currency"] = json!("euro");
    data["items"] = json!([]);
    let odd = json!({
        "eventId": "odd", "eventType": "OrderCreated", "eventVersion": "v1",
        "timestamp": "2026-03-02T08:00:00Z", "source": "test", "data": data,
    });
    let refused = client.ask("/topics/order-events", &[], &odd.to_string())?;
    let both = refused.text.contains("/data/currency") && refused.text.contains("/data/items");
    ensure!(refused.failure() == "400 E0407" && both, "{refused:?}");
    Ok(())
}

#[test]
fn an_order_is_one_tree_from_its_request_to_its_end() -> Result<()> {
    let example = example()?;
    let party = example.party(0)?;
    let home = example.home(&Place::Embedded, MORE)?;
    let (host, client) = start(&home, &variables(&party))?;
    for product in ["tea", "cup"] {
        send(&client, "inventory-events", product, counted(product, 10))?;
    }
    settle(&client, &host)?;
    send(&client, "order-events", "e-1", ordered("o-1", "ada", &["tea", "cup"], 900))?;
    awaited(&client, &host, "order-events", is("OrderShipped", "o-1"))?;
    settle(&client, &host)?;
    let traced = Command::new(binary("debug"))
        .args(["trace", "e-1", "--json", "--url", client.url()])
        .output()?;
    let told: Value = serde_json::from_slice(&traced.stdout)?;
    ensure!(told["correlation_id"] == "request-e-1", "{told}");
    is_one_tree(&told)?;
    // In the envelopes the chain is that of the platform: the inventory's own events are its own.
    let envelope = |topic: &str, kind: &'static str| -> Result<Value> {
        Ok(awaited(&client, &host, topic, is(kind, "o-1"))?.payload)
    };
    let mut cause = json!("e-1");
    for (topic, kind) in [
        ("inventory-events", "InventoryReserved"),
        ("payment-events", "PaymentProcessed"),
        ("shipping-events", "ShippingCreated"),
    ] {
        let event = envelope(topic, kind)?;
        ensure!(event["causationId"] == cause, "{event}");
        ensure!(event["correlationId"] == "request-e-1", "{event}");
        cause = event["eventId"].clone();
    }
    host.stop()
}

/// Everything that an order of two products causes is in its tree, and has one root.
fn is_one_tree(told: &Value) -> Result<()> {
    let events = told["events"].as_array().context("events")?;
    let text = |event: &Value, name: &str| event[name].as_str().map(str::to_owned);
    let names: BTreeSet<String> = events
        .iter()
        .flat_map(|event| [text(event, "id"), text(event, "envelope_id")])
        .flatten()
        .collect();
    let roots: Vec<&Value> = events
        .iter()
        .filter(|it| text(it, "causation_id").is_none_or(|cause| !names.contains(&cause)))
        .collect();
    ensure!(roots.len() == 1 && roots[0]["type"] == "OrderCreated", "{roots:?}");
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for event in events {
        *kinds.entry(text(event, "type").unwrap_or_default()).or_default() += 1;
    }
    for (kind, count) in [
        ("StockRequested", 2),
        ("StockAnswered", 2),
        ("InventoryReserved", 1),
        ("PaymentInitiated", 1),
        ("PaymentProcessed", 1),
        ("ShippingCreated", 1),
        ("NotificationSent", 1),
        ("OrderConfirmed", 1),
        ("OrderShipped", 1),
        // The order is long past: it is too late for its minute, and told as that.
        ("RevenueAmount", 2),
    ] {
        ensure!(kinds.get(kind) == Some(&count), "{kind}: {kinds:?}");
    }
    Ok(())
}

/// Seconds that events may take to come: with less than a busy machine needs, a result is missing.
const SOON: &str = "10";

#[test]
fn what_happens_in_time_is_seen_in_time() -> Result<()> {
    let example = example()?;
    let party = example.party(0)?;
    let home = example.home(&Place::Embedded, MORE)?;
    let mut variables = variables(&party);
    variables.extend([
        ("COMMERCE_THINKING_SECONDS", "2".to_owned()),
        ("COMMERCE_WINDOW_SECONDS", "2".to_owned()),
        ("COMMERCE_LATENESS_SECONDS", SOON.to_owned()),
    ]);
    let (host, client) = start(&home, &variables)?;
    send(&client, "inventory-events", "count", counted("tea", 100))?;
    let now = awaited(&client, &host, "inventory-events", |_| true)?.timestamp_ms;
    for (number, (user, cents)) in
        [("ada", 1_000), ("alan", 500), ("mallory", 1), ("mallory", 2), ("mallory", 3)]
            .into_iter()
            .enumerate()
    {
        let id = format!("o-{number}");
        let order = ordered(&id, user, &["tea"], cents);
        send_at(&client, "order-events", &format!("e-{id}"), order, now)?;
    }
    let item = json!([{ "productId": "tea", "quantity": 1, "priceCents": 1 }]);
    let cart = json!({ "cartId": "c-1", "userId": "grace", "items": item });
    send_at(&client, "cart-events", "e-cart", ("CartCreated", cart), now)?;
    let of_minute = |record: &Stored| record.payload["revision"] == 2;
    let revenue = awaited(&client, &host, "revenue-per-minute", of_minute)?.payload;
    ensure!(revenue["payments"] == 2 && revenue["cents"] == 1_500, "{revenue}");
    let alert = awaited(&client, &host, "payment-alerts", |_| true)?;
    ensure!(alert.key.as_deref() == Some("mallory"), "{alert:?}");
    ensure!(alert.header("ce_type") == Some("PaymentsFailing"), "{alert:?}");
    let is_abandoned = |record: &Stored| record.payload["eventType"] == "CartAbandoned";
    let abandoned = awaited(&client, &host, "cart-events", is_abandoned)?;
    ensure!(abandoned.payload["data"]["holds"] == true, "{abandoned:?}");
    ensure!(abandoned.payload["causationId"] == "e-cart", "{abandoned:?}");
    host.stop()
}

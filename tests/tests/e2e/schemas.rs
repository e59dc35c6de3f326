//! Events are judged by schemas wherever they come from; those of a real registry among them, and
//! while it is away.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gristmill_tests::support::client::{Client, Stored};
use gristmill_tests::support::component::{binary, guest};
use gristmill_tests::support::home::{Home, Process};
use gristmill_tests::support::registry::{Registry, free_port};
use gristmill_tests::support::wait;
use serde_json::{Value, json};

use super::both::{Ground, embedded, on_both, settle, start};

const PATIENCE: Duration = Duration::from_mins(2);
const TOPICS: &str = "[topics.defaults]\npartitions = 2\n[topics.in]\n[topics.answers]\n\
                      [topics.orders]\n[topics.out]\n";
/// One for each version of an order.
const FILES: &str = r#"[schemas.order-1]
topics = ["orders"]
types = ["order", "orders", "t"]
versions = ["1"]
schema = "order-1.json"

[schemas.order-2]
topics = ["orders"]
types = ["order", "orders", "t"]
schema = "order-2.json"
follows = "order-1"
"#;
const ORDER: &str = r#"{"type":"object","required":["id"],"properties":{
    "id":{"type":"string","minLength":2},"price":{"type":"number","minimum":0}}}"#;

/// `puppet` emits what it is told to `orders`, which `tally` numbers.
const PUPPET: &str = "[[subscription]]\nname = \"puppet\"\ntopics = [\"in\"]\n\
                      grants.emit = [\"answers\", \"orders\"]\n";
const TALLY: &str = "[[subscription]]\nname = \"tally\"\ntopics = [\"orders\"]\n\
                     retry.initial_interval = \"20ms\"\nretry.max_interval = \"100ms\"\n\
                     breaker.enabled = false\n\
                     grants = { emit = [\"out\"], state = true, config = { to = \"out\" } }\n";

fn home(ground: &Ground, schemas: &str) -> Result<Home> {
    let home = Home::new(&binary("debug"), &format!("{}{schemas}", ground.config))?;
    fs::write(home.path().join("order-1.json"), ORDER)?;
    fs::write(home.path().join("order-2.json"), ORDER.replace("minLength", "maxLength"))?;
    home.put("puppet.toml", PUPPET.as_bytes())?;
    home.put("puppet.wasm", &guest("puppet")?)?;
    home.put("tally.toml", TALLY.as_bytes())?;
    home.put("tally.wasm", &guest("tally")?)?;
    Ok(home)
}

/// Ids that `tally` has numbered, in the order of their numbers.
fn numbered(client: &Client) -> Result<Vec<String>> {
    let mut numbered = client.topic("out")?.concat();
    numbered.sort_by_key(|record| record.payload["number"].as_u64());
    let id = |record: &Stored| record.payload["id"].as_str().map(str::to_owned);
    numbered.iter().map(|record| id(record).context("an id")).collect()
}

/// Status, code and violations of an answer.
fn refusal(client: &Client, path: &str, headers: &[(&str, &str)], body: &str) -> Result<String> {
    let answer = client.ask(path, headers, body)?;
    let told: Value = serde_json::from_str(&answer.text)?;
    let violations = told["error"]["violations"].as_array().into_iter().flatten();
    let violations: Vec<&str> = violations.filter_map(Value::as_str).collect();
    Ok(format!("{} {}", answer.failure(), violations.join("; ")))
}

#[test]
fn events_are_judged_wherever_they_come_from() -> Result<()> {
    on_both("judging", TOPICS, |ground| {
        let home = home(ground, "")?;
        let (host, client) = start(&home)?;
        client.post("/api/v1/subscriptions/tally/pause")?;
        client.send("/topics/orders?key=k", &json!({ "id": "too long", "price": -1 }))?;
        host.stop()?;
        // That one was there before its schema.
        let config = home.path().join("gristmill.toml");
        fs::write(&config, format!("{}{FILES}", fs::read_to_string(&config)?))?;
        let (host, client) = start(&home)?;

        let path = "/topics/orders?key=k";
        ensure!(client.ask(path, &[], r#"{"id":"ab","price":1}"#)?.status == 202);
        let both = "/id: \"abc\" is longer than 2 characters; /price: -1 is less than the minimum \
                    of 0";
        let found = refusal(&client, path, &[], r#"{"id":"abc","price":-1}"#)?;
        ensure!(found == format!("400 E0407 {both}"), "{found}");
        let binary = [
            ("ce-specversion", "1.0"),
            ("ce-id", "e-1"),
            ("ce-source", "/test"),
            ("ce-type", "order"),
            ("ce-eventversion", "1"),
            ("content-type", "application/json"),
        ];
        let taken = client.ask(path, &binary, r#"{"id":"abc"}"#)?;
        ensure!(taken.status == 202, "version 1: {taken:?}");
        let mut other = binary;
        other[3].1 = "bill";
        let found = refusal(&client, path, &other, "{}")?;
        ensure!(found.starts_with("400 E0408 topic \"orders\" has no schema for"), "{found}");
        all_of_a_batch_or_nothing(&client)?;
        emissions_are_judged_as_well(&client, &host)?;

        client.post("/api/v1/subscriptions/tally/resume")?;
        let letters = wait::until(PATIENCE, || {
            let letters = client.topic("orders.tally.dlq")?.concat();
            Ok((!letters.is_empty()).then_some(letters))
        })?;
        let letters = letters.with_context(|| format!("no dead letter:\n{}", host.tail()))?;
        settle(&client, &host)?;
        let header = |name: &str| letters[0].header(name).unwrap_or_default();
        ensure!(letters.len() == 1 && header("dlq-error-class") == "invalid", "{letters:?}");
        ensure!(header("dlq-error-code") == "E0407", "{letters:?}");
        ensure!(header("dlq-error-message") == both.replace("abc", "too long"), "{letters:?}");
        let done = numbered(&client)?;
        ensure!(done == ["ab", "abc", "xy"], "{done:?}");
        host.stop()
    })
}

fn all_of_a_batch_or_nothing(client: &Client) -> Result<()> {
    let before = client.ends("orders")?;
    let event = |id: &str, data: Value| {
        json!({
            "specversion": "1.0", "id": id, "source": "/t", "type": "order", "data": data,
        })
    };
    let batch = json!([
        event("1", json!({ "id": "ok" })),
        event("2", json!({ "price": "much" })),
        event("3", json!([])),
    ]);
    let media = [("content-type", "application/cloudevents-batch+json")];
    let found = refusal(client, "/topics/orders", &media, &batch.to_string())?;
    let all = found.starts_with("400 E0407 event 1: ") && found.contains("; event 2: ");
    ensure!(all && found.matches("event 1: ").count() == 2, "{found}");
    ensure!(client.ends("orders")? == before, "a part of it was published");
    Ok(())
}

fn emissions_are_judged_as_well(client: &Client, host: &Process) -> Result<()> {
    client.send_text("/topics/in?key=k", "tell orders {\"id\":7}\ntell orders {\"id\":\"xy\"}")?;
    let answers = wait::until(PATIENCE, || {
        let answers = client.topic("answers")?.concat();
        Ok((answers.len() == 2).then_some(answers))
    })?;
    let answers = answers.with_context(|| format!("no answers:\n{}", host.tail()))?;
    let texts: Vec<String> = answers.iter().map(Stored::text).collect::<Result<_>>()?;
    let refused = r#"Err(EmitError::Schema(["/id: 7 is not of type \"string\""]))"#;
    ensure!(texts == [refused, "Ok(())"], "{texts:?}");
    Ok(())
}

fn avro(more: &str) -> String {
    format!(
        "{{\"type\":\"record\",\"name\":\"Order\",\"fields\":[{{\"name\":\"id\",\"type\":\
         \"string\"}}{more}]}}"
    )
}

/// Schemas of a registry at that address.
fn of_registry(url: &str) -> String {
    format!(
        "[schemas]\nregistry = \"{url}\"\nrefresh = \"1s\"\n[schemas.order]\n\
         topics = [\"orders\"]\nschema = \"registry:orders-value\"\n"
    )
}

/// What is stored of the events in `orders`: id of the schema and data.
fn stored(client: &Client) -> Result<Vec<(u32, Vec<u8>)>> {
    let stored = client.topic("orders")?.concat();
    let frames = stored.iter().map(|record| {
        let bytes = record.bytes()?;
        let (frame, data) = bytes.split_at_checked(5).context("no frame")?;
        ensure!(frame[0] == 0, "{frame:?}");
        Ok((u32::from_be_bytes(frame[1..].try_into()?), data.to_vec()))
    });
    frames.collect()
}

#[test]
fn avro_of_a_registry_is_json_to_handlers() -> Result<()> {
    on_both("converting", TOPICS, |ground| {
        let registry = Registry::start()?;
        let first = registry.register("orders-value", "AVRO", &avro(""))?;
        let home = home(ground, &of_registry(&registry.url()))?;
        let (host, client) = start(&home)?;
        let path = "/topics/orders?key=k";
        client.send(path, &json!({ "id": "a" }))?;
        let found = refusal(&client, path, &[], r#"{"id":"b","colour":"red"}"#)?;
        ensure!(found == "400 E0407 /colour: the schema has no such field", "{found}");
        client.send_text("/topics/in?key=k", "tell orders {\"id\":\"c\"}")?;
        settle(&client, &host)?;
        // A string of Avro: twice its length, then itself.
        let found = stored(&client)?;
        ensure!(found == [(first, b"\x02a".to_vec()), (first, b"\x02c".to_vec())], "{found:?}");

        // A producer is ahead: what it writes by is asked for.
        let note = r#",{"name":"note","type":"string","default":"none"}"#;
        let second = registry.register("orders-value", "AVRO", &avro(note))?;
        let mut body = [&[0], &second.to_be_bytes()[..], b"\x02d\x02x"].concat();
        let media = [("content-type", "application/avro")];
        let taken = wait::until(PATIENCE, || {
            let answer = client.ask_bytes(path, &media, &body)?;
            ensure!(["202", "503"].contains(&&*answer.status.to_string()), "{answer:?}");
            Ok((answer.status == 202).then_some(()))
        })?;
        taken.with_context(|| format!("its schema does not come:\n{}", host.tail()))?;
        // One whose schema no registry knows is refused.
        body[1] = 77;
        let refused = wait::until(PATIENCE, || {
            let answer = client.ask_bytes(path, &media, &body)?;
            Ok((answer.status != 503).then_some(answer))
        })?;
        let refused = refused.context("the registry does not deny it")?;
        ensure!(refused.failure() == "400 E0407", "{refused:?}");
        settle(&client, &host)?;
        let done = numbered(&client)?;
        ensure!(done == ["a", "c", "d"], "{done:?}");
        host.stop()
    })
}

#[test]
fn what_a_registry_said_holds_while_it_is_away() -> Result<()> {
    let port = free_port()?;
    let ground = embedded("missing", TOPICS);
    let home = home(&ground, &of_registry(&Registry::url_on(port)))?;
    let mut host = home.start(&[])?;
    let client = host.listens()?;
    let is_told = wait::until(PATIENCE, || {
        let (status, text) = client.answer("/readyz")?;
        ensure!(status == 503, "ready without schemas: {text}");
        Ok(text.contains("E0703").then_some(()))
    })?;
    is_told.with_context(|| format!("nobody says what is missing:\n{}", host.tail()))?;
    let refused = client.ask("/topics/orders?key=k", &[], r#"{"id":"a"}"#)?;
    ensure!(refused.failure() == "503 E0703" && !refused.header("retry-after").is_empty());

    let registry = Registry::start_on(port)?;
    registry.register("orders-value", "JSON", ORDER)?;
    host.must_be_ready()?;
    client.send("/topics/orders?key=k", &json!({ "id": "ab" }))?;
    registry.kill()?;
    client.send("/topics/orders?key=k", &json!({ "id": "cd" }))?;
    settle(&client, &host)?;
    host.stop()?;

    let (host, client) = start(&home)?;
    client.send("/topics/orders?key=k", &json!({ "id": "ef" }))?;
    let found = refusal(&client, "/topics/orders?key=k", &[], r#"{"id":"a"}"#)?;
    ensure!(found == "400 E0407 /id: \"a\" is shorter than 2 characters", "{found}");
    settle(&client, &host)?;
    let done = numbered(&client)?;
    ensure!(done == ["ab", "cd", "ef"], "{done:?}");
    host.stop()
}

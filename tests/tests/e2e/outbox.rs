//! Rows that services' own transactions leave in PostgreSQL: how each shape of table is read, what
//! becomes of rows that cannot be published, of those that are, and of a database that is away.

mod random;
mod systems;

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gristmill_tests::support::client::{Client, Stored};
use gristmill_tests::support::component::binary;
use gristmill_tests::support::home::{Home, Process};
use gristmill_tests::support::postgres::{Database, Postgres, Safety};
use gristmill_tests::support::wait;
use serde_json::{Value, json};

use super::both::{embedded, start};

const PATIENCE: Duration = Duration::from_mins(1);
/// A table as docs/outbox.md has it.
const TABLE: &str = "CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic text NOT NULL,
    key text,
    type text,
    payload jsonb,
    headers jsonb,
    created_at timestamptz NOT NULL DEFAULT now(),
    published_at timestamptz,
    error text
);
CREATE INDEX outbox_pending ON outbox (id) WHERE published_at IS NULL;";

/// A host with these outboxes, each of this database.
fn home(name: &str, postgres: &Postgres, tables: &str, outboxes: &[(&str, &str)]) -> Result<Home> {
    let outbox = |(name, lines): &(&str, &str)| {
        format!("[outbox.{name}]\npoll = \"50ms\"\n{}\n{lines}\n", postgres.parameters())
    };
    let outboxes: String = outboxes.iter().map(outbox).collect();
    Home::new(&binary("debug"), &format!("{}{outboxes}", embedded(name, tables).config))
}

/// All events of a topic, once there are so many.
fn events(client: &Client, host: &Process, topic: &str, count: usize) -> Result<Vec<Stored>> {
    let there = wait::until(PATIENCE, || {
        let events = client.topic(topic)?.concat();
        Ok((events.len() >= count).then_some(events))
    })?;
    let events = there.with_context(|| {
        format!("{count} in {topic}: {:?}\n{}", client.topic(topic), host.tail())
    })?;
    ensure!(events.len() == count, "{} in {topic}: {events:?}", events.len());
    Ok(events)
}

/// How the first outbox stands, once that is so.
fn stands(client: &Client, host: &Process, is_so: impl Fn(&Value) -> bool) -> Result<()> {
    let seen = wait::until(PATIENCE, || {
        let standing = client.json("/api/v1/outbox")?["outboxes"][0].clone();
        Ok(is_so(&standing).then_some(()))
    })?;
    seen.with_context(|| format!("{:?}\n{}", client.get("/api/v1/outbox"), host.tail()))
}

/// Waits until a question about the table has that answer.
fn comes_to(database: &Database, host: &Process, question: &str, answer: i64) -> Result<()> {
    let seen = wait::until(PATIENCE, || Ok((database.number(question)? == answer).then_some(())))?;
    seen.with_context(|| {
        format!("{question}: {:?} and not {answer}\n{}", database.number(question), host.tail())
    })
}

/// What Wolverine's serialiser makes of a message.
fn envelope(headers: &[(&str, &str)], data: &str) -> Result<Vec<u8>> {
    let mut bytes = 5_250_000_000_000_000_000_i64.to_le_bytes().to_vec();
    bytes.extend(i32::try_from(headers.len())?.to_le_bytes());
    for text in headers.iter().flat_map(|(name, value)| [name, value]) {
        bytes.push(u8::try_from(text.len())?);
        bytes.extend(text.bytes());
    }
    bytes.extend(i32::try_from(data.len())?.to_le_bytes());
    bytes.extend(data.bytes());
    Ok(bytes)
}

/// Checks one event: topic, header and its value, key, data.
fn is_event(event: &Stored, of: [&str; 2], key: Option<&str>, data: &Value) -> Result<()> {
    let [kind, source] = of;
    ensure!(event.header("ce_type") == Some(kind), "{event:?}");
    ensure!(event.header("ce_source") == Some(source), "{event:?}");
    ensure!(event.key.as_deref() == key && event.payload == *data, "{event:?}");
    Ok(())
}

#[test]
fn tables_of_four_systems_are_read_as_they_are() -> Result<()> {
    let postgres = Postgres::start(Safety::Process)?;
    let database = postgres.connect()?;
    database.run(
        r#"CREATE TABLE "OutboxEvents" ("Id" bigserial PRIMARY KEY, "Topic" text, "Payload" text);
        CREATE SCHEMA wolverine;
        CREATE TABLE wolverine.wolverine_outgoing_envelopes (id uuid PRIMARY KEY,
            owner_id integer NOT NULL, destination varchar NOT NULL, deliver_by timestamptz,
            body bytea NOT NULL, attempts integer DEFAULT 0, message_type varchar NOT NULL);
        CREATE TYPE "OutboxStatus" AS ENUM ('PENDING', 'PUBLISHED');
        CREATE TABLE "OutboxEvent" (id serial PRIMARY KEY, "eventType" text, "eventData" jsonb,
            topic text, status "OutboxStatus" DEFAULT 'PENDING');
        CREATE TABLE outboxevent (id uuid PRIMARY KEY, aggregatetype varchar(255) NOT NULL,
            aggregateid varchar(255) NOT NULL, type varchar(255) NOT NULL, payload jsonb);"#,
    )?;
    let topics = "[topics.\"shipping.shipment.created\"]\nkey = \"/shipmentId\"\n\
        [topics.cashiers]\n[topics.\"user.created\"]\n[topics.\"outbox.event.order\"]\n";
    let shapes = ["shipping", "billing", "pos", "debezium"];
    let lines = shapes.map(|shape| format!("shape = \"{shape}\""));
    let outboxes = [0, 1, 2, 3].map(|at| (shapes[at], lines[at].as_str()));
    let home = home("mapping", &postgres, topics, &outboxes)?;
    let (host, client) = start(&home)?;
    // Rows in no order are not published in any; the message says how they get one.
    let told = wait::until(PATIENCE, || {
        let told = client.get("/readyz")?;
        Ok((told.matches("E0482").count() == 2).then_some(told))
    })?;
    let told = told.with_context(|| host.tail())?;
    ensure!(told.contains("GENERATED ALWAYS AS IDENTITY"), "{told}");
    database.run(
        "ALTER TABLE outboxevent ADD COLUMN sequence bigint GENERATED ALWAYS AS IDENTITY;
        ALTER TABLE wolverine.wolverine_outgoing_envelopes
            ADD COLUMN sequence bigint GENERATED ALWAYS AS IDENTITY;",
    )?;
    let sent = [("message-type", "CashierCreated"), ("source", "billing"), ("tenant", "t-1")];
    let body = envelope(&sent, r#"{"name":"Ada"}"#)?;
    database.rows(
        "INSERT INTO wolverine.wolverine_outgoing_envelopes (id, owner_id, destination, body, \
         message_type) VALUES (gen_random_uuid(), 0, 'kafka://topic/cashiers', $1, 'C')",
        &[&body],
    )?;
    database.run(
        r#"INSERT INTO "OutboxEvents" ("Topic", "Payload")
            VALUES ('shipping.shipment.created', '{"shipmentId":"s-1"}');
        INSERT INTO "OutboxEvent" ("eventType", "eventData", topic)
            VALUES ('user.created', '{"id": 7}', 'user.created');
        INSERT INTO outboxevent (id, aggregatetype, aggregateid, type, payload) VALUES
            ('4d47e190-0402-4048-bc2c-89dd54343cdc', 'order', '1', 'OrderCreated', '{"id": 1}');"#,
    )?;
    let one = |topic: &str| Ok::<_, anyhow::Error>(events(&client, &host, topic, 1)?.remove(0));
    let shipped = "shipping.shipment.created";
    let is = [shipped, "/mapping/outbox/shipping"];
    is_event(&one(shipped)?, is, Some("s-1"), &json!({ "shipmentId": "s-1" }))?;
    let cashier = one("cashiers")?;
    is_event(&cashier, ["C", "billing"], None, &json!({ "name": "Ada" }))?;
    ensure!(cashier.header("tenant") == Some("t-1"), "{cashier:?}");
    let is = ["user.created", "/mapping/outbox/pos"];
    is_event(&one("user.created")?, is, None, &json!({ "id": 7 }))?;
    let order = one("outbox.event.order")?;
    let is = ["OrderCreated", "/mapping/outbox/debezium"];
    is_event(&order, is, Some("1"), &json!({ "id": 1 }))?;
    ensure!(order.header("ce_id") == Some("4d47e190-0402-4048-bc2c-89dd54343cdc"), "{order:?}");
    comes_to(&database, &host, "SELECT count(*) FROM \"OutboxEvents\"", 0)?;
    comes_to(&database, &host, "SELECT count(*) FROM outboxevent", 0)?;
    let published = "SELECT count(*) FROM \"OutboxEvent\" WHERE status = 'PUBLISHED'";
    comes_to(&database, &host, published, 1)?;
    host.stop()
}

#[test]
fn a_row_that_fits_nowhere_is_parked_mended_and_discarded() -> Result<()> {
    let postgres = Postgres::start(Safety::Process)?;
    let database = postgres.connect()?;
    database.run(TABLE)?;
    let topics = "[topics.orders]\nmax_event_bytes = \"1KiB\"\n";
    let home = home("parking", &postgres, topics, &[("shop", "")])?;
    let (host, client) = start(&home)?;
    let insert = |topic: &str, key: &str, payload: &str| {
        let line = "INSERT INTO outbox (topic, key, payload) VALUES ($1, $2, $3::text::jsonb) \
                    RETURNING id::text";
        let rows = database.rows(line, &[&topic, &key, &payload])?;
        Ok::<String, anyhow::Error>(rows[0].get(0))
    };
    let lost = insert("order", "a", "1")?;
    insert("orders", "a", "2")?;
    insert("orders", "b", "3")?;
    let large = insert("orders", "c", &json!("x".repeat(2_000)).to_string())?;
    insert("orders", "c", "4")?;
    // What waits behind a parked row waits; what does not, does not.
    let seen = events(&client, &host, "orders", 1)?;
    ensure!(seen[0].payload == 3, "{seen:?}");
    stands(&client, &host, |it| {
        it["parked"] == 2 && it["state"] == "running" && it["pending"] == 2
    })?;
    let row = client.json(&format!("/api/v1/outbox/shop/rows/{lost}"))?;
    ensure!(row["code"] == "E0490" && row["topic"] == "order", "{row}");
    ensure!(row["reason"].as_str().is_some_and(|it| it.contains("mean \"orders\"")), "{row}");
    let shown = Command::new(binary("debug"))
        .args(["outbox", "list", "shop", "--url", client.url()])
        .output()?;
    let shown = String::from_utf8(shown.stdout)?;
    ensure!(shown.contains("E0490") && shown.contains("E0413"), "{shown}");
    // Tried again as it is, it is parked again.
    client.send("/api/v1/outbox/shop/retry", &json!({ "all": true }))?;
    stands(&client, &host, |it| it["parked"] == 2)?;
    database.run(&format!("UPDATE outbox SET topic = 'orders' WHERE id = {lost}"))?;
    client.send("/api/v1/outbox/shop/retry", &json!({ "ids": [lost] }))?;
    let seen = events(&client, &host, "orders", 3)?;
    let of_a: Vec<&Value> =
        seen.iter().filter(|it| it.key.as_deref() == Some("a")).map(|it| &it.payload).collect();
    ensure!(of_a == [&json!(1), &json!(2)], "{seen:?}");
    client.send("/api/v1/outbox/shop/discard", &json!({ "ids": [large] }))?;
    let seen = events(&client, &host, "orders", 4)?;
    ensure!(seen.iter().any(|it| it.payload == 4), "{seen:?}");
    let refused = client.ask("/api/v1/outbox/shop/discard", &[], r#"{"ids":["77"]}"#)?;
    ensure!(refused.failure() == "404 E0420", "{refused:?}");
    let refused = client.ask("/api/v1/outbox/shop/discard", &[], r#"{"all":true}"#)?;
    ensure!(refused.failure() == "400 E0415", "{refused:?}");
    let metrics = client.get("/metrics")?;
    ensure!(metrics.contains("gristmill_outbox_published_total{outbox=\"shop\"} 4"), "{metrics}");
    comes_to(&database, &host, "SELECT count(*) FROM outbox WHERE published_at IS NULL", 0)?;
    host.stop()
}

#[test]
fn a_shard_stops_at_a_row_where_it_shall_and_no_column_is_needed() -> Result<()> {
    let postgres = Postgres::start(Safety::Process)?;
    let database = postgres.connect()?;
    database.run(
        "CREATE TABLE outbox (id bigserial PRIMARY KEY, topic text, key text, payload text)",
    )?;
    let lines = "on_misfit = \"stop\"\nshards = 1\nnotify = \"outbox\"\n";
    let home = home("stopping", &postgres, "[topics.orders]\n", &[("shop", lines)])?;
    let (host, client) = start(&home)?;
    let insert = |topic: &str, key: &str| {
        let values = format!("('{topic}', '{key}', '{{}}')");
        database.run(&format!(
            "INSERT INTO outbox (topic, key, payload) VALUES {values}; NOTIFY outbox"
        ))
    };
    insert("orders", "a")?;
    events(&client, &host, "orders", 1)?;
    insert("nowhere", "b")?;
    stands(&client, &host, |it| it["parked"] == 1)?;
    insert("orders", "c")?;
    stands(&client, &host, |it| it["pending"] == 2)?;
    events(&client, &host, "orders", 1)?;
    let rows = client.json("/api/v1/outbox/shop/rows")?;
    let id = rows["rows"][0]["id"].clone();
    client.send("/api/v1/outbox/shop/discard", &json!({ "ids": [id] }))?;
    events(&client, &host, "orders", 2)?;
    comes_to(&database, &host, "SELECT count(*) FROM outbox", 0)?;
    host.stop()
}

#[test]
fn published_rows_are_kept_for_a_while_and_a_locked_one_holds_up_its_key_alone() -> Result<()> {
    let postgres = Postgres::start(Safety::Process)?;
    let (database, editor) = (postgres.connect()?, postgres.connect()?);
    database.run(TABLE)?;
    database.run("INSERT INTO outbox (topic, key, payload) VALUES ('orders', 'a', '1')")?;
    // Somebody edits a row, for as long as that takes.
    editor.run("BEGIN; SELECT FROM outbox WHERE id = 1 FOR UPDATE")?;
    database.run(
        "INSERT INTO outbox (topic, key, payload) \
         VALUES ('orders', 'a', '2'), ('orders', 'b', '3')",
    )?;
    let lines = "keep = \"1s\"\nshards = 1\n";
    let home = home("keeping", &postgres, "[topics.orders]\n", &[("shop", lines)])?;
    let (host, client) = start(&home)?;
    let seen = events(&client, &host, "orders", 1)?;
    ensure!(seen[0].payload == 3, "{seen:?}");
    editor.run("UPDATE outbox SET payload = '7' WHERE id = 1; COMMIT")?;
    let seen = events(&client, &host, "orders", 3)?;
    let of_a: Vec<&Value> =
        seen.iter().filter(|it| it.key.as_deref() == Some("a")).map(|it| &it.payload).collect();
    ensure!(of_a == [&json!(7), &json!(2)], "{seen:?}");
    comes_to(&database, &host, "SELECT count(*) FROM outbox", 0)?;
    host.stop()
}

#[test]
fn a_database_that_is_away_is_told_of_and_waited_for() -> Result<()> {
    let mut postgres = Postgres::new(Safety::Process)?;
    let home = home("waiting", &postgres, "[topics.orders]\n", &[("shop", "")])?;
    let (host, client) = start(&home)?;
    let is_told = |code: &'static str| {
        move |it: &Value| it["state"] == "troubled" && it["troubles"].to_string().contains(code)
    };
    stands(&client, &host, is_told("E0480"))?;
    ensure!(client.get("/readyz")?.contains("E0480"), "health tells of it too");
    postgres.resume()?;
    stands(&client, &host, is_told("E0482"))?;
    let database = postgres.connect()?;
    database.run(TABLE)?;
    let insert = "INSERT INTO outbox (topic, key, payload) VALUES ('orders', 'a', '1')";
    database.run(insert)?;
    events(&client, &host, "orders", 1)?;
    stands(&client, &host, |it| it["state"] == "running")?;
    postgres.crash()?;
    stands(&client, &host, is_told("E0480"))?;
    postgres.resume()?;
    postgres.connect()?.run(insert)?;
    events(&client, &host, "orders", 2)?;
    stands(&client, &host, |it| it["state"] == "running" && it["troubles"] == json!([]))?;
    host.stop()
}

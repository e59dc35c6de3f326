//! The examples whose services have databases: everything they are told goes through tables as
//! those services have them, written by transactions of which some come to nothing.

use anyhow::{Context, Result};
use gristmill_tests::support::client::Client;
use gristmill_tests::support::example::{self, EMAIL_KEY, Example, Place};
use gristmill_tests::support::postgres::{Database, Postgres, Safety};
use gristmill_tests::support::wait;
use serde_json::Value;
use tempfile::NamedTempFile;

use super::{PATIENCE, envelope};

/// Of so many transactions one is rolled back, and done again.
const ROLLED_BACK: usize = 5;

/// A service with a database.
struct Service {
    example: Example,
    database: Database,
    /// Counts rows that are not published.
    pending: &'static str,
    /// Inserts what one event is made of, within a transaction.
    insert: fn(&Database, &str, &Value) -> Result<()>,
    /// Topics of which it publishes. Of others somebody else does.
    owns: fn(&str) -> bool,
}

impl Service {
    /// Writes everything again and again until it is committed, in order; returns when it is
    /// published.
    fn publish(&self, client: &Client) -> Result<()> {
        for (number, (topic, line)) in self.example.input()?.iter().enumerate() {
            let event: Value = serde_json::from_str(line)?;
            if !(self.owns)(topic) {
                example::publish(client, topic, line)?;
                continue;
            }
            if number % ROLLED_BACK == 0 {
                self.transact(topic, &event, "ROLLBACK")?;
            }
            self.transact(topic, &event, "COMMIT")?;
        }
        let published =
            wait::until(PATIENCE, || Ok((self.database.number(self.pending)? == 0).then_some(())))?;
        published.with_context(|| format!("rows wait: {:?}", parked(client)))
    }

    fn transact(&self, topic: &str, event: &Value, end: &str) -> Result<()> {
        self.database.run("BEGIN")?;
        (self.insert)(&self.database, topic, event)?;
        self.database.run(end)
    }

    /// Plays the example as it is when it is told things by HTTP, and expects the same.
    fn plays(&self, more: &str, variables: &[(&str, String)]) -> Result<()> {
        let more = format!("{more}\n{}", self.example.read("outbox.toml")?);
        self.example.play_with(&Place::Embedded, &more, variables, |client| self.publish(client))
    }
}

/// What a host says of rows that it does not publish.
fn parked(client: &Client) -> Result<String> {
    let told = client.json("/api/v1/outbox")?;
    let name = told["outboxes"][0]["name"].as_str().context("an outbox")?;
    Ok(format!("{told} {}", client.get(&format!("/api/v1/outbox/{name}/rows"))?))
}

/// Makes the database of an example, as its `outbox.sql` says, and the variables that lead there.
fn database(postgres: &Postgres, name: &str) -> Result<(Database, Vec<(String, String)>)> {
    postgres.connect()?.run(&format!("CREATE DATABASE {name}"))?;
    let database = Postgres::connect_to(&postgres.address_of(name))?;
    database.run(&Example::of(name)?.read("outbox.sql")?)?;
    let prefix = name.to_uppercase();
    let variables = vec![
        (format!("{prefix}_DATABASE"), "127.0.0.1".to_owned()),
        (format!("{prefix}_DATABASE_PORT"), postgres.port().to_string()),
    ];
    Ok((database, variables))
}

fn text<'a>(event: &'a Value, name: &str) -> Result<&'a str> {
    event[name].as_str().with_context(|| format!("no {name} in {event}"))
}

fn of_shipping(database: &Database, topic: &str, event: &Value) -> Result<()> {
    let key = if topic == "shipping.user.shipment-added" { "userId" } else { "shipmentId" };
    let (key, kind, payload) = (text(event, key)?, text(event, "EventType")?, event.to_string());
    database.rows(
        "INSERT INTO \"Shipments\" VALUES ($1, $2) \
         ON CONFLICT (\"Id\") DO UPDATE SET \"Status\" = excluded.\"Status\"",
        &[&key, &kind],
    )?;
    database.rows(
        "INSERT INTO \"OutboxEvents\" (\"Topic\", \"Key\", \"EventType\", \"Payload\") \
         VALUES ($1, $2, $3, $4)",
        &[&topic, &key, &kind, &payload],
    )?;
    Ok(())
}

fn of_pos(database: &Database, topic: &str, event: &Value) -> Result<()> {
    let (id, kind) = (text(event, "eventId")?, text(event, "eventType")?);
    let key = event["data"]["sku"].as_str().unwrap_or(id);
    let payload = event.to_string();
    database.rows(
        "INSERT INTO \"Order\" VALUES ($1, $2::text::jsonb) ON CONFLICT DO NOTHING",
        &[&id, &payload],
    )?;
    database.rows(
        "INSERT INTO \"OutboxEvent\" (topic, \"aggregateId\", \"eventType\", \"eventData\") \
         VALUES ($1, $2, $3, $4::text::jsonb)",
        &[&topic, &key, &kind, &payload],
    )?;
    Ok(())
}

fn of_billing(database: &Database, topic: &str, event: &Value) -> Result<()> {
    let (id, kind, data) = (text(event, "id")?, text(event, "type")?, event["data"].to_string());
    let version = text(event, "eventversion")?;
    let source = text(event, "source")?;
    let headers = [("message-type", kind), ("source", source), ("eventversion", version)];
    let body = envelope(&headers, &data)?;
    let destination = format!("kafka://topic/{topic}");
    database.rows(
        "INSERT INTO payments VALUES ($1, $2::text::jsonb) ON CONFLICT DO NOTHING",
        &[&id, &data],
    )?;
    database.rows(
        "INSERT INTO wolverine.wolverine_outgoing_envelopes \
         (id, owner_id, destination, body, message_type) \
         VALUES ($1::text::uuid, 0, $2, $3, $4) ON CONFLICT DO NOTHING",
        &[&id, &destination, &body, &kind],
    )?;
    Ok(())
}

/// The variables of a host, with those of a party and of a database.
fn variables<'a>(
    all: &'a [(String, String)],
    more: &[(&'a str, String)],
) -> Vec<(&'a str, String)> {
    let own = all.iter().map(|(name, value)| (name.as_str(), value.clone()));
    let listen = ("GRISTMILL_LISTEN", "127.0.0.1:0".to_owned());
    own.chain([listen]).chain(more.iter().cloned()).collect()
}

#[test]
fn shipping_ends_the_same_by_way_of_its_services_tables() -> Result<()> {
    let postgres = Postgres::start(Safety::Process)?;
    let (database, places) = database(&postgres, "shipping")?;
    let example = Example::of("shipping")?;
    let (party, key) = (example.party(1)?, NamedTempFile::new()?);
    std::fs::write(key.path(), EMAIL_KEY)?;
    let mail = ("SHIPPING_MAIL_URL", party.address().to_owned());
    let key = ("SHIPPING_EMAIL_KEY", key.path().display().to_string());
    let pending = "SELECT count(*) FROM \"OutboxEvents\" WHERE \"PublishedAt\" IS NULL";
    let owns = |topic: &str| topic.starts_with("shipping.");
    let service = Service { example, database, pending, insert: of_shipping, owns };
    service.plays("", &variables(&places, &[mail, key]))
}

#[test]
fn pos_ends_the_same_by_way_of_its_services_tables() -> Result<()> {
    let postgres = Postgres::start(Safety::Process)?;
    let (database, places) = database(&postgres, "pos")?;
    let example = Example::of("pos")?;
    let party = example.party(1)?;
    let parties =
        ["POS_MAIL_URL", "POS_PAYMENT_URL"].map(|name| (name, party.address().to_owned()));
    let pending = "SELECT count(*) FROM \"OutboxEvent\" WHERE status = 'PENDING'";
    let service = Service { example, database, pending, insert: of_pos, owns: |_| true };
    service.plays("[storage]\nreserve = \"64MiB\"\n", &variables(&places, &parties))
}

#[test]
fn billing_ends_the_same_by_way_of_its_banks_tables() -> Result<()> {
    let postgres = Postgres::start(Safety::Process)?;
    let (database, places) = database(&postgres, "billing")?;
    let example = Example::of("billing")?;
    let party = example.party(1)?;
    let bureau = ("BILLING_BUREAU_URL", party.address().to_owned());
    let pending = "SELECT count(*) FROM wolverine.wolverine_outgoing_envelopes";
    let owns = |topic: &str| topic.starts_with("Payment");
    let service = Service { example, database, pending, insert: of_billing, owns };
    service.plays("", &variables(&places, &[bureau]))
}

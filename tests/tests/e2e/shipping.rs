//! The example of shipping: played on both brokers with a mail sender that fails and a host that is
//! killed; and one test for each of its rules that this does not show.

mod operated;

use std::io::Write;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gristmill_tests::support::client::{Client, Stored};
use gristmill_tests::support::collector::{Collector, Span};
use gristmill_tests::support::component::{binary, guest};
use gristmill_tests::support::example::{EMAIL_KEY, Example, Party, Place, settle};
use gristmill_tests::support::home::{Home, Process};
use gristmill_tests::support::kafka::witness::Ground;
use gristmill_tests::support::stub::Stub;
use gristmill_tests::support::wait;
use serde_json::{Value, json};
use tempfile::NamedTempFile;

const PATIENCE: Duration = Duration::from_mins(1);
const CREATED: &str = "/topics/shipping.shipment.created";
const MAILER: &str = "identity-api-shipmentcreated-consumer";
/// Attempts at every mail that fail: one less than there are.
const FAILURES: u32 = 2;

/// What the host of the example finds in its environment.
struct Surroundings {
    key: NamedTempFile,
    mail: String,
}

impl Surroundings {
    fn new(mail: String) -> Result<Self> {
        let mut key = NamedTempFile::new()?;
        key.write_all(EMAIL_KEY.as_bytes())?;
        Ok(Self { key, mail })
    }

    fn variables(&self) -> [(&'static str, String); 3] {
        [
            ("GRISTMILL_LISTEN", "127.0.0.1:0".to_owned()),
            ("SHIPPING_EMAIL_KEY", self.key.path().display().to_string()),
            ("SHIPPING_MAIL_URL", self.mail.clone()),
        ]
    }
}

/// A host of the example on its own store, which calls `stub`.
fn start(stub: &Stub, more: &str) -> Result<(Home, Process, Client)> {
    let home = Example::of("shipping")?.home(&Place::Embedded, more)?;
    let surroundings = Surroundings::new(format!("http://{}", stub.address()))?;
    let mut host = home.start(&surroundings.variables())?;
    let client = host.must_be_ready()?;
    Ok((home, host, client))
}

fn created(number: u32) -> Value {
    json!({
        "EventId": format!("event-{number}"), "OccurredAt": "2026-01-15T10:30:00Z",
        "EventType": "ShipmentCreated", "SourceService": "shipping-api",
        "shipmentId": format!("shipment-{number}"), "trackingNumber": "TRACK123",
        "status": "created", "createdAt": "2026-01-15T10:30:00Z",
        "createdByUserId": "auth0|123", "createdByEmail": "ada@example.com",
    })
}

/// The same in its second version.
fn created_2(number: u32) -> Value {
    let mut event = created(number);
    event["version"] = 2.into();
    event["correlationId"] = "request-7".into();
    event
}

fn records(client: &Client, topic: &str) -> Result<Vec<Stored>> {
    Ok(client.topic(topic)?.concat())
}

fn plays(place: &Place) -> Result<()> {
    let example = Example::of("shipping")?;
    let party = example.party(FAILURES)?;
    let surroundings = Surroundings::new(party.address().to_owned())?;
    example.play(place, "", &surroundings.variables())?;
    every_mail_was_taken_once(&party)
}

/// Of 24 shipments one is of a version that nobody knows; each other one was written of once.
fn every_mail_was_taken_once(party: &Party) -> Result<()> {
    let calls = party.calls()?;
    let text = |call: &Value, at: &str| call.pointer(at).map(Value::to_string);
    for part in ["/key", "/body/shipmentId"] {
        let mut found: Vec<_> = calls.iter().filter_map(|call| text(call, part)).collect();
        found.sort();
        found.dedup();
        ensure!(found.len() == 23 && calls.len() == 23, "{part}: {calls:#?}");
    }
    let count = |status: u16| calls.iter().filter(|call| call["status"] == status).count();
    ensure!([202, 422, 503].map(count) == [21, 1, 1], "{calls:#?}");
    let addresses = calls.iter().filter_map(|call| call["body"]["to"].as_str());
    ensure!(addresses.into_iter().all(|it| it.ends_with("@example.com")), "{calls:#?}");
    Ok(())
}

#[test]
fn shipping_ends_as_its_input_says() -> Result<()> {
    plays(&Place::Embedded)
}

#[test]
fn shipping_ends_as_its_input_says_on_kafka() -> Result<()> {
    plays(&Place::Kafka(Ground::shared()?))
}

#[test]
fn after_three_attempts_an_event_is_in_the_common_topic_and_is_mended_from_there() -> Result<()> {
    let stub = Stub::start()?;
    stub.answer_with(&[503, 503, 503]);
    let (_home, host, client) = start(&stub, "")?;
    client.send(CREATED, &created(1))?;
    settle(&client, &host)?;
    ensure!(stub.asked().len() == 3, "{:?}", stub.asked());
    let letters = records(&client, "dlq-events")?;
    let [letter] = &letters[..] else { anyhow::bail!("{letters:?}") };
    for (header, expected) in [
        ("dlq-subscription", MAILER),
        ("dlq-attempts", "3"),
        ("dlq-error-class", "retryable"),
        ("dlq-error-message", "answered with status 503"),
        ("dlq-event-id", "event-1"),
        ("__dlq.errors.topic", "shipping.shipment.created"),
    ] {
        ensure!(letter.header(header) == Some(expected), "{header}: {letter:?}");
    }
    ensure!(letter.key.as_deref() == Some("shipment-1"), "{letter:?}");
    is_sealed(letter)?;
    ensure!(records(&client, "identity-events")?.is_empty(), "without a mail nothing is logged");
    are_told_apart(&client, 1)?;

    let redrive = format!("/api/v1/dlq/{MAILER}/redrive");
    let told = client.ask(&redrive, &[], r#"{"dry_run":true}"#)?;
    ensure!(told.text.contains("nothing is sent") && stub.asked().len() == 3, "{told:?}");
    client.send(&redrive, &json!({}))?;
    settle(&client, &host)?;
    ensure!(records(&client, "identity-events")?.len() == 2);
    are_told_apart(&client, 0)?;
    let asked = stub.asked();
    let mail: Value = serde_json::from_str(&asked.last().context("a mail")?.body)?;
    ensure!(mail["to"] == "ada@example.com", "{mail}");
    let keys: Vec<&str> = asked.iter().map(|it| it.header("idempotency-key")).collect();
    ensure!(keys.len() == 4 && keys.iter().all(|key| *key == keys[0]), "{keys:?}");
    host.stop()
}

/// So many dead letters of the mailer wait, and none of others, though they share a topic.
fn are_told_apart(client: &Client, waiting: u64) -> Result<()> {
    let listed = client.json("/api/v1/dlq")?;
    let listed = listed["dead_letters"].as_array().context("subscriptions")?;
    ensure!(listed.len() == 4, "{listed:?}");
    for one in listed {
        let expected = if one["subscription"] == MAILER { waiting } else { 0 };
        let topic = &one["topics"][0];
        ensure!(one["waiting"] == expected && topic["waiting"] == expected, "{listed:?}");
        ensure!(topic["topic"] == "dlq-events" && topic["held"] == 1, "{listed:?}");
    }
    Ok(())
}

/// The event's address is there, and nobody can read it.
fn is_sealed(record: &Stored) -> Result<()> {
    let address = record.payload["createdByEmail"].as_str().unwrap_or_default();
    ensure!(address.starts_with("eyJ"), "{record:?}");
    Ok(())
}

#[test]
fn addresses_are_read_by_nobody_but_who_writes_mails() -> Result<()> {
    let stub = Stub::start()?;
    let (_home, host, client) = start(&stub, "")?;
    client.send(CREATED, &created(1))?;
    let user = json!({
        "EventId": "event-2", "OccurredAt": "2026-01-15T10:00:00Z", "EventType": "UserCreated",
        "SourceService": "identity-api", "userId": "auth0|123", "name": "Ada Lovelace",
        "email": "ada@example.com",
    });
    client.send("/topics/identity.user.created", &user)?;
    settle(&client, &host)?;
    is_sealed(records(&client, "shipping.shipment.created")?.first().context("a shipment")?)?;
    for topic in client.topics()? {
        let held = format!("{:?}", records(&client, &topic)?);
        ensure!(!held.contains("ada@example.com"), "{topic}: {held}");
    }
    let key = "auth0%7C123";
    for (path, part) in [
        (format!("/state/shipping-api-user-consumer/{key}"), "Ada Lovelace"),
        ("/state/shipping-api-shipment-consumer/shipment-1".to_owned(), "TRACK123"),
        (format!("/state/identity-api-useractivitylogged-consumer/{key}"), "shipment-created"),
    ] {
        let kept = client.get(&path)?;
        ensure!(kept.contains(part) && !kept.contains("example.com"), "{kept}");
    }
    let asked = stub.asked();
    ensure!(asked.iter().any(|it| it.body.contains("ada@example.com")), "{asked:?}");
    host.stop()
}

#[test]
fn topics_and_addresses_of_shipping_are_kept_from_plugins_of_others() -> Result<()> {
    let stub = Stub::start()?;
    let (home, host, client) = start(&stub, "")?;
    let created = "topics = [\"shipping.shipment.created\"]";
    let foreign = [
        ("reader", created.to_owned(), "subscribe to"),
        ("writer", "topics = [\"x\"]\ngrants.emit = [\"shipping.*\"]".to_owned(), "publish to"),
        ("undertaker", "topics = [\"dlq-events\"]".to_owned(), "subscribe to"),
        ("spy", "topics = [\"x\"]\ngrants.decrypt = [\"emails\"]".to_owned(), "see fields of"),
    ];
    client.send("/api/v1/topics", &json!({ "name": "x" }))?;
    for (name, lines, _) in &foreign {
        let manifest = format!("[[subscription]]\nname = \"{name}\"\n{lines}\n");
        home.put(&format!("{name}.wasm"), &guest("puppet")?)?;
        home.put(&format!("{name}.toml"), manifest.as_bytes())?;
    }
    for (name, _, what) in foreign {
        let refused = wait::until(PATIENCE, || {
            let listed = client.json("/api/v1/plugins")?;
            let mut plugins = listed["plugins"].as_array().into_iter().flatten();
            let plugin = plugins.find(|plugin| plugin["name"] == name);
            Ok(plugin.and_then(|it| it["error"].as_str().map(str::to_owned)))
        })?;
        let refused = refused.with_context(|| format!("{name} is let:\n{}", host.tail()))?;
        let words = format!("plugin \"{name}\" may not {what} ");
        ensure!(refused.contains("E0118") && refused.contains(&words), "{refused}");
    }
    Ok(())
}

#[test]
fn who_has_a_token_is_answered_with_the_topic_and_others_are_not_let_in() -> Result<()> {
    let made = Command::new(binary("debug"))
        .args(["token", "new", "shipping-api", "--role", "publish", "--topic", "shipping.*"])
        .output()?;
    ensure!(made.status.success(), "{made:?}");
    let told = String::from_utf8(made.stderr)?;
    let lines = told.split_once("[tokens.").context("no lines")?.1;
    let stub = Stub::start()?;
    let (_home, host, client) = start(&stub, &format!("\n[tokens.{lines}"))?;
    let bearer = format!("Bearer {}", String::from_utf8(made.stdout)?.trim());
    let headers = [("content-type", "application/json"), ("authorization", &*bearer)];
    let placed = client.ask(CREATED, &headers, &created_2(1).to_string())?;
    let answer: Value = serde_json::from_str(&placed.text)?;
    ensure!(placed.status == 202, "{placed:?}");
    ensure!(answer["topic"] == "shipping.shipment.created", "{answer}");

    let nobody = client.ask(CREATED, &headers[..1], &created(2).to_string())?;
    ensure!(nobody.failure() == "401 E0441", "{nobody:?}");
    let foreign = client.ask("/topics/identity.user.created", &headers, "{}")?;
    ensure!(foreign.failure() == "403 E0442", "{foreign:?}");
    host.stop()
}

#[test]
fn each_version_is_judged_by_its_own_schema_and_both_are_one_history() -> Result<()> {
    let stub = Stub::start()?;
    let (_home, host, client) = start(&stub, "")?;
    for event in [created(1), created_2(2)] {
        client.send(CREATED, &event)?;
    }
    let mut incomplete = created_2(3);
    incomplete["correlationId"].take();
    let json = [("content-type", "application/json")];
    let refused = client.ask(CREATED, &json, &incomplete.to_string())?;
    ensure!(refused.failure() == "400 E0407", "{refused:?}");
    ensure!(refused.text.contains("/correlationId"), "{refused:?}");
    settle(&client, &host)?;
    for (number, correlation) in [(1, Value::Null), (2, "request-7".into())] {
        let path = format!("/state/shipping-api-shipment-consumer/shipment-{number}");
        let kept = client.json(&path)?;
        let history = kept["values"].as_array().into_iter().flatten();
        let history = history.into_iter().find(|it| it["name"] == "history");
        let first = history.context("no history")?["value"][0].clone();
        ensure!(first["type"] == "ShipmentCreated", "{kept}");
        ensure!(first["correlationId"] == correlation, "{kept}");
    }
    let correlations = records(&client, "shipping-events")?;
    let correlations: Vec<_> =
        correlations.iter().filter_map(|it| it.header("ce_correlationid")).collect();
    ensure!(correlations.contains(&"request-7"), "what follows says it too: {correlations:?}");
    host.stop()
}

#[test]
fn one_trace_leads_from_ingest_to_the_mail_and_every_publication_is_counted() -> Result<()> {
    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let (collector, stub) = (Collector::start()?, Stub::start()?);
    let otlp = format!("\n[telemetry.otlp]\nendpoint = \"{}\"\n", collector.endpoint());
    let (_home, host, client) = start(&stub, &otlp)?;
    let headers = [("content-type", "application/json"), ("traceparent", PARENT)];
    let placed = client.ask(CREATED, &headers, &created(1).to_string())?;
    ensure!(placed.status == 202, "{placed:?}");
    settle(&client, &host)?;
    let mut parent = "b7ad6b7169203331".to_owned();
    for (name, subscription) in [
        ("POST /topics/{topic}", ""),
        ("send shipping.shipment.created", ""),
        ("process shipping.shipment.created", MAILER),
        ("POST", ""),
    ] {
        let fits = |span: &Span| {
            let of = span.attributes.get("messaging.destination.subscription.name");
            (&*span.trace, &*span.parent, &*span.name) == (TRACE, &*parent, name)
                && (subscription.is_empty() || of == Some(&subscription.into()))
        };
        let seen = wait::until(PATIENCE, || Ok(collector.spans()?.into_iter().find(fits)))?;
        let span = seen.with_context(|| format!("{name}: {:#?}", collector.spans()))?;
        parent = span.id;
    }
    let carried = stub.asked().first().context("a mail")?.header("traceparent").to_owned();
    ensure!(carried == format!("00-{TRACE}-{parent}-01"), "{carried}");
    are_counted(&client)?;
    host.stop()
}

/// Every event of one shipment is counted by its topic and by who published it.
fn are_counted(client: &Client) -> Result<()> {
    let metrics = client.get("/metrics")?;
    for (service, topic, count) in [
        ("shipping", "shipping.shipment.created", 1),
        ("shipping-activity", "identity-events", 2),
        ("shipping-history", "shipping-events", 1),
        ("shipping-history", "shipping.user.shipment-added", 1),
    ] {
        let line = format!(
            "kafka_events_published_total{{service=\"{service}\",topic=\"{topic}\"}} {count}"
        );
        ensure!(metrics.lines().any(|it| it == line), "no {line} in\n{metrics}");
    }
    Ok(())
}

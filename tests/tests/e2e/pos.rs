//! Plays the system pos as it is: its envelope and headers, several handlers for one type, parties
//! that fail, and a page in a real browser that follows a topic.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gristmill_tests::support::browser::Browser;
use gristmill_tests::support::client::{Client, Stored};
use gristmill_tests::support::component::{binary, root};
use gristmill_tests::support::example::{Example, Party, Place, settle};
use gristmill_tests::support::home::{Home, Process};
use gristmill_tests::support::kafka::witness::Ground;
use gristmill_tests::support::pages::Pages;
use gristmill_tests::support::wait;
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_mins(1);
const MORE: &str = "[storage]\nreserve = \"64MiB\"\n";
const ANYWHERE: &str = "127.0.0.1:0";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

fn example() -> Result<Example> {
    Example::of("pos")
}

/// The environment of a host that listens there, with these parties.
fn variables(listen: &str, mail: &str, payment: &str) -> [(&'static str, String); 3] {
    [
        ("GRISTMILL_LISTEN", listen.to_owned()),
        ("POS_MAIL_URL", mail.to_owned()),
        ("POS_PAYMENT_URL", payment.to_owned()),
    ]
}

fn start(home: &Home, variables: &[(&str, String)]) -> Result<(Process, Client)> {
    let mut host = home.start(variables)?;
    let client = host.must_be_ready()?;
    Ok((host, client))
}

fn user(number: u32) -> Value {
    json!({
        "eventId": format!("e-{number}"), "eventType": "user.created.v1",
        "eventVersion": "1.0.0", "timestamp": "2026-03-01T08:00:00Z", "source": "auth",
        "correlationId": "visit-1",
        "data": { "userId": format!("u-{number}"), "email": "ada@example.com", "fullName": "Ada" },
    })
}

/// The records of a topic, once so many are there.
fn records(client: &Client, host: &Process, topic: &str, count: usize) -> Result<Vec<Stored>> {
    let found = wait::until(PATIENCE, || {
        let records = client.topic(topic)?.concat();
        Ok((records.len() >= count).then_some(records))
    })?;
    found.with_context(|| format!("no {count} records in {topic}:\n{}", host.tail()))
}

/// What the party took: how often at each path. Each request once, whatever was killed.
fn taken(party: &Party) -> Result<BTreeMap<String, usize>> {
    let (mut keys, mut paths) = (BTreeSet::new(), BTreeMap::new());
    for call in party.calls()? {
        ensure!(keys.insert(call["key"].to_string()), "taken twice: {call}");
        *paths.entry(call["path"].as_str().context("a path")?.to_owned()).or_default() += 1;
    }
    Ok(paths)
}

/// How often it has to be asked, by what is expected: a letter for each that was sent and each that
/// cannot be, a payment for each that was settled.
fn wanted() -> Result<BTreeMap<String, usize>> {
    let read = |name: &str| -> Result<Value> {
        let path = root().join("examples/pos/expected").join(name);
        Ok(serde_json::from_str(&fs::read_to_string(path)?)?)
    };
    let (topics, letters) = (read("topics.json")?, read("dead-letters.json")?);
    let count = |topic: &str| topics[topic].as_object().map_or(0, serde_json::Map::len);
    let letters = letters.as_object().context("dead letters")?.values();
    let refused = letters.filter_map(Value::as_array).flatten();
    let refused = refused.filter(|letter| letter["code"] == "http-422").count();
    let mails = count("notification.mail.sent") + refused;
    let payments = count("billing.payment.settled");
    Ok([("/mails".to_owned(), mails), ("/payments".to_owned(), payments)].into())
}

/// The whole story, with parties that fail the first attempt at every fourth request.
fn plays(place: &Place) -> Result<()> {
    let example = example()?;
    let party = example.party(1)?;
    example.play(place, MORE, &variables(ANYWHERE, party.address(), party.address()))?;
    let taken = taken(&party)?;
    ensure!(taken == wanted()?, "{taken:?}");
    Ok(())
}

#[test]
fn it_ends_as_its_input_says() -> Result<()> {
    plays(&Place::Embedded)
}

#[test]
fn it_ends_as_its_input_says_on_kafka() -> Result<()> {
    plays(&Place::Kafka(Ground::shared()?))
}

#[test]
fn its_components_do_as_their_golden_files_say() -> Result<()> {
    let home = example()?.home(&Place::Embedded, MORE)?;
    let tested = Command::new(binary("debug"))
        .args(["plugin", "test"])
        .arg(root().join("examples/pos/handlers"))
        .arg("--plugins")
        .arg(home.plugins())
        .output()?;
    let told = String::from_utf8_lossy(&tested.stdout);
    ensure!(tested.status.success(), "{told}\n{}", String::from_utf8_lossy(&tested.stderr));
    ensure!(told.contains("pos-inventory") && told.contains("pos-analytics"), "{told}");
    Ok(())
}

#[test]
fn what_is_published_wears_the_envelope_and_the_headers() -> Result<()> {
    let example = example()?;
    let party = example.party(0)?;
    let home = example.home(&Place::Embedded, MORE)?;
    let (host, client) = start(&home, &variables(ANYWHERE, party.address(), party.address()))?;
    let parent = format!("00-{TRACE}-b7ad6b7169203331-01");
    let topic = "/topics/identity.user.created";
    let sent = client.ask(topic, &[("traceparent", &parent)], &user(1).to_string())?;
    ensure!(sent.status == 202, "{sent:?}");
    let read = records(&client, &host, "identity.user.created", 1)?;
    ensure!(read[0].key.as_deref() == Some("e-1"), "the key is the event's id: {read:?}");

    // One type, two handlers.
    let mail = records(&client, &host, "notification.mail.sent", 1)?.remove(0);
    let counted = records(&client, &host, "analytics.counter.raised", 1)?.remove(0);
    let wanted = json!({
        "eventId": "e-1-welcome", "eventType": "mail.sent.v1", "eventVersion": "1.0.0",
        "timestamp": "2026-03-01T08:00:00Z", "source": "notification",
        "correlationId": "visit-1", "traceId": TRACE,
        "data": { "to": "ada@example.com", "template": "welcome", "about": "u-1" },
    });
    ensure!(mail.payload == wanted, "{mail:?}");
    ensure!(mail.key.as_deref() == Some("e-1-welcome"), "{mail:?}");
    ensure!(counted.key.as_deref() == Some("users-2026-03-01"), "{counted:?}");
    for (record, kind) in [(&mail, "mail.sent.v1"), (&counted, "counter.raised.v1")] {
        let header = |name: &str| record.header(name).unwrap_or_default();
        ensure!(header("event-type") == kind && header("event-version") == "1.0.0", "{record:?}");
    }

    // What is not of the system does not come in, and everything that is wrong with it is said.
    let mut odd = user(2);
    odd["data"]["email"] = json!("nowhere");
    odd["timestamp"] = json!("yesterday");
    let refused = client.ask(topic, &[], &odd.to_string())?;
    let both = refused.text.contains("/timestamp") && refused.text.contains("/data/email");
    ensure!(refused.failure() == "400 E0407" && both, "{refused:?}");
    odd["eventType"] = json!("user.created.v9");
    let unknown = client.ask(topic, &[], &odd.to_string())?;
    ensure!(unknown.failure() == "400 E0408", "{unknown:?}");

    let topics = client.topics()?;
    let topics: Vec<&String> = topics.iter().filter(|it| !it.contains(".dlq")).collect();
    let is_named = |topic: &String| topic.split('.').count() == 3;
    ensure!(topics.len() == 8 && topics.iter().all(|it| is_named(it)), "{topics:?}");
    host.stop()
}

#[test]
fn a_party_that_is_away_holds_up_nobody_else() -> Result<()> {
    let example = example()?;
    let payment = example.party(0)?;
    let mail = example.party(0)?;
    let address = mail.address().to_owned();
    drop(mail);
    let home = example.home(&Place::Embedded, MORE)?;
    let (host, client) = start(&home, &variables(ANYWHERE, &address, payment.address()))?;
    example.publish(&client)?;
    // All but letters: payments are made, stock is kept, counters go up.
    let settled = wanted()?["/payments"];
    records(&client, &host, "billing.payment.settled", settled)?;
    let open = wait::until(PATIENCE, || {
        let views = client.subscriptions()?;
        Ok(views.iter().any(|it| it.name == "pos-welcome" && it.breaker == "open").then_some(()))
    })?;
    open.with_context(|| format!("no breaker opens:\n{}", host.tail()))?;
    ensure!(client.topic("notification.mail.sent")?.concat().is_empty(), "who sent that?");
    let port = address.rsplit(':').next().context("a port")?;
    let mail = example.party_on(port.parse()?, 0)?;
    example.await_expected(&client, &host, &Place::Embedded)?;
    ensure!(taken(&mail)?["/mails"] == wanted()?["/mails"], "{:?}", taken(&mail)?);
    host.stop()
}

/// The host's page in a browser, following letters that are sent.
fn page(pages: &Pages, client: &Client, query: &str) -> Result<Browser> {
    let (pages, host) = (&pages.address, client.url());
    Browser::open(&format!("{pages}/live.html?host={host}&topic=notification.mail.sent&{query}"))
}

/// Waits until a page shows so much: its state, how many events, how many of them twice, and in
/// how many lanes.
fn shows(page: &mut Browser, wanted: &str) -> Result<()> {
    const SHOWN: &str = "['state', 'events', 'repeated'].map(it => \
        document.getElementById(it)?.textContent).concat(document.querySelectorAll('.lane').length,\
        document.querySelectorAll('circle').length, document.querySelectorAll('tr').length)\
        .join(' ')";
    let mut shown = Value::Null;
    let seen = wait::until(PATIENCE, || {
        shown = page.evaluate(SHOWN)?;
        Ok((shown == wanted).then_some(()))
    })?;
    seen.with_context(|| format!("the page shows {shown} and not {wanted}"))
}

/// A page that began before anything happened, one that reads from the beginning, and one that was
/// told nothing yet; the host is killed while they follow, and comes back.
#[test]
fn a_page_draws_a_topic_and_survives_a_kill() -> Result<()> {
    let example = example()?;
    let (party, pages) = (example.party(0)?, Pages::of("pos")?);
    let home = example.home(&Place::Embedded, MORE)?;
    let with = |listen: &str| {
        let mut all = variables(listen, party.address(), party.address()).to_vec();
        all.push(("POS_PAGES", pages.address.clone()));
        all
    };
    let (mut host, client) = start(&home, &with(ANYWHERE))?;
    let mut now = page(&pages, &client, "by=sse&from=latest")?;
    shows(&mut now, "live 0 0 0 0 0")?;
    let publish = |client: &Client, numbers: std::ops::Range<u32>| -> Result<()> {
        for number in numbers {
            client.send("/topics/identity.user.created", &user(number))?;
        }
        Ok(())
    };
    publish(&client, 0..5)?;
    shows(&mut now, "live 5 0 1 5 5")?;
    let mut before = page(&pages, &client, "by=ws&from=earliest")?;
    shows(&mut before, "live 5 0 1 5 5")?;
    let mut idle = page(&pages, &client, "by=sse&from=latest")?;
    shows(&mut idle, "live 0 0 0 0 0")?;
    let address = client.url().trim_start_matches("http://").to_owned();
    host.kill()?;
    for page in [&mut now, &mut before] {
        shows(page, "connecting again 5 0 1 5 5")?;
    }
    shows(&mut idle, "connecting again 0 0 0 0 0")?;
    let (host, client) = start(&home, &with(&address))?;
    publish(&client, 5..12)?;
    for page in [&mut now, &mut before] {
        shows(page, "live 12 0 1 12 12")?;
    }
    shows(&mut idle, "live 7 0 1 7 7")?;
    settle(&client, &host)?;
    drop((now, before, idle));
    host.stop()
}

#[test]
fn a_page_that_is_not_admitted_is_shown_nothing() -> Result<()> {
    let example = example()?;
    let (party, pages) = (example.party(0)?, Pages::of("pos")?);
    let home = example.home(&Place::Embedded, MORE)?;
    let (host, client) = start(&home, &variables(ANYWHERE, party.address(), party.address()))?;
    for by in ["sse", "ws"] {
        let mut page = page(&pages, &client, &format!("by={by}&from=earliest"))?;
        shows(&mut page, "connecting again 0 0 0 0 0")?;
    }
    host.stop()
}

//! Plays the billing example on both brokers, and shows what its input alone does not: answers to
//! commands, rules, names, versions, and what happens while the credit bureau is away.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gristmill_tests::support::client::{Answer, Client};
use gristmill_tests::support::component::{binary, guest, root};
use gristmill_tests::support::example::{Example, Party, Place, settle};
use gristmill_tests::support::home::{Home, Process};
use gristmill_tests::support::kafka::witness::Ground;
use gristmill_tests::support::{trail, wait};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_mins(2);
/// Topics whose events only billing's own plugins cause.
const EMITTED: [&str; 4] = ["Invoice", "InvoiceV2", "LedgerEntry", "TenantInvoice"];

/// Variables of a host that asks this party about credit.
fn variables(bureau: &str) -> [(&'static str, String); 2] {
    [("GRISTMILL_LISTEN", "127.0.0.1:0".to_owned()), ("BILLING_BUREAU_URL", bureau.to_owned())]
}

/// The example on its own store, its bureau, and its host.
fn started(more: &str) -> Result<(Home, Party, Process, Client)> {
    let example = Example::of("billing")?;
    let (home, bureau) = (example.home(&Place::Embedded, more)?, example.party(0)?);
    let mut host = home.start(&variables(bureau.address()))?;
    let client = host.must_be_ready()?;
    Ok((home, bureau, host, client))
}

fn invoice(id: &str, amount: f64) -> Value {
    json!({ "tenantId": "acme", "invoiceId": id, "name": "Milling", "amount": amount })
}

fn command(client: &Client, name: &str, data: &Value) -> Result<Answer> {
    client.ask(&format!("/commands/{name}"), &[], &data.to_string())
}

fn body(answer: &Answer) -> Result<Value> {
    serde_json::from_str(&answer.text).with_context(|| format!("{answer:?}"))
}

/// `gristmill` with these words, in the folder of a host.
fn gristmill(home: &Home, words: &[&str]) -> Result<Output> {
    let mut command = Command::new(binary("debug"));
    Ok(command.args(words).current_dir(home.path()).output()?)
}

/// Plays the whole, with a bureau that fails every first attempt.
fn plays(place: &Place) -> Result<()> {
    let example = Example::of("billing")?;
    let bureau = example.party(1)?;
    example.play(place, "", &variables(bureau.address()))?;
    let calls = bureau.calls()?;
    let text = |it: &Value| it.as_str().unwrap_or_default().to_owned();
    let keys: BTreeSet<String> = calls.iter().map(|it| text(&it["key"])).collect();
    ensure!(keys.len() == calls.len() && !keys.contains(""), "{calls:?}");
    let mut asked: Vec<String> = calls.iter().map(|it| text(&it["body"]["invoiceId"])).collect();
    asked.sort();
    let wanted = fs::read_to_string(root().join("examples/billing/expected/checks.json"))?;
    let wanted: Vec<String> = serde_json::from_str(&wanted)?;
    ensure!(asked == wanted, "the bureau was asked about {asked:?}, and not {wanted:?}");
    Ok(())
}

#[test]
fn it_ends_as_its_input_says_on_its_own_store() -> Result<()> {
    plays(&Place::Embedded)
}

#[test]
fn it_ends_as_its_input_says_on_kafka() -> Result<()> {
    plays(&Place::Kafka(Ground::shared()?))
}

#[test]
fn the_trail_has_everything_that_was_billed_and_paid() -> Result<()> {
    const AUDITED: [&str; 4] = ["Invoice", "InvoiceV2", "Payment", "PaymentV2"];
    let (_home, _bureau, host, client) = started("")?;
    let (example, place) = (Example::of("billing")?, Place::Embedded);
    example.publish(&client)?;
    example.await_expected(&client, &host, &place)?;
    let entries = trail::must_have_all(&client, "AuditTrail", &AUDITED)?;
    ensure!(entries > 100, "{entries} entries");
    host.stop()
}

#[test]
fn commands_and_queries_are_answered() -> Result<()> {
    let (home, _bureau, host, client) = started("")?;
    let created = command(&client, "create-invoice", &invoice("i-1", 12.5))?;
    ensure!(created.status == 201 && created.header("ce-type") == "Invoice", "{created:?}");
    let told = body(&created)?;
    ensure!(told["status"] == "Draft" && told["total"]["currency"] == "USD", "{told}");
    // What an answer says is durable: GetInvoice reads the same.
    let kept = client.json("/state/billing-invoices/acme:i-1")?;
    let kept = kept["values"].as_array().context("values")?;
    let kept = kept.iter().find(|it| it["name"] == "invoice").context("an invoice")?;
    ensure!(kept["value"] == told, "{kept} is not {told}");

    command(&client, "create-invoice", &invoice("i-2", 30.0))?;
    let same = json!({ "tenantId": "acme", "invoiceId": "i-2" });
    let finalized = command(&client, "finalize-invoice", &same)?;
    ensure!(finalized.status == 200 && body(&finalized)?["status"] == "Finalized");
    let refused = command(&client, "create-invoice", &invoice("i-2", 31.0))?;
    ensure!(refused.failure() == "422 E0437", "{refused:?}");
    ensure!(refused.text.contains("invoice-exists"), "{refused:?}");
    by_query(&client, &host)?;
    from_the_command_line(&home, &client)?;
    host.stop()
}

/// `GetInvoices` of a tenant, all and some.
fn by_query(client: &Client, host: &Process) -> Result<()> {
    settle(client, host)?;
    for (query, wanted) in [
        (json!({ "tenantId": "acme" }), vec!["i-1", "i-2"]),
        (json!({ "tenantId": "acme", "status": "Finalized" }), vec!["i-2"]),
        (json!({ "tenantId": "acme", "limit": 1 }), vec!["i-1"]),
        (json!({ "tenantId": "globex" }), vec![]),
    ] {
        let told = body(&command(client, "get-invoices", &query)?)?;
        let listed = told["invoices"].as_array().context("invoices")?;
        let ids: Vec<&str> = listed.iter().filter_map(|it| it["invoiceId"].as_str()).collect();
        ensure!(ids == wanted, "{query}: {told}");
    }
    let kept = client.json("/state/billing-register/acme")?;
    ensure!(kept["values"].as_array().map(Vec::len) == Some(2), "{kept}");
    Ok(())
}

fn from_the_command_line(home: &Home, client: &Client) -> Result<()> {
    fs::write(
        home.path().join("cashier.json"),
        r#"{"tenantId":"acme","cashierId":"c-1",
        "name":"Ada","email":"ada@acme.example"}"#,
    )?;
    let words = ["send", "create-cashier", "--file", "cashier.json", "--url", client.url()];
    let sent = gristmill(home, &words)?;
    let told: Value = serde_json::from_slice(&sent.stdout)?;
    ensure!(told["version"] == 1 && told["name"] == "Ada", "{sent:?}");
    Ok(())
}

#[test]
fn whoever_breaks_rules_is_told_all_of_them() -> Result<()> {
    let (_home, _bureau, host, client) = started("")?;
    let before = client.ends("InvoiceCommand")?;
    let data = json!({
        "tenantId": "acme", "invoiceId": "i-1", "name": "M", "amount": 0, "currency": "EURO",
    });
    let refused = command(&client, "create-invoice", &data)?;
    ensure!(refused.failure() == "400 E0407", "{refused:?}");
    let violations = body(&refused)?["error"]["violations"].clone();
    let places = |place: &str| {
        let all = violations.as_array().into_iter().flatten().filter_map(Value::as_str);
        all.filter(|it| it.starts_with(place)).count()
    };
    let each = ["/name: ", "/amount: ", "/currency: "].map(places);
    ensure!(each == [1, 1, 1] && violations.as_array().map(Vec::len) == Some(3), "{violations}");
    let long = json!({
        "tenantId": "acme", "invoiceId": "i-1", "name": "M".repeat(101), "amount": 1,
    });
    ensure!(command(&client, "create-invoice", &long)?.failure() == "400 E0407");

    // A batch is taken whole or not at all, and says which of its events are wrong.
    let event = |id: &str, data: &Value| {
        json!({
            "specversion": "1.0", "id": id, "source": "/desk", "type": "CreateInvoice",
            "data": data,
        })
    };
    let batch = json!([event("1", &invoice("i-1", 1.0)), event("2", &data), event("3", &long)]);
    let media = [("content-type", "application/cloudevents-batch+json")];
    let refused = client.ask("/topics/InvoiceCommand", &media, &batch.to_string())?;
    ensure!(refused.failure() == "400 E0407", "{refused:?}");
    for place in ["event 1: /name", "event 1: /amount", "event 1: /currency", "event 2: /name"] {
        ensure!(refused.text.contains(place), "no {place} in {refused:?}");
    }
    ensure!(client.ends("InvoiceCommand")? == before, "something was published");
    let one = json!([event("1", &invoice("i-1", 1.0))]);
    client.publish("InvoiceCommand", &one.to_string())?;
    settle(&client, &host)?;
    client.json("/state/billing-invoices/acme:i-1")?;
    host.stop()
}

#[test]
fn a_domain_event_is_handled_with_its_command_or_nothing_is() -> Result<()> {
    let (_home, bureau, host, client) = started("")?;
    let large = |tenant: &str| {
        let mut data = invoice("i-1", 5000.0);
        data["tenantId"] = json!(tenant);
        data
    };
    let declined = command(&client, "create-invoice", &large("initech"))?;
    ensure!(declined.failure() == "422 E0437", "{declined:?}");
    ensure!(declined.text.contains("credit-declined"), "{declined:?}");
    settle(&client, &host)?;
    ensure!(bureau.calls()?.len() == 1, "{:?}", bureau.calls());
    for topic in EMITTED {
        ensure!(client.topic(topic)?.concat().is_empty(), "{topic} has something");
    }
    ensure!(client.answer("/state/billing-invoices/initech:i-1")?.0 == 404);

    let approved = command(&client, "create-invoice", &large("acme"))?;
    ensure!(approved.status == 201, "{approved:?}");
    settle(&client, &host)?;
    for topic in EMITTED {
        ensure!(client.topic(topic)?.concat().len() == 1, "{topic}");
    }
    // It never leaves the host: no topic has it, and nobody may publish it.
    let topics = client.topics()?;
    ensure!(topics.iter().all(|it| !it.to_lowercase().contains("generated")), "{topics:?}");
    let refused = client.ask("/topics/InvoiceGenerated", &[], "{}")?;
    ensure!(refused.failure() == "409 E0443", "{refused:?}");
    host.stop()
}

/// Where commands and payments go while nobody can handle them.
const FALLEN: &str = "dev.billing.internal.invoice-fallbacks.v1";

#[test]
fn while_the_bureau_is_away_commands_are_answered_with_the_fallback() -> Result<()> {
    let (home, bureau, host, client) = started("")?;
    command(&client, "create-invoice", &invoice("i-1", 20.0))?;
    command(&client, "finalize-invoice", &json!({ "tenantId": "acme", "invoiceId": "i-1" }))?;
    // For longer than this test takes, so that nothing is tried in between.
    let manifest = home.plugins().join("billing-invoices.toml");
    let own = fs::read_to_string(&manifest)?;
    let patient = own.replace("pause = \"5s\"", "pause = \"5m\"").replace("\"1m\"", "\"5m\"");
    ensure!(patient != own, "{own}");
    host.stop()?;
    fs::write(&manifest, patient)?;
    let mut host = home.start(&variables(bureau.address()))?;
    let client = host.must_be_ready()?;
    drop(bureau);
    breaks(&client, &host)?;

    let answer = command(&client, "create-invoice", &invoice("small", 5.0))?;
    ensure!(answer.status == 202 && body(&answer)?["status"] == "Unavailable", "{answer:?}");
    ensure!(pay(&client, "PaymentV2", "2", &payment("i-1", "p-1"))? == "202 without a code");
    for id in [answer.header("command-id"), "p-1"] {
        let fell = wait::until(PATIENCE, || {
            let fallen = client.topic(FALLEN)?.concat();
            Ok(fallen.iter().any(|it| it.header("ce_id") == Some(id)).then_some(()))
        })?;
        fell.with_context(|| format!("{id} does not fall back:\n{}", host.tail()))?;
    }
    host.stop()?;

    // With a bureau that answers all is handled again; what fell back, when it is sent again.
    let bureau = Example::of("billing")?.party(0)?;
    fs::write(&manifest, own)?;
    let mut host = home.start(&variables(bureau.address()))?;
    let client = host.must_be_ready()?;
    handles_again(&client, &host)?;
    host.stop()
}

/// Sends commands and a payment that fell back until they are handled: each of the workers may
/// find out first that a machine with much to do starts slowly.
fn handles_again(client: &Client, host: &Process) -> Result<()> {
    ensure!(status(client, "i-1")? == "Finalized", "it was paid by nobody");
    let created = wait::until(PATIENCE, || {
        let answer = command(client, "create-invoice", &invoice("later", 5000.0))?;
        Ok([200, 201].contains(&answer.status).then_some(()))
    })?;
    created.with_context(|| format!("no command is handled:\n{}", host.tail()))?;
    let mut times = 0;
    let paid = wait::until(PATIENCE, || {
        times += 1;
        let again = json!([{
            "specversion": "1.0", "id": format!("again-{times}"), "source": "/again",
            "type": "PaymentReceived", "eventversion": "2", "data": payment("i-1", "p-1"),
        }]);
        client.publish("PaymentV2", &again.to_string())?;
        settle(client, host)?;
        Ok((status(client, "i-1")? == "Paid").then_some(()))
    })?;
    paid.with_context(|| format!("it is not paid:\n{}", host.tail()))
}

/// Sends commands about which nobody can be asked, until both workers have had enough.
fn breaks(client: &Client, host: &Process) -> Result<()> {
    let event = |number: u32| {
        json!({
            "specversion": "1.0", "id": number.to_string(), "source": "/desk",
            "type": "CreateInvoice", "data": invoice(&format!("large-{number}"), 5000.0),
        })
    };
    let events: Vec<Value> = (0..40).map(event).collect();
    client.publish("InvoiceCommand", &json!(events).to_string())?;
    let open = "gristmill_breaker_transitions_total{state=\"open\",\
                subscription=\"billing-invoices\"} 2";
    let opened = wait::until(PATIENCE, || {
        Ok(client.get("/metrics")?.lines().any(|it| it == open).then_some(()))
    })?;
    opened.with_context(|| format!("a breaker stays closed:\n{}", host.tail()))
}

/// The status of an invoice of acme.
fn status(client: &Client, id: &str) -> Result<String> {
    let kept = client.json(&format!("/state/billing-invoices/acme:{id}"))?;
    let values = kept["values"].as_array().context("values")?;
    let invoice = values.iter().find(|it| it["name"] == "invoice").context("an invoice")?;
    Ok(invoice["value"]["status"].as_str().unwrap_or_default().to_owned())
}

/// A payment of 20 dollars as version 2 has it.
fn payment(invoice: &str, id: &str) -> Value {
    json!({
        "tenantId": "acme", "invoiceId": invoice, "paymentId": id,
        "total": { "amount": 20.0, "currency": "USD" }, "receivedAt": "2026-01-06T08:00:00Z",
    })
}

#[test]
fn topics_are_named_by_the_platforms_scheme() -> Result<()> {
    let home = Example::of("billing")?.home(&Place::Embedded, "")?;
    for (environment, short) in [("Production", "prod"), ("Development", "dev"), ("test", "test")] {
        let mut all = variables("http://127.0.0.1:1").to_vec();
        all.push(("BILLING_ENVIRONMENT", environment.to_owned()));
        let mut host = home.start(&all)?;
        let client = host.must_be_ready()?;
        let topics: BTreeSet<String> = client.topics()?.into_iter().collect();
        for name in [
            "billing.public.invoices.v1",
            "billing.public.invoices.v2",
            "billing.public.payments.v1",
            "billing.internal.cashiers.v1",
            "billing.internal.invoice-queries.v1",
            "accounting.public.ledger-entries.v1",
        ] {
            ensure!(topics.contains(&format!("{short}.{name}")), "no {short}.{name}: {topics:?}");
        }
        only_what_is_handled_is_read(&client)?;
        host.stop()?;
    }
    Ok(())
}

fn only_what_is_handled_is_read(client: &Client) -> Result<()> {
    let listed = client.json("/api/v1/subscriptions")?;
    let listed = listed["subscriptions"].as_array().context("subscriptions")?;
    let topics = listed.iter().flat_map(|it| it["topics"].as_array().into_iter().flatten());
    let read: BTreeSet<&str> = topics.filter_map(Value::as_str).collect();
    let has = |word: &str| read.iter().any(|it| it.to_lowercase().contains(word));
    ensure!(has("payment") && has("tenant"), "{read:?}");
    // Integration events of cashiers, and what accounting is told, have no handler here.
    ensure!(!has("ledger") && !read.iter().any(|it| it.ends_with("cashiers.v1")), "{read:?}");
    Ok(())
}

#[test]
fn both_versions_are_taken_and_published_while_others_move() -> Result<()> {
    let (_home, _bureau, host, client) = started("")?;
    for id in ["old", "new"] {
        command(&client, "create-invoice", &invoice(id, 20.0))?;
        let finalize = json!({ "tenantId": "acme", "invoiceId": id });
        command(&client, "finalize-invoice", &finalize)?;
    }
    let first = json!({
        "tenantId": "acme", "invoiceId": "old", "paymentId": "p-1", "amount": 20.0,
        "receivedAt": "2026-01-06T08:00:00Z",
    });
    let second = payment("new", "p-2");
    ensure!(pay(&client, "Payment", "1", &first)? == "202 without a code");
    ensure!(pay(&client, "PaymentV2", "2", &second)? == "202 without a code");
    // Which version is meant is said by its event, and judged by that one's schema.
    ensure!(pay(&client, "Payment", "1", &second)? == "400 E0407", "new data, old version");
    ensure!(pay(&client, "PaymentV2", "3", &second)? == "400 E0408", "a version of nobody's");
    let done = wait::until(PATIENCE, || {
        settle(&client, &host)?;
        Ok((client.topic("Invoice")?.concat().len() == 6).then_some(()))
    })?;
    done.with_context(|| format!("not all is published: {:?}", client.topic("Invoice")))?;
    let (v1, v2) = (client.topic("Invoice")?.concat(), client.topic("InvoiceV2")?.concat());
    for (records, version, amount) in [(v1, "1", "/invoice/amount"), (v2, "2", "/invoice/total")] {
        let paid = records.iter().filter(|it| it.header("ce_type") == Some("InvoicePaid"));
        let keys: BTreeSet<_> = paid.filter_map(|it| it.key.as_deref()).collect();
        ensure!(keys == BTreeSet::from(["acme:new", "acme:old"]), "{version}: {keys:?}");
        for record in &records {
            ensure!(record.header("ce_specversion") == Some("1.0"), "{record:?}");
            ensure!(record.header("ce_eventversion") == Some(version), "{record:?}");
            ensure!(record.payload.pointer(amount).is_some(), "{record:?}");
        }
    }
    host.stop()
}

/// Status and code of the answer to a payment.
fn pay(client: &Client, topic: &str, version: &str, data: &Value) -> Result<String> {
    let headers = [
        ("ce-specversion", "1.0"),
        ("ce-id", data["paymentId"].as_str().context("an id")?),
        ("ce-source", "/bank"),
        ("ce-type", "PaymentReceived"),
        ("ce-eventversion", version),
        ("content-type", "application/json"),
    ];
    Ok(client.ask(&format!("/topics/{topic}"), &headers, &data.to_string())?.failure())
}

#[test]
fn a_schema_that_others_cannot_follow_is_found_before_it_runs() -> Result<()> {
    let home = Example::of("billing")?.home(&Place::Embedded, "")?;
    let right = gristmill(&home, &["check"])?;
    ensure!(right.status.success(), "{right:?}");
    let path = home.path().join("schemas/cashier-2.json");
    let mut schema: Value = serde_json::from_slice(&fs::read(&path)?)?;
    schema["properties"]["cashier"]["required"] = json!(["cashierId", "name", "currencies"]);
    fs::write(&path, schema.to_string())?;
    let wrong = gristmill(&home, &["check"])?;
    let told = String::from_utf8_lossy(&wrong.stdout) + String::from_utf8_lossy(&wrong.stderr);
    ensure!(wrong.status.code() == Some(1) && told.contains("E0127"), "{told}");
    Ok(())
}

#[test]
fn the_pipeline_can_be_seen_in_its_order() -> Result<()> {
    let home = Example::of("billing")?.home(&Place::Embedded, "")?;
    let told = gristmill(&home, &["explain", "billing-invoices"])?;
    let told = String::from_utf8(told.stdout)?;
    let stages: Vec<&str> = told
        .lines()
        .filter(|line| !line.starts_with(' '))
        .filter_map(|line| Some(line.split_once(": ")?.0))
        .collect();
    let order = [
        "authenticate",
        "read",
        "forward",
        "decode",
        "filter",
        "judge",
        "decrypt",
        "log",
        "trace",
        "order",
        "retry",
        "breaker",
        "handle",
        "give up",
        "publish",
        "commit",
    ];
    ensure!(stages == order, "{stages:?}\n{told}");
    for setting in ["events_per_second", "limits.attempt_timeout", "breaker.fallback"] {
        let line = told.lines().find(|it| it.trim_start().starts_with(setting));
        let is_written = line.is_some_and(|it| it.contains("plugins/billing-invoices.toml:"));
        ensure!(is_written, "{setting}: {line:?}");
    }
    Ok(())
}

#[test]
fn with_tokens_nobody_sends_without_one() -> Result<()> {
    let made = Command::new(binary("debug"))
        .args(["token", "new", "desk", "--role", "publish", "--topic", "*.invoice-commands.*"])
        .output()?;
    let token = String::from_utf8(made.stdout)?.trim().to_owned();
    let lines = String::from_utf8(made.stderr)?;
    let table = lines.split_once("[tokens.desk]").context("no lines to admit it")?.1;
    let (_home, _bureau, host, client) = started(&format!("[tokens.desk]{table}"))?;
    let data = invoice("i-1", 5.0).to_string();
    let nobody = client.ask("/commands/create-invoice", &[], &data)?;
    ensure!(nobody.failure() == "401 E0441", "{nobody:?}");
    let bearer = format!("Bearer {token}");
    let desk = [("authorization", &*bearer)];
    let sent = client.ask("/commands/create-invoice", &desk, &data)?;
    ensure!(sent.status == 201, "{sent:?}");
    let other = client.ask("/commands/get-invoices", &desk, r#"{"tenantId":"acme"}"#)?;
    ensure!(other.failure() == "403 E0442", "{other:?}");
    host.stop()
}

/// A host whose handlers do not all run is not ready and says which; one that runs goes on.
#[test]
fn health_names_what_does_not_work() -> Result<()> {
    let home = Example::of("billing")?.home(&Place::Embedded, "")?;
    home.put("billing-ledger.wasm", b"no component")?;
    let mut host = home.start(&variables("http://127.0.0.1:1"))?;
    let client = host.listens()?;
    let unhealthy = wait::until(PATIENCE, || {
        let (status, text) = client.answer("/readyz")?;
        Ok((status == 503 && text.contains("billing-ledger")).then_some(text))
    })?;
    unhealthy.with_context(|| format!("all is well:\n{}", host.tail()))?;
    ensure!(client.answer("/healthz")?.0 == 200);
    home.put("billing-ledger.wasm", &guest("billing-ledger")?)?;
    let client = host.must_be_ready()?;
    ensure!(command(&client, "create-invoice", &invoice("i-1", 5.0))?.status == 201);
    home.put("billing-ledger.wasm", b"no component")?;
    let refused = wait::until(PATIENCE, || {
        let listed = gristmill(&home, &["plugins", "list", "--url", client.url()])?;
        Ok(String::from_utf8(listed.stdout)?.contains("E0311").then_some(()))
    })?;
    refused.with_context(|| format!("it is not refused:\n{}", host.tail()))?;
    ensure!(command(&client, "create-invoice", &invoice("i-2", 5.0))?.status == 201);
    host.stop()
}

#[test]
fn the_load_test_loads() -> Result<()> {
    const COUNT: usize = 600;
    let (home, _bureau, host, client) = started("")?;
    let mut made = Command::new("python3")
        .arg(root().join("examples/billing/events/make.py"))
        .args(["--load", &COUNT.to_string()])
        .stdout(Stdio::piped())
        .spawn()?;
    let lines = made.stdout.take().context("a pipe")?;
    let produced = Command::new(binary("debug"))
        .args(["produce", "InvoiceCommand", "--url", client.url()])
        .stdin(lines)
        .current_dir(home.path())
        .output()?;
    ensure!(made.wait()?.success() && produced.status.success(), "{produced:?}");
    settle(&client, &host)?;
    for topic in ["InvoiceV2", "Invoice", "LedgerEntry", "Reply"] {
        let found = client.topic(topic)?.concat().len();
        ensure!(found == COUNT, "{topic} has {found}: {:?}", client.subscriptions());
    }
    host.stop()
}

#[test]
fn its_plugins_do_what_their_golden_files_say() -> Result<()> {
    let home = Example::of("billing")?.home(&Place::Embedded, "")?;
    let handlers = root().join("examples/billing/handlers");
    let (handlers, plugins) = (handlers.to_string_lossy(), home.plugins());
    let words = ["plugin", "test", &*handlers, "--plugins", &*plugins.to_string_lossy()];
    let tested = gristmill(&home, &words)?;
    ensure!(tested.status.success(), "{}", String::from_utf8_lossy(&tested.stdout));
    Ok(())
}

//! The saga of express orders: every step done, every step refused, every step silent.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use gristmill_tests::support::client::Client;
use gristmill_tests::support::example::{Place, settle};
use gristmill_tests::support::home::Process;
use gristmill_tests::support::wait;
use serde_json::{Value, json};

use super::{MORE, PATIENCE, counted, example, send, start, variables};

/// A saga for each way to end.
const SAGAS: [(&str, &str, &str, &str, Option<&str>); 5] = [
    ("x-done", "ada", "matcha", "Bern", None),
    ("x-stock", "ada", "samovar-xl", "Bern", Some("reserve-stock: no stock of samovar-xl")),
    ("x-money", "mallory", "matcha", "Bern", Some("take-payment: the payment was declined")),
    ("x-parcel", "ada", "matcha", "Ushuaia", Some("create-shipping: no carrier goes there today")),
    ("x-mail", "hermit", "matcha", "Bern", Some("notify: nobody is there")),
];

fn express(client: &Client, (id, user, product, city): (&str, &str, &str, &str)) -> Result<()> {
    let order = json!({
        "orderId": id, "userId": user, "productId": product, "quantity": 2, "totalCents": 900,
        "currency": "EUR", "city": city,
    });
    client.send("/topics/express-orders", &order).map(drop)
}

/// How an express order ended, once it has: its type and its data.
fn end_of(client: &Client, place: &Place, host: &Process, id: &str) -> Result<(String, Value)> {
    let found = wait::until(PATIENCE, || {
        let records = place.read(client, "order-events")?.concat();
        Ok(records.into_iter().find(|record| record.payload["data"]["orderId"] == id))
    })?;
    let record = found.with_context(|| format!("{id} does not end:\n{}", host.tail()))?;
    let kind = record.header("ce_type").unwrap_or_default().to_owned();
    Ok((kind, record.payload["data"].clone()))
}

fn available(client: &Client, product: &str) -> Result<Value> {
    let kept = client.json(&format!("/state/commerce-stock/{product}"))?;
    let values = kept["values"].as_array().context("values")?;
    let names: Vec<&Value> = values.iter().map(|it| &it["name"]).collect();
    ensure!(names.first().is_some_and(|it| **it == "available"), "{kept}");
    Ok(values[0]["value"].clone())
}

/// Every step done, and every step refused: what was done before is undone.
pub(super) fn each_way(place: &Place) -> Result<()> {
    let example = example()?;
    let party = example.party(0)?;
    let home = example.home(place, MORE)?;
    let (host, client) = start(&home, &variables(&party))?;
    send(&client, "inventory-events", "saga-matcha", counted("matcha", 100))?;
    let known = wait::until(PATIENCE, || {
        Ok(client.answer("/state/commerce-stock/matcha").is_ok_and(|it| it.0 == 200).then_some(()))
    })?;
    known.with_context(|| host.tail())?;
    for (id, user, product, city, _) in SAGAS {
        express(&client, (id, user, product, city))?;
    }
    for (id, user, _, _, reason) in SAGAS {
        let wanted = match reason {
            None => json!({ "orderId": id, "userId": user, "shipmentId": format!("s-{id}") }),
            Some(reason) => json!({ "orderId": id, "userId": user, "reason": reason }),
        };
        let kind = if reason.is_none() { "OrderShipped" } else { "OrderCancelled" };
        let ended = end_of(&client, place, &host, id)?;
        ensure!(ended == (kind.to_owned(), wanted), "{id}: {ended:?}");
    }
    // Two pieces are sold; what was undone is there again, and money went back where it was taken.
    let stock =
        wait::until(PATIENCE, || Ok((available(&client, "matcha")? == json!(98)).then_some(())))?;
    stock.with_context(|| format!("{:?} pieces", available(&client, "matcha")))?;
    let calls = party.calls()?;
    let paid_back: BTreeSet<&str> = calls
        .iter()
        .filter(|call| call["path"] == "/refunds")
        .filter_map(|call| call["body"]["orderId"].as_str())
        .collect();
    ensure!(paid_back == BTreeSet::from(["x-parcel", "x-mail"]), "{paid_back:?}");
    host.stop()
}

#[test]
fn a_saga_undoes_what_was_done_when_a_step_is_refused() -> Result<()> {
    each_way(&Place::Embedded)
}

#[test]
fn a_saga_undoes_what_was_done_when_a_step_is_silent() -> Result<()> {
    let steps = [
        ("commerce-stock", "reserve-stock"),
        ("express-cashier", "take-payment"),
        ("express-packers", "create-shipping"),
        ("express-mail-room", "notify"),
    ];
    let (example, place) = (example()?, Place::Embedded);
    let party = example.party(0)?;
    let home = example.home(&place, MORE)?;
    let mut variables = variables(&party);
    variables.push(("COMMERCE_STEP_SECONDS", "1".to_owned()));
    let (host, client) = start(&home, &variables)?;
    send(&client, "inventory-events", "saga-matcha", counted("matcha", 100))?;
    settle(&client, &host)?;
    for (number, (subscription, step)) in steps.iter().enumerate() {
        let id = format!("silent-{number}");
        client.post(&format!("/api/v1/subscriptions/{subscription}/pause"))?;
        express(&client, (&id, "ada", "matcha", "Bern"))?;
        // It is undone as well, and says so when it is back.
        let failed = wait::until(PATIENCE, || {
            let (status, text) = client.answer(&format!("/state/commerce-fulfilment/{id}"))?;
            Ok((status == 200 && text.contains("\"compensating\"")).then_some(()))
        })?;
        failed.with_context(|| format!("{id} waits for ever:\n{}", host.tail()))?;
        client.post(&format!("/api/v1/subscriptions/{subscription}/resume"))?;
        let (kind, data) = end_of(&client, &place, &host, &id)?;
        let reason = data["reason"].as_str().unwrap_or_default();
        ensure!(kind == "OrderCancelled" && reason.starts_with(step), "{kind} {data}");
    }
    let whole =
        wait::until(PATIENCE, || Ok((available(&client, "matcha")? == json!(100)).then_some(())))?;
    whole.with_context(|| format!("{:?} pieces", available(&client, "matcha")))?;
    host.stop()
}

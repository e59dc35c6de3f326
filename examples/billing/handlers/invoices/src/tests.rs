//! Tests of what becomes of invoices, whatever comes twice and in whatever order.

use gristmill_plugin::testing::{TestHost, event};
use serde_json::{Value, json};

use super::*;

const KEY: &str = "acme:i-1";

fn host() -> TestHost {
    TestHost::new().with_config("currency", "USD")
}

fn command(event_type: &str, data: &Value) -> Event {
    event("InvoiceCommand", data.to_string()).with_type(event_type).with_key(KEY)
}

fn create() -> Event {
    command(
        "CreateInvoice",
        &json!({ "tenantId": "acme", "invoiceId": "i-1", "name": "Mill", "amount": 30 }),
    )
}

fn named(event_type: &str) -> Event {
    command(event_type, &json!({ "tenantId": "acme", "invoiceId": "i-1" }))
}

fn payment(id: &str, amount: f64, currency: &str) -> Event {
    let data = json!({
        "tenantId": "acme", "invoiceId": "i-1", "paymentId": id,
        "total": { "amount": amount, "currency": currency },
        "receivedAt": "2026-01-02T08:00:00Z",
    });
    event("PaymentV2", data.to_string()).with_type("PaymentReceived").with_key(KEY)
}

fn paid(id: &str, amount: f64) -> Event {
    payment(id, amount, "USD")
}

/// Types of the integration events that these events cause.
fn told(events: &[Event]) -> Vec<String> {
    let mut host = host();
    for event in events {
        host.handle(handle, event).unwrap();
    }
    let own = host.emissions().iter().filter(|it| it.topic == topic::INVOICE);
    own.map(|it| it.event_type.clone()).collect()
}

/// The code that the last of these events is rejected with.
fn refused(events: &[Event]) -> String {
    let mut host = host();
    let (last, before) = events.split_last().unwrap();
    for event in before {
        host.handle(handle, event).unwrap();
    }
    host.handle(handle, last).unwrap_err().code().unwrap().to_owned()
}

#[test]
fn a_new_invoice_is_answered_told_and_generated_within_one_event() {
    let mut host = host();
    host.handle(handle, &create()).unwrap();
    let topics: Vec<&str> = host.emissions().iter().map(|it| &*it.topic).collect();
    assert_eq!(topics, ["Reply", "InvoiceGenerated", "InvoiceV2", "TenantInvoice"]);
    let [reply, generated, created, listed] = host.emissions() else { panic!() };
    assert_eq!(reply.headers[0].value, b"201");
    let invoice: Invoice = serde_json::from_slice(&reply.payload).unwrap();
    assert_eq!((invoice.status, &*invoice.total.currency), (Status::Draft, "USD"));
    assert_eq!(host.state_json::<Invoice>(KEY, INVOICE).unwrap(), invoice);
    assert_eq!(created.version.as_deref(), Some("2"));
    // Without a key of its own an emission has that of its cause: tenant and invoice.
    assert!([reply, generated, created].iter().all(|it| it.key.is_none()));
    assert_eq!(listed.key.as_deref(), Some(&b"acme"[..]));
}

#[test]
fn every_order_of_invoice_and_payments_tells_the_same() {
    let all = ["InvoiceCreated", "InvoiceFinalized", "InvoicePaid"];
    let (create, finalize) = (create, || named("FinalizeInvoice"));
    for events in [
        vec![create(), finalize(), paid("p-1", 30.0)],
        vec![create(), paid("p-1", 30.0), finalize()],
        vec![paid("p-1", 30.0), create(), finalize()],
        vec![create(), finalize(), paid("p-1", 10.0), paid("p-2", 20.0)],
        vec![paid("p-1", 10.0), create(), finalize(), paid("p-2", 20.0)],
        vec![create(), create(), finalize(), finalize(), paid("p-1", 30.0), paid("p-1", 30.0)],
        vec![create(), finalize(), named("MarkInvoiceAsPaid"), named("MarkInvoiceAsPaid")],
    ] {
        assert_eq!(told(&events), all, "{events:?}");
    }
    let twice = [create(), finalize(), paid("p-1", 15.0), paid("p-1", 15.0)];
    assert_eq!(told(&twice), all[..2], "one payment under two event ids counts once");
    let foreign = [create(), finalize(), payment("p-1", 30.0, "EUR")];
    assert_eq!(told(&foreign), all[..2], "other money pays nothing");
    let cancelled = [create(), named("CancelInvoice"), named("CancelInvoice")];
    assert_eq!(told(&cancelled), ["InvoiceCreated", "InvoiceCancelled"]);
}

#[test]
fn what_a_status_does_not_allow_is_refused() {
    let (cancel, finalize) = (|| named("CancelInvoice"), || named("FinalizeInvoice"));
    let pay = || named("MarkInvoiceAsPaid");
    for (events, code) in [
        (vec![finalize()], "no-such-invoice"),
        (vec![create(), pay()], "invoice-draft"),
        (vec![create(), cancel(), finalize()], "invoice-cancelled"),
        (vec![create(), cancel(), paid("p-1", 30.0)], "invoice-cancelled"),
        (vec![create(), finalize(), pay(), cancel()], "invoice-paid"),
        (vec![create(), paid("p-1", 1.0), cancel()], "invoice-has-payments"),
        (vec![named("Rename")], "unknown-type"),
        (vec![named("CreateInvoice")], "payload"),
    ] {
        assert_eq!(refused(&events), code);
    }
    let data = json!({ "tenantId": "acme", "invoiceId": "i-1", "name": "Other", "amount": 30 });
    assert_eq!(refused(&[create(), command("CreateInvoice", &data)]), "invoice-exists");
}

#[test]
fn a_simulated_payment_is_published_and_not_counted_yet() {
    let mut host = host();
    host.handle(handle, &create()).unwrap();
    let data = json!({
        "tenantId": "acme", "invoiceId": "i-1", "paymentId": "p-1", "amount": 12.34,
        "currency": "CHF",
    });
    host.handle(handle, &command("SimulatePayment", &data)).unwrap();
    let published = host.emissions().last().unwrap();
    assert_eq!((&*published.topic, published.version.as_deref()), ("PaymentV2", Some("2")));
    let payment: PaymentReceived = serde_json::from_slice(&published.payload).unwrap();
    assert_eq!((f64::from(payment.total.amount), &*payment.total.currency), (12.34, "CHF"));
    assert!(host.state(KEY, PAYMENTS).is_none());
}

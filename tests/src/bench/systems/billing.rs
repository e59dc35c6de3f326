//! Billing from outside: invoices that desks create, finalize and cancel, payments that banks
//! report in two versions, cashiers; and what has to come of them.

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Value, json};

use super::event::{Event, Model, System, moment, text};
use super::expected::Expected;
use crate::support::random::Random;

const TENANTS: u64 = 500;
/// Invoices that wait for what is next of them.
const OPEN: usize = 150;
/// Amount from which on the credit bureau is asked.
const CHECKED_FROM: f64 = 1_000.0;
const COMMANDS: &str = "InvoiceCommand";

/// Desks and banks.
#[derive(Debug, Default)]
pub(super) struct World {
    number: u64,
    invoices: u64,
    cashiers: u64,
    drafts: VecDeque<(Value, f64)>,
    finalized: VecDeque<(Value, f64)>,
}

impl System for World {
    fn next(&mut self, random: &mut Random) -> Event {
        self.number += 1;
        match random.within(0..=99) {
            0..=31 if self.drafts.len() > OPEN => self.next_step(random),
            32..=58 if self.finalized.len() > OPEN => self.payment(),
            59..=64 => self.cashier(),
            65..=67 => self.refused(),
            _ => self.creation(random),
        }
    }
}

impl World {
    fn creation(&mut self, random: &mut Random) -> Event {
        self.invoices += 1;
        let number = self.invoices;
        let is_large = random.per_mille(100);
        let is_bad = is_large && random.per_mille(100);
        let tenant = if is_bad { "initech".to_owned() } else { tenant(number) };
        let cents = random.within(100..=90_000) + if is_large { 100_000 } else { 0 };
        let invoice = json!({ "tenantId": tenant, "invoiceId": format!("i-{number}") });
        let mut data = invoice.clone();
        data["name"] = json!(format!("Milling, part {number}"));
        data["amount"] = json!(amount(cents));
        if !number.is_multiple_of(3) {
            data["currency"] = json!("USD");
            data["dueDate"] = json!("2026-02-01");
            data["cashierId"] = json!("c-1");
        }
        if !is_bad {
            self.drafts.push_back((invoice, amount(cents)));
        }
        Event { is_bad, ..self.event(COMMANDS, "CreateInvoice", data) }
    }

    fn next_step(&mut self, random: &mut Random) -> Event {
        let (invoice, amount) = self.drafts.pop_front().unwrap_or_default();
        if random.per_mille(150) {
            return self.event(COMMANDS, "CancelInvoice", invoice);
        }
        self.finalized.push_back((invoice.clone(), amount));
        self.event(COMMANDS, "FinalizeInvoice", invoice)
    }

    fn payment(&mut self) -> Event {
        let (mut data, amount) = self.finalized.pop_front().unwrap_or_default();
        data["paymentId"] = json!(format!("p-{}", self.number));
        data["receivedAt"] = json!("2026-06-01T08:00:00Z");
        let (topic, version) =
            if self.number.is_multiple_of(4) { ("Payment", "1") } else { ("PaymentV2", "2") };
        if version == "1" {
            (data["amount"], data["currency"]) = (json!(amount), json!("USD"));
        } else {
            data["total"] = json!({ "amount": amount, "currency": "USD" });
        }
        Event { version: Some(version), ..self.event(topic, "PaymentReceived", data) }
    }

    fn cashier(&mut self) -> Event {
        self.cashiers += 1;
        let (number, is_new) = (self.cashiers / 2, self.cashiers.is_multiple_of(2));
        let kind = if is_new { "CreateCashier" } else { "UpdateCashier" };
        let number = if is_new { number } else { number.max(1) };
        let mut data = json!({
            "tenantId": tenant(number), "cashierId": format!("k-{number}"),
            "name": format!("Cashier {number}"), "email": format!("k-{number}@till.example"),
        });
        if !is_new {
            data["currencies"] = json!(["USD", "EUR"]);
        }
        // The very first one changes a cashier that nobody created.
        Event { is_bad: self.cashiers == 1, ..self.event("CashierCommand", kind, data) }
    }

    /// A command for an invoice that is not there.
    fn refused(&self) -> Event {
        let data =
            json!({ "tenantId": tenant(self.number), "invoiceId": format!("x-{}", self.number) });
        Event { is_bad: true, ..self.event(COMMANDS, "FinalizeInvoice", data) }
    }

    fn event(&self, topic: &'static str, kind: &'static str, data: Value) -> Event {
        let (id, time) = (format!("b-{}", self.number), moment(self.number / 30));
        Event { topic, id, kind, version: None, key: None, time, data, is_bad: false }
    }
}

fn tenant(number: u64) -> String {
    format!("tenant-{}", number % TENANTS)
}

#[expect(clippy::cast_precision_loss, reason = "cents are few")]
fn amount(cents: u64) -> f64 {
    cents as f64 / 100.0
}

/// What billing ends with.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Invoices that may still change, by key.
    invoices: BTreeMap<String, Value>,
    /// Versions of cashiers.
    cashiers: BTreeMap<String, u64>,
}

impl Model for Outcome {
    fn take(&mut self, event: &Event, expected: &mut Expected) {
        match (event.topic, event.kind) {
            ("CashierCommand", _) => self.cashier(event, expected),
            (COMMANDS, "CreateInvoice") => self.create(event, expected),
            (COMMANDS, _) => self.change(event, expected),
            _ => self.pay(event, expected),
        }
    }

    fn end(&self, expected: &mut Expected) {
        for (key, invoice) in &self.invoices {
            if expected.samples("billing-invoices", key) {
                expected.kept("billing-invoices", key, ("invoice", "", invoice.clone()));
            }
        }
    }
}

impl Outcome {
    fn create(&mut self, event: &Event, expected: &mut Expected) {
        let (data, key) = (&event.data, key(&event.data, "invoiceId"));
        let mut total = json!({ "amount": data["amount"], "currency": "USD" });
        if data["currency"].is_string() {
            total["currency"] = data["currency"].clone();
        }
        let of = json!({
            "tenantId": data["tenantId"], "invoiceId": data["invoiceId"], "total": total,
        });
        if data["amount"].as_f64().is_some_and(|amount| amount >= CHECKED_FROM) {
            expected.called("/credit-checks", &of);
            if data["tenantId"] == "initech" {
                return expected.letter("billing-invoices", &event.id, "credit-declined");
            }
        }
        let mut invoice = json!({
            "invoiceId": data["invoiceId"], "name": data["name"], "status": "Draft",
            "total": total, "createdDateUtc": event.time, "updatedDateUtc": event.time,
            "version": 1,
        });
        for name in ["dueDate", "cashierId"] {
            if !data[name].is_null() {
                invoice[name] = data[name].clone();
            }
        }
        expected.told("Reply", &key, ("Invoice", &invoice));
        tell("InvoiceCreated", (&key, data), &invoice, expected);
        expected.told("LedgerEntry", &key, ("LedgerEntryBooked", &of));
        self.invoices.insert(key, invoice);
    }

    fn change(&mut self, event: &Event, expected: &mut Expected) {
        let key = key(&event.data, "invoiceId");
        let Some(invoice) = self.invoices.get_mut(&key) else {
            return expected.letter("billing-invoices", &event.id, "no-such-invoice");
        };
        let (status, kind) = match event.kind {
            "FinalizeInvoice" => ("Finalized", "InvoiceFinalized"),
            _ => ("Cancelled", "InvoiceCancelled"),
        };
        next(invoice, status, &event.time);
        expected.told("Reply", &key, ("Invoice", invoice));
        tell(kind, (&key, &event.data), invoice, expected);
        if status == "Cancelled" {
            self.invoices.remove(&key);
        }
    }

    fn pay(&mut self, event: &Event, expected: &mut Expected) {
        let (data, key) = (&event.data, key(&event.data, "invoiceId"));
        if event.topic == "Payment" {
            let mut new = data.clone();
            if let Some(members) = new.as_object_mut() {
                let (amount, currency) = (members.remove("amount"), members.remove("currency"));
                members.insert("total".into(), json!({ "amount": amount, "currency": currency }));
            }
            expected.told("PaymentV2", &key, ("PaymentReceived", &new));
        }
        let Some(mut invoice) = self.invoices.remove(&key) else { return };
        next(&mut invoice, "Paid", text(&data["receivedAt"]));
        tell("InvoicePaid", (&key, data), &invoice, expected);
    }

    fn cashier(&mut self, event: &Event, expected: &mut Expected) {
        let (data, key) = (&event.data, key(&event.data, "cashierId"));
        if event.kind == "UpdateCashier" && !self.cashiers.contains_key(&key) {
            return expected.letter("billing-cashiers", &event.id, "no-such-cashier");
        }
        let version = self.cashiers.entry(key.clone()).or_default();
        *version += 1;
        let mut cashier = data.clone();
        cashier["version"] = json!(version);
        if let Some(members) = cashier.as_object_mut() {
            members.remove("tenantId");
        }
        let kind = if *version == 1 { "CashierCreated" } else { "CashierUpdated" };
        expected.told("Reply", &key, ("Cashier", &cashier));
        let told = json!({ "tenantId": data["tenantId"], "cashier": cashier });
        expected.told("Cashier", &key, (kind, &told));
    }
}

fn next(invoice: &mut Value, status: &str, time: &str) {
    invoice["status"] = json!(status);
    invoice["updatedDateUtc"] = json!(time);
    invoice["version"] = json!(invoice["version"].as_u64().unwrap_or_default() + 1);
}

/// Everybody is told of an invoice, in both versions.
fn tell(kind: &str, (key, of): (&str, &Value), invoice: &Value, expected: &mut Expected) {
    let tenant = &of["tenantId"];
    let told = json!({ "tenantId": tenant, "invoice": invoice });
    expected.told("InvoiceV2", key, (kind, &told));
    expected.told("TenantInvoice", text(tenant), ("TenantInvoiceChanged", &told));
    let mut old = told;
    for name in ["amount", "currency"] {
        old["invoice"][name] = old["invoice"]["total"][name].clone();
    }
    if let Some(members) = old["invoice"].as_object_mut() {
        members.remove("total");
    }
    expected.told("Invoice", key, (kind, &old));
}

fn key(data: &Value, name: &str) -> String {
    format!("{}:{}", text(&data["tenantId"]), text(&data[name]))
}

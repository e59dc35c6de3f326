//! Decides what becomes of each invoice, by commands and payments, and tells everybody.
//!
//! An invoice and its payments are read from different topics, which nothing orders: a payment that
//! is read before its invoice is kept and counts when the invoice is finalized.

mod invoice;
#[cfg(test)]
mod tests;

use billing_events::{
    ChangeInvoice, CreateInvoice, Invoice, InvoiceEvent, InvoiceGenerated, Money, PaymentReceived,
    SimulatePayment, Status, VERSION, reply, topic,
};
use gristmill_plugin::{Emission, Event, Host, Outcome, reject};

use invoice::{Payments, changed, created};

/// Name of the invoice in its key's state.
const INVOICE: &str = "invoice";
/// Name of what was paid.
const PAYMENTS: &str = "payments";

gristmill_plugin::export!(handle);

/// Handles one command, or one payment, of an invoice.
///
/// # Errors
///
/// Rejects what is no such event (`payload`, `unknown-type`), a command for an invoice that is not
/// there (`no-such-invoice`) or that its status does not allow (`invoice-draft`, `invoice-paid`,
/// `invoice-cancelled`, `invoice-has-payments`), another invoice under the same id
/// (`invoice-exists`), and money for one that was cancelled (`invoice-cancelled`): somebody must
/// give it back.
pub fn handle(event: &Event, host: &mut Host) -> Outcome {
    match event.event_type.as_str() {
        "CreateInvoice" => create(&event.json()?, event, host),
        "CancelInvoice" => change(&event.json()?, Status::Cancelled, event, host),
        "FinalizeInvoice" => change(&event.json()?, Status::Finalized, event, host),
        "MarkInvoiceAsPaid" => change(&event.json()?, Status::Paid, event, host),
        "SimulatePayment" => simulate(&event.json()?, event, host),
        "PaymentReceived" => receive(event.json()?, host),
        other => Err(reject("unknown-type", format!("{other} is none of an invoice"))),
    }
}

fn create(command: &CreateInvoice, event: &Event, host: &mut Host) -> Outcome {
    let currency = currency(command.currency.as_ref(), host)?;
    let new = created(command, currency, event.time);
    if let Some(kept) = host.state().get_json::<Invoice>(INVOICE)? {
        if !invoice::is_same(&kept, &new) {
            let reason = format!("invoice {} is another one already", kept.invoice_id);
            return Err(reject("invoice-exists", reason));
        }
        host.emit(reply("Invoice", 200, &kept)?)?;
        return Ok(());
    }
    host.emit(reply("Invoice", 201, &new)?)?;
    let generated = InvoiceGenerated {
        tenant_id: command.tenant_id.clone(),
        invoice_id: command.invoice_id.clone(),
        total: new.total.clone(),
    };
    host.emit(Emission::json(topic::INVOICE_GENERATED, "InvoiceGenerated", &generated)?)?;
    tell("InvoiceCreated", &command.tenant_id, &new, host)
}

fn change(command: &ChangeInvoice, to: Status, event: &Event, host: &mut Host) -> Outcome {
    let Some(kept) = host.state().get_json::<Invoice>(INVOICE)? else {
        let reason = format!("there is no invoice {}", command.invoice_id);
        return Err(reject("no-such-invoice", reason));
    };
    let payments: Payments = host.state().get_json(PAYMENTS)?.unwrap_or_default();
    let next = changed(&kept, to, &payments, event.time)?;
    host.emit(reply("Invoice", 200, &next)?)?;
    if next == kept {
        return Ok(());
    }
    let event_type = match to {
        Status::Cancelled => "InvoiceCancelled",
        Status::Paid => "InvoicePaid",
        Status::Finalized | Status::Draft => "InvoiceFinalized",
    };
    tell(event_type, &command.tenant_id, &next, host)?;
    settle(&command.tenant_id, &next, &payments, host)
}

fn simulate(command: &SimulatePayment, event: &Event, host: &mut Host) -> Outcome {
    let payment = PaymentReceived {
        tenant_id: command.tenant_id.clone(),
        invoice_id: command.invoice_id.clone(),
        payment_id: command.payment_id.clone(),
        total: Money {
            amount: command.amount,
            currency: currency(command.currency.as_ref(), host)?,
        },
        received_at: event.time,
    };
    host.emit(reply("Payment", 202, &payment)?)?;
    let received = Emission::json(topic::PAYMENT, "PaymentReceived", &payment)?;
    host.emit(received.version(VERSION))?;
    Ok(())
}

fn receive(payment: PaymentReceived, host: &mut Host) -> Outcome {
    let mut payments: Payments = host.state().get_json(PAYMENTS)?.unwrap_or_default();
    if payments.has(&payment.payment_id) {
        return Ok(());
    }
    let kept = host.state().get_json::<Invoice>(INVOICE)?;
    if kept.as_ref().is_some_and(|it| it.status == Status::Cancelled) {
        let reason = format!("payment {} is for a cancelled invoice", payment.payment_id);
        return Err(reject("invoice-cancelled", reason));
    }
    let tenant = payment.tenant_id.clone();
    payments.add(payment);
    host.state().set_json(PAYMENTS, &payments)?;
    match kept {
        Some(invoice) => settle(&tenant, &invoice, &payments, host),
        None => Ok(()),
    }
}

/// A finalized invoice is paid as soon as all of it was received.
fn settle(tenant: &str, invoice: &Invoice, payments: &Payments, host: &mut Host) -> Outcome {
    match invoice::settled(invoice, payments) {
        Some(paid) => tell("InvoicePaid", tenant, &paid, host),
        None => Ok(()),
    }
}

/// Keeps an invoice as it is now, and tells others and the register of its tenant.
fn tell(event_type: &str, tenant: &str, invoice: &Invoice, host: &mut Host) -> Outcome {
    host.state().set_json(INVOICE, invoice)?;
    let data = InvoiceEvent { tenant_id: tenant.to_owned(), invoice: invoice.clone() };
    host.emit(Emission::json(topic::INVOICE, event_type, &data)?.version(VERSION))?;
    host.emit(Emission::json(topic::TENANT_INVOICE, "TenantInvoiceChanged", &data)?.key(tenant))?;
    Ok(())
}

/// The currency of a command; the one that is usual here, where it names none.
fn currency(named: Option<&String>, host: &Host) -> Result<String, gristmill_plugin::Failure> {
    match named.filter(|it| !it.is_empty()) {
        Some(currency) => Ok(currency.clone()),
        None => Ok(host.config().require("currency")?),
    }
}

//! Decides how an invoice changes. It reads no state and tells nobody.

use billing_events::{Amount, CreateInvoice, Invoice, Money, PaymentReceived, Status};
use gristmill_plugin::{Failure, Timestamp, reject};
use serde::{Deserialize, Serialize};

/// What was received for an invoice, in the order it was read in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payments(Vec<PaymentReceived>);

impl Payments {
    /// Whether a payment was counted already, under whatever event id it came.
    pub fn has(&self, payment_id: &str) -> bool {
        self.0.iter().any(|it| it.payment_id == payment_id)
    }

    /// Counts one more.
    pub fn add(&mut self, received: PaymentReceived) {
        self.0.push(received);
    }

    /// What was received in this currency. Other money pays nothing until somebody exchanges it.
    fn sum(&self, currency: &str) -> Amount {
        let own = self.0.iter().filter(|it| it.total.currency == currency);
        own.map(|it| it.total.amount).sum()
    }

    /// When the last of it was received.
    fn last(&self) -> Option<Timestamp> {
        self.0.iter().map(|it| it.received_at).max()
    }
}

/// A new invoice.
pub fn created(command: &CreateInvoice, currency: String, now: Timestamp) -> Invoice {
    Invoice {
        invoice_id: command.invoice_id.clone(),
        name: command.name.clone(),
        status: Status::Draft,
        total: Money { amount: command.amount, currency },
        due_date: command.due_date.clone(),
        cashier_id: command.cashier_id.clone(),
        created_date_utc: now,
        updated_date_utc: now,
        version: 1,
    }
}

/// Whether a command to create `new` asks for what is kept, which may have gone on since.
pub fn is_same(kept: &Invoice, new: &Invoice) -> bool {
    let asked = |it: &Invoice| {
        (it.name.clone(), it.total.clone(), it.due_date.clone(), it.cashier_id.clone())
    };
    asked(kept) == asked(new)
}

/// The invoice in status `to`; as it is, where it is in that already.
///
/// # Errors
///
/// Rejects what its status, or the money received for it, does not allow.
pub fn changed(
    invoice: &Invoice,
    to: Status,
    payments: &Payments,
    now: Timestamp,
) -> Result<Invoice, Failure> {
    let refused =
        |code: &str, why: &str| Err(reject(code, format!("invoice {} {why}", invoice.invoice_id)));
    match (invoice.status, to) {
        (is, to) if is == to => Ok(invoice.clone()),
        (Status::Cancelled, _) => refused("invoice-cancelled", "was cancelled"),
        (Status::Paid, _) => refused("invoice-paid", "was paid"),
        (_, Status::Cancelled) if payments.last().is_some() => {
            refused("invoice-has-payments", "was paid in part")
        }
        (Status::Draft, Status::Paid) => refused("invoice-draft", "is not finalized"),
        (Status::Draft | Status::Finalized, _) => Ok(next(invoice, to, now)),
    }
}

/// The invoice as paid, when it is finalized and all of it was received.
pub fn settled(invoice: &Invoice, payments: &Payments) -> Option<Invoice> {
    let is_paid = payments.sum(&invoice.total.currency) >= invoice.total.amount;
    let last = payments.last().filter(|_| is_paid && invoice.status == Status::Finalized)?;
    Some(next(invoice, Status::Paid, last.max(invoice.updated_date_utc)))
}

fn next(invoice: &Invoice, status: Status, now: Timestamp) -> Invoice {
    Invoice {
        status,
        updated_date_utc: now,
        version: invoice.version.saturating_add(1),
        ..invoice.clone()
    }
}

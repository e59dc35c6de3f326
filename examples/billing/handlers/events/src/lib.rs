//! Owns the commands and events of billing as they are on the wire: camelCase JSON, the data of
//! CloudEvents. It handles none of them.

mod amount;

use gristmill_plugin::{Emission, Failure, Timestamp};
use serde::{Deserialize, Serialize};

pub use amount::{Amount, AmountError};

/// Topics by their own names; what they are called on the broker is the host's to say.
pub mod topic {
    /// Integration events of invoices, in their second version.
    pub const INVOICE: &str = "InvoiceV2";
    /// Integration events of payments, in their second version.
    pub const PAYMENT: &str = "PaymentV2";
    /// Integration events of cashiers.
    pub const CASHIER: &str = "Cashier";
    /// The domain event of an invoice; local.
    pub const INVOICE_GENERATED: &str = "InvoiceGenerated";
    /// What the register is told, keyed by tenant.
    pub const TENANT_INVOICE: &str = "TenantInvoice";
    /// What accounting is told.
    pub const LEDGER_ENTRY: &str = "LedgerEntry";
    /// Answers to commands and queries.
    pub const REPLY: &str = "Reply";
}

/// Version of the integration events that handlers of billing emit and read.
pub const VERSION: &str = "2";

/// Money of one currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Money {
    pub amount: Amount,
    /// Up to three letters.
    pub currency: String,
}

/// How far an invoice is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    Draft,
    Finalized,
    Paid,
    Cancelled,
}

/// An invoice as everybody sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Invoice {
    pub invoice_id: String,
    pub name: String,
    pub status: Status,
    pub total: Money,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_date: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cashier_id: Option<String>,
    pub created_date_utc: Timestamp,
    pub updated_date_utc: Timestamp,
    /// 1 when it is created, and one more with each status.
    pub version: u32,
}

/// Data of `InvoiceCreated`, `InvoiceFinalized`, `InvoicePaid`, `InvoiceCancelled` and
/// `TenantInvoiceChanged`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InvoiceEvent {
    pub tenant_id: String,
    pub invoice: Invoice,
}

/// Data of the domain event `InvoiceGenerated`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InvoiceGenerated {
    pub tenant_id: String,
    pub invoice_id: String,
    pub total: Money,
}

/// Data of `PaymentReceived`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentReceived {
    pub tenant_id: String,
    pub invoice_id: String,
    pub payment_id: String,
    pub total: Money,
    pub received_at: Timestamp,
}

/// Data of the command `CreateInvoice`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CreateInvoice {
    pub tenant_id: String,
    pub invoice_id: String,
    pub name: String,
    pub amount: Amount,
    pub currency: Option<String>,
    pub due_date: Option<String>,
    pub cashier_id: Option<String>,
}

/// Data of the commands `CancelInvoice`, `FinalizeInvoice` and `MarkInvoiceAsPaid`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChangeInvoice {
    pub tenant_id: String,
    pub invoice_id: String,
}

/// Data of the command `SimulatePayment`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SimulatePayment {
    pub tenant_id: String,
    pub invoice_id: String,
    pub payment_id: String,
    pub amount: Amount,
    pub currency: Option<String>,
}

/// Data of the query `GetInvoices`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GetInvoices {
    pub tenant_id: String,
    /// Invoices of this status; all of them otherwise.
    pub status: Option<Status>,
    /// At most so many, 100 unless it is said.
    pub limit: Option<u32>,
}

/// A cashier as everybody sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cashier {
    pub cashier_id: String,
    pub name: String,
    pub email: String,
    /// Currencies the cashier takes; since version 2 of the events.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub currencies: Vec<String>,
    /// 1 when it is created, and one more with each change.
    pub version: u32,
}

/// Data of `CashierCreated` and `CashierUpdated`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CashierEvent {
    pub tenant_id: String,
    pub cashier: Cashier,
}

/// Data of the commands `CreateCashier` and `UpdateCashier`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DescribeCashier {
    pub tenant_id: String,
    pub cashier_id: String,
    pub name: String,
    pub email: String,
    #[serde(default)]
    pub currencies: Vec<String>,
}

/// Data of the command `DeleteCashier` and of `CashierDeleted`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeleteCashier {
    pub tenant_id: String,
    pub cashier_id: String,
}

/// The answer to a command, with the status its sender gets.
///
/// # Errors
///
/// When the value has no JSON form.
pub fn reply<T: Serialize>(event_type: &str, status: u16, value: &T) -> Result<Emission, Failure> {
    let reply = Emission::json(topic::REPLY, event_type, value)?;
    Ok(reply.header("http-status", status.to_string()))
}

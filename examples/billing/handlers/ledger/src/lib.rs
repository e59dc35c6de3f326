//! Books a receivable for each invoice that is generated, and tells accounting. It does so within
//! the command that generated the invoice: there is none without its entry.

use billing_events::{InvoiceGenerated, topic};
use gristmill_plugin::{Emission, Event, Host, Outcome};

/// Name of the entry in the state of its invoice.
const RECEIVABLE: &str = "receivable";

gristmill_plugin::export!(handle);

/// Handles one invoice, within the command that generated it.
///
/// # Errors
///
/// Rejects what is no such event.
pub fn handle(event: &Event, host: &mut Host) -> Outcome {
    let generated: InvoiceGenerated = event.json()?;
    host.state().set_json(RECEIVABLE, &generated.total)?;
    host.emit(Emission::json(topic::LEDGER_ENTRY, "LedgerEntryBooked", &generated)?)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use billing_events::Money;
    use gristmill_plugin::testing::{TestHost, event};

    use super::*;

    #[test]
    fn an_invoice_is_booked() {
        let mut host = TestHost::new();
        let data = r#"{"tenantId":"acme","invoiceId":"i-1","total":{"amount":5,"currency":"USD"}}"#;
        host.handle(handle, &event("InvoiceGenerated", data).with_key("acme:i-1")).unwrap();
        assert_eq!(host.emissions()[0].topic, "LedgerEntry");
        let booked: Money = host.state_json("acme:i-1", RECEIVABLE).unwrap();
        assert_eq!(booked.currency, "USD");
        let odd = event("InvoiceGenerated", "{}").with_key("acme:i-1");
        assert_eq!(host.handle(handle, &odd).unwrap_err().code(), Some("payload"));
    }
}

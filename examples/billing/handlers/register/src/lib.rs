//! Keeps what invoices each tenant has, and answers who asks for them.

use billing_events::{GetInvoices, Invoice, InvoiceEvent, reply};
use gristmill_plugin::{Event, Host, Outcome};
use serde::Serialize;

/// Beginning of the names that invoices have in the state of their tenant.
const INVOICES: &str = "invoice/";
/// Most invoices of an answer, unless its query says otherwise.
const LIMIT: u32 = 100;

gristmill_plugin::export!(handle);

#[derive(Debug, Serialize)]
struct Invoices {
    invoices: Vec<Invoice>,
}

/// Handles one query, or one change, of a tenant.
///
/// # Errors
///
/// Rejects what is neither.
pub fn handle(event: &Event, host: &mut Host) -> Outcome {
    if event.event_type == "GetInvoices" { get(&event.json()?, host) } else { keep(event, host) }
}

fn keep(event: &Event, host: &mut Host) -> Outcome {
    let InvoiceEvent { invoice, .. } = event.json()?;
    let name = format!("{INVOICES}{}", invoice.invoice_id);
    let kept: Option<Invoice> = host.state().get_json(&name)?;
    if kept.is_none_or(|it| it.version < invoice.version) {
        host.state().set_json(&name, &invoice)?;
    }
    Ok(())
}

fn get(query: &GetInvoices, host: &mut Host) -> Outcome {
    let limit = usize::try_from(query.limit.unwrap_or(LIMIT)).unwrap_or(usize::MAX);
    let mut invoices: Vec<Invoice> = Vec::new();
    for name in host.state().names(INVOICES)? {
        if invoices.len() >= limit {
            break;
        }
        let invoice: Option<Invoice> = host.state().get_json(&name)?;
        let is_asked = |it: &Invoice| query.status.is_none_or(|status| status == it.status);
        invoices.extend(invoice.filter(is_asked));
    }
    host.emit(reply("Invoices", 200, &Invoices { invoices })?)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use gristmill_plugin::testing::{TestHost, event};

    use super::*;

    fn changed(id: &str, status: &str, version: u32) -> Event {
        let data = format!(
            r#"{{"tenantId":"acme","invoice":{{"invoiceId":"{id}","name":"Mill","status":"{status}",
            "total":{{"amount":5,"currency":"USD"}},"createdDateUtc":"2026-01-01T12:00:00Z",
            "updatedDateUtc":"2026-01-01T12:00:00Z","version":{version}}}}}"#
        );
        event("TenantInvoice", data).with_type("TenantInvoiceChanged").with_key("acme")
    }

    /// Ids of the invoices that answer a query.
    fn answered(host: &mut TestHost, query: &str) -> Vec<String> {
        let query = event("InvoiceQuery", query).with_type("GetInvoices").with_key("acme");
        host.handle(handle, &query).unwrap();
        let reply = host.emissions().last().unwrap();
        let text = String::from_utf8(reply.payload.clone()).unwrap();
        let ids = text.split("\"invoiceId\":\"").skip(1);
        ids.filter_map(|it| it.split('"').next().map(str::to_owned)).collect()
    }

    #[test]
    fn a_tenant_has_each_invoice_as_it_is_now() {
        let mut host = TestHost::new();
        for event in [
            changed("i-1", "Draft", 1),
            changed("i-2", "Finalized", 2),
            changed("i-2", "Draft", 1),
            changed("i-3", "Draft", 1),
        ] {
            host.handle(handle, &event).unwrap();
        }
        let all = r#"{"tenantId":"acme"}"#;
        assert_eq!(answered(&mut host, all), ["i-1", "i-2", "i-3"]);
        let draft = r#"{"tenantId":"acme","status":"Draft"}"#;
        assert_eq!(answered(&mut host, draft), ["i-1", "i-3"]);
        let first = r#"{"tenantId":"acme","limit":1}"#;
        assert_eq!(answered(&mut host, first), ["i-1"]);
        let odd = event("InvoiceQuery", "{}").with_type("GetInvoices").with_key("acme");
        assert_eq!(host.handle(handle, &odd).unwrap_err().code(), Some("payload"));
    }
}

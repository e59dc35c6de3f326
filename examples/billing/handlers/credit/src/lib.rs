//! Asks the credit bureau about large invoices. A customer it declines gets none: the command that
//! generated the invoice fails, and nothing of it becomes true.
//!
//! Its configuration: `bureau`, the bureau's address; `from`, the amount from which on it is asked.

use billing_events::{Amount, InvoiceGenerated};
use gristmill_plugin::{Event, Host, OrFail, Outcome, reject};
use serde::Deserialize;

gristmill_plugin::export!(handle);

#[derive(Deserialize)]
struct Answer {
    approved: bool,
}

/// Handles one invoice, within the command that generated it.
///
/// # Errors
///
/// Rejects a customer without credit (`credit-declined`), and asks for another attempt where the
/// bureau does not answer.
pub fn handle(event: &Event, host: &mut Host) -> Outcome {
    let generated: InvoiceGenerated = event.json()?;
    let from: f64 = host.config().require("from")?;
    if generated.total.amount < Amount::try_from(from).or_reject("config")? {
        return Ok(());
    }
    let bureau: String = host.config().require("bureau")?;
    let answer = host.http().post(format!("{bureau}/credit-checks")).json(&generated)?.send()?;
    let answer: Answer = answer.or_fail()?.json()?;
    if answer.approved {
        return Ok(());
    }
    let reason = format!("{} gets no credit for {}", generated.tenant_id, generated.invoice_id);
    Err(reject("credit-declined", reason))
}

#[cfg(test)]
mod tests {
    use gristmill_plugin::testing::{TestHost, event};
    use gristmill_plugin::{HttpError, Response};

    use super::*;

    fn check(amount: &str, answer: Result<Response, HttpError>) -> (TestHost, Outcome) {
        let mut host =
            TestHost::new().with_config("bureau", "http://bureau:80").with_config("from", "1000");
        host.answer(answer);
        let data = format!(
            r#"{{"tenantId":"acme","invoiceId":"i-1",
            "total":{{"amount":{amount},"currency":"USD"}}}}"#
        );
        let outcome = host.handle(handle, &event("InvoiceGenerated", data).with_key("acme:i-1"));
        (host, outcome)
    }

    fn answered(status: u16, body: &str) -> Response {
        Response { status, headers: Vec::new(), body: body.as_bytes().to_vec() }
    }

    #[test]
    fn the_bureau_is_asked_about_large_invoices_only() {
        let (host, outcome) = check("999.99", Ok(answered(200, "{}")));
        assert!(outcome.is_ok() && host.requests().is_empty());
        let (host, outcome) = check("1000", Ok(answered(200, r#"{"approved":true}"#)));
        assert!(outcome.is_ok(), "{outcome:?}");
        assert_eq!(host.requests()[0].url, "http://bureau:80/credit-checks");
    }

    #[test]
    fn who_gets_no_credit_is_rejected_and_who_may_get_it_is_asked_for_again() {
        let (_, declined) = check("5000", Ok(answered(200, r#"{"approved":false}"#)));
        assert_eq!(declined.unwrap_err().code(), Some("credit-declined"));
        assert!(check("5000", Ok(answered(503, "{}"))).1.unwrap_err().is_retry());
        let away = Err(HttpError::Unavailable("refused".into()));
        assert!(check("5000", away).1.unwrap_err().is_retry());
        assert_eq!(check("5000", Ok(answered(200, "{}"))).1.unwrap_err().code(), Some("payload"));
    }
}

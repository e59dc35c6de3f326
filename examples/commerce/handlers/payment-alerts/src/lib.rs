//! Raises an alert when three payments of a user fail in ten minutes. It decides nothing about a
//! payment. Payments are keyed by user.

use std::time::Duration;

use commerce_events::{CommerceEvent as _, PaymentFailed};
use gristmill_plugin::patterns::{Match, Pattern};
use gristmill_plugin::{Emission, Event, Failure, Host, Outcome, Timer};

/// Topic of alerts, keyed by user.
pub const ALERTS: &str = "payment-alerts";

/// Topic of failures that came too late to count, keyed by user.
pub const LATE: &str = "payment-alerts-late";

/// Seconds that a failure may take to come, and an alert takes, where the manifest says nothing.
const LATENESS_SECONDS: u64 = 30;

gristmill_plugin::export!(handle, on_timer);

/// Takes a payment that failed.
///
/// # Errors
///
/// As [`Pattern::add`] fails.
pub fn handle(event: &Event, host: &mut Host) -> Outcome {
    failures(host)?.add(event, host)
}

/// Raises an alert.
///
/// # Errors
///
/// As [`Pattern::on_timer`] fails.
pub fn on_timer(timer: &Timer, host: &mut Host) -> Outcome {
    failures(host)?.on_timer(timer, host).map(drop)
}

fn failures(host: &Host) -> Result<Pattern, Failure> {
    let lateness: u64 = host.config().get_or("lateness_seconds", LATENESS_SECONDS)?;
    Ok(Pattern::times(3, |event| event.event_type == PaymentFailed::TYPE)
        .within(Duration::from_mins(10))
        .tell("failures", alert)
        .lateness(Duration::from_secs(lateness))
        .late_to(LATE))
}

fn alert(found: &Match, host: &mut Host) -> Outcome {
    let kind = if found.holds { "PaymentsFailing" } else { "PaymentsNotFailing" };
    Ok(host.emit(Emission::json(ALERTS, kind, found)?)?)
}

#[cfg(test)]
mod tests {
    use commerce_events::PAYMENT_EVENTS;
    use gristmill_plugin::Timestamp;
    use gristmill_plugin::testing::{EVENT_TIME, TestHost, event};

    use super::*;

    fn moment(second: u64) -> Timestamp {
        EVENT_TIME.after(Duration::from_secs(second))
    }

    fn failed(second: u64) -> Event {
        let event = event(PAYMENT_EVENTS, "{}").with_type("PaymentFailed").with_key("ada");
        event.with_id(&format!("e{second}")).with_time(moment(second))
    }

    fn alerts(host: &TestHost) -> Vec<(String, String)> {
        let emissions = host.emissions().iter().map(|it| {
            let text = String::from_utf8_lossy(&it.payload).into_owned();
            let event = text.split('"').skip_while(|it| *it != "event").nth(2).unwrap().to_owned();
            (it.event_type.clone(), event)
        });
        emissions.collect()
    }

    #[test]
    fn three_failures_in_ten_minutes_raise_one_alert() {
        for (seconds, expected) in [
            (&[0, 60][..], &[][..]),
            (&[0, 60, 599], &["e599"]),
            (&[0, 60, 600], &[]),
            (&[599, 0, 60], &["e599"]),
            (&[0, 60, 120, 180, 240], &["e120"]),
            (&[0, 1, 2, 900, 901, 902], &["e2", "e902"]),
        ] {
            let mut host = TestHost::new();
            for second in seconds {
                host.handle(handle, &failed(*second)).unwrap();
            }
            host.advance(on_timer, moment(3_600)).unwrap();
            let expected =
                expected.iter().map(|id| ("PaymentsFailing".to_owned(), (*id).to_owned()));
            assert_eq!(alerts(&host), expected.collect::<Vec<_>>(), "{seconds:?}");
        }
    }

    #[test]
    fn an_alert_moves_when_the_host_was_behind() {
        let mut host = TestHost::new();
        for second in [0, 60, 120] {
            host.handle(handle, &failed(second)).unwrap();
        }
        host.advance(on_timer, moment(150)).unwrap();
        host.handle(handle, &failed(30)).unwrap();
        host.advance(on_timer, moment(200)).unwrap();
        let told = alerts(&host);
        let told: Vec<_> =
            told.iter().map(|(kind, event)| (kind.as_str(), event.as_str())).collect();
        let moved = [("PaymentsFailing", "e60"), ("PaymentsNotFailing", "e120")];
        assert_eq!(told[0], ("PaymentsFailing", "e120"));
        assert_eq!(told[1..], moved);
    }

    #[test]
    fn other_payments_count_nothing() {
        let mut host = TestHost::new().without_state().without_timers();
        let paid = failed(0).with_type("PaymentProcessed");
        host.handle(handle, &paid).unwrap();
    }
}

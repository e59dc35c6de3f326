//! Decides when a reservation has expired: at `expiresAt`, unless it was paid before. It is the
//! only publisher of `reservation-expired`.

use std::time::Duration;

use gristmill_plugin::{Emission, Event, Host, Outcome, Timer, info};
use ticketing_events::{
    PAYMENT_SUCCEEDED, PaymentSucceeded, RESERVATION_EXPIRED, ReservationCreated,
    ReservationExpired,
};

/// How long a payment is remembered whose reservation has not been read yet: the two come from
/// two topics, and nothing orders topics among each other.
const REMEMBERED: Duration = Duration::from_hours(24);

gristmill_plugin::export!(handle, on_timer);

/// Sets a reservation's timer, or cancels it.
///
/// # Errors
///
/// Rejects what is no such event.
pub fn handle(event: &Event, host: &mut Host) -> Outcome {
    if event.topic == PAYMENT_SUCCEEDED {
        let payment: PaymentSucceeded = event.json()?;
        host.state().set_for(&paid(&payment.reservation_id), b"", REMEMBERED)?;
        return Ok(host.timers().cancel(&payment.reservation_id)?);
    }
    let reservation: ReservationCreated = event.json()?;
    if host.state().get(&paid(&reservation.reservation_id))?.is_none() {
        let id = &reservation.reservation_id;
        host.timers().set(id, reservation.expires_at, &event.payload)?;
    }
    Ok(())
}

/// Tells that a reservation expired.
///
/// # Errors
///
/// Rejects a timer that was not set by [`handle`].
pub fn on_timer(timer: &Timer, host: &mut Host) -> Outcome {
    let reservation: ReservationCreated = timer.json()?;
    info!("reservation {} expired", reservation.reservation_id);
    let expired = ReservationExpired {
        event_id: format!("expired-{}", reservation.reservation_id),
        reservation_id: reservation.reservation_id,
        customer_id: reservation.customer_id,
        seat_id: reservation.seat_id,
        expired_at: timer.due,
    };
    host.emit(Emission::json(RESERVATION_EXPIRED, RESERVATION_EXPIRED, &expired)?)?;
    Ok(())
}

fn paid(reservation_id: &str) -> String {
    format!("paid/{reservation_id}")
}

#[cfg(test)]
mod tests {
    use gristmill_plugin::testing::{EVENT_TIME, TestHost, event};

    use super::*;

    const EXPIRES: &str = "2026-01-01T12:10:00Z";

    fn created() -> Event {
        let payload = format!(
            r#"{{"eventId":"e1","reservationId":"r1","customerId":null,"seatId":"s-1",
            "seatNumber":"A-1-1","section":"A","basePrice":0,
            "createdAt":"2026-01-01T12:00:00Z","expiresAt":"{EXPIRES}"}}"#
        );
        event("reservation-created", payload).with_key("s1")
    }

    fn paid() -> Event {
        let payload = r#"{"eventId":"e2","reservationId":"r1","orderId":"o1","customerId":null,
            "seatId":"s-1","amount":10,"paidAt":"2026-01-01T12:05:00Z"}"#;
        event("payment-succeeded", payload).with_key("s1")
    }

    #[test]
    fn nobody_pays() {
        let (mut host, expires) = (TestHost::new(), EXPIRES.parse().unwrap());
        host.handle(handle, &created()).unwrap();
        assert_eq!(host.advance(on_timer, EVENT_TIME), Ok(0));
        assert_eq!(host.advance(on_timer, expires), Ok(1));
        let emission = &host.emissions()[0];
        assert_eq!((emission.topic.as_str(), &emission.key), ("reservation-expired", &None));
        let text = String::from_utf8_lossy(&emission.payload).into_owned();
        assert!(text.contains(r#""eventId":"expired-r1""#), "{text}");
        assert!(text.contains(r#""expiredAt":"2026-01-01T12:10:00Z""#), "{text}");
    }

    #[test]
    fn somebody_pays_whichever_event_is_read_first() {
        for events in [[created(), paid()], [paid(), created()]] {
            let mut host = TestHost::new();
            for event in &events {
                host.handle(handle, event).unwrap();
            }
            assert_eq!(host.timers(), [] as [&gristmill_plugin::testing::SetTimer; 0]);
        }
    }
}

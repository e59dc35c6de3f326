//! Tells what happened to a seat: parses a ticketing event and emits one event. The same as the
//! peers under `tests/` do, field by field; the host derives the id.

use gristmill_plugin::{Emission, Event, Host, Outcome};
use serde::{Deserialize, Serialize};

gristmill_plugin::export!(handle);

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code, reason = "what is parsed is part of the work")]
struct ReservationCreated {
    event_id: String,
    reservation_id: String,
    customer_id: Option<String>,
    seat_id: String,
    seat_number: String,
    section: String,
    base_price: f64,
    created_at: String,
    expires_at: String,
    status: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code, reason = "what is parsed is part of the work")]
struct PaymentSucceeded {
    event_id: String,
    reservation_id: String,
    order_id: String,
    customer_id: Option<String>,
    seat_id: String,
    amount: f64,
    paid_at: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SeatChanged {
    event_id: String,
    reservation_id: String,
    seat_id: String,
    customer_id: Option<String>,
    change: &'static str,
    price: f64,
    at: String,
}

/// Handles one event of a seat.
///
/// # Errors
///
/// Rejects what is no such event (`payload`).
fn handle(event: &Event, host: &mut Host) -> Outcome {
    let changed = if event.topic.ends_with("payment-succeeded") {
        let payment: PaymentSucceeded = event.json()?;
        SeatChanged {
            event_id: payment.event_id,
            reservation_id: payment.reservation_id,
            seat_id: payment.seat_id,
            customer_id: payment.customer_id,
            change: "sold",
            price: payment.amount,
            at: payment.paid_at,
        }
    } else {
        let reservation: ReservationCreated = event.json()?;
        SeatChanged {
            event_id: reservation.event_id,
            reservation_id: reservation.reservation_id,
            seat_id: reservation.seat_id,
            customer_id: reservation.customer_id,
            change: "reserved",
            price: reservation.base_price,
            at: reservation.created_at,
        }
    };
    let to: String = host.config().require("to")?;
    host.emit(Emission::json(to, "seat.changed", &changed)?)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use gristmill_plugin::testing::{TestHost, event};

    use super::*;

    fn emitted(topic: &str, payload: &str) -> String {
        let mut host = TestHost::new().with_config("to", "out");
        host.handle(handle, &event(topic, payload).with_key("s")).expect("it is such an event");
        String::from_utf8(host.emissions()[0].payload.clone()).expect("JSON is text")
    }

    #[test]
    fn a_reservation_and_a_payment_change_their_seat() {
        let created = r#"{"eventId":"e","reservationId":"r","customerId":null,"seatId":"s",
            "seatNumber":"A-1","section":"A","basePrice":12.5,"createdAt":"t","expiresAt":"u",
            "status":"active"}"#;
        assert_eq!(
            emitted("x-reservation-created", created),
            r#"{"eventId":"e","reservationId":"r","seatId":"s","customerId":null,"#.to_owned()
                + r#""change":"reserved","price":12.5,"at":"t"}"#
        );
        let paid = r#"{"eventId":"e","reservationId":"r","orderId":"o","customerId":"c",
            "seatId":"s","amount":9.5,"paidAt":"t"}"#;
        assert_eq!(
            emitted("x-payment-succeeded", paid),
            r#"{"eventId":"e","reservationId":"r","seatId":"s","customerId":"c","#.to_owned()
                + r#""change":"sold","price":9.5,"at":"t"}"#
        );
    }
}

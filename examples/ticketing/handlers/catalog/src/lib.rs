//! Keeps who may still buy a seat. It reads the topics of ordering in a group of its own, so the
//! one never waits for the other.

mod place;

use std::time::Duration;

use gristmill_plugin::{Event, Host, Outcome, Timestamp};
use serde::{Deserialize, Serialize};
use ticketing_events::{
    PAYMENT_SUCCEEDED, PaymentSucceeded, RESERVATION_EXPIRED, ReservationCreated,
    ReservationExpired,
};

pub use crate::place::Place;

const SEAT: &str = "seat";

/// How long an expired reservation is remembered: its creation may be read later, from a topic
/// that lags or from the dead letters, and must not take the seat again.
const REMEMBERED: Duration = Duration::from_hours(24);

gristmill_plugin::export!(handle);

/// A seat as the catalogue shows it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Seat {
    pub availability: Availability,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reservation_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// Whether a seat can be had.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Availability {
    #[default]
    Available,
    Reserved,
    Sold,
}

/// Handles one event of a seat; the event's key is the seat.
///
/// # Errors
///
/// Rejects what is no such event (`payload`), and a seat number that cannot be read
/// (`seat-number`).
pub fn handle(event: &Event, host: &mut Host) -> Outcome {
    let mut seat: Seat = host.state().get_json(SEAT)?.unwrap_or_default();
    match event.topic.as_str() {
        PAYMENT_SUCCEEDED => sell(&mut seat, event.json()?),
        RESERVATION_EXPIRED => free(&mut seat, &event.json()?, host)?,
        _ => reserve(&mut seat, event.json()?, host)?,
    }
    host.state().set_json(SEAT, &seat)?;
    Ok(())
}

fn reserve(seat: &mut Seat, reservation: ReservationCreated, host: &mut Host) -> Outcome {
    seat.place = Some(Place::parse(&reservation.seat_number)?);
    let is_over = host.state().get(&expired(&reservation.reservation_id))?.is_some();
    if seat.availability != Availability::Sold && !is_over {
        seat.availability = Availability::Reserved;
        seat.reservation_id = Some(reservation.reservation_id);
        seat.until = Some(reservation.expires_at);
    }
    Ok(())
}

/// Frees the seat, unless somebody else has it by now.
fn free(seat: &mut Seat, event: &ReservationExpired, host: &mut Host) -> Outcome {
    host.state().set_for(&expired(&event.reservation_id), b"", REMEMBERED)?;
    let is_its = seat.reservation_id.as_ref() == Some(&event.reservation_id);
    if is_its && seat.availability == Availability::Reserved {
        seat.availability = Availability::Available;
        seat.reservation_id = None;
        seat.until = None;
    }
    Ok(())
}

fn expired(reservation_id: &str) -> String {
    format!("expired/{reservation_id}")
}

fn sell(seat: &mut Seat, payment: PaymentSucceeded) {
    seat.availability = Availability::Sold;
    seat.reservation_id = Some(payment.reservation_id);
    seat.until = None;
}

#[cfg(test)]
mod tests {
    use gristmill_plugin::testing::{TestHost, event};

    use super::*;

    fn created(id: &str, number: &str) -> Event {
        let payload = format!(
            r#"{{"eventId":"e-{id}","reservationId":"{id}","customerId":null,"seatId":"s-1",
            "seatNumber":"{number}","section":"A","basePrice":12.5,
            "createdAt":"2026-01-01T12:00:00Z","expiresAt":"2026-01-01T12:10:00Z"}}"#
        );
        event("reservation-created", payload).with_key("s1")
    }

    fn expired(id: &str) -> Event {
        let payload = format!(
            r#"{{"eventId":"x-{id}","reservationId":"{id}","customerId":null,"seatId":"s-1",
            "expiredAt":"2026-01-01T12:10:00Z"}}"#
        );
        event("reservation-expired", payload).with_key("s1")
    }

    fn paid(id: &str) -> Event {
        let payload = format!(
            r#"{{"eventId":"p-{id}","reservationId":"{id}","orderId":"o1","customerId":null,
            "seatId":"s-1","amount":12.5,"paidAt":"2026-01-01T12:05:00Z"}}"#
        );
        event("payment-succeeded", payload).with_key("s1")
    }

    #[test]
    fn a_seat_is_reserved_sold_and_freed() {
        let created = |id| created(id, "A-1-1");
        for (events, expected) in [
            (vec![created("r1")], Availability::Reserved),
            (vec![created("r1"), expired("r1")], Availability::Available),
            (vec![expired("r1"), created("r1")], Availability::Available),
            (vec![created("r1"), paid("r1")], Availability::Sold),
            (vec![paid("r1"), created("r1")], Availability::Sold),
            (vec![created("r1"), created("r2"), expired("r1")], Availability::Reserved),
            (vec![created("r1"), paid("r1"), expired("r1")], Availability::Sold),
        ] {
            let mut host = TestHost::new();
            for event in &events {
                host.handle(handle, event).unwrap();
            }
            let seat: Seat = host.state_json("s1", SEAT).unwrap();
            assert_eq!(seat.availability, expected);
        }
    }

    #[test]
    fn a_seat_number_that_cannot_be_read_changes_nothing() {
        let mut host = TestHost::new();
        let failure = host.handle(handle, &created("r1", "A")).unwrap_err();
        assert_eq!(failure.code(), Some("seat-number"));
        assert_eq!(host.state("s1", SEAT), None);
    }
}

//! Decides what a cart is told. It keeps the reservations of each seat and never a cart.

use std::time::Duration;

use gristmill_plugin::{Emission, Event, Host, Outcome, reject};
use ticketing_events::{
    CartChange, Item, ORDERING_CARTS, PAYMENT_SUCCEEDED, PaymentSucceeded, RESERVATION_EXPIRED,
    ReservationCreated, ReservationExpired,
};

/// How long it is remembered how a reservation ended: a late or repeated event of it changes
/// nothing, whichever of the topics is read first.
const REMEMBERED: Duration = Duration::from_hours(24);

const EXPIRED: &str = "expired";

gristmill_plugin::export!(handle);

/// Handles one event of a seat.
///
/// # Errors
///
/// Rejects what is no such event (`payload`), and a payment for a reservation that expired
/// (`paid-after-expiry`): somebody must give the money back.
pub fn handle(event: &Event, host: &mut Host) -> Outcome {
    match event.topic.as_str() {
        PAYMENT_SUCCEEDED => on_paid(&event.json()?, host),
        RESERVATION_EXPIRED => on_expired(&event.json()?, host),
        _ => on_created(&event.json()?, host),
    }
}

fn on_created(reservation: &ReservationCreated, host: &mut Host) -> Outcome {
    let id = &reservation.reservation_id;
    if host.state().get(&active(id))?.is_some() {
        return Ok(());
    }
    let ended = host.state().get(&ended(id))?;
    if ended.as_deref() == Some(EXPIRED.as_bytes()) {
        return Ok(());
    }
    host.state().set_json(&active(id), reservation)?;
    let item = Item {
        reservation_id: id.clone(),
        seat_id: reservation.seat_id.clone(),
        seat_number: reservation.seat_number.clone(),
        price: reservation.base_price,
        order_id: None,
    };
    let customer = reservation.customer_id.as_deref();
    tell(host, customer.unwrap_or(id), &CartChange::ItemAdded(item))?;
    match ended {
        // Its payment was read before it.
        Some(order_id) => finish(reservation, &String::from_utf8_lossy(&order_id), host),
        None => Ok(()),
    }
}

fn on_expired(expired: &ReservationExpired, host: &mut Host) -> Outcome {
    let id = &expired.reservation_id;
    if host.state().get(&ended(id))?.is_some() {
        return Ok(());
    }
    host.state().set_for(&ended(id), EXPIRED.as_bytes(), REMEMBERED)?;
    if let Some(reservation) = host.state().get_json::<ReservationCreated>(&active(id))? {
        host.state().delete(&active(id))?;
        let customer = reservation.customer_id.as_deref();
        tell(
            host,
            customer.unwrap_or(id),
            &CartChange::ItemRemoved { reservation_id: id.clone() },
        )?;
    }
    Ok(())
}

fn on_paid(payment: &PaymentSucceeded, host: &mut Host) -> Outcome {
    let id = &payment.reservation_id;
    match host.state().get(&ended(id))? {
        Some(how) if how == EXPIRED.as_bytes() => {
            let reason = format!("reservation {id} expired before order {}", payment.order_id);
            return Err(reject("paid-after-expiry", reason));
        }
        Some(_) => return Ok(()),
        None => host.state().set_for(&ended(id), payment.order_id.as_bytes(), REMEMBERED)?,
    }
    match host.state().get_json(&active(id))? {
        Some(reservation) => finish(&reservation, &payment.order_id, host),
        None => Ok(()),
    }
}

/// Takes a paid reservation off the seat.
fn finish(reservation: &ReservationCreated, order_id: &str, host: &mut Host) -> Outcome {
    let id = &reservation.reservation_id;
    host.state().delete(&active(id))?;
    let paid = CartChange::ItemPaid { reservation_id: id.clone(), order_id: order_id.to_owned() };
    tell(host, reservation.customer_id.as_deref().unwrap_or(id), &paid)
}

fn tell(host: &mut Host, cart: &str, change: &CartChange) -> Outcome {
    let event_type = match change {
        CartChange::ItemAdded(_) => "cart.item-added",
        CartChange::ItemRemoved { .. } => "cart.item-removed",
        CartChange::ItemPaid { .. } => "cart.item-paid",
    };
    host.emit(Emission::json(ORDERING_CARTS, event_type, change)?.key(cart))?;
    Ok(())
}

fn active(reservation_id: &str) -> String {
    format!("active/{reservation_id}")
}

fn ended(reservation_id: &str) -> String {
    format!("ended/{reservation_id}")
}

#[cfg(test)]
mod tests {
    use gristmill_plugin::testing::{TestHost, event};

    use super::*;

    fn created(id: &str, customer: &str) -> Event {
        let payload = format!(
            r#"{{"eventId":"e-{id}","reservationId":"{id}","customerId":{customer},"seatId":"s-1",
            "seatNumber":"A-1-1","section":"A","basePrice":12.5,
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
            r#"{{"eventId":"p-{id}","reservationId":"{id}","orderId":"o-{id}","customerId":null,
            "seatId":"s-1","amount":12.5,"paidAt":"2026-01-01T12:05:00Z"}}"#
        );
        event("payment-succeeded", payload).with_key("s1")
    }

    /// Types and keys of what carts are told when these events come in this order.
    fn told(events: &[Event]) -> Vec<(String, String)> {
        let mut host = TestHost::new();
        for event in events {
            host.handle(handle, event).unwrap();
        }
        let emissions = host.emissions().iter().map(|emission| {
            let key = emission.key.clone().unwrap();
            (emission.event_type.clone(), String::from_utf8(key).unwrap())
        });
        emissions.collect()
    }

    #[test]
    fn a_cart_is_told_once_whatever_repeats_and_overtakes() {
        let added = ("cart.item-added".to_owned(), "ada".to_owned());
        let removed = ("cart.item-removed".to_owned(), "ada".to_owned());
        let settled = ("cart.item-paid".to_owned(), "ada".to_owned());
        let created = || created("r1", "\"ada\"");
        for (events, expected) in [
            (vec![created(), created()], vec![added.clone()]),
            (vec![created(), expired("r1"), expired("r1")], vec![added.clone(), removed]),
            (vec![created(), paid("r1"), paid("r1")], vec![added.clone(), settled.clone()]),
            (vec![paid("r1"), created()], vec![added.clone(), settled.clone()]),
            (vec![created(), paid("r1"), expired("r1")], vec![added, settled]),
            (vec![expired("r1"), created()], vec![]),
        ] {
            assert_eq!(told(&events), expected);
        }
    }

    #[test]
    fn a_cart_of_nobody_is_named_by_its_reservation() {
        let told = told(&[created("r1", "null")]);
        assert_eq!(told, [("cart.item-added".to_owned(), "r1".to_owned())]);
    }

    #[test]
    fn money_for_an_expired_reservation_is_a_matter_for_humans() {
        let mut host = TestHost::new();
        host.handle(handle, &created("r1", "null")).unwrap();
        host.handle(handle, &expired("r1")).unwrap();
        let failure = host.handle(handle, &paid("r1")).unwrap_err();
        assert_eq!(failure.code(), Some("paid-after-expiry"));
    }
}

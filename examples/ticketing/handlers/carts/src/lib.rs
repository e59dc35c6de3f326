//! Keeps each cart, as ordering tells it. It publishes nothing: a cart is read as the state of
//! its customer.

use gristmill_plugin::{Event, Host, Outcome};
use serde::{Deserialize, Serialize};
use ticketing_events::{CartChange, Item};

const CART: &str = "cart";

gristmill_plugin::export!(handle);

/// What a customer has picked and what they have paid.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cart {
    pub items: Vec<Item>,
    pub paid: Vec<Item>,
}

/// Applies one change. The event's key is the cart.
///
/// # Errors
///
/// Rejects what is no change of a cart.
pub fn handle(event: &Event, host: &mut Host) -> Outcome {
    let mut cart: Cart = host.state().get_json(CART)?.unwrap_or_default();
    match event.json()? {
        CartChange::ItemAdded(item) => {
            cart.items.retain(|other| other.reservation_id != item.reservation_id);
            cart.items.push(item);
        }
        CartChange::ItemRemoved { reservation_id } => {
            cart.items.retain(|item| item.reservation_id != reservation_id);
        }
        CartChange::ItemPaid { reservation_id, order_id } => {
            let at = cart.items.iter().position(|item| item.reservation_id == reservation_id);
            if let Some(at) = at {
                let item = cart.items.remove(at);
                cart.paid.push(Item { order_id: Some(order_id), ..item });
            }
        }
    }
    host.state().set_json(CART, &cart)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use gristmill_plugin::testing::{TestHost, event};

    use super::*;

    const ADDED: &str = r#"{"change":"item-added","reservationId":"r1","seatId":"s-1",
        "seatNumber":"A-1-1","price":12.5}"#;
    const REMOVED: &str = r#"{"change":"item-removed","reservationId":"r1"}"#;
    const PAID: &str = r#"{"change":"item-paid","reservationId":"r1","orderId":"o1"}"#;

    fn cart(changes: &[&str]) -> (usize, usize) {
        let mut host = TestHost::new();
        for change in changes {
            host.handle(handle, &event("ordering-carts", change).with_key("ada")).unwrap();
        }
        let cart: Cart = host.state_json("ada", CART).unwrap();
        (cart.items.len(), cart.paid.len())
    }

    #[test]
    fn items_come_and_go() {
        for (changes, expected) in [
            (&[ADDED][..], (1, 0)),
            (&[ADDED, ADDED], (1, 0)),
            (&[ADDED, REMOVED], (0, 0)),
            (&[ADDED, PAID], (0, 1)),
            (&[ADDED, PAID, PAID, REMOVED], (0, 1)),
        ] {
            assert_eq!(cart(changes), expected, "{changes:?}");
        }
    }

    #[test]
    fn what_is_no_change_is_refused() {
        let mut host = TestHost::new();
        let odd = event("ordering-carts", r#"{"change":"emptied"}"#).with_key("ada");
        assert_eq!(host.handle(handle, &odd).unwrap_err().code(), Some("payload"));
    }
}

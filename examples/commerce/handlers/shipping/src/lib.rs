//! Makes a parcel of every paid order, and keeps where each is. Carriers say themselves when they
//! have it and when it is there.

use commerce_events::{
    CommerceEvent as _, Envelope, PaymentProcessed, ShippingCreated, ShippingDelivered,
    ShippingDispatched,
};
use gristmill_plugin::{Event, Host, Outcome, reject};
use serde::{Deserialize, Serialize};

const SOURCE: &str = "shipping-service";

gristmill_plugin::export!(handle);

/// Where a parcel is. It never goes back: what carriers say late changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Place {
    Labelled,
    Dispatched,
    Delivered,
}

/// Handles a payment, or what happens to a parcel.
///
/// # Errors
///
/// Rejects types it does not know (`event-type`).
pub fn handle(event: &Event, host: &mut Host) -> Outcome {
    match event.event_type.as_str() {
        PaymentProcessed::TYPE => label(event.json()?, event, host),
        ShippingCreated::TYPE => {
            keep(&event.json::<ShippingCreated>()?.shipment_id, Place::Labelled, host)
        }
        ShippingDispatched::TYPE => {
            keep(&event.json::<ShippingDispatched>()?.shipment_id, Place::Dispatched, host)
        }
        ShippingDelivered::TYPE => {
            keep(&event.json::<ShippingDelivered>()?.shipment_id, Place::Delivered, host)
        }
        other => Err(reject("event-type", format!("{other} says nothing of parcels"))),
    }
}

fn label(payment: PaymentProcessed, event: &Event, host: &mut Host) -> Outcome {
    let PaymentProcessed { order_id, user_id, .. } = payment;
    let id = format!("{order_id}-label");
    let created = ShippingCreated {
        shipment_id: format!("s-{order_id}"),
        tracking_number: format!("GM-{order_id}"),
        user_id: user_id.clone(),
        order_id,
    };
    Envelope::following(event, id, SOURCE, created).of(&user_id).tell(host)
}

fn keep(shipment_id: &str, place: Place, host: &mut Host) -> Outcome {
    let name = format!("parcel/{shipment_id}");
    let known: Option<Place> = host.state().get_json(&name)?;
    if known.is_none_or(|known| known < place) {
        host.state().set_json(&name, &place)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use gristmill_plugin::testing::{TestHost, event};
    use serde_json::json;

    use super::*;

    fn of_type(kind: &str) -> Event {
        let data = json!({
            "paymentId": "p1", "orderId": "o1", "userId": "ada", "amountCents": 5,
            "currency": "EUR", "shipmentId": "s-o1", "trackingNumber": "GM-o1", "carrier": "van",
        });
        event("any", data.to_string()).with_type(kind).with_key("ada")
    }

    #[test]
    fn a_paid_order_has_a_label() {
        let mut host = TestHost::new();
        host.handle(handle, &of_type("PaymentProcessed")).unwrap();
        assert_eq!(host.emissions()[0].event_type, "ShippingCreated");
        assert_eq!(host.emissions()[0].key.as_deref(), Some(&b"ada"[..]));
    }

    #[test]
    fn a_parcel_never_goes_back() {
        let mut host = TestHost::new();
        for kind in ["ShippingDispatched", "ShippingCreated", "ShippingDelivered"] {
            host.handle(handle, &of_type(kind)).unwrap();
        }
        assert_eq!(host.state_json("ada", "parcel/s-o1"), Some(Place::Delivered));
        host.handle(handle, &of_type("ShippingDispatched")).unwrap();
        assert_eq!(host.state_json("ada", "parcel/s-o1"), Some(Place::Delivered));
    }

    #[test]
    fn what_says_nothing_of_parcels_is_refused() {
        let failure = TestHost::new().handle(handle, &of_type("UserUpdated")).unwrap_err();
        assert_eq!(failure.code(), Some("event-type"));
    }
}

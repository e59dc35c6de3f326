//! Owns the events of commerce as they are on the wire: an envelope of JSON with the event's own
//! part under `data`, in camel case. It handles none of them.
//!
//! A subscription with `envelope = "commerce"` is given the envelope's fields by the host, and
//! `data` as the payload: `event.json::<PaymentFailed>()`. What a handler publishes it wraps
//! itself, by [`Envelope::emission`].
//!
//! Amounts are whole cents, so that sums do not depend on order.

mod carts;
mod fulfilment;
mod inventory;
mod notifications;
mod orders;
mod payments;
mod products;
mod shipping;
mod users;

use gristmill_plugin::{Emission, Event, Failure, Host, Outcome, Timestamp};
use serde::{Deserialize, Serialize};

pub use carts::{CartAbandoned, CartCreated, CartItem, CartUpdated};
pub use fulfilment::{
    EXPRESS_ORDERS, ExpressOrder, FULFILMENT_REPLIES, NOTIFICATION_COMMANDS, PAYMENT_COMMANDS,
    Packed, SHIPPING_COMMANDS,
};
pub use inventory::{
    InventoryAdjusted, InventoryReleased, InventoryReserved, Picking, StockAnswered, StockItem,
    StockRequested, StockReturned,
};
pub use notifications::{NotificationFailed, NotificationSent};
pub use orders::{OrderCancelled, OrderConfirmed, OrderCreated, OrderItem, OrderShipped};
pub use payments::{PaymentFailed, PaymentInitiated, PaymentProcessed, PaymentRefunded};
pub use products::{ProductCreated, ProductDiscontinued, ProductUpdated};
pub use shipping::{ShippingCreated, ShippingDelivered, ShippingDispatched};
pub use users::{UserDeactivated, UserRegistered, UserUpdated};

/// Topic of what happens to users.
pub const USER_EVENTS: &str = "user-events";
/// Topic of what happens to products.
pub const CATALOG_EVENTS: &str = "catalog-events";
/// Topic of what happens to stock: counts are keyed by product, what is set aside by user.
pub const INVENTORY_EVENTS: &str = "inventory-events";
/// Topic of what happens to carts, keyed by user.
pub const CART_EVENTS: &str = "cart-events";
/// Topic of what happens to orders, keyed by user.
pub const ORDER_EVENTS: &str = "order-events";
/// Topic of what happens to payments, keyed by user.
pub const PAYMENT_EVENTS: &str = "payment-events";
/// Topic of what happens to parcels, keyed by user.
pub const SHIPPING_EVENTS: &str = "shipping-events";
/// Topic of what users are told, keyed by user.
pub const NOTIFICATION_EVENTS: &str = "notification-events";
/// Topic of pieces to be set aside, keyed by product.
pub const STOCK_REQUESTS: &str = "stock-requests";
/// Topic of whether they are, keyed by user.
pub const STOCK_ANSWERS: &str = "stock-answers";

/// An event of commerce: its type and its topic.
pub trait CommerceEvent: Serialize {
    /// `eventType` of the envelope.
    const TYPE: &'static str;
    /// Where it is published.
    const TOPIC: &'static str;
}

macro_rules! events {
    ($($topic:ident: $($event:ident),+;)+) => {$($(
        impl CommerceEvent for $event {
            const TYPE: &'static str = stringify!($event);
            const TOPIC: &'static str = $topic;
        }
    )+)+};
}

events! {
    USER_EVENTS: UserRegistered, UserUpdated, UserDeactivated;
    CATALOG_EVENTS: ProductCreated, ProductUpdated, ProductDiscontinued;
    INVENTORY_EVENTS: InventoryAdjusted, InventoryReserved, InventoryReleased;
    CART_EVENTS: CartCreated, CartUpdated, CartAbandoned;
    ORDER_EVENTS: OrderCreated, OrderConfirmed, OrderCancelled, OrderShipped;
    PAYMENT_EVENTS: PaymentInitiated, PaymentProcessed, PaymentFailed, PaymentRefunded;
    SHIPPING_EVENTS: ShippingCreated, ShippingDispatched, ShippingDelivered;
    NOTIFICATION_EVENTS: NotificationSent, NotificationFailed;
    STOCK_REQUESTS: StockRequested, StockReturned;
    STOCK_ANSWERS: StockAnswered;
}

/// An event with its envelope.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Envelope<T> {
    /// Unique, and the same at every attempt.
    pub event_id: String,
    /// Name of the type of `data`, such as `OrderCreated`.
    pub event_type: String,
    /// Such as `v1`.
    pub event_version: String,
    /// When it happened.
    pub timestamp: Timestamp,
    /// The service that says so.
    pub source: String,
    /// Of the request that began it all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// Of the event that caused this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causation_id: Option<String>,
    /// What happened.
    pub data: T,
    /// Who was at it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
}

/// Who was at it when something happened.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// The user, where one was known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// The session, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
}

impl<T: CommerceEvent> Envelope<T> {
    /// `data`, which happened at `timestamp`, in an envelope of version `v1` that `source` sends.
    /// `event_id` must follow from what caused it, so that every attempt sends the same.
    pub fn new(event_id: impl Into<String>, timestamp: Timestamp, source: &str, data: T) -> Self {
        Self {
            event_id: event_id.into(),
            event_type: T::TYPE.to_owned(),
            event_version: "v1".to_owned(),
            timestamp,
            source: source.to_owned(),
            correlation_id: None,
            causation_id: None,
            data,
            metadata: None,
        }
    }

    /// `data`, which follows from `cause` and has its moment. `event_id` must say what happened to
    /// whom, such as `o1-shipped`: so whoever reads it knows a repetition.
    pub fn following(cause: &Event, event_id: impl Into<String>, source: &str, data: T) -> Self {
        Self::new(event_id, cause.time, source, data).caused_by(&cause.id, &cause.correlation_id)
    }

    /// With the user it is about, who is its key.
    #[must_use]
    pub fn of(mut self, user_id: &str) -> Self {
        self.metadata = Some(Metadata { user_id: Some(user_id.to_owned()), session_id: None });
        self
    }

    /// Publishes it under the key of its user, else of the handled event.
    ///
    /// # Errors
    ///
    /// As emissions are refused.
    pub fn tell(&self, host: &mut Host) -> Outcome {
        let user = self.metadata.as_ref().and_then(|it| it.user_id.as_deref());
        let emission = self.emission()?;
        Ok(host.emit(match user {
            Some(user) => emission.key(user),
            None => emission,
        })?)
    }

    /// Publishes it under another key: stock is by product.
    ///
    /// # Errors
    ///
    /// As emissions are refused.
    pub fn tell_of(&self, key: &str, host: &mut Host) -> Outcome {
        Ok(host.emit(self.emission()?.key(key))?)
    }

    /// With what it follows from.
    #[must_use]
    pub fn caused_by(mut self, causation_id: &str, correlation_id: &str) -> Self {
        self.causation_id = Some(causation_id.to_owned());
        self.correlation_id = Some(correlation_id.to_owned());
        self
    }

    /// The same as a handler publishes it, to the topic of its type.
    ///
    /// # Errors
    ///
    /// When `data` has no form in JSON.
    pub fn emission(&self) -> Result<Emission, Failure> {
        let emission = Emission::json(T::TOPIC, T::TYPE, self)?.version(&*self.event_version);
        Ok(match &self.correlation_id {
            Some(correlation_id) => emission.correlation_id(correlation_id),
            None => emission,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_wrapped_as_the_platform_writes_it() {
        let time = "2026-01-01T12:00:00Z".parse().unwrap();
        let reserved = InventoryReleased {
            order_id: "o1".to_owned(),
            user_id: "ada".to_owned(),
            items: vec![StockItem { product_id: "p1".to_owned(), quantity: 2 }],
            reason: "payment failed".to_owned(),
        };
        let envelope = Envelope::new("e1", time, "inventory-service", reserved);
        let emission = envelope.caused_by("e0", "r0").emission().unwrap();
        assert_eq!(
            (&*emission.topic, &*emission.event_type),
            (INVENTORY_EVENTS, "InventoryReleased")
        );
        let expected = concat!(
            r#"{"eventId":"e1","eventType":"InventoryReleased","eventVersion":"v1","#,
            r#""timestamp":"2026-01-01T12:00:00Z","source":"inventory-service","#,
            r#""correlationId":"r0","causationId":"e0","data":{"orderId":"o1","userId":"ada","#,
            r#""items":[{"productId":"p1","quantity":2}],"reason":"payment failed"}}"#,
        );
        assert_eq!(String::from_utf8_lossy(&emission.payload), expected);
    }
}

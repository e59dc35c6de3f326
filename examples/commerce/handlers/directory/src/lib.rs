//! Keeps users and products as their events leave them, for whoever asks: each in a subscription of
//! its own, under its own key. It publishes nothing.

use commerce_events::{
    CommerceEvent as _, ProductCreated, ProductDiscontinued, ProductUpdated, UserDeactivated,
    UserRegistered, UserUpdated,
};
use gristmill_plugin::{Event, Failure, Host, Outcome, reject};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

const USER: &str = "user";
const PRODUCT: &str = "product";

gristmill_plugin::export!(handle);

/// A user.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct User {
    email: String,
    name: String,
    is_active: bool,
}

/// A product.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Product {
    name: String,
    price_cents: i64,
    currency: String,
    is_on_sale: bool,
}

/// Handles what happens to a user or a product.
///
/// # Errors
///
/// Rejects what happens to nobody (`unknown-user`, `unknown-product`), prices of nothing (`price`)
/// and types it does not know (`event-type`).
pub fn handle(event: &Event, host: &mut Host) -> Outcome {
    match event.event_type.as_str() {
        UserRegistered::TYPE => {
            let UserRegistered { email, name, .. } = event.json()?;
            Ok(host.state().set_json(USER, &User { email, name, is_active: true })?)
        }
        UserUpdated::TYPE => {
            let UserUpdated { email, name, .. } = event.json()?;
            let user: User = known(USER, host)?;
            let (email, name) = (email.unwrap_or(user.email), name.unwrap_or(user.name));
            Ok(host.state().set_json(USER, &User { email, name, ..user })?)
        }
        UserDeactivated::TYPE => {
            let user: User = known(USER, host)?;
            Ok(host.state().set_json(USER, &User { is_active: false, ..user })?)
        }
        ProductCreated::TYPE => {
            let ProductCreated { name, price_cents, currency, .. } = event.json()?;
            keep(&Product { name, price_cents, currency, is_on_sale: true }, host)
        }
        ProductUpdated::TYPE => {
            let ProductUpdated { name, price_cents, .. } = event.json()?;
            let product: Product = known(PRODUCT, host)?;
            let name = name.unwrap_or(product.name);
            let price_cents = price_cents.unwrap_or(product.price_cents);
            keep(&Product { name, price_cents, ..product }, host)
        }
        ProductDiscontinued::TYPE => {
            let product: Product = known(PRODUCT, host)?;
            keep(&Product { is_on_sale: false, ..product }, host)
        }
        other => Err(reject("event-type", format!("{other} is of no user and no product"))),
    }
}

fn known<T: DeserializeOwned>(name: &str, host: &mut Host) -> Result<T, Failure> {
    let found = host.state().get_json(name)?;
    found.ok_or_else(|| reject(format!("unknown-{name}"), format!("there is no such {name}")))
}

fn keep(product: &Product, host: &mut Host) -> Outcome {
    if product.price_cents <= 0 {
        return Err(reject("price", format!("nothing costs {} cents", product.price_cents)));
    }
    Ok(host.state().set_json(PRODUCT, product)?)
}

#[cfg(test)]
mod tests {
    use gristmill_plugin::testing::{TestHost, event};
    use serde_json::{Value, json};

    use super::*;

    fn of_type(kind: &str, data: &Value) -> Event {
        event("any", data.to_string()).with_type(kind).with_key("k")
    }

    #[test]
    fn users_and_products_are_as_their_events_leave_them() {
        let mut host = TestHost::new();
        for (kind, data) in [
            ("UserRegistered", json!({"userId": "k", "email": "a@b", "name": "Ada"})),
            ("UserUpdated", json!({"userId": "k", "email": "a@c"})),
            ("UserDeactivated", json!({"userId": "k", "reason": "left"})),
            (
                "ProductCreated",
                json!({"productId": "k", "name": "tea", "priceCents": 5, "currency": "EUR"}),
            ),
            ("ProductUpdated", json!({"productId": "k", "priceCents": 6})),
            ("ProductDiscontinued", json!({"productId": "k", "reason": "old"})),
        ] {
            host.handle(handle, &of_type(kind, &data)).unwrap();
        }
        let user: Value = host.state_json("k", "user").unwrap();
        assert_eq!(user, json!({"email": "a@c", "name": "Ada", "isActive": false}));
        let product: Value = host.state_json("k", "product").unwrap();
        let expected =
            json!({"name": "tea", "priceCents": 6, "currency": "EUR", "isOnSale": false});
        assert_eq!(product, expected);
    }

    #[test]
    fn what_happens_to_nobody_is_refused() {
        for (kind, data, code) in [
            ("UserUpdated", json!({"userId": "k"}), "unknown-user"),
            ("ProductUpdated", json!({"productId": "k"}), "unknown-product"),
            (
                "ProductCreated",
                json!({"productId": "k", "name": "tea", "priceCents": 0, "currency": "EUR"}),
                "price",
            ),
            ("OrderCreated", json!({}), "event-type"),
        ] {
            let failure = TestHost::new().handle(handle, &of_type(kind, &data)).unwrap_err();
            assert_eq!(failure.code(), Some(code), "{kind}");
        }
    }
}

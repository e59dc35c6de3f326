//! Tells that a cart was abandoned: an hour passed in which its user neither changed it nor
//! ordered. It is the only publisher of `CartAbandoned`. Carts and orders are keyed by user, who
//! has one cart.

use std::time::Duration;

use commerce_events::{
    CartAbandoned, CartCreated, CartUpdated, CommerceEvent as _, Envelope, OrderCreated,
};
use gristmill_plugin::patterns::{Match, Pattern};
use gristmill_plugin::{Event, Failure, Host, Outcome, PayloadError, Timer};

/// Topic of what came too late to tell a cart by, keyed by user.
pub const LATE: &str = "carts-late";

/// Seconds a user may think, and that an event may take to come, where the manifest says nothing.
const THINKING_SECONDS: u64 = 60 * 60;
const LATENESS_SECONDS: u64 = 60;

gristmill_plugin::export!(handle, on_timer);

/// Takes a change of a cart, or an order.
///
/// # Errors
///
/// Rejects what is no such event.
pub fn handle(event: &Event, host: &mut Host) -> Outcome {
    if is_change(event) {
        // What cannot be told later is refused now.
        cart(&event.payload)?;
    }
    abandoned(host)?.add(event, host)
}

/// Tells a cart that was left for an hour.
///
/// # Errors
///
/// As [`Pattern::on_timer`] fails.
pub fn on_timer(timer: &Timer, host: &mut Host) -> Outcome {
    abandoned(host)?.on_timer(timer, host).map(drop)
}

fn abandoned(host: &Host) -> Result<Pattern, Failure> {
    let seconds = |name: &str, usual: u64| host.config().get_or(name, usual);
    let thinking = Duration::from_secs(seconds("thinking_seconds", THINKING_SECONDS)?);
    let lateness = Duration::from_secs(seconds("lateness_seconds", LATENESS_SECONDS)?);
    Ok(Pattern::first(is_change)
        .without(|event| is_change(event) || event.event_type == OrderCreated::TYPE)
        .within(thinking)
        .note(|event| String::from_utf8_lossy(&event.payload).into_owned())
        .tell("abandoned", tell)
        .lateness(lateness)
        .late_to(LATE))
}

fn is_change(event: &Event) -> bool {
    [CartCreated::TYPE, CartUpdated::TYPE].contains(&event.event_type.as_str())
}

/// The cart as a change left it. A new cart says the same of itself as one that is changed.
fn cart(payload: &[u8]) -> Result<CartUpdated, PayloadError> {
    Event { payload: payload.to_vec(), ..Event::default() }.json()
}

fn tell(found: &Match, host: &mut Host) -> Outcome {
    let CartUpdated { cart_id, user_id, items } = cart(found.note.as_bytes())?;
    let id = format!("abandoned-{}-{}", found.event, found.revision);
    let abandoned = CartAbandoned { cart_id, user_id, items, holds: found.holds };
    let envelope = Envelope::new(id, found.end, "cart-service", abandoned);
    let emission = Envelope { causation_id: Some(found.event.clone()), ..envelope }.emission()?;
    Ok(host.emit(emission)?)
}

#[cfg(test)]
mod tests {
    use commerce_events::{CART_EVENTS, ORDER_EVENTS};
    use gristmill_plugin::testing::{EVENT_TIME, TestHost, event};

    use super::*;

    fn changed(kind: &str, minute: u64) -> Event {
        let payload = r#"{"cartId":"c1","userId":"ada","items":[{"productId":"p1","quantity":2,
            "priceCents":100}]}"#;
        at(event(CART_EVENTS, payload).with_type(kind), minute)
    }

    fn ordered(minute: u64) -> Event {
        at(event(ORDER_EVENTS, "{}").with_type("OrderCreated"), minute)
    }

    fn at(event: Event, minute: u64) -> Event {
        let time = EVENT_TIME.after(Duration::from_mins(minute));
        event.with_key("ada").with_id(&format!("e{minute}")).with_time(time)
    }

    /// The events that were told as the last of an abandoned cart.
    fn told(events: &[Event]) -> Vec<String> {
        let mut host = TestHost::new();
        for event in events {
            host.handle(handle, event).unwrap();
        }
        host.advance(on_timer, EVENT_TIME.after(Duration::from_hours(9))).unwrap();
        let ids = host.emissions().iter().map(|emission| {
            assert_eq!((&*emission.topic, &*emission.event_type), (CART_EVENTS, "CartAbandoned"));
            let abandoned: Envelope<CartAbandoned> =
                event(CART_EVENTS, &emission.payload).json().unwrap();
            assert!(abandoned.data.holds && abandoned.data.items.len() == 1);
            abandoned.causation_id.unwrap()
        });
        ids.collect()
    }

    #[test]
    fn a_cart_is_abandoned_an_hour_after_its_last_change() {
        let (created, updated) = (changed("CartCreated", 0), changed("CartUpdated", 50));
        for (events, expected) in [
            (vec![created.clone()], &["e0"][..]),
            (vec![created.clone(), updated.clone()], &["e50"]),
            (vec![updated.clone(), created.clone()], &["e50"]),
            (vec![created.clone(), updated.clone(), ordered(90)], &[]),
            (vec![ordered(90), updated.clone(), created.clone()], &[]),
            (vec![created.clone(), ordered(61)], &["e0"]),
            (vec![ordered(0), changed("CartUpdated", 1)], &["e1"]),
        ] {
            assert_eq!(told(&events), expected, "{events:?}");
        }
    }

    #[test]
    fn what_is_no_cart_is_refused() {
        let odd = at(event(CART_EVENTS, "{}").with_type("CartCreated"), 0);
        assert_eq!(TestHost::new().handle(handle, &odd).unwrap_err().code(), Some("payload"));
    }

    #[test]
    fn other_events_cost_nothing() {
        let other = at(event(ORDER_EVENTS, "{}").with_type("OrderShipped"), 0);
        let mut host = TestHost::new().without_state().without_timers();
        host.handle(handle, &other).unwrap();
    }
}

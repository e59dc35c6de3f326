//! The page that draws the flow of orders, in a real browser.

use anyhow::{Context, Result};
use gristmill_tests::support::browser::Browser;
use gristmill_tests::support::example::Place;
use gristmill_tests::support::pages::Pages;
use gristmill_tests::support::wait;
use serde_json::Value;

use super::{MORE, PATIENCE, counted, example, ordered, send, start, variables};

/// Two orders that are shipped, one that is not paid and one that nothing is there for.
#[test]
fn the_page_draws_the_flow_as_it_happens() -> Result<()> {
    const SHOWN: &str = "['state', 'shipped', 'cancelled', 'repeated'].map(it => \
        document.getElementById(it)?.textContent).concat(['OrderCreated', 'InventoryReserved', \
        'PaymentProcessed', 'ShippingCreated', 'NotificationSent', 'OrderShipped', \
        'PaymentFailed', 'InventoryReleased', 'OrderCancelled'].map(it => \
        document.querySelector(`#${it} .count`)?.textContent)).join(' ')";
    let example = example()?;
    let (party, pages) = (example.party(0)?, Pages::of("commerce")?);
    let home = example.home(&Place::Embedded, MORE)?;
    let mut variables = variables(&party);
    variables.push(("COMMERCE_PAGES", pages.address.clone()));
    let (host, client) = start(&home, &variables)?;
    let mut page = Browser::open(&format!("{}/live.html?host={}", pages.address, client.url()))?;
    let mut shows = |wanted: &str| -> Result<()> {
        let mut shown = Value::Null;
        let seen = wait::until(PATIENCE, || {
            shown = page.evaluate(SHOWN)?;
            Ok((shown == wanted).then_some(()))
        })?;
        seen.with_context(|| format!("the page shows {shown} and not {wanted}"))
    };
    shows("live 0 0 0 0 0 0 0 0 0 0 0 0")?;
    send(&client, "inventory-events", "tea", counted("tea", 10))?;
    send(&client, "inventory-events", "samovar", counted("samovar", 0))?;
    for (id, user, product) in [
        ("o-1", "ada", "tea"),
        ("o-2", "alan", "tea"),
        ("o-3", "mallory", "tea"),
        ("o-4", "ada", "samovar"),
    ] {
        send(&client, "order-events", &format!("e-{id}"), ordered(id, user, &[product], 900))?;
    }
    shows("live 2 2 0 4 3 2 2 2 2 1 2 2")?;
    host.stop()
}

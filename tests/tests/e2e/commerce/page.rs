//! The page that draws the flow of orders, in a real browser.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};
use gristmill_tests::support::browser::Browser;
use gristmill_tests::support::component::root;
use gristmill_tests::support::example::Place;
use gristmill_tests::support::wait;
use serde_json::Value;

use super::{MORE, PATIENCE, counted, example, ordered, send, start, variables};

/// Serves `examples/commerce` to browsers, as its README does. Killed when dropped.
struct Pages {
    process: Child,
    address: String,
}

impl Pages {
    fn start() -> Result<Self> {
        let mut process = Command::new("python3")
            .args(["-u", "-m", "http.server", "0", "--bind", "127.0.0.1"])
            .current_dir(root().join("examples/commerce"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("start python3")?;
        let mut said = String::new();
        let told = process.stdout.take().context("a pipe")?;
        BufReader::new(told).read_line(&mut said)?;
        let port = said.split(" port ").nth(1).and_then(|it| it.split(' ').next());
        let address = format!("http://127.0.0.1:{}", port.with_context(|| said.clone())?);
        Ok(Self { process, address })
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// Two orders that are shipped, one that is not paid and one that nothing is there for.
#[test]
fn the_page_draws_the_flow_as_it_happens() -> Result<()> {
    const SHOWN: &str = "['state', 'shipped', 'cancelled', 'repeated'].map(it => \
        document.getElementById(it)?.textContent).concat(['OrderCreated', 'InventoryReserved', \
        'PaymentProcessed', 'ShippingCreated', 'NotificationSent', 'OrderShipped', \
        'PaymentFailed', 'InventoryReleased', 'OrderCancelled'].map(it => \
        document.querySelector(`#${it} .count`)?.textContent)).join(' ')";
    let example = example()?;
    let (party, pages) = (example.party(0)?, Pages::start()?);
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

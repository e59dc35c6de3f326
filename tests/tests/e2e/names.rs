//! What topics are called on the broker is the platform's business: configuration, manifests,
//! handlers and clients call them by their own names. And whose they are is an operator's.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gristmill_tests::support::client::{Client, Stored, Subscription};
use gristmill_tests::support::component::{binary, guest};
use gristmill_tests::support::home::{Home, Process};
use gristmill_tests::support::wait;

use super::both::{Ground, embedded, on_both, start};

const PATIENCE: Duration = Duration::from_mins(2);
const TABLES: &str = r#"[topics]
template = "{env}.{domain}.{topic}.{version}"
names = { env = "Development", domain = "shop", version = "v1" }
[topics.defaults]
partitions = 2
[topics.Order]
[topics.OrderLine]
names = { domain = "store" }
[topics.answers]
name = "answers"
[topics.happened]
local = true

[commands.order]
topic = "Order"
subscription = "puppet"
reply = "answers"

[access.shop]
topics = ["Order", "dev.store.*"]
publish = ["puppet"]
subscribe = ["puppet"]
"#;
const PUPPET: &str = r#"[[subscription]]
name = "puppet"
topics = ["Order"]
grants.emit = ["answers", "OrderLine", "happened"]

[[subscription]]
name = "lines"
topics = ["OrderLine"]
grants.emit = ["answers"]

[[subscription]]
name = "local"
topics = ["happened"]
grants.emit = ["answers"]
"#;

fn home(ground: &Ground) -> Result<Home> {
    let home = Home::new(&binary("debug"), &ground.config)?;
    home.put("puppet.toml", PUPPET.as_bytes())?;
    home.put("puppet.wasm", &guest("puppet")?)?;
    Ok(home)
}

/// What `answers` holds when there are so many, as subscription and words.
fn answers(client: &Client, host: &Process, count: usize) -> Result<Vec<(String, String)>> {
    let found = wait::until(PATIENCE, || {
        let open: u64 = client.subscriptions()?.iter().map(Subscription::unsettled).sum();
        let answers = client.topic("answers")?.concat();
        Ok((open == 0 && answers.len() >= count).then_some(answers))
    })?;
    let found = found.with_context(|| format!("no {count} answers:\n{}", host.tail()))?;
    let told = |record: &Stored| {
        let source = record.header("ce_source").context("no source")?;
        let who = source.rsplit('/').next().unwrap_or_default().to_owned();
        Ok((who, record.text()?))
    };
    found.iter().map(told).collect()
}

#[test]
fn topics_go_by_their_own_names_everywhere_but_on_the_broker() -> Result<()> {
    on_both("naming", TABLES, |ground| {
        let home = home(ground)?;
        let (host, client) = start(&home)?;
        let topics = client.topics()?;
        for name in ["dev.shop.orders.v1", "dev.store.order-lines.v1", "answers"] {
            ensure!(topics.iter().any(|topic| topic == name), "no {name} in {topics:?}");
        }
        ensure!(topics.iter().all(|topic| topic != "Order"), "{topics:?}");

        let script = "echo\ntell OrderLine echo\ntell happened echo\ntell dev.shop.orders.v1 x";
        let text = [("content-type", "text/plain")];
        let placed = client.ask("/topics/Order?key=k", &text, script)?;
        let is_told = placed.text.contains("\"topic\":\"dev.shop.orders.v1\"");
        ensure!(placed.status == 202 && is_told, "{placed:?}");
        let found = answers(&client, &host, 6)?;
        ensure!(found.len() == 6, "{found:?}");
        for (who, topic) in [("puppet", "Order"), ("lines", "OrderLine"), ("local", "happened")] {
            let event = format!("topic: \"{topic}\", ");
            let heard = found.iter().any(|(by, words)| by == who && words.contains(&event));
            ensure!(heard, "{who} was not given an event of {topic}: {found:?}");
        }
        let refused = found.iter().filter(|(_, words)| words.contains("NotGranted")).count();
        ensure!(refused == 1, "what is not granted is not published to: {found:?}");

        // The same by either name.
        client.send_text("/topics/dev.shop.orders.v1?key=k", "reject")?;
        let answer = client.ask("/commands/order?key=k", &[], "log info obeyed\necho")?;
        ensure!(answer.status == 200 && answer.text.contains("topic: \"Order\""), "{answer:?}");
        let letters = client.topic("dev.shop.orders.v1.puppet.dlq")?.concat();
        ensure!(letters.len() == 1, "{letters:?}");
        ensure!(client.ends("Order")? == client.ends("dev.shop.orders.v1")?);
        host.stop()
    })
}

#[test]
fn topics_of_others_are_neither_read_nor_published_to() -> Result<()> {
    let home = home(&embedded("owning", TABLES))?;
    let (host, client) = start(&home)?;
    let foreign = [
        ("reader", "topics = [\"Order\"]\ngrants.emit = [\"answers\"]", "subscribe to"),
        ("writer", "topics = [\"answers\"]\ngrants.emit = [\"*\"]", "publish to"),
    ];
    for (name, lines, _) in foreign {
        let manifest = format!("[[subscription]]\nname = \"{name}\"\n{lines}\n");
        home.put(&format!("{name}.toml"), manifest.as_bytes())?;
        home.put(&format!("{name}.wasm"), &guest("puppet")?)?;
    }
    let any = "[[subscription]]\nname = \"any\"\ntopics = [\"^(dev|answers).*\"]\n";
    home.put("any.toml", any.as_bytes())?;
    home.put("any.wasm", &guest("puppet")?)?;
    let told = wait::until(PATIENCE, || {
        let plugins = client.json("/api/v1/plugins")?;
        let plugins = plugins["plugins"].as_array().cloned().unwrap_or_default();
        let error = |name: &str| {
            let plugin = plugins.iter().find(|plugin| plugin["name"] == name)?;
            plugin["error"].as_str().map(str::to_owned)
        };
        let errors: Option<Vec<String>> = foreign.iter().map(|(name, ..)| error(name)).collect();
        let subscriptions = client.json("/api/v1/subscriptions")?;
        let subscriptions = subscriptions["subscriptions"].as_array().cloned().unwrap_or_default();
        let any = subscriptions.into_iter().find(|it| it["name"] == "any");
        Ok(errors.zip(any))
    })?;
    let (errors, any) = told.with_context(|| format!("nobody is refused:\n{}", host.tail()))?;
    for (error, (name, _, what)) in errors.iter().zip(foreign) {
        let words = format!("plugin \"{name}\" may not {what} ");
        ensure!(error.contains("E0118") && error.contains(&words), "{error}");
        ensure!(error.contains("`access.shop` of the host lets puppet"), "{error}");
    }
    ensure!(any["topics"] == serde_json::json!(["answers"]), "{any}");
    Ok(())
}

//! Makes one host of the five examples: their topics, schemas, rules, plugins and manifests in one
//! configuration, as they are but for what two of them call the same.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use toml_edit::{Array, DocumentMut, Item, Table, Value, value};

use crate::support::component::{guest, root};
use crate::support::example::EMAIL_KEY;
use crate::support::home::Home;

/// The examples, and what one of them calls otherwise here: another one has a topic of that name
/// that says something else. Both names have the same length, since a handler that publishes to
/// the topic has its name in the component.
const EXAMPLES: [(&str, Option<(&str, &str)>); 5] = [
    ("ticketing", Some(("payment-commands", "cashier-commands"))),
    ("shipping", Some(("shipping-events", "shipment-events"))),
    ("billing", None),
    ("pos", Some(("identity.user.created", "accounts.user.created"))),
    ("commerce", None),
];
/// An example with a plugin that another one has as well, its name, and what it is called here.
const TWICE: (&str, &str, &str) = ("billing", "audit", "billing-audit");
/// What each example says of its host alone.
const OWN: [&str; 5] = ["name", "listen", "data_dir", "plugins_dir", "workers"];
/// What the one host is.
const HOST: &str = "name = \"systems\"\nlisten = \"127.0.0.1:0\"\ndata_dir = \"data\"\n\
    plugins_dir = \"plugins\"\nworkers = 2\n\n[storage]\nreserve = \"64MiB\"\n";

/// The host's folder, for hosts that are this binary.
///
/// # Errors
///
/// When an example is not as it was, or something of two of them collides.
pub(super) fn home(binary: &Path) -> Result<Home> {
    let mut config: DocumentMut = HOST.parse()?;
    for (example, renamed) in EXAMPLES {
        let text = fs::read_to_string(folder(example).join("gristmill.toml"))?;
        let own: DocumentMut = called(example, &text).parse()?;
        add(&mut config, own.as_table().clone(), renamed)
            .with_context(|| format!("add the configuration of {example}"))?;
    }
    let home = Home::new(binary, &config.to_string())?;
    fs::create_dir(home.path().join("schemas"))?;
    fs::write(home.path().join("email.key"), EMAIL_KEY)?;
    for (example, renamed) in EXAMPLES {
        schemas(example, &home)?;
        plugins(example, renamed, &home)?;
    }
    Ok(home)
}

/// What a host of this folder finds in its environment.
pub(super) fn variables(home: &Home, party: &str) -> Vec<(&'static str, String)> {
    let mut variables: Vec<_> = [
        "TICKETING_PROVIDER",
        "SHIPPING_MAIL_URL",
        "BILLING_BUREAU_URL",
        "POS_MAIL_URL",
        "POS_PAYMENT_URL",
        "COMMERCE_PROVIDER",
        "COMMERCE_MAIL",
    ]
    .map(|name| (name, party.to_owned()))
    .into();
    variables.extend([
        ("SHIPPING_EMAIL_KEY", home.path().join("email.key").display().to_string()),
        // A saga whose command waits in a backlog asks once, and never again.
        ("TICKETING_STEP_SECONDS", "3600".to_owned()),
        ("COMMERCE_STEP_SECONDS", "3600".to_owned()),
    ]);
    variables
}

fn folder(example: &str) -> PathBuf {
    root().join("examples").join(example)
}

/// Adds the tables of an example. Each topic says by itself what its example says of all of its
/// topics.
fn add(config: &mut DocumentMut, mut own: Table, renamed: Option<(&str, &str)>) -> Result<()> {
    for name in OWN {
        own.remove(name);
    }
    let topics = own.remove("topics").and_then(|it| it.into_table().ok()).context("topics")?;
    add_topics(table(config, "topics"), topics, renamed)?;
    for (name, item) in own {
        let item = item.into_table().map_err(|_item| anyhow::anyhow!("{name} is no table"))?;
        let all = table(config, &name);
        for (key, mut item) in item {
            if let (Some(topics), Some(renamed)) = (topics_of(&mut item), renamed) {
                rename(topics, renamed);
            }
            match all.get(&key) {
                None => drop(all.insert(&key, item)),
                Some(there) => merge(there, &item).with_context(|| format!("{name}.{key}"))?,
            }
        }
    }
    Ok(())
}

/// The same with a plugin called as it is here.
fn called(example: &str, text: &str) -> String {
    let (of, name, new) = TWICE;
    let quoted = |name: &str| format!("\"{name}\"");
    if example == of { text.replace(&quoted(name), &quoted(new)) } else { text.to_owned() }
}

fn add_topics(all: &mut Table, mut own: Table, renamed: Option<(&str, &str)>) -> Result<()> {
    let defaults = own.remove("defaults").and_then(|it| it.into_table().ok()).unwrap_or_default();
    let template = own.remove("template");
    let names = own.remove("names");
    for (name, item) in own {
        let mut topic = item.into_table().map_err(|_item| anyhow::anyhow!("{name} is no topic"))?;
        let name = renamed.filter(|(old, _)| *old == name).map_or(name.as_str(), |(_, new)| new);
        let is_local = topic.get("local").and_then(Item::as_bool) == Some(true);
        for (key, item) in defaults.iter().filter(|_| !is_local) {
            topic.entry(key).or_insert_with(|| item.clone());
        }
        // Where one example has its topics named by a template, the others say their names.
        if template.is_none() && !is_local {
            topic.insert("name", value(name));
        }
        ensure!(!all.contains_key(name), "topic {name} is there already");
        all.insert(name, Item::Table(topic));
    }
    for (key, item) in [("template", template), ("names", names)] {
        if let Some(item) = item {
            ensure!(all.insert(key, item).is_none(), "two examples have a {key} of topics");
        }
    }
    Ok(())
}

fn table<'a>(config: &'a mut DocumentMut, name: &str) -> &'a mut Table {
    let entry = config.entry(name).or_insert_with(|| Item::Table(Table::new()));
    entry.as_table_mut().unwrap_or_else(|| unreachable!("every part of it is a table"))
}

fn topics_of(item: &mut Item) -> Option<&mut Array> {
    item.as_table_mut()?.get_mut("topics")?.as_array_mut()
}

fn rename(topics: &mut Array, (old, new): (&str, &str)) {
    for topic in topics.iter_mut().filter(|topic| topic.as_str() == Some(old)) {
        *topic = Value::from(new);
    }
}

/// What is the same stays, though each example takes it from a variable of its own; nothing else
/// may be there twice.
fn merge(there: &Item, more: &Item) -> Result<()> {
    let usual = |item: &Item| {
        let text = item.to_string();
        text.split_once(":-").map_or(text.trim().to_owned(), |(_, usual)| usual.trim().to_owned())
    };
    ensure!(usual(there) == usual(more), "it is there already, and differs");
    Ok(())
}

fn schemas(example: &str, home: &Home) -> Result<()> {
    let Ok(files) = fs::read_dir(folder(example).join("schemas")) else { return Ok(()) };
    for file in files {
        let file = file?.path();
        if file.extension().is_some_and(|it| it == "json") {
            let name = file.file_name().context("a file")?;
            let copy = home.path().join("schemas").join(name);
            ensure!(!copy.exists(), "two examples have a schema {}", copy.display());
            fs::copy(&file, copy)?;
        }
    }
    Ok(())
}

fn plugins(example: &str, renamed: Option<(&str, &str)>, home: &Home) -> Result<()> {
    for file in fs::read_dir(folder(example).join("plugins"))? {
        let file = file?.path();
        if file.extension().is_none_or(|it| it != "toml") {
            continue;
        }
        let name = file.file_stem().context("a file")?.to_string_lossy().into_owned();
        let (manifest, mut component) = (fs::read_to_string(&file)?, guest(&name)?);
        let mut manifest = called(example, &manifest);
        let name = if (example, &*name) == (TWICE.0, TWICE.1) { TWICE.2 } else { &name };
        ensure!(!home.plugins().join(format!("{name}.toml")).exists(), "two plugins {name}");
        if let Some((old, new)) = renamed {
            manifest = manifest.replace(&format!("\"{old}\""), &format!("\"{new}\""));
            replace(&mut component, old.as_bytes(), new.as_bytes());
        }
        home.put(&format!("{name}.wasm"), &component)?;
        home.put(&format!("{name}.toml"), manifest.as_bytes())?;
    }
    Ok(())
}

/// Puts `new`, which is as long, in place of each `old`.
fn replace(bytes: &mut [u8], old: &[u8], new: &[u8]) {
    assert_eq!(old.len(), new.len(), "a component's data keeps its size");
    let mut at = 0;
    while let Some(window) = bytes.get_mut(at..at + old.len()) {
        if window == old {
            window.copy_from_slice(new);
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_replaced_wherever_it_stands() {
        let mut bytes = b"old, bold, ol".to_vec();
        replace(&mut bytes, b"old", b"new");
        assert_eq!(bytes, b"new, bnew, ol");
    }

    #[test]
    fn what_two_examples_say_is_the_same_or_refused() {
        let mut config: DocumentMut = "[http]\norigins = [\"${A:-a}\"]\n".parse().unwrap();
        let more = |text: &str| {
            let text = format!("[topics.defaults]\npartitions = 2\n[topics.{text}");
            text.parse::<DocumentMut>().unwrap().as_table().clone()
        };
        let same = "one]\n[http]\norigins = [\"${B:-a}\"]\n";
        add(&mut config, more(same), Some(("one", "two"))).unwrap();
        assert_eq!(config["topics"]["two"]["partitions"].as_integer(), Some(2));
        for other in ["two]\n", "three]\n[http]\norigins = [\"b\"]\n"] {
            assert!(add(&mut config, more(other), None).is_err(), "{other}");
        }
    }
}

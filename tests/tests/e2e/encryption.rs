//! Fields that are encrypted in topics: who sees them, what happens when keys change, and what when
//! one is not here.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gristmill_tests::support::client::{Client, Stored};
use gristmill_tests::support::component::{binary, guest};
use gristmill_tests::support::home::{Home, Process};
use gristmill_tests::support::wait;
use serde_json::{Value, json};

use super::both::{Ground, embedded, on_both, settle, start};

const PATIENCE: Duration = Duration::from_mins(2);
const TABLES: &str = r"[topics.defaults]
partitions = 2
[topics.users]
[topics.members]
[topics.mails]
[topics.log]
";
const RULE: &str = r#"
[encryption.emails]
topics = ["users", "members"]
fields = ["/email", "/contacts/*/email"]
plugins = ["mailer"]
"#;
const MAY: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
const JUNE: &str = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=";
/// `mailer` may see e-mail addresses, and publishes what it sees to `mails`, where they are in the
/// clear; `join` to `members`, where they are not.
const MAILER: &str = r#"[[subscription]]
name = "mailer"
topics = ["users"]
grants = { emit = ["mails"], decrypt = ["emails"], config = { to = "mails", version = "1" } }

[[subscription]]
name = "join"
topics = ["users"]
grants = { emit = ["members"], decrypt = ["emails"], config = { to = "members", version = "1" } }
"#;
/// `audit` may not, and publishes what it sees to `log`.
const AUDIT: &str = r#"[[subscription]]
name = "audit"
topics = ["users", "members"]
grants = { emit = ["log"], config = { to = "log", version = "1" } }
"#;

/// A host with these keys, of which `key` is for new values.
fn home(ground: &Ground, keys: &[&str], key: &str) -> Result<Home> {
    let home = Home::new(&binary("debug"), &ground.config)?;
    fs::write(home.path().join("may.key"), format!("{MAY}\n"))?;
    fs::write(home.path().join("june.key"), JUNE)?;
    configure(&home, ground, keys, key)?;
    for (name, manifest) in [("mailer", MAILER), ("audit", AUDIT)] {
        home.put(&format!("{name}.toml"), manifest.as_bytes())?;
        home.put(&format!("{name}.wasm"), &guest("upcast")?)?;
    }
    Ok(home)
}

fn configure(home: &Home, ground: &Ground, keys: &[&str], key: &str) -> Result<()> {
    let keys: Vec<String> =
        keys.iter().map(|id| format!("{id} = {{ file = \"{id}.key\" }}")).collect();
    let rule = format!("{RULE}key = \"{key}\"\nkeys = {{ {} }}\n", keys.join(", "));
    let path = home.path().join("gristmill.toml");
    fs::write(&path, format!("{}{rule}", ground.config)).context("write the configuration")
}

fn user(number: u32) -> Value {
    json!({
        "id": number,
        "email": format!("user-{number}@example.com"),
        "contacts": [{ "email": format!("friend-{number}@example.com"), "since": 2019 }],
    })
}

fn publish(client: &Client, numbers: std::ops::Range<u32>) -> Result<()> {
    for number in numbers {
        client.send(&format!("/topics/users?key=k{number}"), &user(number))?;
    }
    Ok(())
}

/// What is in a topic, by the number of the user.
fn records(client: &Client, topic: &str) -> Result<Vec<Stored>> {
    let mut records = client.topic(topic)?.concat();
    records.sort_by_key(|record| record.payload["id"].as_u64());
    Ok(records)
}

/// The id of the key that a value is encrypted under; none for one that is not.
fn key_of(value: &Value) -> Option<String> {
    let (header, _) = value.as_str()?.split_once("..")?;
    let header = base64::Engine::decode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, header).ok()?;
    let header: Value = serde_json::from_slice(&header).ok()?;
    header["kid"].as_str().map(str::to_owned)
}

/// All e-mail addresses are encrypted under that key, and all else is as it was.
fn is_sealed(record: &Stored, key: &str) -> Result<()> {
    let data = &record.payload;
    let keys = [key_of(&data["email"]), key_of(&data["contacts"][0]["email"])];
    ensure!(keys.iter().all(|it| it.as_deref() == Some(key)), "{keys:?} and not {key}: {data}");
    ensure!(data["contacts"][0]["since"] == 2019, "{data}");
    ensure!(!data.to_string().contains("example.com"), "{data}");
    Ok(())
}

#[test]
fn fields_are_encrypted_for_all_but_those_who_may_see_them() -> Result<()> {
    on_both("sealing", TABLES, |ground| {
        let home = home(ground, &["may"], "may")?;
        let (host, client) = start(&home)?;
        publish(&client, 0..5)?;
        settle(&client, &host)?;
        for topic in ["users", "members"] {
            let records = records(&client, topic)?;
            ensure!(records.len() == 5, "{records:?}");
            records.iter().try_for_each(|record| is_sealed(record, "may"))?;
        }
        let seen: Vec<Value> =
            records(&client, "mails")?.into_iter().map(|it| it.payload).collect();
        let all: Vec<Value> = (0..5).map(user).collect();
        ensure!(seen == all, "{seen:?}");
        let logged = records(&client, "log")?;
        ensure!(logged.len() == 10, "{logged:?}");
        logged.iter().try_for_each(|record| is_sealed(record, "may"))?;
        // Encrypted already, it is not encrypted again.
        let stored = records(&client, "users")?;
        client.send("/topics/members?key=again", &stored[0].payload)?;
        settle(&client, &host)?;
        let again = records(&client, "members")?;
        ensure!(again.iter().any(|it| it.payload == stored[0].payload), "{again:?}");
        // What is no JSON would be in the clear.
        let refused = client.ask("/topics/users", &[("content-type", "text/plain")], "a@b.c")?;
        ensure!(refused.status == 400 && refused.text.contains("E0409"), "{refused:?}");
        host.stop()
    })
}

#[test]
fn fields_within_a_json_envelope_are_encrypted_and_seen_as_others() -> Result<()> {
    let ground = embedded("enveloped", TABLES);
    let home = home(&ground, &["may"], "may")?;
    let config = home.path().join("gristmill.toml");
    let rule = r#"fields = ["/email", "/contacts/*/email"]"#;
    let within = fs::read_to_string(&config)?.replace(rule, r#"fields = ["/data/email"]"#);
    fs::write(&config, within)?;
    let mailer = MAILER.split("\n\n").next().context("a subscription")?;
    for (name, manifest) in [("mailer", mailer), ("audit", AUDIT)] {
        home.put(&format!("{name}.toml"), format!("{manifest}\nenvelope = \"json\"\n").as_bytes())?;
    }
    let (host, client) = start(&home)?;
    let data = json!({ "id": 1, "email": "user-1@example.com" });
    let event = json!({ "eventId": "e-1", "eventType": "user", "data": data });
    client.send("/topics/users?key=k", &event)?;
    let seen = mails(&client, &host, 1)?;
    ensure!(seen[0].payload == data, "{seen:?}");
    let stored = records(&client, "users")?;
    let kept = &stored[0].payload;
    ensure!(kept["eventId"] == "e-1" && kept["data"]["id"] == 1, "{kept}");
    let logged = records(&client, "log")?;
    for email in [&kept["data"]["email"], &logged[0].payload["email"]] {
        ensure!(key_of(email).as_deref() == Some("may"), "{email} in {stored:?} and {logged:?}");
    }
    host.stop()
}

#[test]
fn keys_rotate_and_an_event_waits_for_one_that_is_not_here() -> Result<()> {
    on_both("rotating", TABLES, |ground| {
        let home = home(ground, &["may"], "may")?;
        let (host, client) = start(&home)?;
        publish(&client, 0..3)?;
        mails(&client, &host, 3)?;
        host.stop()?;
        configure(&home, ground, &["may", "june"], "june")?;
        let (host, client) = start(&home)?;
        publish(&client, 3..6)?;
        mails(&client, &host, 6)?;
        let stored = records(&client, "users")?;
        let keys: Vec<Option<String>> =
            stored.iter().map(|it| key_of(&it.payload["email"])).collect();
        let keys: Vec<&str> = keys.iter().flatten().map(String::as_str).collect();
        ensure!(keys == ["may", "may", "may", "june", "june", "june"], "{keys:?}");
        host.stop()?;
        // Too early: old events are still read.
        configure(&home, ground, &["june"], "june")?;
        let late = MAILER.replace("\"mailer\"", "\"late\"").replace("\"join\"", "\"later\"");
        home.put("mailer.toml", late.as_bytes())?;
        let (host, client) = start(&home)?;
        waits(&client, &host)?;
        host.stop()?;
        let log = fs::read_to_string(home.log())?;
        ensure!(log.matches("E0474").count() == 1, "once, not with every attempt: {log}");
        ensure!(log.contains("add it to `keys` of `encryption.emails`"), "{log}");
        configure(&home, ground, &["may", "june"], "june")?;
        let (host, client) = start(&home)?;
        let seen = mails(&client, &host, 12)?;
        let seen: Vec<Value> = seen.into_iter().map(|it| it.payload).collect();
        let twice: Vec<Value> = (0..6).flat_map(|number| [user(number), user(number)]).collect();
        ensure!(seen == twice, "{seen:?}");
        let letters = client.topics()?.into_iter().filter(|it| it.contains(".dlq"));
        for topic in letters {
            ensure!(records(&client, &topic)?.is_empty(), "something was given up on: {topic}");
        }
        host.stop()
    })
}

/// What is in `mails`, once so many are there and nothing is left to do.
fn mails(client: &Client, host: &Process, count: usize) -> Result<Vec<Stored>> {
    let there = wait::until(PATIENCE, || {
        let mails = records(client, "mails")?;
        Ok((mails.len() >= count).then_some(()))
    })?;
    there.with_context(|| format!("no {count} mails:\n{}", host.tail()))?;
    settle(client, host)?;
    records(client, "mails")
}

/// Waits until a subscription stands still for want of a key, with every event still to be done.
fn waits(client: &Client, host: &Process) -> Result<()> {
    let stands = wait::until(PATIENCE, || {
        let views = client.subscriptions()?;
        let late = views.iter().find(|view| view.name == "late");
        let is_told = client.get("/readyz")?.contains("is encrypted under key \\\"may\\\"");
        Ok(late.filter(|it| is_told && it.unsettled() > 0).map(drop))
    })?;
    stands.with_context(|| format!("nobody waits: {:?}\n{}", client.subscriptions(), host.tail()))
}

#[test]
fn who_may_not_see_a_field_is_not_let_and_a_wrong_key_stops_the_start() -> Result<()> {
    let ground = embedded("refusing", TABLES);
    let home = home(&ground, &["may"], "may")?;
    home.put("spy.toml", MAILER.replace("name = \"", "name = \"spy-").as_bytes())?;
    home.put("spy.wasm", &guest("upcast")?)?;
    // One plugin that is refused keeps a host from being ready, and nothing else.
    let mut host = home.start(&[])?;
    let client = host.listens()?;
    publish(&client, 0..1)?;
    let told = wait::until(PATIENCE, || {
        let plugins = client.get("/api/v1/plugins")?;
        Ok(plugins.contains("E0118").then_some(plugins))
    })?;
    let told = told.with_context(|| host.tail())?;
    ensure!(told.contains("may not see fields of `encryption.emails`"), "{told}");
    drop(host);
    fs::write(home.path().join("may.key"), "too short")?;
    let mut host = home.start(&[])?;
    let status = host.ended(PATIENCE)?.context("it starts with a key that is none")?;
    ensure!(!status.success(), "{status}");
    let log = fs::read_to_string(home.log())?;
    ensure!(log.contains("E0129") && log.contains("is not 32 bytes in base64"), "{log}");
    Ok(())
}

//! Brokers that go and come back, and brokers that do not let everybody in. They are not shared.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use gristmill_engine::Offset;
use gristmill_kafka::{Appender, AppenderBounds, Cluster, Error, NewTopic, Settings, Sought};
use gristmill_tests::support::{kafka, wait};

use super::appender::{append, outcome, record};
use super::shared::{PATIENCE, new_topic, settings};

#[test]
fn partitions_without_a_leader_count_and_brokers_come_back() -> Result<()> {
    let mut brokers = kafka::Cluster::start(3)?;
    let cluster = Cluster::connect(settings(&brokers.bootstrap()))?;
    // Another broker answers each time, and not all learn of a topic at once.
    for number in 0..4 {
        let name = format!("new-{number}");
        let copies = NewTopic { replication: Some(3), ..new_topic(&name, 3, &[]) };
        cluster.create(&copies)?;
        for partition in 0..3 {
            assert_eq!(cluster.bounds(&name, partition)?, (Offset(0), Offset(0)));
        }
        assert_eq!(cluster.configs(&name)?["cleanup.policy"], "delete");
        assert_eq!(cluster.grow(&name, 6)?.partitions, 6);
        assert_eq!(cluster.high_watermark(&name, 5)?, Offset(0));
    }
    let single = NewTopic { replication: Some(1), ..new_topic("single", 6, &[]) };
    cluster.create(&single)?;
    cluster.set_committed("billing", &[("single", 0, Offset(0))])?;
    brokers.broker(2)?.kill()?;
    let hasty = cluster.within(Duration::from_secs(2));
    let left = || Ok(hasty.probe().ok().filter(|probe| probe.brokers.len() == 2));
    wait::until(PATIENCE, left)?.context("a broker that is gone is still named")?;
    let topic = cluster.topic("single")?.context("it is there")?;
    assert_eq!(topic.partitions, 6);
    // Its coordinator is another broker now, or will be.
    let group = || Ok(cluster.group("billing").ok().flatten());
    wait::until(PATIENCE, group)?.context("a group is gone with a broker")?;
    let bounds: Vec<_> = (0..6).map(|partition| hasty.bounds("single", partition)).collect();
    assert!(bounds.iter().any(Result::is_ok), "{bounds:?}");
    let mut lost = bounds.into_iter().filter_map(Result::err);
    let error = lost.next().context("the broker that is gone led a partition")?;
    assert_eq!(error.code(), "E0603", "{error:?}");
    brokers.broker(2)?.start()?;
    for partition in 0..6 {
        assert_eq!(cluster.within(PATIENCE).bounds("single", partition)?.1, Offset(0));
    }
    assert_eq!(cluster.trouble(), None);
    Ok(())
}

#[test]
fn a_cluster_that_stops_is_a_trouble_until_it_answers() -> Result<()> {
    let mut brokers = kafka::Cluster::start(1)?;
    let cluster = Cluster::connect(settings(&brokers.bootstrap()))?;
    cluster.create(&new_topic("orders", 1, &[]))?;
    let appender = Appender::new(&cluster, AppenderBounds::default())?;
    assert_eq!(outcome(&append(&appender, &[record("orders", 0, b"a")]))??, [Offset(0)]);
    brokers.broker(1)?.kill()?;
    let failed = cluster.within(Duration::from_secs(1)).probe().unwrap_err();
    assert!(failed.is_retriable(), "{failed:?}");
    let told = || Ok(cluster.trouble());
    let trouble = wait::until(PATIENCE, told)?.context("nobody noticed")?;
    assert!(!trouble.authentication, "{trouble:?}");
    let waiting = append(&appender, &[record("orders", 0, b"b")]);
    brokers.broker(1)?.start()?;
    assert_eq!(outcome(&waiting)??, [Offset(1)], "what waited is written once");
    assert_eq!(cluster.within(PATIENCE).bounds("orders", 0)?.1, Offset(2));
    assert_eq!(cluster.trouble(), None);
    Ok(())
}

/// Everything that may be asked of a cluster, by name. Whatever it says, it must come back.
fn ask_all(cluster: &Cluster) -> Vec<(&'static str, Result<(), Error>)> {
    vec![
        ("topic", cluster.topic("orders").map(drop)),
        ("topics", cluster.topics().map(drop)),
        ("configs", cluster.configs("orders").map(drop)),
        ("bounds", cluster.bounds("orders", 0).map(drop)),
        ("watermark", cluster.high_watermark("orders", 0).map(drop)),
        ("offset", cluster.offset_at("orders", 0, 0).map(drop)),
        ("offsets", cluster.offsets(&[("orders", 0)], Sought::End).map(drop)),
        ("committed", cluster.committed("billing", &[("orders", 0)]).map(drop)),
        ("all", cluster.committed_all(&["billing"]).map(drop)),
        ("set", cluster.set_committed("billing", &[("orders", 0, Offset(0))])),
        ("group", cluster.group("billing").map(drop)),
        ("groups", cluster.groups().map(drop)),
        ("forget", cluster.delete_group("billing")),
        ("ensure", cluster.ensure(&new_topic("orders", 1, &[])).map(drop)),
    ]
}

#[test]
fn what_was_asked_in_vain_does_no_harm_later() -> Result<()> {
    // librdkafka 2.12.1 ends the process when a coordinator appears that a request waited for in
    // vain (https://github.com/confluentinc/librdkafka/issues/4605).
    let mut brokers = kafka::Cluster::start(1)?;
    let cluster = Cluster::connect(settings(&brokers.bootstrap()))?;
    for (what, asked) in ask_all(&cluster) {
        assert!(asked.is_ok() || what != "ensure", "{what}: {asked:?}");
    }
    for (what, asked) in ask_all(&cluster) {
        asked.with_context(|| what)?;
    }
    brokers.broker(1)?.kill()?;
    let hasty = cluster.within(Duration::from_millis(100));
    for _ in 0..2 {
        for (what, asked) in ask_all(&hasty) {
            let error = asked.unwrap_err();
            assert!(error.is_retriable(), "{what}: {error:?}");
        }
    }
    brokers.broker(1)?.start()?;
    for (what, asked) in ask_all(&cluster.within(PATIENCE)) {
        asked.with_context(|| what)?;
    }
    Ok(())
}

/// Brokers that want a password, and give no right to anything by default.
const GUARDED: [(&str, &str); 6] = [
    (
        "listener.security.protocol.map",
        "CLIENTS:SASL_PLAINTEXT,BROKERS:PLAINTEXT,CONTROLLER:PLAINTEXT",
    ),
    ("sasl.enabled.mechanisms", "PLAIN"),
    ("sasl.mechanism.inter.broker.protocol", "PLAIN"),
    (
        "listener.name.clients.plain.sasl.jaas.config",
        "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"admin\" \
         password=\"secret\" user_admin=\"secret\" user_guest=\"guest\";",
    ),
    ("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer"),
    ("super.users", "User:admin;User:ANONYMOUS"),
];

fn user(bootstrap: &str, name: &str, password: &str) -> Settings {
    let properties = [
        ("security.protocol", "SASL_PLAINTEXT"),
        ("sasl.mechanism", "PLAIN"),
        ("sasl.username", name),
        ("sasl.password", password),
    ];
    let owned = properties.map(|(name, value)| (name.to_owned(), value.to_owned()));
    Settings { properties: BTreeMap::from(owned), ..settings(bootstrap) }
}

#[test]
fn who_is_not_known_and_who_may_not_is_told_apart() -> Result<()> {
    let brokers = kafka::Cluster::start_with(1, &GUARDED)?;
    let bootstrap = brokers.bootstrap();
    let admin = Cluster::connect(user(&bootstrap, "admin", "secret"))?;
    admin.create(&new_topic("orders", 1, &[]))?;
    admin.set_committed("billing", &[("orders", 0, Offset(0))])?;
    let began = Instant::now();
    let stranger = Cluster::connect(user(&bootstrap, "admin", "guessed"))?;
    let refused = stranger.within(Duration::from_secs(2)).probe().unwrap_err();
    assert_eq!(refused.code(), "E0604", "{refused:?}");
    assert!(stranger.trouble().is_some_and(|trouble| trouble.authentication));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    let guest = Cluster::connect(user(&bootstrap, "guest", "guest"))?;
    let rows = [
        ("topic", guest.topic("orders").map(drop)),
        ("configs", guest.configs("orders").map(drop)),
        ("bounds", guest.bounds("orders", 0).map(drop)),
        ("create", guest.create(&new_topic("invoices", 1, &[])).map(drop)),
        ("delete", guest.delete("orders")),
        ("offsets", guest.offsets(&[("orders", 0)], Sought::End).map(drop)),
        ("committed", guest.committed("billing", &[("orders", 0)]).map(drop)),
        ("all", guest.committed_all(&["billing"]).map(drop)),
        ("set", guest.set_committed("billing", &[("orders", 0, Offset(1))])),
        ("forget", guest.delete_group("billing")),
    ];
    for (what, asked) in rows {
        let refused = asked.unwrap_err();
        assert_eq!(refused.code(), "E0605", "{what}: {refused:?}");
    }
    assert_eq!(guest.topics()?, []);
    let appender = Appender::new(&guest, AppenderBounds::default())?;
    let refused = outcome(&append(&appender, &[record("orders", 0, b"a")]))?.unwrap_err();
    assert_eq!(refused.code(), "E0605", "{refused:?}");
    Ok(())
}

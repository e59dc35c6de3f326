//! Properties: the wrong ones are named before a broker is asked, and a broker that does not
//! answer is told from one that refuses.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use anyhow::Result;
use gristmill_engine::Millis;
use gristmill_kafka::{Appender, AppenderBounds, Cluster, Error, check};

use super::shared::{PATIENCE, settings, shared};

type Ask = fn(&Cluster) -> Result<(), Error>;

#[test]
fn a_wrong_property_is_named() {
    let named = |name: &str, value: &str| {
        let mut settings = settings("127.0.0.1:9092");
        settings.properties.insert(name.to_owned(), value.to_owned());
        // Properties of any kind of client do not hide it.
        settings.properties.insert("compression.type".to_owned(), "zstd".to_owned());
        settings.properties.insert("fetch.min.bytes".to_owned(), "1".to_owned());
        check(&settings)
    };
    assert_eq!(named("security.protocol", "plaintext"), Ok(()));
    assert_eq!(named("message.max.bytes", "2000000"), Ok(()));
    for (name, value) in [
        ("colour", "red"),
        ("security.protocol", "carrier-pigeon"),
        ("fetch.max.bytes", "many"),
        ("group.id", "mine"),
        ("enable.idempotence", "false"),
    ] {
        let refused = named(name, value).unwrap_err();
        let Error::Property { name: named, reason } = &refused else { panic!("{refused:?}") };
        assert_eq!(named, name);
        assert!(!reason.is_empty());
    }
    for (name, value) in
        [("ssl.ca.location", "/nowhere/ca.pem"), ("max.in.flight", "6"), ("fetch.max.bytes", "10")]
    {
        let mut settings = settings("127.0.0.1:9092");
        settings.properties.insert("security.protocol".to_owned(), "ssl".to_owned());
        settings.properties.insert(name.to_owned(), value.to_owned());
        let refused = check(&settings).unwrap_err();
        assert_eq!(refused.code(), "E0601", "{refused:?}");
        assert!(refused.to_string().contains(name), "{refused}");
    }
    assert_eq!(check(&settings(" ")).unwrap_err().code(), "E0602");
}

#[test]
fn secrets_are_not_shown() {
    let mut settings = settings("127.0.0.1:9092");
    settings.properties.insert("sasl.password".to_owned(), "hunter2".to_owned());
    let shown = format!("{settings:?}");
    assert!(shown.contains("sasl.password") && !shown.contains("hunter2"), "{shown}");
}

#[test]
fn a_cluster_says_who_it_is() -> Result<()> {
    let shared = shared()?;
    let probe = shared.cluster.probe()?;
    assert!(probe.cluster_id.is_some_and(|id| !id.is_empty()));
    let [broker] = &probe.brokers[..] else { panic!("{:?}", probe.brokers) };
    assert_eq!((broker.id, &broker.address), (1, &shared.bootstrap));
    assert_eq!(shared.cluster.trouble(), None);
    Ok(())
}

#[test]
fn statistics_come_from_every_client() -> Result<()> {
    let shared = shared()?;
    let mut settings = settings(&shared.bootstrap);
    settings.statistics_interval = Millis(50);
    let (told, statistics) = mpsc::channel();
    let sink = move |client: &str, json: &[u8]| {
        drop(told.send((client.to_owned(), json.starts_with(b"{ \"name\":"))));
    };
    let cluster = Cluster::connect_observed(settings, Some(Arc::new(sink)))?;
    let appender = Appender::new(&cluster, AppenderBounds::default())?;
    let mut missing = BTreeSet::from(["watcher", "appender"]);
    while !missing.is_empty() {
        let (client, is_json) = statistics.recv_timeout(PATIENCE)?;
        assert!(is_json, "{client}");
        missing.remove(&*client);
    }
    drop(appender);
    Ok(())
}

#[test]
fn nobody_there_is_known_in_time_and_may_be_tried_again() -> Result<()> {
    // A port that was free a moment ago, where nobody listens.
    let nobody = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.to_string();
    let cluster = Cluster::connect(settings(&nobody))?.within(Duration::from_secs(1));
    let asked: [(&str, Ask); 4] = [
        ("probe", |cluster| cluster.probe().map(drop)),
        ("topic", |cluster| cluster.topic("orders").map(drop)),
        ("bounds", |cluster| cluster.bounds("orders", 0).map(drop)),
        ("committed", |cluster| cluster.committed("orders", &[("orders", 0)]).map(drop)),
    ];
    for (what, ask) in asked {
        let began = Instant::now();
        let failed = ask(&cluster).unwrap_err();
        assert_eq!((failed.code(), failed.is_retriable()), ("E0603", true), "{what}: {failed:?}");
        assert!(began.elapsed() < Duration::from_secs(4), "{what}: {:?}", began.elapsed());
    }
    let trouble = cluster.trouble().expect("it was told why");
    assert!(trouble.text.contains("Connection refused"), "{trouble:?}");
    assert!(!trouble.authentication);
    let began = Instant::now();
    drop(cluster);
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    Ok(())
}

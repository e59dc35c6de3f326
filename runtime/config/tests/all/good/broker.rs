//! A broker that is right is read as it is written.

use std::{collections::BTreeMap, path::PathBuf};

use gristmill_config::{Broker, GroupTemplate, Guarantee, HostConfig, Kafka, Secret};
use gristmill_engine::{Millis, WorkerPolicy};

use super::host_of;

/// A host on Kafka with more lines of `[broker]`, and other sections.
fn on_kafka(lines: &str) -> HostConfig {
    host_of(&format!("[broker]\nkind = \"kafka\"\nbrokers = [\"${{BROKER}}\"]\n{lines}"))
}

fn kafka_of(config: HostConfig) -> Kafka {
    let Broker::Kafka(kafka) = config.broker else { panic!("{:?}", config.broker) };
    *kafka
}

fn property(lines: &str) -> Vec<(String, Secret)> {
    let kafka = kafka_of(on_kafka(&format!("[broker.properties]\n{lines}\n")));
    kafka.properties.into_iter().collect()
}

fn text(text: &str) -> Secret {
    Secret::Text(text.to_owned())
}

#[test]
fn kafka_needs_no_more_than_its_brokers() {
    let config = on_kafka("");
    let expected = Kafka {
        brokers: vec!["kafka:9092".to_owned()],
        group: GroupTemplate::new("{name}-{subscription}").unwrap(),
        transactional_id_prefix: "gristmill".to_owned(),
        replication: None,
        guarantee: Guarantee::ExactlyOnce,
        static_membership: false,
        session_timeout: Millis::seconds(10),
        transaction_timeout: Millis::seconds(8),
        statistics_interval: Millis::seconds(15),
        properties: BTreeMap::new(),
    };
    assert_eq!(kafka_of(config), expected);
}

#[test]
fn kafka_is_read_whole() {
    let config = host_of(
        "name = \"mill\"\n[broker]\nkind = \"kafka\"\nbrokers = [\"a:9092\", \"[::1]:9093\"]\n\
         group = \"eu.{subscription}.{name}\"\ntransactional_id_prefix = \"team/mill\"\n\
         replication = 3\nguarantee = \"at-least-once\"\nstatic_membership = true\n\
         session_timeout = \"45s\"\ntransaction_timeout = \"1m\"\n\
         statistics_interval = \"1h\"\n\
         properties = { \"client.id\" = \"mill\" }\n",
    );
    let kafka = kafka_of(config);
    assert_eq!(kafka.brokers, ["a:9092", "[::1]:9093"]);
    assert_eq!(kafka.group.as_str(), "eu.{subscription}.{name}");
    assert_eq!(kafka.group.to_string(), kafka.group.as_str());
    assert_eq!(kafka.group_of("mill", "geo"), "eu.geo.mill");
    assert_eq!(kafka.transactional_id_prefix, "team/mill");
    assert_eq!((kafka.replication, kafka.static_membership), (Some(3), true));
    assert_eq!(kafka.session_timeout, Millis::seconds(45));
    assert_eq!(kafka.transaction_timeout, Millis::seconds(60));
    assert_eq!(kafka.statistics_interval, Millis::seconds(3_600));
    assert_eq!(kafka.properties, BTreeMap::from([("client.id".to_owned(), text("mill"))]));
}

#[test]
fn a_prefix_left_out_is_the_hosts_name() {
    let text = "name = \"mill\"\nbroker = { kind = \"kafka\", brokers = [\"a:1\"] }\n";
    assert_eq!(kafka_of(host_of(text)).transactional_id_prefix, "mill");
}

#[test]
fn properties_are_strings_numbers_booleans_or_files() {
    for (line, name, value) in [
        ("security.protocol = \"SASL_SSL\"", "security.protocol", text("SASL_SSL")),
        ("\"security.protocol\" = \"SSL\"", "security.protocol", text("SSL")),
        ("sasl.password = \"${TOKEN}\"", "sasl.password", text("s3cret")),
        ("log_level = 6", "log_level", text("6")),
        ("queue.buffering.max.kbytes = 1_048_576", "queue.buffering.max.kbytes", text("1048576")),
        ("linger.ms = 0.5", "linger.ms", text("0.5")),
        ("socket.keepalive.enable = true", "socket.keepalive.enable", text("true")),
        ("client.id = \"a$$b\"", "client.id", text("a$b")),
        // Not the host's: only these exact names are.
        ("group.protocol.type = \"consumer\"", "group.protocol.type", text("consumer")),
    ] {
        assert_eq!(property(line), [(name.to_owned(), value)], "{line}");
    }
    for line in [
        "sasl.password = { file = \"secrets/p\" }",
        "\"sasl.password\" = { file = \"secrets/p\" }",
        "sasl.password.file = \"secrets/p\"",
        "[broker.properties.\"sasl.password\"]\nfile = \"secrets/p\"",
    ] {
        let file = Secret::File(PathBuf::from("conf/secrets/p"));
        assert_eq!(property(line), [("sasl.password".to_owned(), file)], "{line}");
    }
    let quoted = "\"sasl.oauthbearer.assertion.file\" = \"a\"";
    let name = "sasl.oauthbearer.assertion.file".to_owned();
    assert_eq!(property(quoted), [(name, text("a"))]);
    assert!(!format!("{:?}", property("sasl.password = \"${TOKEN}\"")).contains("s3cret"));
}

#[test]
fn names_with_dots_stand_beside_each_other() {
    let lines =
        "ssl.key.location = \"/k\"\nssl.ca.location = \"/c\"\n\"ssl.crl.location\" = \"/r\"";
    let names: Vec<String> = property(lines).into_iter().map(|one| one.0).collect();
    assert_eq!(names, ["ssl.ca.location", "ssl.crl.location", "ssl.key.location"]);
    let lines =
        "log_level = 6\n[broker.properties.ssl]\nca.location = \"/c\"\ncrl.location = \"/r\"";
    let names: Vec<String> = property(lines).into_iter().map(|one| one.0).collect();
    assert_eq!(names, ["log_level", "ssl.ca.location", "ssl.crl.location"]);
    let inline = kafka_of(on_kafka("properties = { ssl.ca.location = \"/c\", log_level = 6 }\n"));
    assert_eq!(inline.properties.len(), 2);
}

#[test]
fn checkpoints_on_kafka_are_at_least_5_ms_apart() {
    for (lines, least) in [
        ("", 5),
        ("[checkpoint]\ninterval_min = \"0s\"\n", 0),
        ("[checkpoint]\ninterval_min = \"20ms\"\n", 20),
        ("[checkpoint]\ninterval_max = \"5ms\"\n", 5),
        ("[checkpoint]\ninterval_max = \"4ms\"\n", 4),
    ] {
        let policy = on_kafka(lines).worker_policy();
        assert_eq!(policy.checkpoint_interval_min, Millis(least), "{lines}");
        assert!(policy.checkpoint_interval_min <= policy.checkpoint_interval_max, "{lines}");
    }
    let policy = on_kafka("").worker_policy();
    let others = WorkerPolicy { checkpoint_interval_min: Millis(5), ..WorkerPolicy::default() };
    assert_eq!(policy, others);
}

//! What is wrong with `[broker]`.

use expect_test::expect;

use super::{check, host_problems};

#[test]
fn kafka_without_brokers() {
    for text in ["[broker]\nkind = \"kafka\"\n", "broker.kind = \"kafka\"\n"] {
        assert_eq!(host_problems(text).len(), 1);
    }
    check(
        &host_problems("[broker]\nkind = \"kafka\"\n"),
        &expect![[r#"
        gristmill.toml:2: [E0104] `brokers` is missing in `[broker]`, and `kind = "kafka"` needs it
          write: `brokers = ["kafka:9092"]`
    "#]],
    );
    check(
        &host_problems("[broker]\nkind = \"kafka\"\nbrokers = []\n"),
        &expect![[r#"
        gristmill.toml:3: [E0107] `brokers` takes 1 to 64 strings, not 0
          write: `brokers = ["kafka:9092"]`
    "#]],
    );
    // The line that is not TOML may be the one that names them.
    let text = "[broker]\nkind = \"kafka\"\nbrokers = [kafka:9092]\n";
    check(
        &host_problems(text),
        &expect![[r"
        gristmill.toml:3: [E0101] not TOML: string values must be quoted, expected literal string
    "]],
    );
}

#[test]
fn settings_of_kafka_without_kafka() {
    let text = r#"[broker]
kind = "embedded"
brokers = ["kafka:9092"]
group = "{name}-{subscription}"
transactional_id_prefix = "mill"
replication = 3
guarantee = "exactly-once"
static_membership = false
session_timeout = "10s"
transaction_timeout = "8s"
[broker.properties]
group.id = "a"
"#;
    check(
        &host_problems(text),
        &expect![[r#"
        gristmill.toml:3: [E0122] `brokers` is a setting of Kafka and does nothing with `kind = "embedded"`
          write: `kind = "kafka"`
        gristmill.toml:4: [E0122] `group` is a setting of Kafka and does nothing with `kind = "embedded"`
          write: `kind = "kafka"`
        gristmill.toml:5: [E0122] `transactional_id_prefix` is a setting of Kafka and does nothing with `kind = "embedded"`
          write: `kind = "kafka"`
        gristmill.toml:6: [E0122] `replication` is a setting of Kafka and does nothing with `kind = "embedded"`
          write: `kind = "kafka"`
        gristmill.toml:7: [E0122] `guarantee` is a setting of Kafka and does nothing with `kind = "embedded"`
          write: `kind = "kafka"`
        gristmill.toml:8: [E0122] `static_membership` is a setting of Kafka and does nothing with `kind = "embedded"`
          write: `kind = "kafka"`
        gristmill.toml:9: [E0122] `session_timeout` is a setting of Kafka and does nothing with `kind = "embedded"`
          write: `kind = "kafka"`
        gristmill.toml:10: [E0122] `transaction_timeout` is a setting of Kafka and does nothing with `kind = "embedded"`
          write: `kind = "kafka"`
        gristmill.toml:11: [E0122] `properties` is a setting of Kafka and does nothing with `kind = "embedded"`
          write: `kind = "kafka"`
    "#]],
    );
    // Without a word about the kind, it is the embedded one.
    check(
        &host_problems("broker.replication = 3\n"),
        &expect![[r#"
        gristmill.toml:1: [E0122] `replication` is a setting of Kafka and does nothing with `kind = "embedded"`
          write: `kind = "kafka"`
    "#]],
    );
}

#[test]
fn a_kind_of_broker_that_does_not_exist() {
    let text = r#"[broker]
kind = "kafak"
replication = 3
"#;
    check(
        &host_problems(text),
        &expect![[r#"
        gristmill.toml:2: [E0108] `kind` must be "embedded" or "kafka", not "kafak"
          write: `kind = "kafka"`
    "#]],
    );
}

#[test]
fn brokers_and_names() {
    let text = r#"[broker]
kind = "kafka"
brokers = ["kafka", "SSL://b:9093", "kafka:70000", "a:1,b:2", "c:9092", "c:9092", 9092]
group = "{name}-{subscrption}"
transactional_id_prefix = "my mill"
"#;
    check(
        &host_problems(text),
        &expect![[r#"
            gristmill.toml:3: [E0111] `brokers`: "kafka" is not a host and port such as `kafka:9092`
              write: `brokers = ["kafka:9092", "b:9093", "a:1", "b:2", "c:9092"]`
            gristmill.toml:3: [E0111] `brokers`: "SSL://b:9093" is not a host and port such as `kafka:9092`
              write: `brokers = ["kafka:9092", "b:9093", "a:1", "b:2", "c:9092"]`
            gristmill.toml:3: [E0111] `brokers`: "kafka:70000" is not a host and port such as `kafka:9092`
              write: `brokers = ["kafka:9092", "b:9093", "a:1", "b:2", "c:9092"]`
            gristmill.toml:3: [E0111] `brokers`: "a:1,b:2" is not a host and port such as `kafka:9092`
              write: `brokers = ["kafka:9092", "b:9093", "a:1", "b:2", "c:9092"]`
            gristmill.toml:3: [E0119] `brokers` names "c:9092" twice
              write: `brokers = ["kafka:9092", "b:9093", "a:1", "b:2", "c:9092"]`
            gristmill.toml:3: [E0105] `brokers` takes a list of strings, not of a whole number
              write: `brokers = ["kafka:9092", "b:9093", "a:1", "b:2", "c:9092"]`
            gristmill.toml:4: [E0111] `group`: "{name}-{subscrption}" is not a template of group names: 1 to 128 visible ASCII characters with `{subscription}`, and no braces but those of it and of `{name}`
              write: `group = "{name}-{subscription}"`
            gristmill.toml:5: [E0111] `transactional_id_prefix`: "my mill" is not a prefix: 1 to 128 visible ASCII characters
              write: `transactional_id_prefix = "my-mill"`
        "#]],
    );
    let text = r#"[broker]
kind = "kafka"
brokers = "a:9092, b:9092"
group = "orders"
transactional_id_prefix = ""
"#;
    check(
        &host_problems(text),
        &expect![[r#"
            gristmill.toml:3: [E0105] `brokers` takes a list of strings, not a string
              write: `brokers = ["a:9092", "b:9092"]`
            gristmill.toml:4: [E0111] `group`: "orders" is not a template of group names: 1 to 128 visible ASCII characters with `{subscription}`, and no braces but those of it and of `{name}`
              write: `group = "orders-{subscription}"`
            gristmill.toml:5: [E0111] `transactional_id_prefix`: "" is not a prefix: 1 to 128 visible ASCII characters
              write: `transactional_id_prefix = "gristmill"`
        "#]],
    );
}

#[test]
fn values_out_of_range() {
    let text = r#"[broker]
kind = "kafka"
brokers = ["kafka:9092"]
replication = 0
session_timeout = "5999ms"
transaction_timeout = "999ms"
"#;
    check(
        &host_problems(text),
        &expect![[r#"
        gristmill.toml:4: [E0107] `replication` must be 1 to 16, not 0
          write: `replication = 1`
        gristmill.toml:5: [E0107] `session_timeout` must be 6s to 30m, not "5999ms"
          write: `session_timeout = "6s"`
        gristmill.toml:6: [E0107] `transaction_timeout` must be 1s to 15m, not "999ms"
          write: `transaction_timeout = "1s"`
    "#]],
    );
    let text = r#"[broker]
kind = "kafka"
brokers = ["kafka:9092"]
replication = 17
session_timeout = "31m"
transaction_timeout = "16m"
guarantee = "exactly_once"
"#;
    check(
        &host_problems(text),
        &expect![[r#"
            gristmill.toml:4: [E0107] `replication` must be 1 to 16, not 17
              write: `replication = 16`
            gristmill.toml:5: [E0107] `session_timeout` must be 6s to 30m, not "31m"
              write: `session_timeout = "30m"`
            gristmill.toml:6: [E0107] `transaction_timeout` must be 1s to 15m, not "16m"
              write: `transaction_timeout = "15m"`
            gristmill.toml:7: [E0108] `guarantee` must be "exactly-once" or "at-least-once", not "exactly_once"
              write: `guarantee = "exactly-once"`
        "#]],
    );
}

#[test]
fn properties_that_are_none() {
    let text = r#"[broker]
kind = "kafka"
brokers = ["kafka:9092"]
[broker.properties]
SASL.Password = "hunter2"
Log_Level = 6
"a b" = { file = "x" }
"" = true
sasl.username = ["a"]
sasl.password = { path = "/x" }
ssl.key.password = "${KEY_PASSWORD}"
ssl.ca.location = 1979-05-27
"client.id" = "a"
client.id = "b"
[broker.properties.https]
ca.location = []
[[broker.properties.debug]]
all = 1
"#;
    let problems = host_problems(text);
    check(
        &problems,
        &expect![[r#"
            gristmill.toml:5: [E0109] `properties`: "SASL.Password" is not a property name: 1 or more of `a-z`, `0-9`, `.`, `_` and `-`
              write: `sasl.password = "value"`
            gristmill.toml:6: [E0109] `properties`: "Log_Level" is not a property name: 1 or more of `a-z`, `0-9`, `.`, `_` and `-`
              write: `log_level = 6`
            gristmill.toml:7: [E0109] `properties`: "a b" is not a property name: 1 or more of `a-z`, `0-9`, `.`, `_` and `-`
              write: `a.b = { file = "/run/secrets/x" }`
            gristmill.toml:8: [E0109] `properties`: "" is not a property name: 1 or more of `a-z`, `0-9`, `.`, `_` and `-`
            gristmill.toml:9: [E0105] `sasl.username` takes a string, a number, a boolean or `{ file = "…" }`, not a list
              write: `sasl.username = { file = "/run/secrets/x" }`
            gristmill.toml:10: [E0105] `sasl.password` takes a string, a number, a boolean or `{ file = "…" }`, not a table
              write: `sasl.password = { file = "/run/secrets/x" }`
            gristmill.toml:11: [E0112] `ssl.key.password` needs the environment variable `KEY_PASSWORD`, which is not set
              write: `ssl.key.password = "${KEY_PASSWORD:-value}"`
            gristmill.toml:12: [E0105] `ssl.ca.location` takes a string, a number, a boolean or `{ file = "…" }`, not a date
              write: `ssl.ca.location = { file = "/run/secrets/x" }`
            gristmill.toml:14: [E0119] `properties` names "client.id" twice
            gristmill.toml:16: [E0105] `https.ca.location` takes a string, a number, a boolean or `{ file = "…" }`, not a list
              write: `https.ca.location = { file = "/run/secrets/x" }`
            gristmill.toml:17: [E0105] `debug` takes a string, a number, a boolean or `{ file = "…" }`, not an array of tables
              write: `debug = { file = "/run/secrets/x" }`
        "#]],
    );
    assert!(!problems.to_string().contains("hunter2"));
    check(
        &host_problems("[broker]\nkind = \"kafka\"\nbrokers = [\"a:1\"]\nproperties = 1\n"),
        &expect![[r"
            gristmill.toml:4: [E0105] `properties` takes a table of properties, not a whole number
              write: `properties = {}`
        "]],
    );
}

#[test]
fn properties_that_the_host_decides() {
    let text = r#"[broker]
kind = "kafka"
brokers = ["kafka:9092"]
[broker.properties]
bootstrap.servers = "a:9092, b:9092"
metadata.broker.list = { file = "x" }
group.id = "orders"
group.instance.id = "one"
group.protocol = "consumer"
transactional.id = "mill-1"
transaction.timeout.ms = 60000
session.timeout.ms = 1
enable.auto.commit = true
auto.commit.enable = true
enable.auto.offset.store = true
auto.offset.reset = "latest"
isolation.level = "read_uncommitted"
enable.idempotence = true
partition.assignment.strategy = "range"
partitioner = "random"
enable.partition.eof = true
topic.partitioner = "random"
"#;
    check(
        &host_problems(text),
        &expect![[r#"
        gristmill.toml:5: [E0122] `bootstrap.servers` is the host's to decide: `brokers` in `[broker]` names the brokers
          write: `brokers = ["a:9092", "b:9092"]`
        gristmill.toml:6: [E0122] `metadata.broker.list` is the host's to decide: `brokers` in `[broker]` names the brokers
          write: `brokers = ["kafka:9092"]`
        gristmill.toml:7: [E0122] `group.id` is the host's to decide: `group` in `[broker]` names consumer groups
          write: `group = "{name}-{subscription}"`
        gristmill.toml:8: [E0122] `group.instance.id` is the host's to decide: `static_membership` in `[broker]` gives every worker one of its own
          write: `static_membership = true`
        gristmill.toml:9: [E0122] `group.protocol` is the host's to decide: its groups follow the classic protocol
        gristmill.toml:10: [E0122] `transactional.id` is the host's to decide: it is made of `transactional_id_prefix` in `[broker]`, the host's id and the worker
          write: `transactional_id_prefix = "gristmill"`
        gristmill.toml:11: [E0122] `transaction.timeout.ms` is the host's to decide: `transaction_timeout` in `[broker]` sets it
          write: `transaction_timeout = "1m"`
        gristmill.toml:12: [E0122] `session.timeout.ms` is the host's to decide: `session_timeout` in `[broker]` sets it
          write: `session_timeout = "6s"`
        gristmill.toml:13: [E0122] `enable.auto.commit` is the host's to decide: progress is committed together with the effects it stands for
        gristmill.toml:14: [E0122] `auto.commit.enable` is the host's to decide: progress is committed together with the effects it stands for
        gristmill.toml:15: [E0122] `enable.auto.offset.store` is the host's to decide: progress is committed together with the effects it stands for
        gristmill.toml:16: [E0122] `auto.offset.reset` is the host's to decide: `start` of a manifest's subscription says where it begins
        gristmill.toml:17: [E0122] `isolation.level` is the host's to decide: it reads only what is committed
        gristmill.toml:18: [E0122] `enable.idempotence` is the host's to decide: its producers are transactional, and so always idempotent
        gristmill.toml:19: [E0122] `partition.assignment.strategy` is the host's to decide: it is `cooperative-sticky`
        gristmill.toml:20: [E0122] `partitioner` is the host's to decide: it is `murmur2_random`, as with Java clients, so that keys keep partitions
        gristmill.toml:21: [E0122] `enable.partition.eof` is the host's to decide: it finds the ends of partitions by itself
        gristmill.toml:22: [E0122] `topic.partitioner` is the host's to decide: it is `murmur2_random`, as with Java clients, so that keys keep partitions
    "#]],
    );
}

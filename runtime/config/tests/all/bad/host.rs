//! What is wrong with a host's configuration.

use expect_test::expect;

use super::{check, host_problems};

#[test]
fn a_file_with_ten_mistakes() {
    let text = r#"name = "My Host"
liten = "127.0.0.1:8080"
workers = 0
data_dir = 7
[storage]
reserve = "1 gib"
[topics."orders placed"]
partitons = 8
retention = "7"
[http]
heartbeat = "1ms"
[telemetry]
log_format = "yaml"
[chekpoint]
drain = "1s"
"#;
    check(
        &host_problems(text),
        &expect![[r#"
        gristmill.toml:1: [E0109] `name`: "My Host" is not a name: 1 to 64 of `a-z`, `0-9` and `-`
          write: `name = "my-host"`
        gristmill.toml:2: [E0103] unknown key `liten`
          write: `listen = "127.0.0.1:8080"`
        gristmill.toml:3: [E0107] `workers` must be 1 to 256, not 0
          write: `workers = 1`
        gristmill.toml:4: [E0105] `data_dir` takes a string, not a whole number
          write: `data_dir = "7"`
        gristmill.toml:6: [E0106] `reserve`: "1 gib" has the unknown unit `gib`; units are B, KiB, MiB, GiB, TiB, KB, MB, GB or TB
          write: `reserve = "1GiB"`
        gristmill.toml:7: [E0110] "orders placed" is not a topic name: 1 to 249 of `a-z`, `A-Z`, `0-9`, `.`, `_` and `-`, not `.` or `..`
          write: `[topics.orders-placed]`
        gristmill.toml:8: [E0103] unknown key `partitons`
          write: `partitions = 8`
        gristmill.toml:9: [E0106] `retention`: "7" has no unit; units are ms, s, m, h or d
          write: `retention = "7s"`
        gristmill.toml:11: [E0107] `heartbeat` must be 1s to 10m, not "1ms"
          write: `heartbeat = "1s"`
        gristmill.toml:13: [E0108] `log_format` must be "text" or "json", not "yaml"
          write: `log_format = "text"`
        gristmill.toml:14: [E0102] unknown section `[chekpoint]`
          write: `[checkpoint]`
    "#]],
    );
}

#[test]
fn text_that_is_not_toml() {
    let text = r#"name = gristmill
listen = "127.0.0.1:8080"
workers = = 3

[http]
heartbeet = "15s"
name = "a"
name = "b"
"#;
    check(
        &host_problems(text),
        &expect![[r#"
            gristmill.toml:1: [E0101] not TOML: string values must be quoted, expected literal string
            gristmill.toml:3: [E0101] not TOML: extra `=`, expected nothing
            gristmill.toml:6: [E0103] unknown key `heartbeet`
              write: `heartbeat = "15s"`
            gristmill.toml:7: [E0103] unknown key `name`: it belongs at the top of the file
              write: `name = "a"`
            gristmill.toml:8: [E0101] not TOML: duplicate key
        "#]],
    );
}

#[test]
fn a_header_that_is_not_toml() {
    let text = r#"liten = "x"
[http
heartbeat = "15s"
"#;
    check(
        &host_problems(text),
        &expect![[r"
        gristmill.toml:2: [E0101] not TOML: unclosed table, expected `]`
    "]],
    );
}

#[test]
fn wrong_types() {
    let text = r#"name = true
workers = "4"
listen = 8080
attempts_max = 2.5
http = 3
plugins = []
[telemetry]
log = ["info"]
[checkpoint]
events_max = "10"
bytes_max = 1048576
drain = 5
[[storage]]
cache = "64MiB"
[topics.defaults]
compaction = "yes"
"#;
    check(
        &host_problems(text),
        &expect![[r#"
            gristmill.toml:1: [E0105] `name` takes a string, not a boolean
              write: `name = "true"`
            gristmill.toml:2: [E0105] `workers` takes a whole number, not a string
              write: `workers = 4`
            gristmill.toml:3: [E0105] `listen` takes a string, not a whole number
              write: `listen = "127.0.0.1:8080"`
            gristmill.toml:4: [E0105] `attempts_max` takes a whole number, not a number with decimals
              write: `attempts_max = 256`
            gristmill.toml:5: [E0105] `http` takes a table, not a whole number
              write: `[http]`
            gristmill.toml:6: [E0105] `plugins` takes a table, not a list
              write: `[plugins]`
            gristmill.toml:8: [E0105] `log` takes a string, not a list
              write: `log = "info"`
            gristmill.toml:10: [E0105] `events_max` takes a whole number, not a string
              write: `events_max = 10`
            gristmill.toml:11: [E0106] `bytes_max`: "1048576" has no unit; units are B, KiB, MiB, GiB, TiB, KB, MB, GB or TB
              write: `bytes_max = "1MiB"`
            gristmill.toml:12: [E0106] `drain`: "5" has no unit; units are ms, s, m, h or d
              write: `drain = "5s"`
            gristmill.toml:13: [E0105] `storage` takes a table, not an array of tables
              write: `[storage]`
            gristmill.toml:16: [E0105] `compaction` takes `true` or `false`, not a string
              write: `compaction = true`
        "#]],
    );
}

#[test]
fn values_out_of_range() {
    let text = r#"workers = -1
attempts_max = 99999999999999999999
[storage]
reserve = "91%"
cache = "1B"
[topics.defaults]
partitions = 1025
retention = "forevr"
[checkpoint]
interval_max = "11s"
"#;
    check(
        &host_problems(text),
        &expect![[r#"
            gristmill.toml:1: [E0107] `workers` must be 1 to 256, not -1
              write: `workers = 1`
            gristmill.toml:2: [E0101] not TOML: integer number overflowed
            gristmill.toml:4: [E0107] `reserve` must be 0B to 1TiB, or 0% to 90%, not "91%"
              write: `reserve = "90%"`
            gristmill.toml:5: [E0107] `cache` must be 1MiB to 1TiB, not "1B"
              write: `cache = "1MiB"`
            gristmill.toml:7: [E0107] `partitions` must be 1 to 1,024, not 1025
              write: `partitions = 1024`
            gristmill.toml:8: [E0106] `retention`: "forevr" does not begin with a whole number
              write: `retention = "forever"`
            gristmill.toml:10: [E0107] `interval_max` must be 1ms to 10s, not "11s"
              write: `interval_max = "10s"`
        "#]],
    );
}

#[test]
fn names_addresses_and_filters() {
    let text = r#"listen = "localhost:8080"
data_dir = ""
[topics."a/b"]
key = "customerId"
[topics.".."]
[topics.default]
[telemetry]
log = "WARNING"
[ceilings]
emit = ["orders.*", "a b", "orders.*", 3]
"#;
    check(
        &host_problems(text),
        &expect![[r#"
            gristmill.toml:1: [E0111] `listen`: "localhost:8080" is not an IP address and port such as `127.0.0.1:8080`
              write: `listen = "127.0.0.1:8080"`
            gristmill.toml:2: [E0111] `data_dir`: "" is not a path: not empty
              write: `data_dir = ".gristmill"`
            gristmill.toml:3: [E0110] "a/b" is not a topic name: 1 to 249 of `a-z`, `A-Z`, `0-9`, `.`, `_` and `-`, not `.` or `..`
              write: `[topics.a-b]`
            gristmill.toml:4: [E0111] `key`: "customerId" is not a JSON pointer such as `/customer/id`, text with several in braces such as `{/tenant}:{/id}`, or `none`
              write: `key = "/customerId"`
            gristmill.toml:5: [E0110] ".." is not a topic name: 1 to 249 of `a-z`, `A-Z`, `0-9`, `.`, `_` and `-`, not `.` or `..`
            gristmill.toml:6: [E0102] warning: `[topics.default]` is a name of your choice, nearly that of a section
              write: `[topics.defaults]`
            gristmill.toml:8: [E0111] `log`: "WARNING" is not a log filter: `off`, `error`, `warn`, `info`, `debug` or `trace`, or such as `info,gristmill_node=debug`
              write: `log = "warn"`
            gristmill.toml:10: [E0111] `emit`: "a b" is not a topic pattern: a topic name in which `*` stands for any run of characters
              write: `emit = ["orders.*", "a-b", "3"]`
            gristmill.toml:10: [E0119] `emit` names "orders.*" twice
              write: `emit = ["orders.*", "a-b", "3"]`
            gristmill.toml:10: [E0105] `emit` takes a list of strings, not of a whole number
              write: `emit = ["orders.*", "a-b", "3"]`
        "#]],
    );
}

#[test]
fn variables() {
    let text = r#"name = "${HOST_NAME}"
listen = "127.0.0.1:${PORT}${SUFFIX}"
workers = "${WORKERS}"
attempts_max = "${ATTEMPTS:-many}"
data_dir = "${1}/data"
plugins_dir = "plugins/${"
"#;
    check(
        &host_problems(text),
        &expect![[r#"
            gristmill.toml:1: [E0112] `name` needs the environment variable `HOST_NAME`, which is not set
              write: `name = "${HOST_NAME:-gristmill}"`
            gristmill.toml:2: [E0112] `listen` needs the environment variable `SUFFIX`, which is not set
              write: `listen = "127.0.0.1:${PORT}${SUFFIX:-}"`
            gristmill.toml:3: [E0105] `workers` became "many", not a whole number
              write: `workers = 1`
            gristmill.toml:4: [E0105] `attempts_max` became "many", not a whole number
              write: `attempts_max = 256`
            gristmill.toml:5: [E0113] `data_dir`: `${1}` is neither `${NAME}` nor `${NAME:-default}`; `$$` stands for a dollar sign
              write: `data_dir = "$${1}/data"`
            gristmill.toml:6: [E0113] `plugins_dir`: `${` is neither `${NAME}` nor `${NAME:-default}`; `$$` stands for a dollar sign
              write: `plugins_dir = "plugins/$${"`
        "#]],
    );
}

#[test]
fn a_listener_open_to_anyone() {
    let text = r#"listen = "0.0.0.0:8080"
[checkpoint]
interval_min = "1s"
"#;
    check(
        &host_problems(text),
        &expect![[r#"
            gristmill.toml:1: [E0115] `listen = "0.0.0.0:8080"` is open to other machines, and no one has to say who they are: listen on loopback, admit those you know with `gristmill token new`, or set `allow_anonymous = true` in `[http]` where the network is trusted
              write: `listen = "127.0.0.1:8080"`
            gristmill.toml:3: [E0122] `interval_min` of 1s is longer than `interval_max` of 100ms
              write: `interval_min = "100ms"`
        "#]],
    );
}

/// What was to be said is not known, so nothing is said against what is not written.
#[test]
fn a_misspelt_key_is_not_taken_for_a_missing_one() {
    let text = r#"listen = "0.0.0.0:8080"
[http]
allow_anonymos = true
[broker]
kind = "kafka"
broker = ["kafka:9092"]
"#;
    check(
        &host_problems(text),
        &expect![[r#"
        gristmill.toml:3: [E0103] unknown key `allow_anonymos`
          write: `allow_anonymous = true`
        gristmill.toml:6: [E0103] unknown key `broker`
          write: `brokers = ["kafka:9092"]`
    "#]],
    );
}

#[test]
fn keys_and_sections_in_the_wrong_place() {
    let text = r#"heartbeat = "15s"
partitions = 3
[http]
workers = 3
[defaults]
partitions = 8
[colour]
red = 1
[topics]
create = true
"#;
    check(
        &host_problems(text),
        &expect![[r#"
            gristmill.toml:1: [E0103] unknown key `heartbeat`: it belongs in `[http]`
              write: `http.heartbeat = "15s"`
            gristmill.toml:2: [E0103] unknown key `partitions`: it belongs in `[topics.defaults]`
              write: `topics.defaults.partitions = 3`
            gristmill.toml:4: [E0103] unknown key `workers`: it belongs at the top of the file
              write: `workers = 3`
            gristmill.toml:5: [E0102] unknown section `[defaults]`: it belongs in `[topics]`
              write: `[topics.defaults]`
            gristmill.toml:7: [E0102] unknown section `[colour]`; sections here: broker, storage, topics, access, schemas, encryption, replication, commands, outbox, http, tokens, telemetry, ceilings, checkpoint, plugins
            gristmill.toml:10: [E0103] unknown key `create`
              write: `create_on_publish = true`
        "#]],
    );
}

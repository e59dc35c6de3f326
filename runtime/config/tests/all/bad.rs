//! What is wrong is reported: everything at once, with line, reason and the line to write instead.

use std::collections::BTreeSet;

use expect_test::{Expect, expect};
use gristmill_config::{Ceilings, Problems, Source, host, manifest, read};

fn env(name: &str) -> Option<String> {
    match name {
        "PORT" => Some("8080".to_owned()),
        "WORKERS" => Some("many".to_owned()),
        _ => None,
    }
}

fn host_problems(text: &str) -> Problems {
    host(&Source { name: "gristmill.toml", text }, &env).unwrap_err()
}

fn manifest_problems(text: &str) -> Problems {
    manifest(&Source { name: "geo.toml", text }, &env, &ceilings()).unwrap_err()
}

/// Ceilings lower than the defaults of the platform.
fn ceilings() -> Ceilings {
    let text = "[ceilings]\nmemory = \"128MiB\"\nemit = [\"orders.*\"]\ntimers = false\n\
                wall_clock = false\nattempt_timeout = \"10s\"\nconcurrency = 100\nemissions = 2000";
    host(&Source { name: "gristmill.toml", text }, &env).unwrap().ceilings
}

/// A subscription with one more line.
fn with(line: &str) -> String {
    format!("[[subscription]]\ntopics = [\"orders\"]\n{line}\n")
}

fn check(problems: &Problems, expected: &Expect) {
    expected.assert_eq(&format!("{problems}\n"));
}

/// The codes that `src/problem.rs` has.
pub(crate) fn codes() -> BTreeSet<String> {
    let source = include_str!("../../src/problem.rs");
    let after = source.split("&str = \"").skip(1);
    after.filter_map(|rest| rest.split('"').next()).map(str::to_owned).collect()
}

/// Every code is shown below, or in a place named here.
#[test]
fn every_code_is_shown_by_a_test() {
    let shown = [include_str!("bad.rs"), include_str!("cross.rs")].concat();
    let missing: Vec<String> =
        codes().into_iter().filter(|code| !shown.contains(&format!("[{code}]"))).collect();
    assert_eq!(missing, Vec::<String>::new());
    assert_eq!(codes().len(), 24);
}

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
        &expect![[r#"
        gristmill.toml:2: [E0101] not TOML: unclosed table, expected `]`
    "#]],
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
            gristmill.toml:4: [E0111] `key`: "customerId" is not a JSON pointer such as `/customer/id`, or `none`
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
fn what_a_later_release_brings() {
    let text = r#"[broker]
kind = "kafka"
bootstrap = "kafka:9092"
[ceilings]
http = ["https://api.example.com"]
"#;
    check(
        &host_problems(text),
        &expect![[r#"
        gristmill.toml:2: [E0114] `kind = "kafka"` comes with release 0.2
          write: `kind = "embedded"`
        gristmill.toml:5: [E0114] `http` comes with a later release
          write: `http = []`
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
        gristmill.toml:1: [E0115] `listen = "0.0.0.0:8080"` is open to other machines, and no one has to say who they are: tokens come with a later release; listen on loopback, or set `allow_anonymous = true` in `[http]` where the network is trusted
          write: `listen = "127.0.0.1:8080"`
        gristmill.toml:3: [E0122] `interval_min` of 1s is longer than `interval_max` of 100ms
          write: `interval_min = "100ms"`
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
            gristmill.toml:7: [E0102] unknown section `[colour]`; sections here: broker, storage, topics, http, telemetry, ceilings, checkpoint, plugins
            gristmill.toml:10: [E0103] unknown key `create`
              write: `create_on_publish = true`
        "#]],
    );
}

#[test]
fn an_empty_manifest() {
    let text = r#""#;
    check(
        &manifest_problems(text),
        &expect![[r#"
        geo.toml:1: [E0104] `[[subscription]]` is missing
          write: `[[subscription]]`
    "#]],
    );
}

#[test]
fn a_manifest_with_ten_mistakes() {
    let text = r#"[plugin]
nam = "geo"
[subscription]
topcs = ["orders"]
max_attempts = 3
order = "keys"
[subscription.grants]
state = "true"
config = { rate = 3, token = { path = "/x" } }
[subscription.retry]
jitter = 1.5
multiplier = 2.00001
[subscription.retry.class.infrastructure]
max_attempts = 1
[subscription.limits]
timeout = "5s"
instances = 5
[subscription.fields]
id = "eventId"
time = ["/a", "b"]
"#;
    check(
        &manifest_problems(text),
        &expect![[r#"
            geo.toml:2: [E0103] unknown key `nam`
              write: `name = "geo"`
            geo.toml:3: [E0105] `subscription` takes one table or more, written `[[…]]`, not a table
              write: `[[subscription]]`
            geo.toml:4: [E0103] unknown key `topcs`
              write: `topics = ["orders"]`
            geo.toml:5: [E0103] unknown key `max_attempts`: it belongs in `[subscription.retry]`
              write: `retry.max_attempts = 3`
            geo.toml:6: [E0108] `order` must be "key", "partition" or "none", not "keys"
              write: `order = "key"`
            geo.toml:8: [E0105] `state` takes `true` or `false`, not a string
              write: `state = true`
            geo.toml:9: [E0105] `rate` takes a string or `{ file = "…" }`, not a whole number
              write: `rate = "3"`
            geo.toml:9: [E0105] `token` takes a string or `{ file = "…" }`, not a table
              write: `token = { file = "/run/secrets/x" }`
            geo.toml:11: [E0107] `jitter` must be 0.0 to 1.0, not 1.5
              write: `jitter = 1.0`
            geo.toml:12: [E0111] `multiplier` has at most three decimals, not 2.00001
              write: `multiplier = 2.0`
            geo.toml:13: [E0102] unknown section `[subscription.retry.class.infrastructure]`; sections here: retryable, rejected, invalid, output, trap, timeout, memory
            geo.toml:16: [E0103] unknown key `timeout`
              write: `attempt_timeout = "5s"`
            geo.toml:17: [E0105] `instances` takes a table, not a whole number
              write: `[subscription.limits.instances]`
            geo.toml:19: [E0111] `id`: "eventId" is not a JSON pointer such as `/customer/id`
              write: `id = "/eventId"`
            geo.toml:20: [E0111] `time`: "b" is not a JSON pointer such as `/customer/id`
              write: `time = ["/a", "/b"]`
        "#]],
    );
}

#[test]
fn lists_of_topics() {
    let text = r#"[[subscription]]
name = "a"
topics = []
[[subscription]]
name = "b"
topics = ["orders", "a b", "orders", 5]
[[subscription]]
name = "c"
topics = "orders"
[[subscription]]
name = "d"
"#;
    check(
        &manifest_problems(text),
        &expect![[r#"
            geo.toml:3: [E0107] `topics` takes 1 to 64 strings, not 0
              write: `topics = ["orders"]`
            geo.toml:6: [E0110] `topics`: "a b" is not a topic name: 1 to 249 of `a-z`, `A-Z`, `0-9`, `.`, `_` and `-`, not `.` or `..`
              write: `topics = ["orders", "a-b", "5"]`
            geo.toml:6: [E0119] `topics` names "orders" twice
              write: `topics = ["orders", "a-b", "5"]`
            geo.toml:6: [E0105] `topics` takes a list of strings, not of a whole number
              write: `topics = ["orders", "a-b", "5"]`
            geo.toml:9: [E0105] `topics` takes a list of strings, not a string
              write: `topics = ["orders"]`
            geo.toml:10: [E0104] `topics` is missing in `[[subscription]]`
              write: `topics = ["orders"]`
        "#]],
    );
}

#[test]
fn state_or_timers_without_order() {
    let text = r#"[[subscription]]
topics = ["orders"]
order = "none"
[subscription.grants]
state = true
"#;
    check(
        &manifest_problems(text),
        &expect![[r#"
        geo.toml:3: [E0116] state needs the events of a key in order, not `order = "none"`
          write: `order = "key"`
    "#]],
    );
}

#[test]
fn more_than_the_ceilings_allow() {
    let text = r#"[[subscription]]
topics = ["orders"]
concurrency = 101
[subscription.limits]
memory = "129MiB"
attempt_timeout = "11s"
emissions = 2001
[subscription.grants]
emit = ["orders.placed", "payments.*", "*"]
timers = true
clock = "wall"
"#;
    check(
        &manifest_problems(text),
        &expect![[r#"
        geo.toml:3: [E0117] `concurrency = 101` is above the host's ceiling, 100
          write: `concurrency = 100`
        geo.toml:5: [E0117] `memory = "129MiB"` is above the host's ceiling, "128MiB"
          write: `memory = "128MiB"`
        geo.toml:6: [E0117] `attempt_timeout = "11s"` is above the host's ceiling, "10s"
          write: `attempt_timeout = "10s"`
        geo.toml:7: [E0117] `emissions = 2001` is above the host's ceiling, 2000
          write: `emissions = 2000`
        geo.toml:9: [E0118] the host's ceilings do not let "payments.*" be granted; they allow orders.*
          write: `emit = ["orders.placed"]`
        geo.toml:9: [E0118] the host's ceilings do not let "*" be granted; they allow orders.*
          write: `emit = ["orders.placed"]`
        geo.toml:10: [E0118] the host's ceilings do not let `timers` be granted
          write: `timers = false`
        geo.toml:11: [E0118] the host's ceilings do not let `clock = "wall"` be granted
          write: `clock = "virtual"`
    "#]],
    );
}

#[test]
fn parts_that_contradict_each_other() {
    let text = r#"[[subscription]]
name = "a"
topics = ["orders", "dead"]
dead_letter = "dead"
[subscription.retry]
initial_interval = "31s"
[[subscription]]
name = "b"
topics = ["orders"]
dead_letter = false
on_exhausted = "dead-letter"
[subscription.retry]
max_interval = "50ms"
class.trap.on_exhausted = "dead-letter"
"#;
    check(
        &manifest_problems(text),
        &expect![[r#"
        geo.toml:3: [E0122] "dead" is where its own dead letters go: it would read them
          write: `dead_letter = true`
        geo.toml:6: [E0122] `initial_interval` of 31s is longer than `max_interval` of 30s
          write: `max_interval = "31s"`
        geo.toml:11: [E0122] `on_exhausted = "dead-letter"` contradicts `dead_letter = false`
          write: `on_exhausted = "pause-key"`
        geo.toml:12: [E0122] `initial_interval` of 100ms is longer than `max_interval` of 50ms
          write: `initial_interval = "50ms"`
        geo.toml:14: [E0122] `on_exhausted = "dead-letter"` contradicts `dead_letter = false`
          write: `on_exhausted = "pause-key"`
    "#]],
    );
}

#[test]
fn two_subscriptions_of_one_name() {
    let text = r#"[[subscription]]
topics = ["orders"]
[[subscription]]
name = "geo"
topics = ["payments"]
"#;
    check(
        &manifest_problems(text),
        &expect![[r#"
        geo.toml:4: [E0119] subscription "geo" is already that of line 1
          write: `name = "geo-2"`
    "#]],
    );
}

#[test]
fn what_a_later_release_brings_to_plugins() {
    let text = r#"[[subscription]]
topics = ["orders"]
strategy = "canary"
[subscription.grants]
http = ["https://api.example.com"]
"#;
    check(
        &manifest_problems(text),
        &expect![[r#"
        geo.toml:3: [E0114] `strategy = "canary"` comes with a later release
          write: `strategy = "replace"`
        geo.toml:5: [E0114] `http` comes with a later release
          write: `http = []`
    "#]],
    );
}

#[test]
fn a_dead_letter_topic_with_too_long_a_name() {
    let text = r#"[[subscription]]
topics = ["tttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt"]
"#;
    check(
        &manifest_problems(text),
        &expect![[r#"
            geo.toml:2: [E0110] the dead letters of "tttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt…" would need a topic of 250 characters, and 249 are allowed
              write: `dead_letter = "geo.dlq"`
        "#]],
    );
}

#[test]
fn secrets_that_are_none() {
    let text = r#"[[subscription]]
topics = ["orders"]
[subscription.grants.config]
token = { file = "${SECRETS}/token" }
password = "${PASSWORD}"
flag = true
nested = { a = "b", c = "d" }
[subscription.filter]
header = { "event-type" = { file = "x" } }
"#;
    check(
        &manifest_problems(text),
        &expect![[r#"
            geo.toml:4: [E0112] `file` needs the environment variable `SECRETS`, which is not set
              write: `file = "${SECRETS:-}/token"`
            geo.toml:5: [E0112] `password` needs the environment variable `PASSWORD`, which is not set
              write: `password = "${PASSWORD:-value}"`
            geo.toml:6: [E0105] `flag` takes a string or `{ file = "…" }`, not a boolean
              write: `flag = "true"`
            geo.toml:7: [E0105] `nested` takes a string or `{ file = "…" }`, not a table
              write: `nested = { file = "/run/secrets/x" }`
            geo.toml:9: [E0105] `event-type` takes a string, not a table
              write: `event-type = "value"`
        "#]],
    );
}

#[test]
fn files_whose_name_is_no_plugins() {
    let source = Source { name: "plugins/Geo Location.toml", text: &with("") };
    let problems = manifest(&source, &env, &Ceilings::default()).unwrap_err();
    check(
        &problems,
        &expect![[r#"
        plugins/Geo Location.toml:1: [E0109] the file's name is the plugin's, but "Geo Location" is not a name: 1 to 64 of `a-z`, `0-9` and `-`
          write: `plugin.name = "geo-location"`
    "#]],
    );
}

#[test]
fn files_that_cannot_be_read() {
    let problem = read::document("no/such/gristmill.toml".as_ref()).unwrap_err();
    check(
        &Problems::from_iter([problem]),
        &expect![[r#"
        no/such/gristmill.toml:1: [E0124] read document: No such file or directory (os error 2)
    "#]],
    );
}

/// Nonsense never panics and never passes.
#[test]
fn nonsense_is_refused_without_panic() {
    for text in ["\u{0}", "[", "]]", "= 3", "a = ", "\"", "[a]\n[a]", "a.b = 1\na = 2", "\u{feff}x"]
    {
        assert!(host_problems(text).has_errors(), "{text:?}");
        assert!(manifest_problems(text).has_errors(), "{text:?}");
    }
}

//! What is wrong with a manifest, by itself and against the host's ceilings.

use expect_test::expect;
use gristmill_config::{Ceilings, Problems, Secret, Source, host, manifest, read};

use super::{check, env, manifest_problems, with};

#[test]
fn an_empty_manifest() {
    let text = r"";
    check(
        &manifest_problems(text),
        &expect![[r"
        geo.toml:1: [E0104] `[[subscription]]` is missing
          write: `[[subscription]]`
    "]],
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
fn state_of_a_partition_without_its_order() {
    let text = r#"[[subscription]]
topics = ["orders"]
repartition = 8
state_of = "partition"
[subscription.grants]
state = true
"#;
    check(
        &manifest_problems(text),
        &expect![[r#"
        geo.toml:4: [E0116] state of a partition needs its events in order: `order = "partition"`
          write: `order = "partition"`
        geo.toml:4: [E0122] `repartition` takes events out of the partitions whose state is kept
          write: `state_of = "key"`
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
http = ["https://api.example.com", "http://api.example.com", "https://evil.example", "api"]
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
            geo.toml:12: [E0118] the host's ceilings do not let "http://api.example.com" be called; they allow https://*.example.com
              write: `http = ["https://api.example.com"]`
            geo.toml:12: [E0118] the host's ceilings do not let "https://evil.example" be called; they allow https://*.example.com
              write: `http = ["https://api.example.com"]`
            geo.toml:12: [E0111] `http`: "api" is not an origin such as `https://api.example.com`, without a path; `*.` before the host stands for all below it, `*` for all hosts, and `:*` for all ports
              write: `http = ["https://api.example.com", "http://api.example.com", "https://evil.example", "https://api"]`
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
fn what_cannot_fall_back() {
    let text = r#"[[subscription]]
name = "a"
topics = ["orders"]
breaker.fallback = "orders"
[[subscription]]
name = "b"
topics = ["orders"]
breaker = { enabled = false, fallback = "later" }
[[subscription]]
name = "c"
topics = ["orders"]
breaker.fallback = "no topic"
"#;
    check(
        &manifest_problems(text),
        &expect![[r#"
        geo.toml:4: [E0122] "orders" is one of its own topics: it would read again what fell back
          write: `fallback = "a.fallback"`
        geo.toml:8: [E0122] nothing falls back without a breaker: `enabled = false` contradicts `fallback`
          write: `enabled = true`
        geo.toml:12: [E0110] `fallback`: "no topic" is not a topic name: 1 to 249 of `a-z`, `A-Z`, `0-9`, `.`, `_` and `-`, not `.` or `..`
          write: `fallback = "no-topic"`
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
fn topics_that_are_no_expressions() {
    let text = r#"[[subscription]]
topics = ["^orders-(eu", "shop.*"]
"#;
    check(
        &manifest_problems(text),
        &expect![[r#"
        geo.toml:2: [E0110] `topics`: "^orders-(eu" is no regular expression: unclosed group
          write: `topics = ['^shop\..*']`
        geo.toml:2: [E0110] `topics`: "shop.*" is not a topic name: 1 to 249 of `a-z`, `A-Z`, `0-9`, `.`, `_` and `-`, not `.` or `..`
          write: `topics = ['^shop\..*']`
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
    let secret = read::secret(&Secret::File("no/such/token".into())).unwrap_err();
    check(
        &Problems::from_iter([problem, secret]),
        &expect![[r"
        no/such/gristmill.toml:1: [E0124] read document: No such file or directory (os error 2)
        no/such/token:1: [E0124] read secret: No such file or directory (os error 2)
    "]],
    );
}

#[test]
fn what_would_change_twice_needs_effects_that_count_once() {
    let broker = "[broker]\nkind = \"kafka\"\nbrokers = [\"kafka:9092\"]\n";
    let ceilings = |guarantee: &str| {
        let text = &format!("{broker}guarantee = \"{guarantee}\"\n");
        host(&Source { name: "gristmill.toml", text }, &env).unwrap().ceilings
    };
    let text = "[[subscription]]\ntopics = [\"orders\"]\n[subscription.grants]\nstate = true\n\
                timers = true\n";
    let source = Source { name: "geo.toml", text };
    let once = manifest(&source, &env, &ceilings("exactly-once"));
    assert!(once.is_ok(), "{}", once.unwrap_err());
    let problems = manifest(&source, &env, &ceilings("at-least-once")).unwrap_err();
    check(
        &problems,
        &expect![[r#"
            geo.toml:4: [E0118] `state` cannot be granted with the host's `guarantee = "at-least-once"`: after a crash it would change twice
              write: `state = false`
            geo.toml:5: [E0118] `timers` cannot be granted with the host's `guarantee = "at-least-once"`: after a crash it would change twice
              write: `timers = false`
        "#]],
    );
}

#[test]
fn what_is_at_the_ceiling_is_allowed() {
    let text = r#"[[subscription]]
topics = ["orders"]
concurrency = 100
[subscription.limits]
memory = "128MiB"
attempt_timeout = "10s"
emissions = 2000
[subscription.grants]
emit = ["orders.*"]
"#;
    let answer = manifest(&Source { name: "geo.toml", text }, &env, &super::ceilings());
    assert!(answer.is_ok(), "{}", answer.unwrap_err());
}

#[test]
fn names_of_dead_letter_topics_end_at_the_limit_of_topics() {
    // `.geo.dlq` takes 8 of the 249 characters.
    for (length, holds) in [(241, true), (242, false)] {
        let text = format!("[[subscription]]\ntopics = [\"{}\"]\n", "t".repeat(length));
        let source = Source { name: "geo.toml", text: &text };
        let answer = manifest(&source, &env, &Ceilings::default());
        assert_eq!(answer.is_ok(), holds, "{length}");
    }
}

#[test]
fn what_is_brought_together_is_in_order() {
    let text = "[[subscription]]\ntopics = [\"orders\"]\nrepartition = 8\norder = \"none\"\n";
    check(
        &manifest_problems(text),
        &expect![[r#"
        geo.toml:3: [E0122] `repartition` brings the events of a key together, and `order = "none"` lets them go apart
          write: `order = "key"`
    "#]],
    );
    for (count, holds) in [(0, false), (1, true), (10_000, true), (10_001, false)] {
        let text = format!("[[subscription]]\ntopics = [\"orders\"]\nrepartition = {count}\n");
        let source = Source { name: "geo.toml", text: &text };
        let answer = manifest(&source, &env, &Ceilings::default());
        assert_eq!(answer.is_ok(), holds, "{count}");
    }
}

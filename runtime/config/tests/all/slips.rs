//! A slip of the finger anywhere in a document is answered with a problem or accepted, never with
//! a panic, and always with a line that the document has.

use gristmill_config::{Ceilings, Problems, Source, cross_check, host, manifest, starter};

const MANIFEST: &str = r#"[plugin]
name = "geo"
[[subscription]]
topics = ["orders", "payments"]
order = "key"
dead_letter = "dlq-ü"
fields = { id = "/id", time = ["/a", "/b"] }
[subscription.grants]
emit = ["orders.*"]
config = { url = "${URL:-x}", token = { file = "t" } }
[subscription.retry]
jitter = 0.25
max_age = "1d"
class.trap = { max_attempts = 2 }
"#;

const KAFKA: &str = r#"[broker]
kind = "kafka"
brokers = ["kafka:9092", "[::1]:9092"]
group = "{name}-{subscription}"
session_timeout = "10s"
[broker.properties]
sasl.password = { file = "p" }
"log_level" = 6
enable.x = true
"#;

/// What is written in place of a character, or after it.
const SLIPS: [&str; 12] = ["", "\"", "[", "]", "=", "\n", "$", "{", "}", "ü", "0", "-1"];

fn env(_: &str) -> Option<String> {
    None
}

/// Every text that one slip makes of `text`.
fn slips(text: &str) -> impl Iterator<Item = String> {
    text.char_indices().flat_map(move |(at, letter)| {
        let (before, after) = (&text[..at], &text[at + letter.len_utf8()..]);
        SLIPS.iter().flat_map(move |slip| {
            [format!("{before}{slip}{after}"), format!("{before}{letter}{slip}{after}")]
        })
    })
}

/// Checks the lines of what is wrong, and whether anything is.
fn check(text: &str, problems: &Problems) -> bool {
    let lines = u32::try_from(text.split('\n').count()).unwrap();
    for problem in problems {
        assert!((1..=lines).contains(&problem.line), "{text}\n{problem}");
        assert!(problem.column > 0, "{text}\n{problem}");
    }
    !problems.is_empty()
}

#[test]
fn slips_in_a_host() {
    // Comments are not read; without them there is less to try.
    let lines = starter().lines().filter(|line| !line.starts_with('#'));
    let shorter: String = lines.flat_map(|line| [line, "\n"]).collect();
    let source = |text: &str| host(&Source { name: "gristmill.toml", text }, &env);
    let refused = slips(&shorter).filter(|text| match source(text) {
        Ok(config) => check(text, &config.warnings),
        Err(problems) => check(text, &problems),
    });
    assert!(refused.count() > 1_000);
}

#[test]
fn slips_in_a_broker() {
    let source = |text: &str| host(&Source { name: "gristmill.toml", text }, &env);
    let refused = slips(KAFKA).filter(|text| match source(text) {
        Ok(config) => check(text, &config.warnings),
        Err(problems) => check(text, &problems),
    });
    assert!(refused.count() > 1_000);
}

#[test]
fn slips_in_a_manifest() {
    let config = host(&Source { name: "gristmill.toml", text: "" }, &env).unwrap();
    let source =
        |text: &str| manifest(&Source { name: "geo.toml", text }, &env, &Ceilings::default());
    let refused = slips(MANIFEST).filter(|text| match source(text) {
        Ok(manifest) => check(text, &cross_check(&config, &[manifest], &[])),
        Err(problems) => check(text, &problems),
    });
    assert!(refused.count() > 1_000);
}

//! What is wrong is reported: everything at once, with line, reason and the line to write instead.

mod broker;
mod commands;
mod encryption;
mod host;
mod local;
mod manifest;
mod names;
mod outbox;
mod replication;
mod schemas;
mod tokens;

use std::collections::BTreeSet;

use expect_test::Expect;
use gristmill_config::{Ceilings, Problems, Source, host, manifest};

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
    let text = "[ceilings]\nmemory = \"128MiB\"\nemit = [\"orders.*\"]\ntimers = false\nhttp = [\"https://*.example.com\"]\n\
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
    let shown = [
        include_str!("bad/broker.rs"),
        include_str!("bad/encryption.rs"),
        include_str!("bad/host.rs"),
        include_str!("bad/local.rs"),
        include_str!("bad/manifest.rs"),
        include_str!("bad/names.rs"),
        include_str!("bad/outbox.rs"),
        include_str!("bad/replication.rs"),
        include_str!("cross.rs"),
    ]
    .concat();
    let missing: Vec<String> =
        codes().into_iter().filter(|code| !shown.contains(&format!("[{code}]"))).collect();
    assert_eq!(missing, Vec::<String>::new());
    assert_eq!(codes().len(), 31);
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

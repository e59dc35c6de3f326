//! What is made from the table of keys is committed as it is made. `UPDATE_EXPECT=1` writes the
//! files anew.

use std::{collections::BTreeSet, path::PathBuf};

use expect_test::expect_file;
use gristmill_config::{Broker, Source, host, host_schema, manifest_schema, reference, starter};

fn pretty(schema: &serde_json::Value) -> String {
    serde_json::to_string_pretty(schema).unwrap() + "\n"
}

#[test]
fn reference_page_is_current() {
    expect_file!["../../../../docs/configuration.md"].assert_eq(&reference());
}

#[test]
fn schemas_are_current() {
    expect_file!["../../../../docs/gristmill.schema.json"].assert_eq(&pretty(&host_schema()));
    expect_file!["../../../../docs/manifest.schema.json"].assert_eq(&pretty(&manifest_schema()));
}

#[test]
fn starter_has_no_problems_and_names_its_schema() {
    let text = starter();
    assert_eq!(text.lines().next(), Some("#:schema ./gristmill.schema.json"));
    let config = host(&Source { name: "gristmill.toml", text }, &|_| None).unwrap();
    assert!(config.warnings.is_empty(), "{}", config.warnings);
}

/// What the starter shows in comments is the default, or at least holds. The comment about Kafka
/// stands for the line it would replace.
#[test]
fn starter_without_comment_signs_has_no_problems() {
    let uncommented = |line: &str| {
        let is_shown = |rest: &&str| rest.contains(" = ") || rest.starts_with('[');
        let shown = line.strip_prefix("# ").filter(is_shown);
        shown.unwrap_or(line).to_owned() + "\n"
    };
    let kept = starter().lines().filter(|line| *line != "kind = \"embedded\"");
    let text: String = kept.map(uncommented).collect();
    let config = host(&Source { name: "gristmill.toml", text: &text }, &|_| None).unwrap();
    assert!(config.warnings.is_empty(), "{}", config.warnings);
    assert!(matches!(config.broker, Broker::Kafka(_)));
}

#[test]
fn every_code_has_a_page() {
    let errors = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors");
    for code in super::bad::codes() {
        let page = std::fs::read_to_string(errors.join(format!("{code}.md"))).unwrap();
        assert!(page.starts_with(&format!("# {code}: ")), "{code}");
        let lines = page.lines().count();
        assert!((10..=25).contains(&lines), "{code} has {lines} lines");
    }
}

#[test]
fn schema_names_every_section() {
    let schema = host_schema();
    let sections: BTreeSet<&str> =
        schema["properties"].as_object().unwrap().keys().map(String::as_str).collect();
    for section in ["broker", "storage", "topics", "http", "telemetry", "ceilings", "checkpoint"] {
        assert!(sections.contains(section), "{section}");
    }
    let required = &manifest_schema()["required"];
    assert_eq!(required, &serde_json::json!(["subscription"]));
}

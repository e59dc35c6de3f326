//! Decides which crate may depend on which. Reads declared dependencies, not what is used.

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::Finding;

/// Crates of the host with their height: an edge goes to a lower one, never sideways or up.
const HEIGHTS: [(&str, u8); 13] = [
    ("gristmill-cli", 4),
    ("gristmill-node", 3),
    ("gristmill-plugin-host", 2),
    ("gristmill-telemetry", 1),
    ("gristmill-kafka", 1),
    ("gristmill-store", 1),
    ("gristmill-config", 1),
    ("gristmill-schema", 1),
    ("gristmill-sim", 1),
    ("gristmill-encryption", 0),
    ("gristmill-engine", 0),
    ("gristmill-outbound", 0),
    ("gristmill-outbox", 0),
];

/// Outside crates, by how their names begin, and the only crates of the host that may name them.
const OWNED: [(&str, &[&str]); 9] = [
    ("wasmtime", &["gristmill-plugin-host"]),
    ("fjall", &["gristmill-store"]),
    ("rdkafka", &["gristmill-kafka"]),
    ("jsonschema", &["gristmill-schema"]),
    ("apache-avro", &["gristmill-schema"]),
    ("tokio-postgres", &["gristmill-outbox"]),
    ("opentelemetry", &["gristmill-telemetry"]),
    ("ring", &["gristmill-encryption"]),
    ("wit-component", &["gristmill-plugin-host", "gristmill-cli"]),
];

/// Names that say nothing of what a crate decides; everything ends up in them.
const VAGUE: [&str; 7] = ["common", "core", "helpers", "shared", "types", "util", "utils"];

/// Checks the answer of `cargo metadata --no-deps`. Crates under `tests/` may see all, and
/// nobody but they may see one of them.
///
/// # Errors
///
/// When `metadata` is not what cargo writes.
pub fn check(metadata: &str) -> Result<Vec<Finding>> {
    let metadata: Value = serde_json::from_str(metadata).context("read cargo's metadata")?;
    let root = metadata["workspace_root"].as_str().context("find the workspace's root")?;
    let packages = metadata["packages"].as_array().context("find the packages")?;
    let mut findings = Vec::new();
    for package in packages {
        let name = package["name"].as_str().context("find a package's name")?;
        let manifest = package["manifest_path"].as_str().context("find a package's manifest")?;
        let manifest = manifest.strip_prefix(root).unwrap_or(manifest).trim_start_matches('/');
        let dependencies: Vec<_> = package["dependencies"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|dependency| dependency["name"].as_str())
            .collect();
        findings.extend(check_package(name, manifest, &dependencies));
    }
    Ok(findings)
}

fn check_package(name: &str, manifest: &str, dependencies: &[&str]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut find = |what: String| findings.push(Finding::new(manifest, 0, what));
    if VAGUE.contains(&name.trim_start_matches("gristmill-")) {
        find(format!("crate name {name} says nothing; name it after what it decides"));
    }
    if manifest.starts_with("tests/") {
        return findings;
    }
    let Some(height) = height(name) else {
        find(format!(
            "crate {name} has no place; write an ADR, then add it to HEIGHTS in tests/tidy"
        ));
        return findings;
    };
    for dependency in dependencies {
        if dependency.starts_with("gristmill") && !is_below(dependency, height) {
            find(format!("{name} must not depend on {dependency}: edges only point down"));
        }
        for (prefix, owners) in OWNED {
            if dependency.starts_with(prefix) && !owners.contains(&name) {
                find(format!("only {} may depend on {dependency}", owners.join(" and ")));
            }
        }
    }
    findings
}

/// Whether a crate at height `above` may depend on `dependency`. Never on the simulator: a host
/// that links it would lie.
fn is_below(dependency: &str, above: u8) -> bool {
    dependency != "gristmill-sim" && height(dependency).is_some_and(|below| below < above)
}

fn height(name: &str) -> Option<u8> {
    HEIGHTS.iter().find(|(crate_name, _)| *crate_name == name).map(|(_, height)| *height)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_one(name: &str, folder: &str, dependencies: &[&str]) -> Vec<String> {
        let dependencies: Vec<_> =
            dependencies.iter().map(|name| serde_json::json!({ "name": name })).collect();
        let metadata = serde_json::json!({
            "workspace_root": "/checkout",
            "packages": [{
                "name": name,
                "manifest_path": format!("/checkout/{folder}/Cargo.toml"),
                "dependencies": dependencies,
            }],
        });
        let findings = check(&metadata.to_string()).unwrap();
        findings.into_iter().map(|finding| finding.to_string()).collect()
    }

    #[test]
    fn edges_point_down() {
        let rows = [
            ("gristmill-cli", "gristmill-engine", true),
            ("gristmill-node", "gristmill-store", true),
            ("gristmill-sim", "gristmill-engine", true),
            ("gristmill-store", "gristmill-config", false),
            ("gristmill-engine", "gristmill-node", false),
            ("gristmill-node", "gristmill-sim", false),
            ("gristmill-sim", "gristmill-store", false),
            ("gristmill-store", "gristmill-tidy", false),
        ];
        for (from, to, allowed) in rows {
            assert_eq!(check_one(from, "runtime/x", &[to]).is_empty(), allowed, "{from} -> {to}");
        }
    }

    #[test]
    fn outside_crates_have_one_owner() {
        let rows = [
            ("gristmill-plugin-host", "wasmtime-wasi", true),
            ("gristmill-node", "wasmtime", false),
            ("gristmill-node", "fjall", false),
            ("gristmill-node", "rdkafka", false),
            ("gristmill-cli", "wit-component", true),
            ("gristmill-config", "wit-component", false),
        ];
        for (from, to, allowed) in rows {
            assert_eq!(check_one(from, "runtime/x", &[to]).is_empty(), allowed, "{from} -> {to}");
        }
    }

    #[test]
    fn a_crate_has_a_place_and_a_name() {
        assert_eq!(check_one("gristmill-tests", "tests", &["wasmtime"]), Vec::<String>::new());
        assert!(check_one("gristmill-common", "tests/common", &[])[0].contains("says nothing"));
        assert!(check_one("gristmill-extra", "runtime/extra", &[])[0].contains("has no place"));
    }
}

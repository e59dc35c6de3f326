//! Fixes the top level of the repository, and keeps copies of the contract equal to it.

use std::collections::{BTreeMap, BTreeSet};

use crate::Finding;

/// Everything that may stand at the top level; the first part must.
const TOP_LEVEL: [&str; 21] = [
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "Makefile",
    "README.md",
    "deploy",
    "docs",
    "examples",
    "plugins",
    "runtime",
    "tests",
    "wit",
    ".ci",
    ".editorconfig",
    ".gitignore",
    "clippy.toml",
    "deny.toml",
    "rust-toolchain.toml",
    "rustfmt.toml",
];

/// Entries that are not given, and given ones that are missing. `paths` are all files.
pub fn check_top_level<'a>(paths: impl Iterator<Item = &'a str>) -> Vec<Finding> {
    let found: BTreeSet<_> = paths.filter_map(|path| path.split('/').next()).collect();
    let given = BTreeSet::from(TOP_LEVEL);
    let strange = found.difference(&given).map(|name| {
        Finding::new(name, 0, "the top level is given; put it where it belongs, or write an ADR")
    });
    let missing = given.difference(&found).map(|name| Finding::new(name, 0, "is missing"));
    strange.chain(missing).collect()
}

/// Files of `copy` that differ from those of `original`, each a map from path to text.
pub fn check_copy(
    folder: &str,
    copy: &BTreeMap<String, String>,
    original: &BTreeMap<String, String>,
) -> Vec<Finding> {
    let names: BTreeSet<_> = copy.keys().chain(original.keys()).collect();
    let advice = format!("differs from wit/; run `rm -r {folder} && cp -r wit {folder}`");
    names
        .into_iter()
        .filter(|name| copy.get(*name) != original.get(*name))
        .map(|name| Finding::new(&format!("{folder}/{name}"), 0, advice.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_top_level_is_given() {
        assert_eq!(check_top_level(TOP_LEVEL.into_iter()), []);
        let with_more = TOP_LEVEL.into_iter().chain(["notes/a.md", "tests/b.rs"]);
        assert_eq!(check_top_level(with_more)[0].path, "notes");
        assert_eq!(check_top_level(TOP_LEVEL.into_iter().skip(1)).len(), 1);
    }

    #[test]
    fn a_copy_is_equal() {
        let files = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect()
        };
        let original = files(&[("plugin.wit", "a"), ("deps/b.wit", "b")]);
        assert_eq!(check_copy("x/wit", &original, &original), []);
        let copy = files(&[("plugin.wit", "A"), ("c.wit", "c")]);
        assert_eq!(check_copy("x/wit", &copy, &original).len(), 3);
    }
}

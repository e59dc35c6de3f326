//! Holds ARCHITECTURE.md and README.md to the sources: crates, types and tests they name exist.
//! Judges no sentence.

use std::collections::BTreeSet;

use syn::visit::{self, Visit};

use crate::Finding;
use crate::markdown::{code_spans, prose};

/// Names of the types, variants, traits, modules and functions a Rust file declares.
pub fn declared(text: &str) -> BTreeSet<String> {
    let Ok(file) = syn::parse_file(text) else { return BTreeSet::new() };
    let mut collector = Collector::default();
    collector.visit_file(&file);
    collector.names
}

/// What the host's own documents may name.
#[derive(Debug, Default)]
pub struct Known {
    /// Short names of the crates: folders under `runtime`.
    pub crates: BTreeSet<String>,
    /// What the sources declare.
    pub names: BTreeSet<String>,
    /// Files of the repository, and the folders above them.
    pub paths: BTreeSet<String>,
}

impl Known {
    /// Adds a file and the folders above it.
    pub fn add_path(&mut self, path: &str) {
        let mut path = path;
        self.paths.insert(path.to_owned());
        while let Some((folder, _)) = path.rsplit_once('/') {
            self.paths.insert(folder.to_owned());
            path = folder;
        }
    }
}

/// Code spans of ARCHITECTURE.md that name a crate, type or path that does not exist, and crates
/// it does not name.
pub fn check_architecture(path: &str, text: &str, known: &Known) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut named = BTreeSet::new();
    for (number, line) in prose(text) {
        for span in code_spans(line) {
            named.insert(span.trim_end_matches('/').trim_start_matches("runtime/").to_owned());
            if let Some(missing) = missing(span, known) {
                let what = format!("`{span}` names {missing}, which does not exist; say what does");
                findings.push(Finding::new(path, number, what));
            }
        }
    }
    for name in known.crates.difference(&named) {
        let what = format!("does not name the crate `{name}`; add it to the code map");
        findings.push(Finding::new(path, 0, what));
    }
    findings
}

/// Rows of the table under a heading with "Guarantees" whose last cell names no test that exists.
/// `files` are the Rust files with their text.
pub fn check_guarantees(path: &str, text: &str, files: &[(String, String)]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut inside = false;
    let mut rows = 0_usize;
    for (number, line) in prose(text) {
        if line.starts_with('#') {
            inside = line.contains("Guarantees");
        }
        let is_row = inside && line.trim_start().starts_with('|');
        if !is_row || line.chars().all(|letter| "|-: ".contains(letter)) {
            continue;
        }
        rows = rows.saturating_add(1);
        if rows == 1 {
            continue;
        }
        let last = line.trim().trim_end_matches('|').rsplit('|').next().unwrap_or_default();
        let tests: Vec<_> = code_spans(last).collect();
        if tests.is_empty() {
            findings.push(Finding::new(path, number, "a promise without a test; name one"));
        }
        for test in tests.iter().filter(|test| !is_test(test, files)) {
            let what = format!("no `fn` of test `{test}` is found; write it or mend the name");
            findings.push(Finding::new(path, number, what));
        }
    }
    if rows < 2 {
        findings.push(Finding::new(path, 0, "has no table under a heading with `Guarantees`"));
    }
    findings
}

/// Whether `test` (`crate::module::name` or `path/to/file.rs::name`) is a function of that file,
/// or of any file of that crate.
fn is_test(test: &str, files: &[(String, String)]) -> bool {
    let Some((place, name)) = test.rsplit_once("::") else { return false };
    let folder = place.split("::").next().unwrap_or_default();
    let folder = folder.trim_start_matches("gristmill_").replace('_', "-");
    let here = |path: &str| {
        if place.contains('/') { path == place } else { path.split('/').any(|part| part == folder) }
    };
    let marks = [format!("fn {name}("), format!("fn {name}<")];
    files.iter().any(|(path, text)| here(path) && marks.iter().any(|mark| text.contains(mark)))
}

/// The part of a code span that should exist and does not.
fn missing(span: &str, known: &Known) -> Option<String> {
    let rooted = span.split('/').next().is_some_and(|first| known.paths.contains(first));
    if span.contains('/') && rooted && !span.contains(['*', '{', '…', ' ']) {
        let path = span.trim_end_matches('/');
        return (!known.paths.contains(path)).then(|| format!("the path {path}"));
    }
    if let Some(name) = span.strip_prefix("gristmill-") {
        let is_name = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
        return (is_name && !known.crates.contains(name)).then(|| format!("the crate {span}"));
    }
    let word = |part: &str| !part.is_empty() && part.chars().all(char::is_alphanumeric);
    let parts: Vec<_> = span.split("::").map(|part| part.trim_end_matches("()")).collect();
    if !parts.iter().all(|part| part.split(['_', '-']).all(word)) {
        return None;
    }
    if let [first, _, ..] = parts.as_slice()
        && first.starts_with(|letter: char| letter.is_lowercase())
        && !known.crates.contains(&first.replace('_', "-"))
        && !known.names.contains(*first)
        && !["std", "core", "alloc", "crate"].contains(first)
    {
        return Some(format!("the crate or module {first}"));
    }
    let is_type = |part: &&&str| {
        part.starts_with(|letter: char| letter.is_uppercase())
            && part.contains(|letter: char| letter.is_lowercase())
    };
    let known = |part: &&&str| known.names.contains(**part) || known.paths.contains(**part);
    let first = parts.iter().filter(is_type).find(|part| !known(part));
    first.map(|part| format!("the type {part}"))
}

#[derive(Default)]
struct Collector {
    names: BTreeSet<String>,
}

impl Collector {
    fn add(&mut self, ident: &syn::Ident) {
        self.names.insert(ident.to_string());
    }
}

impl<'ast> Visit<'ast> for Collector {
    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        self.add(&item.ident);
        visit::visit_item_struct(self, item);
    }

    fn visit_item_enum(&mut self, item: &'ast syn::ItemEnum) {
        self.add(&item.ident);
        visit::visit_item_enum(self, item);
    }

    fn visit_item_union(&mut self, item: &'ast syn::ItemUnion) {
        self.add(&item.ident);
        visit::visit_item_union(self, item);
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        self.add(&item.ident);
        visit::visit_item_trait(self, item);
    }

    fn visit_item_type(&mut self, item: &'ast syn::ItemType) {
        self.add(&item.ident);
        visit::visit_item_type(self, item);
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.add(&item.ident);
        visit::visit_item_mod(self, item);
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.add(&item.sig.ident);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.add(&item.sig.ident);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_variant(&mut self, item: &'ast syn::Variant) {
        self.add(&item.ident);
        visit::visit_variant(self, item);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Known {
        let names = declared("mod input { pub enum Input { Fetched(Fetched) } }\nstruct Engine;");
        let mut known = Known { names, ..Known::default() };
        known.crates.insert("engine".to_owned());
        known.add_path("runtime/engine/src/lib.rs");
        known.add_path("Makefile");
        known
    }

    #[test]
    fn what_architecture_names_exists() {
        let rows = [
            ("`engine`", 0),
            ("`engine` `Input` `Input::Fetched` `engine::Engine::step`", 0),
            ("`engine` `Inputs`", 1),
            ("`engine` `Input::Stored`", 1),
            ("`engine` `gristmill-engine` `gristmill-kafka`", 1),
            ("`engine` `kafka::Engine`", 1),
            ("`engine` `runtime/engine/src/lib.rs` `runtime/engine/`", 0),
            ("`engine` `runtime/node`", 1),
            ("`engine` `Makefile` `GET /healthz` `make test` `Cargo.toml`", 0),
            ("no crate", 1),
        ];
        for (text, findings) in rows {
            let found = check_architecture("ARCHITECTURE.md", text, &known());
            assert_eq!(found.len(), findings, "{text}: {found:?}");
        }
    }

    #[test]
    fn a_promise_names_its_test() {
        let files = [
            ("runtime/engine/src/lane.rs".to_owned(), "fn keeps_order() {}".to_owned()),
            ("tests/e2e/main.rs".to_owned(), "fn story() {}".to_owned()),
        ];
        let rows = [
            ("`engine::lane::tests::keeps_order`", 0),
            ("`tests/e2e/main.rs::story` and `engine::lane::keeps_order`", 0),
            ("`engine::lane::keeps`", 1),
            ("`store::lane::keeps_order`", 1),
            ("`tests/e2e/other.rs::story`", 1),
            ("`keeps_order`", 1),
            ("by inspection", 1),
        ];
        for (cell, findings) in rows {
            let text = format!("## Guarantees\n\n| a | test |\n|---|:-:|\n| order | {cell} |\n");
            assert_eq!(check_guarantees("README.md", &text, &files).len(), findings, "{cell}");
        }
        assert_eq!(check_guarantees("README.md", "# A\n| a |\n|--|\n| b |\n", &files).len(), 1);
    }
}

//! Applies the house rules to this repository, one test per rule. What a failure prints is a list
//! of `file:line: what to do`.

use std::collections::BTreeMap;
use std::fmt;
use std::process::Command;

use anyhow::Context as _;
use gristmill_tidy::names::Known;
use gristmill_tidy::{
    Finding, Repo, decisions, edges, errors, layout, markdown, messages, names, sizes, sources,
};

/// Entries of `exceptions.toml`. Lowered with every entry that goes; raised by nobody.
const EXCEPTIONS_MAX: usize = 0;

/// What people write by hand and the rules of size hold for.
const SOURCES: [&str; 13] = [
    ".rs",
    ".wit",
    ".sh",
    ".py",
    ".ts",
    ".js",
    ".mjs",
    ".go",
    ".c",
    ".h",
    ".java",
    "Makefile",
    "Dockerfile",
];

/// What is written by tools: it names hosts and is as wide as it likes.
const GENERATED: [&str; 4] = ["Cargo.lock", "package-lock.json", "go.sum", "uv.lock"];

/// What a failed rule prints: its findings, without the backtrace of the test that read them.
struct Broken(String);

impl fmt::Debug for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<anyhow::Error> for Broken {
    fn from(error: anyhow::Error) -> Self {
        Self(format!("{error:#}"))
    }
}

type Result = std::result::Result<(), Broken>;

#[test]
fn crates_depend_downwards_only() -> Result {
    let repo = Repo::open()?;
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(repo.root())
        .output()
        .context("ask cargo for metadata")?;
    let problem = String::from_utf8_lossy(&metadata.stderr);
    if !metadata.status.success() {
        return Err(Broken(format!("ask cargo for metadata: {problem}")));
    }
    expect_none(edges::check(&String::from_utf8_lossy(&metadata.stdout))?)
}

#[test]
fn files_and_functions_have_their_size() -> Result {
    let repo = Repo::open()?;
    let mut findings = Vec::new();
    let mut measured = Vec::new();
    measured.extend(repo.texts(&SOURCES).map(|(path, text)| sizes::measure_file(path, &text)));
    for (path, text) in repo.texts(&[".rs"]) {
        match sizes::measure_functions(path, &text) {
            Ok(functions) => measured.extend(functions),
            Err(finding) => findings.push(finding),
        }
    }
    let exceptions = repo.text("tests/tidy/exceptions.toml").context("read the exceptions")?;
    let exceptions = sizes::read_exceptions(&exceptions)?;
    findings.extend(sizes::check(&measured, &exceptions));
    if exceptions.len() != EXCEPTIONS_MAX {
        let what = format!(
            "has {} entries, EXCEPTIONS_MAX says {EXCEPTIONS_MAX}; the list only shrinks",
            exceptions.len()
        );
        findings.push(Finding::new("tests/tidy/exceptions.toml", 0, what));
    }
    expect_none(findings)
}

#[test]
fn lines_have_at_most_100_columns() -> Result {
    each_text(&SOURCES, sizes::check_columns)
}

#[test]
fn every_rust_file_opens_with_its_purpose() -> Result {
    each_text(&[".rs"], sources::check_opening)
}

#[test]
fn nothing_is_unfinished_or_ignored() -> Result {
    each_text(&SOURCES, sources::check_marks)
}

#[test]
fn no_text_names_one_machine() -> Result {
    each_text(&[""], sources::check_words)
}

#[test]
fn error_messages_never_repeat_their_source() -> Result {
    each_text(&[".rs"], messages::check)
}

#[test]
fn every_error_code_has_its_page() -> Result {
    let repo = Repo::open()?;
    let of_host = |path: &str| path.starts_with("runtime/");
    let sources: Vec<_> = repo
        .texts(&[".rs"])
        .filter(|(path, _)| of_host(path))
        .map(|(path, text)| (path.to_owned(), errors::codes(&text)))
        .collect();
    let pages: Vec<_> =
        repo.files().iter().filter(|path| path.starts_with("docs/errors/")).cloned().collect();
    let mut findings = errors::check_pairs(&sources, &pages);
    for page in &pages {
        findings.extend(errors::check_page(page, &repo.text(page).unwrap_or_default()));
    }
    expect_none(findings)
}

#[test]
fn every_document_has_one_title() -> Result {
    each_text(&[".md"], markdown::check_title)
}

#[test]
fn links_lead_somewhere() -> Result {
    let repo = Repo::open()?;
    let mut findings = Vec::new();
    for (path, text) in repo.texts(&[".md"]) {
        let exists = |target: &str| target.is_empty() || repo.exists(target);
        findings.extend(markdown::check_links(path, &text, exists, |target| repo.text(target)));
    }
    expect_none(findings)
}

#[test]
fn decisions_have_their_form() -> Result {
    let repo = Repo::open()?;
    let records = repo.texts(&[".md"]).filter(|(path, _)| path.starts_with("docs/adr/"));
    expect_none(records.flat_map(|(path, text)| decisions::check(path, &text)).collect())
}

#[test]
fn the_top_level_is_given() -> Result {
    let repo = Repo::open()?;
    expect_none(layout::check_top_level(repo.files().iter().map(String::as_str)))
}

#[test]
fn copies_of_the_contract_are_equal() -> Result {
    let repo = Repo::open()?;
    let tree = |folder: &str| -> BTreeMap<String, String> {
        let inside = |path: &str| Some(path.strip_prefix(folder)?.strip_prefix('/')?.to_owned());
        repo.texts(&[".wit"]).filter_map(|(path, text)| Some((inside(path)?, text))).collect()
    };
    let original = tree("wit");
    // Rust's must be there; other languages' are found.
    let mut folders = vec!["plugins/sdk/rust/wit".to_owned()];
    let sdks = repo.files().iter().filter(|path| path.starts_with("plugins/sdk/"));
    folders.extend(
        sdks.filter_map(|path| path.split_once("/wit/")).map(|(folder, _)| format!("{folder}/wit")),
    );
    folders.sort();
    folders.dedup();
    let compare = |folder: &String| layout::check_copy(folder, &tree(folder), &original);
    expect_none(folders.iter().flat_map(compare).collect())
}

#[test]
fn what_architecture_names_exists() -> Result {
    let repo = Repo::open()?;
    let text = repo.text("ARCHITECTURE.md").context("ARCHITECTURE.md: is missing; write it")?;
    let mut known = Known::default();
    for path in repo.files() {
        known.add_path(path);
        let member =
            path.strip_prefix("runtime/").and_then(|path| path.strip_suffix("/Cargo.toml"));
        known.crates.extend(member.map(str::to_owned));
    }
    for (_, text) in repo.texts(&[".rs"]) {
        known.names.extend(names::declared(&text));
    }
    expect_none(names::check_architecture("ARCHITECTURE.md", &text, &known))
}

#[test]
fn every_guarantee_names_a_test() -> Result {
    let repo = Repo::open()?;
    let text = repo.text("README.md").context("README.md: is missing; write it")?;
    let files: Vec<_> = repo.texts(&[".rs"]).map(|(path, text)| (path.to_owned(), text)).collect();
    expect_none(names::check_guarantees("README.md", &text, &files))
}

fn each_text(endings: &[&str], check: impl Fn(&str, &str) -> Vec<Finding>) -> Result {
    let repo = Repo::open()?;
    let written = |path: &str| !GENERATED.iter().any(|name| path.ends_with(name));
    let texts = repo.texts(endings).filter(|(path, _)| written(path));
    expect_none(texts.flat_map(|(path, text)| check(path, &text)).collect())
}

fn expect_none(mut findings: Vec<Finding>) -> Result {
    findings.sort();
    let lines: Vec<_> = findings.iter().map(ToString::to_string).collect();
    if lines.is_empty() {
        return Ok(());
    }
    Err(Broken(format!("{} to mend:\n  {}", lines.len(), lines.join("\n  "))))
}

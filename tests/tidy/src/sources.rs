//! Finds what no source file may hold: missing openings, marks of unfinished work, ignored tests,
//! and words that belong to one machine. Reads lines, not syntax, so that comments count too.

use crate::Finding;

/// Marks of unfinished work in Rust, spelled in two parts so that this file is not found itself.
const MARKS: [(&str, &str); 5] = [
    (concat!("#[ign", "ore"), "a test runs or is deleted"),
    (concat!("FIX", "ME"), "mend it now or open an issue"),
    (concat!("todo", "!("), "write it now"),
    (concat!("unimple", "mented!("), "write it now"),
    (concat!("db", "g!("), "take the trace out, or use tracing"),
];

/// Places of one machine, and hosts that package managers find by themselves.
const LOCAL_WORDS: [&str; 13] = [
    concat!("/ho", "me/"),
    concat!("/ro", "ot/"),
    concat!("/Us", "ers/"),
    concat!("/wo", "rk/main"),
    concat!("/wo", "rk/shared"),
    concat!("/tm", "p/w/"),
    concat!("index.", "crates.io"),
    concat!("static.", "crates.io"),
    concat!("registry.", "npmjs.org"),
    concat!("files.python", "hosted.org"),
    concat!("proxy.", "golang.org"),
    concat!("repo1.", "maven.org"),
    concat!("deb.", "debian.org"),
];

/// A Rust file opens by saying what it decides or owns.
pub fn check_opening(path: &str, text: &str) -> Vec<Finding> {
    if text.starts_with("//!") {
        return Vec::new();
    }
    vec![Finding::new(path, 1, "open with `//!`: what it decides or owns, and never does")]
}

/// Marks of unfinished work, and wishes without the number of their issue.
pub fn check_marks(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let number = at.saturating_add(1);
        for (mark, advice) in MARKS {
            if line.contains(mark) {
                findings.push(Finding::new(path, number, format!("holds {mark}: {advice}")));
            }
        }
        let mark = concat!("TO", "DO");
        if let Some((_, rest)) = line.split_once(mark) {
            let issue = rest.strip_prefix("(#").and_then(|rest| rest.split_once(')'));
            let numbered = issue.is_some_and(|(issue, _)| {
                !issue.is_empty() && issue.bytes().all(|byte| byte.is_ascii_digit())
            });
            if !numbered {
                let what = format!("write {mark}(#123): a wish without an issue is forgotten");
                findings.push(Finding::new(path, number, what));
            }
        }
    }
    findings
}

/// Words that only make sense on one machine.
pub fn check_words(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (at, line) in text.lines().enumerate() {
        for word in LOCAL_WORDS.iter().filter(|word| line.contains(**word)) {
            let what = format!("names {word}, which another machine has not; say it generally");
            findings.push(Finding::new(path, at.saturating_add(1), what));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_opens_with_its_purpose() {
        assert_eq!(check_opening("a.rs", "//! Decides.\n"), []);
        assert_eq!(check_opening("a.rs", "use std::fmt;\n//! Late.\n").len(), 1);
    }

    #[test]
    fn marks_of_unfinished_work_are_found() {
        for (mark, _) in MARKS {
            let findings = check_marks("a.rs", &format!("\n// {mark}\n"));
            assert_eq!(findings.len(), 1, "{mark}");
            assert_eq!(findings[0].line, 2, "{mark}");
        }
    }

    #[test]
    fn a_wish_has_an_issue() {
        let mark = concat!("TO", "DO");
        assert_eq!(check_marks("a.rs", &format!("// {mark}(#12): faster")), []);
        for bad in ["", ": faster", "(me): faster", "(#): faster", "(#12"] {
            assert_eq!(check_marks("a.rs", &format!("// {mark}{bad}")).len(), 1, "{bad}");
        }
    }

    #[test]
    fn words_of_one_machine_are_found() {
        for word in LOCAL_WORDS {
            assert_eq!(check_words("a.md", &format!("see {word}x")).len(), 1, "{word}");
        }
        assert_eq!(check_words("a.md", "see docs/errors and crates.io"), []);
    }
}

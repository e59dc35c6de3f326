//! Pairs every error code in the host's sources with its page. Does not read what a page says
//! beyond its headings.

use std::collections::BTreeMap;

use crate::Finding;

/// Headings of a page, in this order.
const HEADINGS: [&str; 3] = ["## What happened", "## Why", "## What to do"];

/// Codes named in a source text, each with its first line. A comment names none: it may speak of
/// a range, or of the compiler's own codes.
pub fn codes(text: &str) -> BTreeMap<String, usize> {
    let mut codes = BTreeMap::new();
    let is_code = |line: &str| !line.trim_start().starts_with("//");
    for (at, line) in text.lines().enumerate().filter(|(_, line)| is_code(line)) {
        for (start, _) in line.match_indices("E0") {
            let before = line.get(..start).and_then(|text| text.chars().next_back());
            let rest = line.get(start..).unwrap_or_default();
            let code = rest.get(..5).unwrap_or_default();
            let after = rest.get(5..).and_then(|text| text.chars().next());
            let digits = code.bytes().skip(1).filter(u8::is_ascii_digit).count();
            let joined =
                |next: Option<char>| next.is_some_and(|next| next.is_alphanumeric() || next == '_');
            if digits == 4 && !joined(before) && !joined(after) {
                codes.entry(code.to_owned()).or_insert_with(|| at.saturating_add(1));
            }
        }
    }
    codes
}

/// Codes without a page and pages without a code. `sources` are paths with their codes, `pages`
/// the paths of all pages.
pub fn check_pairs(
    sources: &[(String, BTreeMap<String, usize>)],
    pages: &[String],
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut named = BTreeMap::new();
    for (path, codes) in sources {
        for (code, line) in codes {
            named.entry(code.clone()).or_insert((path, *line));
        }
    }
    for (code, (path, line)) in &named {
        let page = format!("docs/errors/{code}.md");
        if !pages.contains(&page) {
            findings.push(Finding::new(path, *line, format!("{code} has no page; write {page}")));
        }
    }
    for page in pages {
        let code = page.trim_start_matches("docs/errors/").trim_end_matches(".md");
        if !named.contains_key(code) {
            findings.push(Finding::new(page, 0, "no source names this code; delete the page"));
        }
    }
    findings
}

/// A page is titled by its code and has its headings in order, each with text below it.
pub fn check_page(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let code = path.trim_start_matches("docs/errors/").trim_end_matches(".md");
    if !text.starts_with(&format!("# {code}: ")) {
        findings.push(Finding::new(path, 1, format!("begin with `# {code}: what is wrong`")));
    }
    let mut rest = text;
    for heading in HEADINGS {
        let Some((_, below)) = rest.split_once(&format!("\n{heading}\n")) else {
            let what = format!("lacks `{heading}` (in the order {})", HEADINGS.join(", "));
            findings.push(Finding::new(path, 0, what));
            continue;
        };
        if below.trim_start().is_empty() || below.trim_start().starts_with("## ") {
            findings.push(Finding::new(path, 0, format!("says nothing under `{heading}`")));
        }
        rest = below;
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_whole_words() {
        let found =
            codes("// from E0100\n\"E0107\" E01070 XE0108 E010 E0109, E0107 E0_10 E0110_x\n");
        let expected = [("E0107".to_owned(), 2), ("E0109".to_owned(), 2)];
        assert_eq!(found, BTreeMap::from(expected));
    }

    #[test]
    fn code_and_page_come_in_pairs() {
        let sources = [("a.rs".to_owned(), codes("E0107"))];
        let pages = ["docs/errors/E0107.md".to_owned()];
        assert_eq!(check_pairs(&sources, &pages), []);
        assert_eq!(check_pairs(&sources, &[])[0].path, "a.rs");
        assert_eq!(check_pairs(&[], &pages)[0].path, "docs/errors/E0107.md");
    }

    #[test]
    fn a_page_has_its_headings() {
        let good = "# E0107: x\n\n## What happened\n\na\n\n## Why\n\nb\n\n## What to do\n\nc\n";
        let path = "docs/errors/E0107.md";
        assert_eq!(check_page(path, good), []);
        assert_eq!(check_page(path, &good.replace("E0107", "E0108")).len(), 1);
        assert_eq!(check_page(path, &good.replace("## Why\n", "")).len(), 1);
        assert_eq!(check_page(path, &good.replace("\nb\n", "\n")).len(), 1);
        assert_eq!(check_page(path, &good.replace("\nc\n", "\n")).len(), 1);
    }
}

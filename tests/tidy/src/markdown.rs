//! Reads markdown as far as the rules need it: headings, code spans, tables and links, none of
//! them inside fenced code. Renders nothing.

use crate::Finding;

/// Lines outside fenced code, each with its number from 1.
pub fn prose(text: &str) -> Vec<(usize, &str)> {
    let mut fence: Option<&str> = None;
    let mut lines = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let start = line.trim_start();
        match fence {
            Some(mark) if start.starts_with(mark) => fence = None,
            Some(_) => {}
            None if start.starts_with("```") => fence = Some("```"),
            None if start.starts_with("~~~") => fence = Some("~~~"),
            None => lines.push((at.saturating_add(1), line)),
        }
    }
    lines
}

/// What stands between backticks on one line.
pub fn code_spans(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2).filter(|span| !span.is_empty())
}

/// A document has one `#` title, and it comes first.
pub fn check_title(path: &str, text: &str) -> Vec<Finding> {
    let lines = prose(text);
    let titles: Vec<_> = lines.iter().filter(|(_, line)| line.starts_with("# ")).collect();
    let mut findings = Vec::new();
    match titles.split_first() {
        None => findings.push(Finding::new(path, 1, "has no `# title`; begin with one")),
        Some((first, others)) => {
            if text.lines().take(first.0.saturating_sub(1)).any(|line| !line.trim().is_empty()) {
                findings.push(Finding::new(path, first.0, "the `# title` comes first"));
            }
            let again = "a second `# title`; make it `##`";
            findings.extend(others.iter().map(|(number, _)| Finding::new(path, *number, again)));
        }
    }
    findings
}

/// Links to files and headings of this repository that lead nowhere. `read` gives the text of a
/// path from the root, or nothing; `exists` knows folders too.
pub fn check_links(
    path: &str,
    text: &str,
    exists: impl Fn(&str) -> bool,
    read: impl Fn(&str) -> Option<String>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in prose(text) {
        for target in links(line) {
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let Some(file) = resolve(path, file) else {
                let what = format!("link {target} leaves the repository");
                findings.push(Finding::new(path, number, what));
                continue;
            };
            if !exists(&file) {
                findings.push(Finding::new(path, number, format!("link to missing {file}")));
            } else if !anchor.is_empty()
                && read(&file).is_some_and(|text| !anchors(&text).iter().any(|one| one == anchor))
            {
                let what = format!("link to missing heading #{anchor} of {file}");
                findings.push(Finding::new(path, number, what));
            }
        }
    }
    findings
}

/// Targets of the links on a line that stay inside the repository.
fn links(line: &str) -> Vec<&str> {
    // Text inside backticks is shown, not followed.
    let shown: Vec<_> = line.split('`').step_by(2).collect();
    let mut targets = Vec::new();
    for part in shown {
        for (at, _) in part.match_indices("](") {
            let rest = part.get(at.saturating_add(2)..).unwrap_or_default();
            let target = rest.split([')', ' ']).next().unwrap_or_default();
            let outside = target.contains("://") || target.starts_with("mailto:");
            if !outside && !target.is_empty() {
                targets.push(target);
            }
        }
    }
    targets
}

/// Path from the root of what `target` means inside the document `from`; nothing when it climbs
/// out of the repository.
fn resolve(from: &str, target: &str) -> Option<String> {
    if target.is_empty() {
        return Some(from.to_owned());
    }
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// Anchors of a document's headings, as the usual forges make them.
fn anchors(text: &str) -> Vec<String> {
    let headings = prose(text).into_iter().filter(|(_, line)| line.starts_with('#'));
    let kept = |letter: &char| letter.is_alphanumeric() || matches!(letter, '-' | '_' | ' ');
    headings
        .map(|(_, line)| {
            let title = line.trim_start_matches('#').trim().to_lowercase();
            title.chars().filter(kept).collect::<String>().replace(' ', "-")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_title_comes_first() {
        assert_eq!(check_title("a.md", "# A\n\n## B\n\n```sh\n# a comment\n```\n"), []);
        for bad in ["## A\n", "text\n# A\n", "# A\n# B\n"] {
            assert_eq!(check_title("a.md", bad).len(), 1, "{bad}");
        }
    }

    #[test]
    fn links_lead_somewhere() {
        let exists = |path: &str| ["docs/b.md", "docs", "docs/a.md", "README.md"].contains(&path);
        let read = |path: &str| (path == "docs/b.md").then(|| "# B\n## The end, now\n".to_owned());
        let rows = [
            ("[b](b.md)", 0),
            ("[b](./b.md#the-end-now)", 0),
            ("[b](b.md#nowhere)", 1),
            ("[c](c.md)", 1),
            ("[r](../README.md) and [c](c.md)", 1),
            ("[out](../../etc/passwd)", 1),
            ("[web](https://example.com/c.md)", 0),
            ("`[c](c.md)`", 0),
            ("```\n[c](c.md)\n```", 0),
        ];
        for (text, findings) in rows {
            assert_eq!(check_links("docs/a.md", text, exists, read).len(), findings, "{text}");
        }
    }

    #[test]
    fn code_spans_stand_between_backticks() {
        let spans: Vec<_> = code_spans("the `engine` and `node::Node` do").collect();
        assert_eq!(spans, ["engine", "node::Node"]);
    }
}

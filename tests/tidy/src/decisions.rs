//! Checks the form of a decision record. Judges no decision.

use crate::Finding;

/// Headings of a decision record.
const HEADINGS: [&str; 5] =
    ["## Context", "## Decision", "## Rejected and why", "## Consequences", "## Revisit when"];

/// A record is named by its date and has its five headings.
pub fn check(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let name = path.rsplit('/').next().unwrap_or(path);
    let pattern =
        name.chars().take(11).map(|letter| if letter.is_ascii_digit() { '0' } else { letter });
    if pattern.collect::<String>() != "0000-00-00-" {
        findings.push(Finding::new(path, 0, "name it YYYY-MM-DD-title.md: numbers collide"));
    }
    for heading in HEADINGS.iter().filter(|heading| !text.lines().any(|line| line == **heading)) {
        findings.push(Finding::new(path, 0, format!("lacks `{heading}`")));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_has_its_form() {
        let text = HEADINGS.join("\n\ntext\n\n");
        assert_eq!(check("docs/adr/2026-11-21-a.md", &text), []);
        assert_eq!(check("docs/adr/0007-a.md", &text).len(), 1);
        assert_eq!(check("docs/adr/2026-11-21-a.md", &text.replace("## Context", "")).len(), 1);
    }
}

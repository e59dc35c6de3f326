//! Finds the lines of a host's log by which it asks for somebody, but for those that what was done
//! to it, or to the host beside it, rightly causes.

/// Words of such lines.
const WORDS: [&str; 3] = ["WARN", "ERROR", "panicked"];

/// A line that is no complaint.
#[derive(Debug, Clone, Copy)]
pub struct Expected {
    /// What it contains, all of it.
    pub parts: &'static [&'static str],
    /// Why it is there and nobody needs to act.
    pub why: &'static str,
}

/// All complaints in a log.
pub fn of(log: &str, expected: &[Expected]) -> Vec<String> {
    let is_expected =
        |line: &str| expected.iter().any(|one| one.parts.iter().all(|part| line.contains(part)));
    log.lines()
        .filter(|line| WORDS.iter().any(|word| line.contains(word)) && !is_expected(line))
        .map(|line| format!("log: {line}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_with_all_parts_is_expected_and_no_other() {
        let expected = [Expected { parts: &["TXNERR", "ILLEGAL"], why: "a peer came" }];
        let log = "INFO a\nWARN TXNERR ILLEGAL\nWARN TXNERR FENCED\nERROR b\npanicked\n";
        let complaints = ["log: WARN TXNERR FENCED", "log: ERROR b", "log: panicked"];
        assert_eq!(of(log, &expected), complaints);
        assert_eq!(of(log, &[]).len(), 4);
    }
}

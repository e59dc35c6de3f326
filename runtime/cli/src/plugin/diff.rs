//! Decides which lines two texts share, to show how they differ. It knows nothing of what they
//! mean.

/// Lines of context kept around a difference.
const CONTEXT: usize = 3;

/// Most lines compared pairwise; beyond, all of the differing middle is shown as replaced.
const LINES_MAX: usize = 4_000;

/// One line of a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line<'text> {
    /// In both texts.
    Same(&'text str),
    /// In the first text only.
    Removed(&'text str),
    /// In the second text only.
    Added(&'text str),
    /// So many lines of both texts are left out here.
    Skipped(usize),
}

/// How `after` differs from `before`, line by line with some context; empty when it does not.
pub(crate) fn diff<'text>(before: &'text str, after: &'text str) -> Vec<Line<'text>> {
    let (old, new): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    if old == new {
        return Vec::new();
    }
    let start = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
    let end = old.iter().skip(start).rev().zip(new.iter().skip(start).rev());
    let end = end.take_while(|(old, new)| old == new).count();
    let (middle_old, middle_new) = (middle(&old, start, end), middle(&new, start, end));
    let mut lines: Vec<Line<'_>> = old.iter().take(start).map(|line| Line::Same(line)).collect();
    if middle_old.len().max(middle_new.len()) > LINES_MAX {
        lines.extend(middle_old.iter().map(|line| Line::Removed(line)));
        lines.extend(middle_new.iter().map(|line| Line::Added(line)));
    } else {
        lines.extend(pair(middle_old, middle_new));
    }
    lines.extend(old.iter().skip(old.len() - end).map(|line| Line::Same(line)));
    shorten(&lines)
}

fn middle<'a, 'text>(lines: &'a [&'text str], start: usize, end: usize) -> &'a [&'text str] {
    lines.get(start..lines.len() - end).unwrap_or_default()
}

/// Pairs lines by their longest common subsequence.
fn pair<'text>(old: &[&'text str], new: &[&'text str]) -> Vec<Line<'text>> {
    // `common[i][j]` is the length of the longest common subsequence of old[i..] and new[j..].
    let width = new.len() + 1;
    let mut common = vec![0_u32; (old.len() + 1) * width];
    let at = |i: usize, j: usize| i * width + j;
    for (i, old_line) in old.iter().enumerate().rev() {
        for (j, new_line) in new.iter().enumerate().rev() {
            let best = if old_line == new_line {
                common.get(at(i + 1, j + 1)).copied().unwrap_or(0) + 1
            } else {
                let (down, right) = (common.get(at(i + 1, j)), common.get(at(i, j + 1)));
                down.max(right).copied().unwrap_or(0)
            };
            if let Some(cell) = common.get_mut(at(i, j)) {
                *cell = best;
            }
        }
    }
    let mut lines = Vec::new();
    let (mut i, mut j) = (0, 0);
    loop {
        match (old.get(i), new.get(j)) {
            (Some(old_line), Some(new_line)) if old_line == new_line => {
                lines.push(Line::Same(old_line));
                (i, j) = (i + 1, j + 1);
            }
            (Some(old_line), new_line)
                if new_line.is_none() || common.get(at(i + 1, j)) >= common.get(at(i, j + 1)) =>
            {
                lines.push(Line::Removed(old_line));
                i += 1;
            }
            (_, Some(new_line)) => {
                lines.push(Line::Added(new_line));
                j += 1;
            }
            (_, None) => return lines,
        }
    }
}

/// Leaves lines out that are far from any difference.
fn shorten<'text>(lines: &[Line<'text>]) -> Vec<Line<'text>> {
    let same = |line: &Line<'_>| matches!(line, Line::Same(_));
    let mut kept = Vec::new();
    let mut skipped = 0;
    for (at, line) in lines.iter().enumerate() {
        let around = lines.get(at.saturating_sub(CONTEXT)..(at + CONTEXT + 1).min(lines.len()));
        if around.is_some_and(|around| around.iter().all(same)) {
            skipped += 1;
            continue;
        }
        if skipped > 0 {
            kept.push(Line::Skipped(skipped));
            skipped = 0;
        }
        kept.push(*line);
    }
    if skipped > 0 {
        kept.push(Line::Skipped(skipped));
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(before: &str, after: &str) -> String {
        let lines = diff(before, after);
        let text = lines.iter().map(|line| match line {
            Line::Same(line) => format!(" {line}"),
            Line::Removed(line) => format!("-{line}"),
            Line::Added(line) => format!("+{line}"),
            Line::Skipped(count) => format!("@{count}"),
        });
        text.collect::<Vec<String>>().join("\n")
    }

    #[test]
    fn shows_what_differs_and_little_else() {
        for (before, after, expected) in [
            ("a\nb\n", "a\nb\n", ""),
            ("", "a\n", "+a"),
            ("a\n", "", "-a"),
            ("a\nb\nc\n", "a\nx\nc\n", " a\n-b\n+x\n c"),
            ("a\nb\nc\n", "b\nc\nd\n", "-a\n b\n c\n+d"),
            ("1\n2\n3\n4\n5\n6\n", "1\n2\n3\n4\n5\n7\n", "@2\n 3\n 4\n 5\n-6\n+7"),
            ("6\n1\n2\n3\n4\n5\n", "7\n1\n2\n3\n4\n5\n", "-6\n+7\n 1\n 2\n 3\n@2"),
        ] {
            assert_eq!(show(before, after), expected, "{before:?} {after:?}");
        }
    }

    #[test]
    fn two_long_texts_are_shown_without_pairing() {
        let text = |name: &str, lines: usize| {
            (0..lines).map(|line| format!("{name}{line}")).collect::<Vec<String>>().join("\n")
        };
        let at_limit = diff(&text("a", LINES_MAX), &text("b", 1)).len();
        assert_eq!(at_limit, LINES_MAX + 1);
        let past_limit = diff(&text("a", LINES_MAX + 1), &text("b", 1)).len();
        assert_eq!(past_limit, LINES_MAX + 2);
    }
}

//! Decides what an operator probably meant by an unknown word. It knows no keys by itself.

/// The candidate nearest to `word`: at most a third of its letters wrong (two letters swapped
/// count as one), or one of the two a whole part of the other, as `timeout` is of
/// `attempt_timeout`.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let most = (word.chars().count() / 3).max(1);
    let distances = candidates.into_iter().filter_map(|candidate| {
        let distance = distance(&word.to_lowercase(), &candidate.to_lowercase());
        if distance <= most {
            Some((distance, candidate))
        } else {
            (is_part(word, candidate) || is_part(candidate, word)).then_some((most + 1, candidate))
        }
    });
    // `min_by_key` keeps the first of equals: the order of the candidates decides.
    distances.min_by_key(|(distance, _)| *distance).map(|(_, candidate)| candidate)
}

/// Whether `part` is one or more whole words of `whole`.
fn is_part(part: &str, whole: &str) -> bool {
    const BETWEEN: [char; 3] = ['_', '-', '.'];
    let before = whole.strip_suffix(part).is_some_and(|rest| rest.ends_with(BETWEEN));
    let after = whole.strip_prefix(part).is_some_and(|rest| rest.starts_with(BETWEEN));
    part.len() >= 3 && (before || after)
}

/// Insertions, deletions, substitutions and swaps of neighbours that lead from `a` to `b`
/// (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    let mut previous = None;
    for (row, letter) in a.chars().enumerate() {
        let mut current = vec![row + 1];
        for (column, other) in b.iter().enumerate() {
            let substituted = last[column] + usize::from(letter != *other);
            let mut best = substituted.min(last[column + 1] + 1).min(current[column] + 1);
            if column > 0 && previous == Some(*other) && b[column - 1] == letter {
                best = best.min(before_last[column - 1] + 1);
            }
            current.push(best);
        }
        before_last = std::mem::replace(&mut last, current);
        previous = Some(letter);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::{distance, nearest};

    #[test]
    fn distance_counts_a_swap_once() {
        for (a, b, expected) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("partitons", "partitions", 1),
            ("liten", "listen", 1),
            ("lsiten", "listen", 1),
            ("ab", "ba", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(a, b), expected, "{a} to {b}");
        }
    }

    #[test]
    fn the_nearest_is_near_or_a_part() {
        let keys = ["memory", "attempt_timeout", "emissions", "emitted_bytes"];
        for (word, expected) in [
            ("memroy", Some("memory")),
            ("Memory", Some("memory")),
            ("timeout", Some("attempt_timeout")),
            ("memory_bytes", Some("memory")),
            ("emision", Some("emissions")),
            ("fuel", None),
            ("x", None),
        ] {
            assert_eq!(nearest(word, keys), expected, "{word}");
        }
    }
}

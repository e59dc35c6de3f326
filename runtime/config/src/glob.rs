//! Decides which names a pattern covers. It knows one wildcard and nothing of regular
//! expressions.

use std::fmt;

/// A pattern of names: `*` stands for any run of characters, the empty one included; every other
/// character stands for itself. `orders.*` covers `orders.placed` and `orders.line.added`, but
/// not `orders`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Glob(String);

impl Glob {
    /// The pattern that covers everything.
    pub fn any() -> Self {
        Self("*".to_owned())
    }

    /// A pattern from its text; every text is one.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it covers `name`, in time linear in the lengths of both.
    pub fn matches(&self, name: &str) -> bool {
        let Some((first, rest)) = self.0.split_once('*') else {
            return self.0 == name;
        };
        let Some(mut name) = name.strip_prefix(first) else {
            return false;
        };
        let mut pieces: Vec<&str> = rest.split('*').collect();
        let last = pieces.pop().unwrap_or_default();
        for piece in pieces {
            let Some(at) = name.find(piece) else {
                return false;
            };
            name = &name[at + piece.len()..];
        }
        name.ends_with(last)
    }

    /// Whether it covers every name that `other` covers: what a ceiling asks of a grant.
    pub fn covers(&self, other: &Self) -> bool {
        // A `*` of `other` stands for names of any characters. Read as a character that no name
        // and no literal of ours contains, only a `*` of ours can take it.
        let opaque = other.0.replace('*', "\u{0}");
        self.matches(&opaque)
    }

    /// Whether some name is covered by both.
    pub fn meets(&self, other: &Self) -> bool {
        meet(self.0.as_bytes(), other.0.as_bytes())
    }
}

/// Whether some text fits both patterns, in time of the product of their lengths.
fn meet(one: &[u8], other: &[u8]) -> bool {
    // Row `i`: which beginnings of `other` some text shares with the first `i` of `one`.
    let mut row = vec![false; other.len() + 1];
    for i in 0..=one.len() {
        let above = std::mem::replace(&mut row, vec![false; other.len() + 1]);
        for j in 0..=other.len() {
            let left = j.checked_sub(1).map(|j| (row[j], above[j], other[j]));
            let own = i.checked_sub(1).map(|i| one[i]);
            row[j] = match (own, left) {
                (None, None) => true,
                // A star may stand for nothing, or for one more of what the other has.
                (Some(b'*'), _) if above[j] => true,
                (Some(b'*'), Some((left, ..))) if left => true,
                (_, Some((left, _, b'*'))) if left => true,
                (Some(_), Some((_, _, b'*'))) if above[j] => true,
                (Some(own), Some((_, diagonal, theirs))) => own == theirs && diagonal,
                (None, Some(_)) | (Some(_), None) => false,
            };
        }
    }
    row.last().copied().unwrap_or_default()
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Glob;

    #[test]
    fn patterns_meet_where_a_name_fits_both() {
        for (one, other, expected) in [
            ("shipping.*", "*", true),
            ("shipping.*", "shipping.a.created", true),
            ("shipping.*", "ship*", true),
            ("shipping.*", "*.created", true),
            ("shipping.*", "billing.*", false),
            ("shipping.*", "shipping", false),
            ("a*c", "*b*", true),
            ("a*c", "b*", false),
            ("abc", "abc", true),
            ("abc", "abd", false),
            ("", "*", true),
            ("", "a", false),
            ("*a", "b*", true),
            ("a**", "a", true),
        ] {
            let (one, other) = (Glob::new(one), Glob::new(other));
            assert_eq!(one.meets(&other), expected, "{one} {other}");
            assert_eq!(other.meets(&one), expected, "{other} {one}");
        }
    }

    #[test]
    fn a_star_stands_for_any_run() {
        for (pattern, name, covered) in [
            ("orders", "orders", true),
            ("orders", "orders.placed", false),
            ("orders.*", "orders.placed", true),
            ("orders.*", "orders.line.added", true),
            ("orders.*", "orders.", true),
            ("orders.*", "orders", false),
            ("*", "", true),
            ("*", "anything", true),
            ("**", "anything", true),
            ("*.dlq", "orders.billing.dlq", true),
            ("*.dlq", "orders.billing.dlq2", false),
            ("a*b*c", "abc", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "acb", false),
            ("a*a", "a", false),
            ("a*ab", "aab", true),
            ("a*ab", "ab", false),
            ("a.c", "abc", false),
            ("ü*", "über", true),
            ("", "", true),
            ("", "a", false),
        ] {
            assert_eq!(Glob::new(pattern).matches(name), covered, "{pattern} on {name}");
        }
    }

    #[test]
    fn many_stars_do_not_take_exponential_time() {
        let pattern = Glob::new("a*".repeat(200) + "b");
        assert!(!pattern.matches(&"a".repeat(20_000)));
    }

    #[test]
    fn a_ceiling_covers_what_is_narrower() {
        for (ceiling, grant, covered) in [
            ("*", "orders.*", true),
            ("orders.*", "orders.placed", true),
            ("orders.*", "orders.*", true),
            ("orders.*", "orders.line.*", true),
            ("orders.*", "*", false),
            ("orders.*", "order*", false),
            ("orders.placed", "orders.*", false),
            ("orders.*.v1", "orders.*", false),
            ("orders.*.v1", "orders.eu.*.v1", true),
        ] {
            let answer = Glob::new(ceiling).covers(&Glob::new(grant));
            assert_eq!(answer, covered, "{ceiling} over {grant}");
        }
    }
}

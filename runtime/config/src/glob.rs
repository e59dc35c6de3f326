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

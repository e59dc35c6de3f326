//! Decides which topics an entry of `topics` stands for: one, by its name, or all whose names
//! match a regular expression. It knows no cluster.

use std::fmt;

use regex::bytes::{Regex, RegexBuilder};

/// What regular expressions begin with.
const SIGN: char = '^';
/// Longest regular expression, in characters: two topic names and what joins them.
const EXPRESSION_MAX: usize = 512;
/// Memory a compiled expression may take, in bytes: thousands of times what a usual one takes.
const COMPILED_MAX: usize = 1 << 20;

/// What a subscription reads by one entry of `topics`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TopicSelector {
    /// The topic of this name.
    Name(String),
    /// Every topic whose name matches, those included that are made later.
    Expression(TopicExpression),
}

impl TopicSelector {
    /// The selector that is written so: an expression if it begins with `^`.
    ///
    /// # Errors
    ///
    /// Why it is no expression.
    pub(crate) fn new(text: &str) -> Result<Self, String> {
        if text.starts_with(SIGN) {
            return TopicExpression::new(text).map(Self::Expression);
        }
        Ok(Self::Name(text.to_owned()))
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Name(name) => name,
            Self::Expression(expression) => &expression.text,
        }
    }

    /// The topic it names; `None` for an expression.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Name(name) => Some(name),
            Self::Expression(_) => None,
        }
    }

    /// Whether the topic is named, or its name matches.
    pub fn selects(&self, topic: &str) -> bool {
        match self {
            Self::Name(name) => name == topic,
            Self::Expression(expression) => expression.matches(topic),
        }
    }
}

impl fmt::Display for TopicSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A regular expression of topic names: begins with `^` and matches whole names only. Its letters
/// are those of topics, so `\w` and `.` stand for ASCII.
#[derive(Debug, Clone)]
pub struct TopicExpression {
    text: String,
    compiled: Regex,
}

impl TopicExpression {
    fn new(text: &str) -> Result<Self, String> {
        if text.chars().count() > EXPRESSION_MAX {
            return Err(format!("it is longer than {EXPRESSION_MAX} characters"));
        }
        let build =
            |text: &str| RegexBuilder::new(text).unicode(false).size_limit(COMPILED_MAX).build();
        // By itself first: parentheses of its own must not end those around it.
        build(text).map_err(|error| cause(&error))?;
        let compiled = build(&format!("^(?:{text})$")).map_err(|error| cause(&error))?;
        Ok(Self { text: text.to_owned(), compiled })
    }

    /// Whether the whole name matches, in time linear in its length.
    pub fn matches(&self, topic: &str) -> bool {
        self.compiled.is_match(topic.as_bytes())
    }
}

/// What is wrong, without the lines that point into the text.
fn cause(error: &regex::Error) -> String {
    let text = error.to_string();
    let line = text.lines().last().unwrap_or(&text);
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

impl PartialEq for TopicExpression {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for TopicExpression {}

#[cfg(test)]
mod tests {
    use super::*;

    fn selector(text: &str) -> TopicSelector {
        TopicSelector::new(text).unwrap()
    }

    #[test]
    fn expressions_match_whole_names() {
        for (expression, topic, is_selected) in [
            ("^orders-.*", "orders-eu", true),
            ("^orders-.*", "orders-", true),
            ("^orders-.*", "old-orders-eu", false),
            ("^orders", "orders-eu", false),
            ("^orders$", "orders", true),
            ("^orders-(eu|us)", "orders-us", true),
            ("^orders-(eu|us)", "orders-usa", false),
            ("^a|b", "b", true),
            ("^a|b", "ab", false),
            (r"^shard-\d+", "shard-12", true),
            (r"^shard-\d+", "shard-x", false),
            (r"^[\w.]+\.placed", "shop.orders.placed", true),
            ("^(?i)orders", "Orders", true),
        ] {
            let found = selector(expression).selects(topic);
            assert_eq!(found, is_selected, "{expression} {topic}");
        }
        assert!(selector("orders").selects("orders") && !selector("orders").selects("orders2"));
        assert_eq!(selector("orders").name(), Some("orders"));
        assert_eq!(selector("^orders").name(), None);
        assert_eq!(selector("^or.*").to_string(), "^or.*");
    }

    #[test]
    fn expressions_are_as_long_and_as_large_as_allowed() {
        let long = |letters: usize| format!("^{}", "a".repeat(letters));
        assert!(TopicSelector::new(&long(EXPRESSION_MAX - 1)).is_ok());
        let reason = TopicSelector::new(&long(EXPRESSION_MAX)).unwrap_err();
        assert_eq!(reason, "it is longer than 512 characters");
        assert!(TopicSelector::new("^(a{100}){10}").is_ok());
        let reason = TopicSelector::new("^((a{100}){100}){100}").unwrap_err();
        assert!(reason.contains("size limit"), "{reason}");
        let reason = TopicSelector::new("^orders-(eu").unwrap_err();
        assert_eq!(reason, "unclosed group");
        assert!(TopicSelector::new("^orders)|(eu").is_err());
    }
}

//! Decides what topics are called on the broker: each by the template of the platform, filled with
//! what the operator says and the topic's own name. Everywhere else it is called by its own name.

use std::collections::BTreeMap;

use crate::Glob;

/// Words for environments, and what they are shortened to.
const SHORTENED: [(&str, &str); 5] = [
    ("development", "dev"),
    ("testing", "test"),
    ("staging", "stage"),
    ("acceptance", "acc"),
    ("production", "prod"),
];
/// The placeholder of the topic's own name.
const TOPIC: &str = "topic";
/// Placeholders whose words are shortened.
const ENVIRONMENT: [&str; 2] = ["env", "environment"];

/// A template of topic names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Placeholder(String),
}

impl Template {
    /// A template: letters of topic names, and placeholders such as `{env}`, at least one.
    pub(crate) fn new(text: &str) -> Option<Self> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}')?;
            let is_word = |c: char| c.is_ascii_lowercase() || c == '_';
            if name.is_empty() || !name.chars().all(is_word) {
                return None;
            }
            parts.push(Part::Text(before.to_owned()));
            parts.push(Part::Placeholder(name.to_owned()));
            rest = after;
        }
        let has_placeholder = !parts.is_empty();
        parts.push(Part::Text(rest.to_owned()));
        let is_plain = |part: &Part| match part {
            Part::Text(text) => {
                text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
            }
            Part::Placeholder(_) => true,
        };
        (has_placeholder && parts.iter().all(is_plain)).then_some(Self(parts))
    }

    /// The name on the broker of a topic.
    ///
    /// # Errors
    ///
    /// The first placeholder that nothing is said of.
    pub(crate) fn fill(
        &self,
        topic: &str,
        said: impl Fn(&str) -> Option<String>,
    ) -> Result<String, String> {
        let mut name = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => name.push_str(text),
                Part::Placeholder(placeholder) => {
                    let own = || (placeholder == TOPIC).then(|| plural(topic));
                    let value = said(placeholder).map(|value| value.to_lowercase()).or_else(own);
                    let value = value.ok_or_else(|| placeholder.clone())?;
                    let is_environment = ENVIRONMENT.contains(&&**placeholder);
                    let short = SHORTENED.iter().find(|(long, _)| is_environment && *long == value);
                    name.push_str(short.map_or(&*value, |(_, short)| short));
                }
            }
        }
        Ok(name)
    }
}

/// A topic's own name in lower case, its words parted by `-`, the last one plural. One that ends in
/// `s`, but not in `ss`, is taken for plural.
fn plural(name: &str) -> String {
    let mut words = String::with_capacity(name.len() + 2);
    let mut before = None;
    for letter in name.chars() {
        let begins = letter.is_ascii_uppercase();
        if begins && before.is_some_and(|it: char| it.is_ascii_lowercase() || it.is_ascii_digit()) {
            words.push('-');
        }
        words.push(letter.to_ascii_lowercase());
        before = Some(letter);
    }
    let ends = |end: &str| words.ends_with(end);
    let vowel_before_y = ["ay", "ey", "iy", "oy", "uy"].into_iter().any(ends);
    if ends("s") && !ends("ss") {
        words
    } else if ends("y") && !vowel_before_y {
        words.pop();
        words + "ies"
    } else if ["ss", "x", "z", "ch", "sh"].into_iter().any(ends) {
        words + "es"
    } else {
        words + "s"
    }
}

/// Topics by their own names, with what they are called on the broker.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TopicNames {
    /// Only those that differ.
    on_broker: BTreeMap<String, String>,
    own: BTreeMap<String, String>,
}

impl TopicNames {
    /// Notes what a topic is called on the broker. False where another is called so.
    pub(crate) fn add(&mut self, own: &str, on_broker: &str) -> bool {
        if own != on_broker {
            self.on_broker.insert(own.to_owned(), on_broker.to_owned());
        }
        self.own.insert(on_broker.to_owned(), own.to_owned()).is_none()
    }

    /// What a topic is called on the broker; the name itself, where it is that.
    pub fn on_broker<'a>(&'a self, name: &'a str) -> &'a str {
        self.on_broker.get(name).map_or(name, String::as_str)
    }

    /// What a topic of the broker is called everywhere else.
    pub fn own<'a>(&'a self, name: &'a str) -> &'a str {
        self.own.get(name).map_or(name, String::as_str)
    }

    /// A pattern of topics as the broker has them: one that is a topic's own name is that topic's.
    pub(crate) fn pattern(&self, pattern: &Glob) -> Glob {
        Glob::new(self.on_broker(pattern.as_str()))
    }

    /// Whether any topic has two names.
    pub fn differ(&self) -> bool {
        !self.on_broker.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(template: &str, topic: &str, said: &[(&str, &str)]) -> Result<String, String> {
        let value = |name: &str| {
            let found = said.iter().find(|(other, _)| *other == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Template::new(template).unwrap().fill(topic, value)
    }

    #[test]
    fn a_template_is_filled_in_lower_case_and_plural() {
        let said = [("env", "Production"), ("domain", "billing"), ("scope", "internal")];
        for (template, topic, expected) in [
            ("{env}.{domain}.{scope}.{topic}.v1", "Cashier", "prod.billing.internal.cashiers.v1"),
            ("{topic}", "InvoiceLine", "invoice-lines"),
            ("{topic}", "currency", "currencies"),
            ("{topic}", "Survey", "surveys"),
            ("{topic}", "tax", "taxes"),
            ("{topic}", "address", "addresses"),
            ("{topic}", "batch", "batches"),
            ("{topic}", "orders", "orders"),
            ("{topic}", "HTTPRequest", "httprequests"),
            ("{domain}-events", "x", "billing-events"),
        ] {
            assert_eq!(filled(template, topic, &said), Ok(expected.to_owned()), "{topic}");
        }
        assert_eq!(filled("{env}.{version}", "x", &said), Err("version".to_owned()));
        assert_eq!(filled("{topic}", "x", &[("topic", "People")]), Ok("people".to_owned()));
        assert_eq!(filled("{env}", "x", &[("env", "qa")]), Ok("qa".to_owned()));
        assert_eq!(filled("{domain}", "x", &[("domain", "testing")]), Ok("testing".to_owned()));
    }

    #[test]
    fn a_template_has_placeholders_and_letters_of_topics() {
        for wrong in
            ["", "orders", "{", "{}", "{Env}", "{env", "env}.{x}", "{env}/{topic}", "{e v}"]
        {
            assert_eq!(Template::new(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn names_are_known_both_ways() {
        let mut names = TopicNames::default();
        assert!(names.add("Invoice", "dev.invoices") && names.add("plain", "plain"));
        assert!(!names.add("Bill", "dev.invoices"), "two of one name");
        assert_eq!(
            (names.on_broker("Invoice"), names.on_broker("other")),
            ("dev.invoices", "other")
        );
        assert_eq!(
            (names.own("plain"), names.own("other"), names.differ()),
            ("plain", "other", true)
        );
    }
}

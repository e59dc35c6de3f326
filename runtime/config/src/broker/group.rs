//! Decides how consumer groups are named. It knows no host and no subscription by itself.

use std::fmt;

use crate::{suggest, text::is_visible};

/// What stands for the host's name.
const NAME: &str = "{name}";
/// What stands for the subscription's name.
const SUBSCRIPTION: &str = "{subscription}";

/// A template of consumer group names, such as `{name}-{subscription}`: 1 to 128 visible ASCII
/// characters with `{subscription}`, so that no two subscriptions share a group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupTemplate(String);

impl GroupTemplate {
    /// A template from its text, unless that is none.
    pub fn new(text: &str) -> Option<Self> {
        // A letter in place of each, so that what stood around it does not become one.
        let rest = text.replace(NAME, "n").replace(SUBSCRIPTION, "s");
        let holds = is_visible(text) && text.contains(SUBSCRIPTION) && !rest.contains(['{', '}']);
        holds.then(|| Self(text.to_owned()))
    }

    /// Its text, as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The group of a subscription of a host, both by their names.
    pub fn fill(&self, host_name: &str, subscription: &str) -> String {
        self.0.replace(NAME, host_name).replace(SUBSCRIPTION, subscription)
    }
}

impl fmt::Display for GroupTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The template that was probably meant.
pub(crate) fn mended(text: &str) -> String {
    let visible = |c: char| if c.is_ascii_graphic() { c } else { '-' };
    let text: String = text.trim().chars().map(visible).collect();
    let mut mended = String::new();
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once('{') {
        mended.push_str(&before.replace('}', ""));
        rest = after;
        if let Some((word, after)) = after.split_once('}') {
            let meant = suggest::nearest(word, ["name", "subscription"]);
            mended.extend(["{", meant.unwrap_or("name"), "}"]);
            rest = after;
        }
    }
    mended.push_str(&rest.replace('}', ""));
    if !mended.contains(SUBSCRIPTION) {
        let between = if mended.is_empty() { "" } else { "-" };
        mended.extend([between, SUBSCRIPTION]);
    }
    mended
}

#[cfg(test)]
mod tests {
    use super::{GroupTemplate, mended};

    #[test]
    fn a_template_names_the_subscription_and_nothing_unknown() {
        for (text, holds) in [
            ("{name}-{subscription}", true),
            ("{subscription}", true),
            ("team:{subscription}/{name}.{name}", true),
            ("{subscription}{subscription}", true),
            ("", false),
            ("{name}", false),
            ("gristmill", false),
            ("{env}-{subscription}", false),
            ("{subscription}}", false),
            ("{{subscription}", false),
            ("{subscr{name}iption}-{subscription}", false),
            ("{ subscription }", false),
            ("a b-{subscription}", false),
            ("ä-{subscription}", false),
        ] {
            assert_eq!(GroupTemplate::new(text).is_some(), holds, "{text}");
        }
    }

    #[test]
    fn a_template_has_at_most_128_characters() {
        let of = |length: usize| format!("{}{{subscription}}", "g".repeat(length - 14));
        assert!(GroupTemplate::new(&of(128)).is_some());
        assert!(GroupTemplate::new(&of(129)).is_none());
    }

    #[test]
    fn a_group_has_the_names_in_place() {
        let fill = |text: &str| GroupTemplate::new(text).unwrap().fill("mill", "geo");
        assert_eq!(fill("{name}-{subscription}"), "mill-geo");
        assert_eq!(fill("eu.{subscription}.{subscription}"), "eu.geo.geo");
    }

    #[test]
    fn what_is_mended_is_a_template() {
        for (text, expected) in [
            ("", "{subscription}"),
            ("orders", "orders-{subscription}"),
            ("{Name}-{subscrption}", "{name}-{subscription}"),
            ("{name}-{subscription_name}", "{name}-{subscription}"),
            ("{env}.{subscription}", "{name}.{subscription}"),
            ("{subscription", "subscription-{subscription}"),
            ("a}b {subscription}", "ab-{subscription}"),
        ] {
            assert_eq!(mended(text), expected, "{text}");
            assert!(GroupTemplate::new(&mended(text)).is_some(), "{text}");
        }
    }
}

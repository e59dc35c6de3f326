//! Decides which strings are names, topics, patterns, pointers, addresses and log directives. It
//! knows no keys.

use std::net::SocketAddr;

use crate::{Pointer, problem::code};

/// What a string must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Text {
    /// Anything.
    Any,
    /// A name of a host, plugin or subscription.
    Name,
    /// A topic's name.
    Topic,
    /// A pattern of topics.
    TopicPattern,
    /// A pattern of types.
    TypePattern,
    /// A JSON pointer.
    Pointer,
    /// A JSON pointer or `none`.
    PointerOrNone,
    /// An IP address with port.
    Address,
    /// A path.
    Path,
    /// A header's name.
    Header,
    /// Log directives.
    Directives,
}

/// Why a string is not what it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Misfit {
    pub(crate) code: &'static str,
    pub(crate) reason: String,
    /// A string that would do, near to what was written.
    pub(crate) instead: Option<String>,
}

/// Longest topic name, in characters (source: Apache Kafka, `Topic.MAX_NAME_LENGTH`).
pub(crate) const TOPIC_MAX: usize = 249;
/// Longest name of a host, plugin or subscription, in characters: leaves room in a topic's name
/// for source and suffix of a dead-letter topic.
pub(crate) const NAME_MAX: usize = 64;
/// Log levels, most severe first.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

impl Text {
    /// Whether `text` is one.
    ///
    /// # Errors
    ///
    /// Why it is not, and a text near to it that is.
    pub(crate) fn check(self, text: &str) -> Result<(), Misfit> {
        if self.holds(text) {
            return Ok(());
        }
        let code = match self {
            Self::Name | Self::Header => code::BAD_NAME,
            Self::Topic => code::BAD_TOPIC,
            Self::Any
            | Self::TopicPattern
            | Self::TypePattern
            | Self::Pointer
            | Self::PointerOrNone
            | Self::Address
            | Self::Path
            | Self::Directives => code::MALFORMED,
        };
        let reason = format!("\"{}\" is not {}", shortened(text), self.describe());
        let instead = self.mend(text).filter(|mended| self.holds(mended));
        Err(Misfit { code, reason, instead })
    }

    fn holds(self, text: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Name => fits(text, NAME_MAX, is_name),
            Self::Topic => fits(text, TOPIC_MAX, is_topic) && text != "." && text != "..",
            Self::TopicPattern => fits(text, TOPIC_MAX, |c| is_topic(c) || c == '*'),
            Self::TypePattern | Self::Path => !text.is_empty(),
            Self::Pointer => Pointer::new(text).is_some(),
            Self::PointerOrNone => text == "none" || Pointer::new(text).is_some(),
            Self::Address => text.parse::<SocketAddr>().is_ok(),
            Self::Header => !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic()),
            Self::Directives => text.split(',').all(is_directive),
        }
    }

    /// What it must be, for "is not …" and the reference page.
    pub(crate) fn describe(self) -> &'static str {
        match self {
            Self::Any => "any text",
            Self::Name => "a name: 1 to 64 of `a-z`, `0-9` and `-`",
            Self::Topic => {
                "a topic name: 1 to 249 of `a-z`, `A-Z`, `0-9`, `.`, `_` and `-`, not `.` or `..`"
            }
            Self::TopicPattern => {
                "a topic pattern: a topic name in which `*` stands for any run of characters"
            }
            Self::TypePattern => "a pattern: not empty; `*` stands for any run of characters",
            Self::Pointer => "a JSON pointer such as `/customer/id`",
            Self::PointerOrNone => "a JSON pointer such as `/customer/id`, or `none`",
            Self::Address => "an IP address and port such as `127.0.0.1:8080`",
            Self::Path => "a path: not empty",
            Self::Header => "a header name: not empty, visible ASCII",
            Self::Directives => {
                "a log filter: `off`, `error`, `warn`, `info`, `debug` or `trace`, or such as \
                 `info,gristmill_node=debug`"
            }
        }
    }

    /// A pattern for the JSON Schema, where one says enough.
    pub(crate) fn pattern(self) -> Option<&'static str> {
        match self {
            Self::Name => Some("[a-z0-9-]{1,64}"),
            Self::Topic => Some("[a-zA-Z0-9._-]{1,249}"),
            Self::TopicPattern => Some("[a-zA-Z0-9._*-]{1,249}"),
            Self::Pointer => Some("/.*"),
            Self::PointerOrNone => Some("(none|/.*)"),
            Self::TypePattern | Self::Path | Self::Header => Some(".+"),
            Self::Any | Self::Address | Self::Directives => None,
        }
    }

    /// An example.
    pub(crate) fn example(self) -> &'static str {
        match self {
            Self::Any => "value",
            Self::Name => "gristmill",
            Self::Topic => "orders",
            Self::TopicPattern | Self::TypePattern => "orders.*",
            Self::Pointer | Self::PointerOrNone => "/id",
            Self::Address => "127.0.0.1:8080",
            Self::Path => "data",
            Self::Header => "event-id",
            Self::Directives => "info",
        }
    }

    /// The nearest string that may be one.
    fn mend(self, text: &str) -> Option<String> {
        let replaced = |keep: fn(char) -> bool, most: usize| {
            let mended = text.trim().chars().map(|c| if keep(c) { c } else { '-' });
            Some(mended.take(most).collect::<String>())
        };
        match self {
            Self::Name => {
                let mended = text.trim().to_lowercase();
                Some(mended.chars().map(|c| if is_name(c) { c } else { '-' }).take(64).collect())
            }
            Self::Topic => replaced(is_topic, TOPIC_MAX),
            Self::TopicPattern => replaced(|c| is_topic(c) || c == '*', TOPIC_MAX),
            Self::Pointer | Self::PointerOrNone => {
                let path = text.trim_start_matches("$.").trim_start_matches('.');
                (!path.is_empty()).then(|| format!("/{}", path.replace('.', "/")))
            }
            Self::Address => Some(mended_address(text.trim())),
            Self::Directives => {
                let lower = text.trim().to_lowercase();
                Some(if lower == "warning" { "warn".to_owned() } else { lower })
            }
            Self::Any | Self::TypePattern | Self::Path | Self::Header => None,
        }
    }
}

/// `localhost` as its number, and a missing host or port filled in.
fn mended_address(text: &str) -> String {
    let bare = text.trim_start_matches("http://").trim_end_matches('/');
    let numeric = bare.replace("localhost", "127.0.0.1");
    if numeric.bytes().all(|byte| byte.is_ascii_digit()) {
        format!("127.0.0.1:{numeric}")
    } else if numeric.starts_with(':') {
        format!("127.0.0.1{numeric}")
    } else if numeric.contains(':') {
        numeric
    } else {
        format!("{numeric}:8080")
    }
}

fn fits(text: &str, most: usize, letter: impl Fn(char) -> bool) -> bool {
    !text.is_empty() && text.chars().count() <= most && text.chars().all(letter)
}

fn is_name(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'
}

fn is_topic(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

fn is_directive(text: &str) -> bool {
    let (target, level) = text.split_once('=').unwrap_or(("any", text));
    let letter = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    fits(target, TOPIC_MAX, letter) && LEVELS.contains(&level)
}

/// The beginning of a long text, so that a problem stays a line.
pub(crate) fn shortened(text: &str) -> String {
    const MOST: usize = 60;
    let flat = text.escape_debug().to_string();
    if flat.chars().count() <= MOST {
        return flat;
    }
    flat.chars().take(MOST).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::{NAME_MAX, TOPIC_MAX, Text};

    fn check(rule: Text, rows: &[(&str, bool)]) {
        for (text, holds) in rows {
            assert_eq!(rule.check(text).is_ok(), *holds, "{rule:?} of {text:?}");
        }
    }

    #[test]
    fn names_are_lower_case_and_short() {
        let longest = "n".repeat(NAME_MAX);
        let longer = "n".repeat(NAME_MAX + 1);
        let rows =
            [("a", true), ("a-1", true), ("", false), ("A", false), ("a_b", false), ("a.b", false)];
        check(Text::Name, &rows);
        check(Text::Name, &[(&longest, true), (&longer, false)]);
    }

    #[test]
    fn topics_follow_kafkas_rule() {
        let longest = "t".repeat(TOPIC_MAX);
        let longer = "t".repeat(TOPIC_MAX + 1);
        let rows = [
            ("orders", true),
            ("Orders.placed_v1-eu", true),
            ("...", true),
            (".", false),
            ("..", false),
            ("", false),
            ("orders placed", false),
            ("orders/placed", false),
            ("ordérs", false),
            ("orders*", false),
        ];
        check(Text::Topic, &rows);
        check(Text::Topic, &[(&longest, true), (&longer, false)]);
        check(Text::TopicPattern, &[("orders.*", true), ("*", true), ("", false), ("a b", false)]);
    }

    #[test]
    fn addresses_are_numbers_with_a_port() {
        let rows = [
            ("127.0.0.1:8080", true),
            ("[::1]:8080", true),
            ("0.0.0.0:0", true),
            ("localhost:8080", false),
            ("127.0.0.1", false),
            (":8080", false),
            ("127.0.0.1:99999", false),
        ];
        check(Text::Address, &rows);
    }

    #[test]
    fn log_filters_name_levels() {
        let rows = [
            ("info", true),
            ("off", true),
            ("info,gristmill_node=debug,a::b=trace", true),
            ("", false),
            ("INFO", false),
            ("loud", false),
            ("info,", false),
            ("=info", false),
        ];
        check(Text::Directives, &rows);
    }

    #[test]
    fn what_is_mended_holds() {
        for (rule, text, mended) in [
            (Text::Name, "My Plugin", Some("my-plugin")),
            (Text::Topic, "orders placed", Some("orders-placed")),
            (Text::Topic, "..", None),
            (Text::Pointer, "$.customer.id", Some("/customer/id")),
            (Text::Pointer, "eventId", Some("/eventId")),
            (Text::Pointer, "", None),
            (Text::Address, "localhost:8080", Some("127.0.0.1:8080")),
            (Text::Address, "8080", Some("127.0.0.1:8080")),
            (Text::Address, ":8080", Some("127.0.0.1:8080")),
            (Text::Address, "10.0.0.1", Some("10.0.0.1:8080")),
            (Text::Address, "kafka:9092", None),
            (Text::Directives, "INFO", Some("info")),
            (Text::Directives, "warning", Some("warn")),
        ] {
            let misfit = rule.check(text).unwrap_err();
            assert_eq!(misfit.instead.as_deref(), mended, "{rule:?} of {text:?}");
        }
    }
}

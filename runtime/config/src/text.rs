//! Decides which strings are names, topics, patterns, pointers, addresses, templates and log
//! directives. It knows no keys.

use std::net::{Ipv6Addr, SocketAddr};

use crate::{
    GroupTemplate, HttpOrigin, KeyTemplate, Pointer, TopicRename, broker, names::Template,
    problem::code, selector::TopicSelector, tokens,
};

/// What a string must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Text {
    /// Anything.
    Any,
    /// A name of a host, plugin or subscription.
    Name,
    /// A topic's name.
    Topic,
    /// A topic's name, or a regular expression of such names.
    TopicSelector,
    /// A pattern of topics.
    TopicPattern,
    /// A pattern of types.
    TypePattern,
    /// A JSON pointer.
    Pointer,
    /// A rule of keys.
    Key,
    /// A rule of keys or `none`.
    KeyOrNone,
    /// An IP address with port.
    Address,
    /// A path.
    Path,
    /// A header's name.
    Header,
    /// Log directives.
    Directives,
    /// A host's name or number, with port.
    Server,
    /// A template of consumer group names.
    Group,
    /// The beginning of transactional ids.
    Prefix,
    /// The name of a property of librdkafka.
    Property,
    /// A type of event.
    Type,
    /// JSON.
    Json,
    /// A pattern of addresses of HTTP.
    Origin,
    /// An address of HTTP, with or without a path.
    Url,
    /// A template of topic names.
    TopicTemplate,
    /// A template of topic names that keeps them apart.
    TopicRename,
    /// The hash of a token.
    TokenHash,
    /// A role of a token.
    Role,
    /// A moment.
    Moment,
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
/// Longest template of group names and longest prefix of transactional ids, in characters: long
/// enough for any scheme of names, short enough for a line of a log.
const VISIBLE_MAX: usize = 128;
/// Longest host name, in characters (source: RFC 1035).
const HOST_MAX: usize = 253;
/// A hash, as an example: of a token that nobody has.
const TOKEN_HASH: &str = "sha256:46b4ca215b89878777d6c1eaf31fd99ae84e7fb0aadc871e52fdd0ae4013d3cc";
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
            Self::Name | Self::Header | Self::Property => code::BAD_NAME,
            Self::Topic | Self::TopicSelector => code::BAD_TOPIC,
            Self::Any
            | Self::TopicPattern
            | Self::TypePattern
            | Self::Pointer
            | Self::Key
            | Self::KeyOrNone
            | Self::Address
            | Self::Path
            | Self::Directives
            | Self::Server
            | Self::Group
            | Self::Type
            | Self::Json
            | Self::Origin
            | Self::Url
            | Self::TopicTemplate
            | Self::TopicRename
            | Self::TokenHash
            | Self::Moment
            | Self::Prefix => code::MALFORMED,
            Self::Role => code::NO_SUCH_CHOICE,
        };
        let reason = format!("\"{}\" is {}", shortened(text), self.misfit(text));
        let instead = self.mend(text).filter(|mended| self.holds(mended));
        Err(Misfit { code, reason, instead })
    }

    /// What a text is that is not one, for "… is".
    fn misfit(self, text: &str) -> String {
        if self.is_expression(text) {
            let cause = TopicSelector::new(text).err().unwrap_or_default();
            return format!("no regular expression: {cause}");
        }
        let meant = if self == Self::TopicSelector { Self::Topic } else { self };
        format!("not {}", meant.describe())
    }

    fn is_expression(self, text: &str) -> bool {
        self == Self::TopicSelector && text.starts_with('^')
    }

    fn holds(self, text: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Name => fits(text, NAME_MAX, is_name),
            Self::Topic => fits(text, TOPIC_MAX, is_topic) && text != "." && text != "..",
            Self::TopicSelector if self.is_expression(text) => TopicSelector::new(text).is_ok(),
            Self::TopicSelector => Self::Topic.holds(text),
            Self::TopicPattern => fits(text, TOPIC_MAX, |c| is_topic(c) || c == '*'),
            Self::TypePattern | Self::Path | Self::Type => !text.is_empty(),
            Self::Json => serde_json::from_str::<serde_json::Value>(text).is_ok(),
            Self::Origin => HttpOrigin::new(text).is_some(),
            Self::Url => is_url(text),
            Self::TopicTemplate => Template::new(text).is_some(),
            Self::TopicRename => TopicRename::new(text).is_some(),
            Self::TokenHash => tokens::digest(text).is_some(),
            Self::Role => tokens::Role::of(text).is_some(),
            Self::Moment => tokens::moment(text).is_some(),
            Self::Pointer => Pointer::new(text).is_some(),
            Self::Key => KeyTemplate::new(text).is_some(),
            Self::KeyOrNone => text == "none" || Self::Key.holds(text),
            Self::Address => text.parse::<SocketAddr>().is_ok(),
            Self::Header => !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic()),
            Self::Directives => text.split(',').all(is_directive),
            Self::Server => is_server(text),
            Self::Group => GroupTemplate::new(text).is_some(),
            Self::Prefix => is_visible(text),
            Self::Property => !text.is_empty() && text.chars().all(is_property),
        }
    }

    /// The strings that were probably meant by one: between its commas, what is one or can be
    /// mended.
    pub(crate) fn mend_each(self, text: &str) -> Vec<String> {
        let mended = |part: &str| match self.check(part) {
            Ok(()) => Some(part.to_owned()),
            Err(misfit) => misfit.instead,
        };
        text.split(',').map(str::trim).filter_map(mended).collect()
    }

    /// What it must be, for "is not …" and the reference page.
    pub(crate) fn describe(self) -> &'static str {
        match self {
            Self::Any => "any text",
            Self::Name => "a name: 1 to 64 of `a-z`, `0-9` and `-`",
            Self::Topic => {
                "a topic name: 1 to 249 of `a-z`, `A-Z`, `0-9`, `.`, `_` and `-`, not `.` or `..`"
            }
            Self::TopicSelector => {
                "a topic name (1 to 249 of `a-z`, `A-Z`, `0-9`, `.`, `_` and `-`, not `.` or \
                 `..`), or a regular expression of such names, which begins with `^` and has up \
                 to 512 characters"
            }
            Self::TopicPattern => {
                "a topic pattern: a topic name in which `*` stands for any run of characters"
            }
            Self::TypePattern => "a pattern: not empty; `*` stands for any run of characters",
            Self::Pointer => "a JSON pointer such as `/customer/id`",
            Self::Key => {
                "a JSON pointer such as `/customer/id`, or text with several in braces such as \
                 `{/tenant}:{/id}`"
            }
            Self::KeyOrNone => {
                "a JSON pointer such as `/customer/id`, text with several in braces such as \
                 `{/tenant}:{/id}`, or `none`"
            }
            Self::Address => "an IP address and port such as `127.0.0.1:8080`",
            Self::Path => "a path: not empty",
            Self::Header => "a header name: not empty, visible ASCII",
            Self::Directives => {
                "a log filter: `off`, `error`, `warn`, `info`, `debug` or `trace`, or such as \
                 `info,gristmill_node=debug`"
            }
            Self::Server => "a host and port such as `kafka:9092`",
            Self::Group => {
                "a template of group names: 1 to 128 visible ASCII characters with \
                 `{subscription}`, and no braces but those of it and of `{name}`"
            }
            Self::Prefix => "a prefix: 1 to 128 visible ASCII characters",
            Self::Property => "a property name: 1 or more of `a-z`, `0-9`, `.`, `_` and `-`",
            Self::Type => "a type: not empty",
            Self::Json => "JSON such as `{ \"status\": \"later\" }`",
            Self::Origin => {
                "an origin such as `https://api.example.com`, without a path; `*.` before the host \
                 stands for all below it, `*` for all hosts, and `:*` for all ports"
            }
            Self::Url => "an address such as `http://registry:8081`",
            Self::TopicTemplate => {
                "a template of topic names: letters of such names and placeholders such as \
                 `{env}.{topic}`, at least one"
            }
            Self::TopicRename => {
                "a template of topic names: letters of such names and `{topic}` once, such as \
                 `west.{topic}`, and no `__` to begin with"
            }
            Self::TokenHash => "a hash: `sha256:` and 64 hexadecimal digits",
            Self::Role => "a role: `read`, `publish` or `operate`",
            Self::Moment => "a moment in RFC 3339 such as `2027-01-31T00:00:00Z`",
        }
    }

    /// A pattern for the JSON Schema, where one says enough.
    pub(crate) fn pattern(self) -> Option<&'static str> {
        match self {
            Self::Name => Some("[a-z0-9-]{1,64}"),
            Self::Topic => Some("[a-zA-Z0-9._-]{1,249}"),
            Self::TopicSelector => Some(r"([a-zA-Z0-9._-]{1,249}|\^.{0,511})"),
            Self::TopicPattern => Some("[a-zA-Z0-9._*-]{1,249}"),
            Self::Pointer => Some("/.*"),
            Self::Key => Some(r"(/.*|.*\{/.*\}.*)"),
            Self::KeyOrNone => Some(r"(none|/.*|.*\{/.*\}.*)"),
            Self::TypePattern | Self::Path | Self::Header | Self::Type => Some(".+"),
            Self::Server => Some("[^ ]+:[0-9]{1,5}"),
            Self::Group => Some(r".*\{subscription\}.*"),
            Self::Prefix => Some("[!-~]{1,128}"),
            Self::Property => Some("[a-z0-9._-]+"),
            Self::Origin => Some("https?://[^/@ ]+"),
            Self::Url => Some("https?://[^/@ ]+.*"),
            Self::TopicTemplate => Some(r"[a-zA-Z0-9._-]*\{[a-z_]+\}.*"),
            Self::TopicRename => Some(r"[a-zA-Z0-9._-]*\{topic\}[a-zA-Z0-9._-]*"),
            Self::TokenHash => Some("sha256:[0-9a-fA-F]{64}"),
            Self::Role => Some("(read|publish|operate)"),
            Self::Any | Self::Address | Self::Directives | Self::Json | Self::Moment => None,
        }
    }

    /// An example.
    pub(crate) fn example(self) -> &'static str {
        match self {
            Self::Any => "value",
            Self::Name | Self::Prefix => "gristmill",
            Self::Topic | Self::TopicSelector => "orders",
            Self::TopicPattern | Self::TypePattern => "orders.*",
            Self::Pointer | Self::Key | Self::KeyOrNone => "/id",
            Self::Address => "127.0.0.1:8080",
            Self::Path => "data",
            Self::Header => "event-id",
            Self::Directives => "info",
            Self::Server => "kafka:9092",
            Self::Group => "{name}-{subscription}",
            Self::Property => "security.protocol",
            Self::Type => "order.placed",
            Self::Json => "{}",
            Self::Origin => "https://api.example.com",
            Self::Url => "http://registry:8081",
            Self::TopicTemplate => "dev.{topic}",
            Self::TopicRename => "west.{topic}",
            Self::TokenHash => TOKEN_HASH,
            Self::Role => "read",
            Self::Moment => "2027-01-31T00:00:00Z",
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
            Self::TopicSelector if text.contains('*') && !self.is_expression(text) => {
                Some(format!("^{}", text.trim().replace('.', r"\.").replace('*', ".*")))
            }
            Self::TopicSelector if self.is_expression(text) => None,
            Self::Topic | Self::TopicSelector => replaced(is_topic, TOPIC_MAX),
            Self::TopicPattern => replaced(|c| is_topic(c) || c == '*', TOPIC_MAX),
            Self::Pointer | Self::Key | Self::KeyOrNone => {
                let path = text.trim_start_matches("$.").trim_start_matches('.');
                (!path.is_empty()).then(|| format!("/{}", path.replace('.', "/")))
            }
            Self::Address => Some(mended_address(text.trim())),
            Self::Directives => {
                let lower = text.trim().to_lowercase();
                Some(if lower == "warning" { "warn".to_owned() } else { lower })
            }
            Self::Server => Some(mended_server(text.trim())),
            Self::Group => Some(broker::mended(text)),
            Self::Prefix => replaced(|c| c.is_ascii_graphic(), VISIBLE_MAX),
            Self::Property => {
                let lower = text.trim().to_lowercase();
                Some(lower.chars().map(|c| if is_property(c) { c } else { '.' }).collect())
            }
            Self::Any
            | Self::TypePattern
            | Self::Path
            | Self::Header
            | Self::Type
            | Self::Json
            | Self::TokenHash
            | Self::TopicTemplate
            | Self::TopicRename
            | Self::Moment => None,
            Self::Role => Some(text.trim().to_lowercase()),
            Self::Origin => {
                let (scheme, rest) =
                    text.trim().split_once("://").unwrap_or(("https", text.trim()));
                let authority = rest.split('/').next().unwrap_or_default();
                Some(format!("{}://{authority}", scheme.to_lowercase()))
            }
            Self::Url => Some(format!("http://{}", text.trim())),
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

/// Without protocol and path, with a port, and in brackets where it is a number with colons.
fn mended_server(text: &str) -> String {
    const PORT: &str = "9092";
    let bare = text.split_once("://").map_or(text, |(_, rest)| rest).trim_end_matches('/');
    if bare.parse::<Ipv6Addr>().is_ok() {
        return format!("[{bare}]:{PORT}");
    }
    let in_brackets = bare.ends_with(']');
    let (host, port) = bare.rsplit_once(':').filter(|_| !in_brackets).unwrap_or((bare, PORT));
    let host = if host.is_empty() { "localhost" } else { host };
    format!("{host}:{}", if is_port(port) { port } else { PORT })
}

/// Whether it is an origin without wildcards, and what follows it has no blanks, no question and no
/// fragment.
fn is_url(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let is_plain = path.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '?' | '#'));
    let origin = format!("{scheme}://{authority}");
    is_plain && !origin.contains('*') && HttpOrigin::new(&origin).is_some()
}

fn is_server(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let numeric = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let holds = match numeric {
        Some(host) => host.parse::<Ipv6Addr>().is_ok(),
        // Made of the letters of topics: `_` is common in names of containers.
        None => fits(host, HOST_MAX, is_topic),
    };
    holds && is_port(port)
}

fn is_port(text: &str) -> bool {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    digits && text.parse::<u16>().is_ok_and(|port| port > 0)
}

/// Whether it is 1 to [`VISIBLE_MAX`] visible ASCII characters.
pub(crate) fn is_visible(text: &str) -> bool {
    fits(text, VISIBLE_MAX, |c| c.is_ascii_graphic())
}

fn is_property(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-')
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
mod tests;

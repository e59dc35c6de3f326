//! Owns what a guest writes to its log: passes it to `tracing`, counts it and cuts it. It never
//! keeps a line.

use std::sync::Arc;

use crate::attempt::Attempt;

/// Longest message kept as the reason of a failure, in bytes.
const LAST_BYTES_MAX: usize = 1_024;

/// The log of one attempt.
#[derive(Debug, Default)]
pub(crate) struct Log {
    bytes: u64,
    cut: bool,
    last_words: Option<String>,
}

/// Severity of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
    /// The guest is about to give up: SDKs report panics so.
    Critical,
}

/// Who logs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) plugin: &'a Arc<str>,
    pub(crate) subscription: &'a Arc<str>,
    pub(crate) event: &'a str,
    pub(crate) attempt: u32,
    /// Most bytes of one attempt.
    pub(crate) bytes_max: u64,
}

impl<'a> Source<'a> {
    pub(crate) fn new(
        (plugin, subscription): (&'a Arc<str>, &'a Arc<str>),
        attempt: &'a Attempt,
        bytes_max: u64,
    ) -> Self {
        let (event, number) = (&**attempt.handled.id(), attempt.number);
        Self { plugin, subscription, event, attempt: number, bytes_max }
    }
}

impl Log {
    /// Passes one line on; past the limit, says so once and drops the rest.
    pub(crate) fn line(&mut self, source: Source<'_>, level: Level, context: &str, text: &str) {
        if level == Level::Critical {
            self.last_words = Some(truncated(text, LAST_BYTES_MAX).to_owned());
        }
        if self.cut {
            return;
        }
        let bytes = u64::try_from(context.len() + text.len()).unwrap_or(u64::MAX);
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > source.bytes_max {
            self.cut = true;
            let limit = source.bytes_max;
            let notice = format!("log cut: an attempt may log {limit} bytes");
            write(source, Level::Warn, "gristmill", &notice);
            return;
        }
        write(source, level, context, text);
    }

    /// The last critical message: what an SDK reports of a panic.
    pub(crate) fn last_words(&self) -> Option<&str> {
        self.last_words.as_deref()
    }
}

/// The longest prefix of `text` within `bytes_max` bytes that ends between two characters.
pub(crate) fn truncated(text: &str, bytes_max: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes_max)).unwrap_or(text)
}

fn write(source: Source<'_>, level: Level, context: &str, message: &str) {
    macro_rules! event {
        ($level:ident) => {
            tracing::event!(
                target: "gristmill::plugin",
                tracing::Level::$level,
                plugin = %source.plugin,
                subscription = %source.subscription,
                event = source.event,
                attempt = source.attempt,
                context,
                "{message}"
            )
        };
    }
    match level {
        Level::Trace => event!(TRACE),
        Level::Debug => event!(DEBUG),
        Level::Info => event!(INFO),
        Level::Warn => event!(WARN),
        Level::Error | Level::Critical => event!(ERROR),
    }
}

#[cfg(test)]
mod tests {
    use super::truncated;

    #[test]
    fn text_is_cut_at_the_limit_and_never_within_a_character() {
        for (text, bytes_max, expected) in [
            ("abcd", 4, "abcd"),
            ("abcde", 4, "abcd"),
            ("abcé", 5, "abcé"),
            ("abcé", 4, "abc"),
            ("é", 0, ""),
        ] {
            assert_eq!(truncated(text, bytes_max), expected, "{text} within {bytes_max}");
        }
    }
}

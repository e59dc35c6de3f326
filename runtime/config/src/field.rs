//! Owns the values that configuration hands on unread: pointers into events and secrets. It never
//! looks into an event and never shows a secret.

use std::{fmt, path::PathBuf};

/// A JSON pointer (RFC 6901) into an event's JSON, such as `/customer/id`. Never empty, so it
/// begins with `/`; `~0` and `~1` stand for `~` and `/`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pointer(String);

impl Pointer {
    /// A pointer from its text, unless that is none.
    pub fn new(text: &str) -> Option<Self> {
        let escapes_hold = text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
        (text.starts_with('/') && escapes_hold).then(|| Self(text.to_owned()))
    }

    /// Its text, as JSON libraries take it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A value that may be secret: it shows itself nowhere.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// Written in the document, or substituted from the environment.
    Text(String),
    /// In a file, absolute or relative to the working directory (the document's folder is
    /// already in it); [`read::secret`](crate::read::secret) reads it.
    File(PathBuf),
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(_) => f.write_str("Text(…)"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Pointer, Secret};

    #[test]
    fn a_pointer_begins_with_a_slash_and_escapes_by_rule() {
        for (text, holds) in [
            ("/eventId", true),
            ("/a/0/b", true),
            ("/a~1b~0c", true),
            ("/", true),
            ("", false),
            ("eventId", false),
            ("/a~2", false),
            ("/a~", false),
        ] {
            assert_eq!(Pointer::new(text).is_some(), holds, "{text}");
        }
    }

    #[test]
    fn a_secret_does_not_show_its_text() {
        let shown = format!("{:?}", Secret::Text("hunter2".to_owned()));
        assert_eq!(shown, "Text(…)");
    }
}

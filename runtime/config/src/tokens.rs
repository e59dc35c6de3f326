//! Owns who an operator admits to the HTTP surface, checked. It never sees a token.

use std::collections::{BTreeMap, BTreeSet};
use std::time::UNIX_EPOCH;

use gristmill_engine::Instant;

use crate::{Glob, TopicNames, problem::code, report::Report, walk::Checked};

/// What a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Look at everything.
    Read,
    /// Publish events and send commands.
    Publish,
    /// Change what runs.
    Operate,
}

impl Role {
    /// The word for it, in configuration and errors.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Publish => "publish",
            Self::Operate => "operate",
        }
    }

    /// The role of that name.
    pub(crate) fn of(name: &str) -> Option<Self> {
        [Self::Read, Self::Publish, Self::Operate].into_iter().find(|role| role.name() == name)
    }
}

/// One token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenConfig {
    /// Its SHA-256.
    pub hash: [u8; 32],
    /// What it may do; not empty.
    pub roles: BTreeSet<Role>,
    /// Topics it may do it to.
    pub topics: Vec<Glob>,
    /// When it ends; `None` for never.
    pub expires: Option<Instant>,
}

impl TokenConfig {
    /// Whether it may use all topics.
    pub fn is_unbounded(&self) -> bool {
        self.topics.iter().any(|pattern| pattern.as_str() == "*")
    }
}

/// Reads `[tokens]`: each by its name.
pub(crate) fn read(
    checked: &Checked,
    names: &TopicNames,
    report: &mut Report<'_>,
) -> BTreeMap<String, TokenConfig> {
    let mut tokens: BTreeMap<String, TokenConfig> = BTreeMap::new();
    for (name, table) in &checked.open {
        let (Some(hash), Some(roles)) = (hash(table), roles(table)) else { continue };
        let twin = tokens.iter().find(|(_, other)| other.hash == hash);
        if let Some((other, _)) = twin {
            let reason = format!("tokens `{other}` and `{name}` are the same: each needs its own");
            report.error(table.place("hash"), code::DUPLICATE, reason, None);
        }
        let expires = table.text_if_any("expires").and_then(moment);
        let topics = table.globs("topics").iter().map(|it| names.pattern(it)).collect();
        tokens.insert(name.clone(), TokenConfig { hash, roles, topics, expires });
    }
    tokens
}

/// `None` where it is missing or wrong, which is reported already.
fn hash(table: &Checked) -> Option<[u8; 32]> {
    table.written("hash").then(|| digest(table.text("hash")))?
}

fn roles(table: &Checked) -> Option<BTreeSet<Role>> {
    let written = table.written("roles").then(|| table.texts("roles"))?;
    Some(written.iter().filter_map(|(role, _)| Role::of(role)).collect())
}

/// The bytes of `sha256:` and 64 hexadecimal digits.
pub(crate) fn digest(text: &str) -> Option<[u8; 32]> {
    let hex = text.strip_prefix("sha256:").filter(|hex| hex.len() == 64 && hex.is_ascii())?;
    let mut bytes = [0; 32];
    for (byte, at) in bytes.iter_mut().zip((0..64).step_by(2)) {
        let digits = hex.get(at..at + 2).filter(|it| !it.starts_with('+'))?;
        *byte = u8::from_str_radix(digits, 16).ok()?;
    }
    Some(bytes)
}

/// A moment in RFC 3339.
pub(crate) fn moment(text: &str) -> Option<Instant> {
    let moment = humantime::parse_rfc3339(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(Instant(u64::try_from(moment.as_millis()).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_of_64_hexadecimal_digits() {
        let hex = "9f".repeat(32);
        assert_eq!(digest(&format!("sha256:{hex}")), Some([0x9f; 32]));
        assert_eq!(digest(&format!("sha256:{}", hex.to_uppercase())), Some([0x9f; 32]));
        for wrong in [
            hex.clone(),
            format!("sha256:{hex}9"),
            format!("sha256:{}", "9f".repeat(31)),
            format!("sha256:{}+f", "9f".repeat(31)),
            format!("sha256:{}xx", "9f".repeat(31)),
            format!("sha256:{}", "é".repeat(32)),
        ] {
            assert_eq!(digest(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_moment_has_a_zone() {
        assert_eq!(moment("1970-01-02T00:00:00Z"), Some(Instant(86_400_000)));
        for wrong in ["", "1970-01-02", "1970-01-02T00:00:00", "1969-12-31T00:00:00Z"] {
            assert_eq!(moment(wrong), None, "{wrong}");
        }
    }
}

//! Asks a registry that speaks the Confluent API. Every call waits, for a bounded time.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine};
use gristmill_outbound::Client;
use serde::Deserialize;

use crate::{Error, Kind, Schema};

/// What the API calls its answers.
const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// How a registry is reached.
#[derive(Clone, PartialEq, Eq)]
pub struct RegistrySettings {
    /// Its address, such as `http://registry:8081`, with a path where it has one.
    pub url: String,
    /// Name and password, where it asks for them.
    pub user: Option<(String, String)>,
    /// Longest wait for one answer.
    pub timeout: Duration,
}

/// A registry.
pub struct Registry {
    client: Client,
    url: String,
    authorization: Option<String>,
}

/// A schema as a registry has it.
#[derive(Debug, Clone)]
pub struct Registered {
    /// Its id in the registry.
    pub id: u32,
    /// Its version among those of its subject; 0 where it was asked for by id.
    pub version: u32,
    /// The schema.
    pub schema: Arc<Schema>,
}

/// Why a registry did not help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// It has no such subject or schema.
    #[error("the registry at {url} has no {what}")]
    Missing {
        /// Its address.
        url: String,
        /// What was asked for.
        what: String,
    },
    /// It refuses who asks.
    #[error("the registry at {url} refuses to tell {what}: it answered {status}")]
    Refused {
        /// Its address.
        url: String,
        /// What was asked for.
        what: String,
        /// Status of its answer.
        status: u16,
    },
    /// No answer came, or one that says nothing.
    #[error("ask the registry at {url} for {what}: {why}")]
    Away {
        /// Its address.
        url: String,
        /// What was asked for.
        what: String,
        /// What happened.
        why: String,
    },
    /// What it has cannot be used.
    #[error("{what} of the registry at {url} cannot be used: {why}")]
    Unusable {
        /// Its address.
        url: String,
        /// What was asked for.
        what: String,
        /// Why.
        why: Error,
    },
}

impl RegistryError {
    /// Stable code, with a page in `docs/errors`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "E0701",
            Self::Refused { .. } => "E0702",
            Self::Away { .. } => "E0703",
            Self::Unusable { .. } => "E0704",
        }
    }
}

/// A schema in the API.
#[derive(Debug, Deserialize)]
struct Answer {
    #[serde(default)]
    id: u32,
    #[serde(default)]
    version: u32,
    schema: String,
    /// Avro is not named.
    #[serde(rename = "schemaType")]
    kind: Option<String>,
    #[serde(default)]
    references: Vec<serde::de::IgnoredAny>,
}

impl Registry {
    /// A registry that is asked from now on. It is not asked yet.
    pub fn new(settings: RegistrySettings) -> Self {
        let RegistrySettings { url, user, timeout } = settings;
        let authorization = user.map(|(name, password)| basic(&name, &password));
        let url = url.trim_end_matches('/').to_owned();
        Self { client: Client::new(timeout), url, authorization }
    }

    /// The newest schema of a subject.
    ///
    /// # Errors
    ///
    /// [`RegistryError`].
    pub fn latest(&self, subject: &str) -> Result<Registered, RegistryError> {
        let what = format!("subject {subject:?}");
        let answer = self.ask(&what, &format!("/subjects/{}/versions/latest", encoded(subject)))?;
        self.read(&what, &answer, None)
    }

    /// The schema of an id.
    ///
    /// # Errors
    ///
    /// [`RegistryError`].
    pub fn by_id(&self, id: u32) -> Result<Registered, RegistryError> {
        let what = format!("schema {id}");
        let answer = self.ask(&what, &format!("/schemas/ids/{id}"))?;
        self.read(&what, &answer, Some(id))
    }

    fn ask(&self, what: &str, path: &str) -> Result<String, RegistryError> {
        let mut headers = vec![("accept", MEDIA_TYPE)];
        headers.extend(self.authorization.as_deref().map(|it| ("authorization", it)));
        let answer = self.client.get(&format!("{}{path}", self.url), &headers);
        let answer = answer.map_err(|away| self.away(what, away.0))?;
        match answer.status {
            200 => String::from_utf8(answer.body)
                .map_err(|error| self.away(what, format!("its answer cannot be read: {error}"))),
            404 => Err(RegistryError::Missing { url: self.url.clone(), what: what.to_owned() }),
            status @ (401 | 403) => {
                Err(RegistryError::Refused { url: self.url.clone(), what: what.to_owned(), status })
            }
            status => Err(self.away(what, format!("it answered {status}"))),
        }
    }

    fn read(&self, what: &str, text: &str, id: Option<u32>) -> Result<Registered, RegistryError> {
        let answer: Answer = serde_json::from_str(text)
            .map_err(|error| self.away(what, format!("its answer cannot be read: {error}")))?;
        let unusable =
            |why| RegistryError::Unusable { url: self.url.clone(), what: what.to_owned(), why };
        if !answer.references.is_empty() {
            let why = "it refers to other schemas, which is not supported";
            return Err(unusable(Error(why.to_owned())));
        }
        let kind = answer.kind.as_deref().map_or(Ok(Kind::Avro), str::parse);
        let schema = kind.and_then(|kind| Schema::new(kind, &answer.schema)).map_err(unusable)?;
        let (id, version) = (id.unwrap_or(answer.id), answer.version);
        Ok(Registered { id, version, schema: Arc::new(schema) })
    }

    fn away(&self, what: &str, why: String) -> RegistryError {
        RegistryError::Away { url: self.url.clone(), what: what.to_owned(), why }
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Registry").field("url", &self.url).finish_non_exhaustive()
    }
}

impl fmt::Debug for RegistrySettings {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url, user, timeout } = self;
        out.debug_struct("RegistrySettings")
            .field("url", url)
            .field("user", &user.as_ref().map(|(name, _)| name))
            .field("timeout", timeout)
            .finish()
    }
}

fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{name}:{password}")))
}

/// A subject as a part of a path (source: RFC 3986, section 2.3).
fn encoded(subject: &str) -> String {
    let mut path = String::with_capacity(subject.len());
    for byte in subject.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            path.push(char::from(byte));
        } else {
            path.extend(format!("%{byte:02X}").chars());
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_parts_of_paths() {
        assert_eq!(encoded("orders-value"), "orders-value");
        assert_eq!(encoded("a/b c:\u{e4}"), "a%2Fb%20c%3A%C3%A4");
    }

    #[test]
    fn secrets_are_not_shown() {
        let user = Some(("reader".to_owned(), "hush".to_owned()));
        let settings = RegistrySettings { url: "http://r".into(), user, timeout: Duration::ZERO };
        let registry = format!("{settings:?} {:?}", Registry::new(settings.clone()));
        assert!(registry.contains("reader") && !registry.contains("hush"), "{registry}");
    }
}

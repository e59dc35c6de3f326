//! Asks a registry that speaks the Confluent API. Every call waits, for a bounded time.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine};
use serde::Deserialize;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Body, http};

use crate::{Error, Kind, Schema};

/// Largest answer read, in bytes: schemas are small.
const ANSWER_BYTES_MAX: u64 = 8 << 20;
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
    agent: Agent,
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
        let config = Agent::config_builder()
            .timeout_global(Some(timeout))
            .http_status_as_error(false)
            .max_redirects(0)
            .tls_config(tls())
            .build();
        let authorization = user.map(|(name, password)| basic(&name, &password));
        let url = url.trim_end_matches('/').to_owned();
        Self { agent: config.into(), url, authorization }
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
        let mut request =
            self.agent.get(format!("{}{path}", self.url)).header("accept", MEDIA_TYPE);
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization);
        }
        let answer = request.call().map_err(|error| self.away(what, error.to_string()))?;
        let status = answer.status().as_u16();
        match status {
            200 => self.text(what, answer),
            404 => Err(RegistryError::Missing { url: self.url.clone(), what: what.to_owned() }),
            401 | 403 => {
                Err(RegistryError::Refused { url: self.url.clone(), what: what.to_owned(), status })
            }
            _ => Err(self.away(what, format!("it answered {status}"))),
        }
    }

    fn text(&self, what: &str, answer: http::Response<Body>) -> Result<String, RegistryError> {
        let mut body = answer.into_body();
        let text = body.with_config().limit(ANSWER_BYTES_MAX).read_to_string();
        text.map_err(|error| self.away(what, error.to_string()))
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

/// Certificates are believed as this machine, or `SSL_CERT_FILE`, says.
fn tls() -> TlsConfig {
    let found = rustls_native_certs::load_native_certs();
    let roots: Vec<Certificate<'static>> =
        found.certs.iter().map(|one| Certificate::from_der(one).to_owned()).collect();
    TlsConfig::builder()
        .root_certs(RootCerts::new_with_certs(&roots))
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build()
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

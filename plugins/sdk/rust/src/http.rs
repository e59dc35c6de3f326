//! Owns the requests a handler makes of others by HTTP: what goes out, what comes back, and how it
//! fails. Who may be called is the manifest's to say.

use std::{error::Error, fmt};

use serde::{Serialize, de::DeserializeOwned};

use crate::{Failure, Header, PayloadError, host::Imports, reject, retry};

/// Makes requests. They are made at once, and again at every attempt: nothing takes them back when
/// the handler fails. The host gives those that change something the same `Idempotency-Key` at
/// every attempt of an event.
#[derive(Debug)]
pub struct Http<'a> {
    pub(crate) imports: &'a mut Imports,
}

/// A request to be sent.
#[derive(Debug)]
pub struct Request<'a> {
    imports: &'a mut Imports,
    pub(crate) call: Call,
}

/// What a request says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Call {
    /// Its method, such as `POST`.
    pub method: String,
    /// Its URL.
    pub url: String,
    /// Its headers, in order.
    pub headers: Vec<Header>,
    /// Its body; empty for none.
    pub body: Vec<u8>,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Response {
    /// Its status, such as 200.
    pub status: u16,
    /// Its headers, in order.
    pub headers: Vec<Header>,
    /// Its body.
    pub body: Vec<u8>,
}

/// Why there is no answer. `?` asks for another attempt where that may help, and rejects the event
/// otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HttpError {
    /// The manifest grants no such address, or no more requests; the text is what to write.
    NotGranted(String),
    /// The request itself is malformed; how.
    Invalid(String),
    /// Nobody answers, or not in time; why.
    Unavailable(String),
}

impl<'a> Http<'a> {
    /// A `GET` of this URL.
    pub fn get(self, url: impl Into<String>) -> Request<'a> {
        self.request("GET", url)
    }

    /// A `POST` to this URL.
    pub fn post(self, url: impl Into<String>) -> Request<'a> {
        self.request("POST", url)
    }

    /// Any request.
    pub fn request(self, method: &str, url: impl Into<String>) -> Request<'a> {
        let call = Call { method: method.to_owned(), url: url.into(), ..Call::default() };
        Request { imports: self.imports, call }
    }
}

impl Request<'_> {
    /// With one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let header = Header { name: name.to_owned(), value: value.as_ref().to_vec() };
        self.call.headers.push(header);
        self
    }

    /// With this body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.call.body = body.into();
        self
    }

    /// With a JSON body.
    ///
    /// # Errors
    ///
    /// When the value has no JSON form.
    pub fn json<T: Serialize + ?Sized>(self, value: &T) -> Result<Self, HttpError> {
        let body = serde_json::to_vec(value).map_err(|it| HttpError::Invalid(it.to_string()))?;
        Ok(self.header("content-type", "application/json").body(body))
    }

    /// Sends it and waits for the whole answer, whatever its status.
    ///
    /// # Errors
    ///
    /// [`HttpError`] when there is none.
    pub fn send(self) -> Result<Response, HttpError> {
        self.imports.http_send(self.call)
    }
}

impl Response {
    /// Whether the status is 200 to 299.
    pub const fn is_success(&self) -> bool {
        self.status >= 200 && self.status < 300
    }

    /// The first header of that name, in any case, where it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let header = self.headers.iter().find(|it| it.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(&header.value).ok()
    }

    /// The body as JSON.
    ///
    /// # Errors
    ///
    /// When it is not JSON of this shape.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, PayloadError> {
        serde_json::from_slice(&self.body).map_err(PayloadError::Json)
    }

    /// The answer itself where its status is a success.
    ///
    /// # Errors
    ///
    /// A retry for 408, 425, 429 and 500 to 599, which may pass, after the seconds that
    /// `Retry-After` says; else a rejection under the code `http-STATUS`.
    pub fn or_fail(self) -> Result<Self, Failure> {
        if self.is_success() {
            return Ok(self);
        }
        let reason = format!("answered with status {}", self.status);
        if !matches!(self.status, 408 | 425 | 429 | 500..=599) {
            return Err(reject(format!("http-{}", self.status), reason));
        }
        let seconds = self.header("retry-after").and_then(|it| it.trim().parse().ok());
        Err(match seconds {
            Some(seconds) => crate::retry_after(std::time::Duration::from_secs(seconds), reason),
            None => retry(reason),
        })
    }
}

impl fmt::Display for HttpError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotGranted(line) => write!(out, "request is not granted; grant: {line}"),
            Self::Invalid(how) => write!(out, "request is malformed: {how}"),
            Self::Unavailable(why) => write!(out, "no answer: {why}"),
        }
    }
}

impl Error for HttpError {}

impl From<HttpError> for Failure {
    fn from(error: HttpError) -> Self {
        match &error {
            HttpError::NotGranted(_) => reject("http-not-granted", error),
            HttpError::Invalid(_) => reject("http-invalid", error),
            HttpError::Unavailable(_) => retry(error),
        }
    }
}

//! Asks a running host over HTTP, and turns whatever comes of it into an answer or a problem. It
//! prints nothing and knows no command.

mod failure;

use std::collections::BTreeMap;
use std::io::{BufReader, Read};
use std::path::PathBuf;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;
use ureq::http::Response;
use ureq::{Agent, Body, RequestBuilder};

pub(crate) use self::failure::{Failure, Refusal};
use crate::problem::Problem;

/// Time for a connection to be made. A host is on this machine or near.
const CONNECT: Duration = Duration::from_secs(5);
/// Longest silence of an answer: more than any heartbeat of a stream, which is at most 10 min.
const SILENCE: Duration = Duration::from_mins(11);
/// Largest answer read whole, in bytes: a page of records is at most 8 MiB before base64.
const ANSWER_BYTES_MAX: u64 = 256 * 1_048_576;

/// Where the host is that a command speaks to.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Remote {
    /// Where the host answers; the content of the data directory's file `address` will do
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "GRISTMILL_URL",
        hide_env_values = true,
        default_value = "http://127.0.0.1:8080"
    )]
    pub(crate) url: String,
    /// A file with the token that the host asks for; without it the environment has one, or none
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) token_file: Option<PathBuf>,
}

/// The token, where no file has it: an argument would be seen by all users of the machine.
const TOKEN: &str = "GRISTMILL_TOKEN";

/// A connection to one host, kept open between requests.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    agent: Agent,
    base: String,
    /// Value of the header `authorization`.
    credentials: Option<String>,
}

/// What the handler of a command replied.
#[derive(Debug)]
pub(crate) struct Replied {
    pub(crate) status: u16,
    /// By name in lower case, where they are text.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

/// One request: its path below the base, and what goes with it.
#[derive(Debug, Default)]
pub(crate) struct Request<'a> {
    pub(crate) path: String,
    pub(crate) query: Vec<(&'a str, String)>,
    pub(crate) headers: Vec<(String, String)>,
}

impl Remote {
    /// The host there, with the token of the environment.
    pub(crate) fn at(url: &str) -> Self {
        Self { url: url.to_owned(), token_file: None }
    }

    /// A client of the host; it connects with the first request.
    pub(crate) fn client(&self) -> Result<Client, Problem> {
        self.client_within(None)
    }

    /// A client whose requests take at most that long.
    pub(crate) fn client_within(&self, most: Option<Duration>) -> Result<Client, Problem> {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            // A proxy for the world outside has no way to the loopback of this machine.
            .proxy(None)
            .timeout_connect(Some(CONNECT))
            .timeout_per_read(Some(SILENCE))
            .timeout_global(most)
            .build();
        let credentials = self.token()?.map(|token| format!("Bearer {token}"));
        Ok(Client { agent: config.new_agent(), base: base(&self.url)?, credentials })
    }

    fn token(&self) -> Result<Option<String>, Problem> {
        let Some(path) = &self.token_file else {
            let given = std::env::var(TOKEN).ok().map(|it| it.trim().to_owned());
            return Ok(given.filter(|it| !it.is_empty()));
        };
        let read = std::fs::read_to_string(path).map_err(|source| {
            Problem::usage("E0569", format!("read the token in {}", path.display())).source(source)
        })?;
        Ok(Some(read.trim().to_owned()))
    }
}

impl Request<'_> {
    pub(crate) fn to(path: impl Into<String>) -> Self {
        Self { path: path.into(), ..Self::default() }
    }
}

impl Client {
    /// Answer of a `GET`.
    pub(crate) fn get(&self, request: Request<'_>) -> Result<Value, Problem> {
        self.get_as(request)
    }

    /// Answer of a `GET`, read as its caller needs it.
    pub(crate) fn get_as<T: DeserializeOwned>(&self, request: Request<'_>) -> Result<T, Problem> {
        let mut response = self.open(request)?;
        Ok(self.whole(&mut response)?)
    }

    /// Answer of a `POST` with a JSON body.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Result<Value, Problem> {
        let mut request = Request::to(path);
        request.headers.push(("content-type".to_owned(), "application/json".to_owned()));
        Ok(self.send(request, body.to_string().as_bytes())?)
    }

    /// Does a `DELETE`.
    pub(crate) fn delete(&self, path: &str) -> Result<(), Problem> {
        let to = self.agent.delete(format!("{}{path}", self.base));
        let answered = self.introduced(to).call();
        self.granted(answered)?;
        Ok(())
    }

    /// Answer of a `DELETE`.
    pub(crate) fn end(&self, path: &str) -> Result<Value, Problem> {
        let to = self.agent.delete(format!("{}{path}", self.base));
        let answered = self.introduced(to).call();
        let mut response = self.granted(answered)?;
        Ok(self.whole(&mut response)?)
    }

    /// Answer of a `POST` with any body.
    pub(crate) fn send(&self, request: Request<'_>, body: &[u8]) -> Result<Value, Failure> {
        let mut response = self.granted(self.posted(request, body))?;
        self.whole(&mut response)
    }

    /// The reply to a command, whatever its status; what is no reply is a refusal.
    pub(crate) fn call(&self, request: Request<'_>, body: &[u8]) -> Result<Replied, Failure> {
        let answered = self.posted(request, body);
        let mut response = answered.map_err(|error| Failure::silent(&self.base, error))?;
        // A reply is an event; what the host says itself is none.
        if !response.headers().contains_key("ce-id") && !response.status().is_success() {
            response = self.granted(Ok(response))?;
        }
        let text = |value: &ureq::http::HeaderValue| value.to_str().map(str::to_owned).ok();
        let headers = response.headers().iter();
        let headers = headers.filter_map(|(name, value)| Some((name.to_string(), text(value)?)));
        let (status, headers) = (response.status().as_u16(), headers.collect());
        Ok(Replied { status, headers, body: self.text(&mut response)? })
    }

    /// The body of a `GET`, to be read as it comes.
    pub(crate) fn stream(
        &self,
        request: Request<'_>,
    ) -> Result<BufReader<impl Read + use<>>, Failure> {
        Ok(BufReader::new(self.open(request)?.into_body().into_reader()))
    }

    /// Answer of a `GET` whatever its status, and the status.
    pub(crate) fn look(&self, path: &str) -> Result<(u16, Value), Failure> {
        let to = self.agent.get(format!("{}{path}", self.base));
        let answered = self.introduced(to).call();
        let mut response = answered.map_err(|error| Failure::silent(&self.base, error))?;
        let status = response.status().as_u16();
        Ok((status, self.whole(&mut response)?))
    }

    fn open(&self, request: Request<'_>) -> Result<Response<Body>, Failure> {
        let to = self.agent.get(format!("{}{}", self.base, request.path));
        self.granted(self.introduced(told(to, request)).call())
    }

    fn posted(&self, request: Request<'_>, body: &[u8]) -> Result<Response<Body>, ureq::Error> {
        let to = self.agent.post(format!("{}{}", self.base, request.path));
        self.introduced(told(to, request)).send(body)
    }

    /// A request that says who sends it.
    fn introduced<B>(&self, to: RequestBuilder<B>) -> RequestBuilder<B> {
        match &self.credentials {
            Some(credentials) => to.header("authorization", credentials),
            None => to,
        }
    }

    /// An answer that grants what was asked; any other is a refusal.
    fn granted(
        &self,
        answered: Result<Response<Body>, ureq::Error>,
    ) -> Result<Response<Body>, Failure> {
        let mut response = answered.map_err(|error| Failure::silent(&self.base, error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status().as_u16();
        let text = response.body_mut().read_to_string().unwrap_or_default();
        Err(Failure::Refused(Refusal::read(&self.base, status, &text)))
    }

    fn whole<T: DeserializeOwned>(&self, response: &mut Response<Body>) -> Result<T, Failure> {
        let text = self.text(response)?;
        serde_json::from_str(&text).map_err(|error| Failure::strange(&self.base, error))
    }

    fn text(&self, response: &mut Response<Body>) -> Result<String, Failure> {
        let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX);
        body.read_to_string().map_err(|error| Failure::broken(&self.base, error))
    }
}

/// A request with what goes with it.
fn told<B>(mut to: RequestBuilder<B>, request: Request<'_>) -> RequestBuilder<B> {
    for (name, value) in request.query {
        to = to.query(name, value);
    }
    for (name, value) in request.headers {
        to = to.header(name, value.as_bytes());
    }
    to
}

/// `text` as one segment of a path.
pub(crate) fn segment(text: &str) -> String {
    use std::fmt::Write as _;

    text.bytes().fold(String::with_capacity(text.len()), |mut path, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            path.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _written = write!(path, "%{byte:02X}");
        }
        path
    })
}

/// The address without a slash at its end; `http://` is understood.
fn base(url: &str) -> Result<String, Problem> {
    let url = url.trim();
    let wrong = |why: &str| {
        Problem::usage("E0557", format!("read the host's address {url:?}: {why}"))
            .hint("write http://HOST:PORT")
    };
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
    let rest = rest.trim_end_matches('/');
    match scheme {
        "http" if rest.is_empty() => Err(wrong("it names no host")),
        "http" => Ok(format!("http://{rest}")),
        "https" => Err(wrong("https is not spoken; a proxy in front of the host may end it")),
        _ => Err(wrong("it is not http")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_http_with_or_without_saying_so() {
        for (url, holds) in [
            ("http://127.0.0.1:8080/", Some("http://127.0.0.1:8080")),
            ("127.0.0.1:1\n", Some("http://127.0.0.1:1")),
            ("https://a", None),
            ("ftp://a", None),
            ("http://", None),
            ("", None),
        ] {
            assert_eq!(base(url).ok().as_deref(), holds, "{url:?}");
        }
    }

    #[test]
    fn a_segment_stays_one() {
        assert_eq!(segment("orders.v1-x_y"), "orders.v1-x_y");
        assert_eq!(segment("a/b?c%é"), "a%2Fb%3Fc%25%C3%A9");
    }
}

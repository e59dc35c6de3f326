//! Plays somebody whom a plugin calls by HTTP: notes every request, and answers as it is told. It
//! speaks as much HTTP/1.1 as that takes, in the clear or over TLS.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::{Context, Result};
use openssl::pkey::PKey;
use openssl::ssl::{SslAcceptor, SslMethod};
use openssl::x509::X509;

use super::certificates::Issued;

/// A request as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Its method.
    pub method: String,
    /// Its path, with the query.
    pub path: String,
    /// Its headers, by name in lower case.
    pub headers: BTreeMap<String, String>,
    /// Its body.
    pub body: String,
}

impl Asked {
    /// A header, empty where there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The next request of a connection.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub(crate) fn read(stream: &mut impl BufRead) -> Result<Self> {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let mut words = line.split_whitespace();
        let method = words.next().context("a request has no method")?.to_owned();
        let path = words.next().context("a request has no path")?.to_owned();
        let mut headers = BTreeMap::new();
        loop {
            let mut line = String::new();
            stream.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        let length = headers.get("content-length").map_or(Ok(0), |it| it.parse::<usize>())?;
        let mut body = vec![0; length];
        stream.read_exact(&mut body)?;
        Ok(Self { method, path, headers, body: String::from_utf8_lossy(&body).into_owned() })
    }
}

/// Somebody who is called. What it listens with ends with the process.
#[derive(Debug)]
pub struct Stub {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    asked: Vec<Asked>,
    /// Statuses of the next answers; 200 once there are none.
    statuses: VecDeque<u16>,
    /// Whether it listens and says nothing.
    is_silent: bool,
}

impl Stub {
    /// Listens on a port of its own.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn start() -> Result<Self> {
        Self::on("127.0.0.1:0")
    }

    /// Listens there.
    ///
    /// # Errors
    ///
    /// When somebody does already.
    pub fn on(address: &str) -> Result<Self> {
        Self::serve(address, answer)
    }

    /// The same over TLS, as who the certificate says.
    ///
    /// # Errors
    ///
    /// When the library does not take it.
    pub fn with_tls(issued: &Issued) -> Result<Self> {
        let mut building = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls())?;
        let key = PKey::private_key_from_pem(issued.key.as_bytes())?;
        let certificate = X509::from_pem(issued.certificate.as_bytes())?;
        building.set_private_key(&key)?;
        building.set_certificate(&certificate)?;
        let acceptor = building.build();
        Self::serve("127.0.0.1:0", move |stream, state| {
            // Who does not believe it hangs up.
            match acceptor.accept(stream) {
                Ok(stream) => answer(stream, state),
                Err(_) => Ok(()),
            }
        })
    }

    fn serve(
        address: &str,
        answer: impl Fn(TcpStream, &Mutex<State>) -> Result<()> + Send + Sync + 'static,
    ) -> Result<Self> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let state = Arc::new(Mutex::new(State::default()));
        let (answer, shared) = (Arc::new(answer), Arc::clone(&state));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answer, state) = (Arc::clone(&answer), Arc::clone(&shared));
                // A caller that went away is none of the test's concern: it counts what came.
                thread::spawn(move || drop(answer(stream, &state)));
            }
        });
        Ok(Self { address, state })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        lock(&self.state).asked.clone()
    }

    /// Has the next requests answered with these statuses, and those after with 200.
    pub fn answer_with(&self, statuses: &[u16]) {
        lock(&self.state).statuses.extend(statuses);
    }

    /// Has it listen and say nothing, or speak again.
    pub fn be_silent(&self, is_silent: bool) {
        lock(&self.state).is_silent = is_silent;
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads one request, notes it and answers it.
fn answer(stream: impl Read + Write, state: &Mutex<State>) -> Result<()> {
    let mut stream = BufReader::new(stream);
    let asked = Asked::read(&mut stream)?;
    let body = format!("{{\"path\":{:?},\"body\":{:?}}}", asked.path, asked.body);
    let (status, is_silent) = {
        let mut state = lock(state);
        state.asked.push(asked);
        (state.statuses.pop_front().unwrap_or(200), state.is_silent)
    };
    if is_silent {
        // Until the caller gives up.
        stream.read_to_end(&mut Vec::new())?;
        return Ok(());
    }
    let head = format!(
        "HTTP/1.1 {status} As told\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n",
        body.len()
    );
    let stream = stream.get_mut();
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())?;
    stream.flush()?;
    Ok(())
}

//! Plays everybody whom the five systems call: mail services, payment providers, a credit bureau.
//! One request in a hundred fails at first. It speaks as much HTTP/1.1 as a host does, over
//! connections that stay.

use std::collections::HashMap;
use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::Result;
use serde_json::{Value, json};

use super::expected;
use crate::support::stub::Asked;

/// One in so many requests fails, once or twice.
const FAILING: u64 = 100;
/// Callers that wait to be heard. The standard library's 128 are too few.
const CALLERS_MAX: u32 = 4_096;
/// What a party answers that has a bad moment.
const AWAY: (u16, &str) = (503, r#"{"error":"a bad moment"}"#);

/// Somebody who is called. What it listens with ends with the process.
#[derive(Debug)]
pub(super) struct Party {
    address: SocketAddr,
    taken: Arc<Mutex<Taken>>,
}

/// What was asked so far.
#[derive(Debug, Default, Clone)]
pub(super) struct Taken {
    /// By idempotency key.
    pub(super) by_key: HashMap<String, Request>,
    /// Requests without an idempotency key.
    pub(super) nameless: u64,
}

/// A request, however often it came.
#[derive(Debug, Clone)]
pub(super) struct Request {
    /// Which call it is.
    pub(super) call: u64,
    /// How often it came.
    pub(super) attempts: u64,
    /// Path and body.
    pub(super) asked: String,
}

impl Party {
    /// Listens.
    ///
    /// # Errors
    ///
    /// When it cannot.
    pub(super) fn start() -> Result<Self> {
        let listener = listener()?;
        let address = listener.local_addr()?;
        let taken = Arc::new(Mutex::new(Taken::default()));
        let shared = Arc::clone(&taken);
        thread::Builder::new().name("party".to_owned()).spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                // A caller that goes away ends its thread; what it asked is noted.
                thread::spawn(move || drop(serve(&stream, &shared)));
            }
        })?;
        Ok(Self { address, taken })
    }

    /// Where it listens.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What was asked so far.
    pub(super) fn taken(&self) -> Taken {
        lock(&self.taken).clone()
    }
}

/// Listens for as many at once as a host has attempts that call: those that find the queue full ask
/// again a second later, and after three seconds more.
fn listener() -> Result<TcpListener> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let listener = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        socket.listen(CALLERS_MAX)?.into_std()
    })?;
    listener.set_nonblocking(false)?;
    Ok(listener)
}

fn lock(taken: &Mutex<Taken>) -> MutexGuard<'_, Taken> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How often a call fails before it is taken.
pub(super) fn failures(call: u64) -> u64 {
    if call.is_multiple_of(FAILING) { 1 + call / FAILING % 2 } else { 0 }
}

fn serve(stream: &TcpStream, taken: &Mutex<Taken>) -> Result<()> {
    stream.set_nodelay(true)?;
    let (mut reader, mut writer) = (BufReader::new(stream), stream);
    loop {
        let asked = Asked::read(&mut reader)?;
        let (status, answer) = take(&asked, taken);
        let length = answer.len();
        let text = format!(
            "HTTP/1.1 {status} As told\r\ncontent-type: application/json\r\n\
             content-length: {length}\r\n\r\n{answer}"
        );
        writer.write_all(text.as_bytes())?;
    }
}

fn take(asked: &Asked, taken: &Mutex<Taken>) -> (u16, String) {
    let body: Value = serde_json::from_str(&asked.body).unwrap_or_default();
    let call = expected::call(&asked.path, &body);
    let key = asked.header("idempotency-key");
    let mut taken = lock(taken);
    taken.nameless += u64::from(key.is_empty());
    let request = taken.by_key.entry(key.to_owned()).or_insert_with(|| {
        let asked = format!("{} {}", asked.path, asked.body);
        Request { call, attempts: 0, asked }
    });
    request.attempts += 1;
    // A key stands for one request alone: another one under it is never taken.
    if request.call != call || request.attempts <= failures(call) {
        return (AWAY.0, AWAY.1.to_owned());
    }
    let (status, answer) = answer(&asked.path, &body);
    (status, answer.to_string())
}

/// The rules of the parties of the five examples together.
fn answer(path: &str, body: &Value) -> (u16, Value) {
    let begins =
        |field: &str, with: &str| body[field].as_str().is_some_and(|value| value.starts_with(with));
    match path {
        "/credit-checks" => (200, json!({ "approved": !begins("tenantId", "initech") })),
        "/payments" if begins("method", "stolen-card") => (402, json!({ "error": "declined" })),
        "/payments" if begins("card", "card-without-funds") => {
            (402, json!({ "reason": "no funds" }))
        }
        "/payments" if begins("userId", "mallory") => {
            (402, json!({ "reason": "the card is blocked" }))
        }
        "/mail" | "/mails" if begins("to", "gone") => (422, json!({ "error": "nobody is there" })),
        "/mail" => (202, json!({ "accepted": true })),
        _ => (200, json!({})),
    }
}

//! Does what its event's payload says, line by line, and emits one answer per line to the topic
//! `answers`. A timer's payload is obeyed the same way. Lines:
//!
//! `echo`, `get NAME`, `set NAME BYTES [TTL]`, `delete NAME`, `list PREFIX LIMIT [CURSOR]`,
//! `emit TOPIC BYTES [HEADER]`, `tell TOPIC WORDS` (emits them, with `;` for the end of a line),
//! `key KEY TOPIC WORDS` (the same under a key), `timer NAME DUE BYTES`, `cancel NAME`,
//! `config [KEY]`, `log LEVEL TEXT`, `retry`, `reject`, `spin MILLIONS`.

wit_bindgen::generate!({ path: "../../../wit", world: "timed-handler", generate_all });

use exports::gristmill::plugin::{event_handler, timer_handler};
use gristmill::plugin::{
    publish::{Emission, emit},
    state, timers,
    types::{Event, Failure, Header, Rejection, RetryAdvice, Timer},
};
use wasi::{
    config::store,
    logging::logging::{Level, log},
};

struct Handler;

export!(Handler);

impl event_handler::Guest for Handler {
    fn handle(event: Event) -> Result<(), Failure> {
        let echo = format!("{event:?}");
        obey(&String::from_utf8_lossy(&event.payload), &echo)
    }
}

impl timer_handler::Guest for Handler {
    fn on_timer(timer: Timer) -> Result<(), Failure> {
        let echo = format!("{timer:?}");
        obey(&String::from_utf8_lossy(&timer.payload), &echo)
    }
}

fn obey(script: &str, echo: &str) -> Result<(), Failure> {
    for line in script.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let answer = match words.as_slice() {
            ["echo"] => echo.to_owned(),
            ["get", name] => match state::get(name) {
                Ok(value) => format!("{:?}", value.map(|value| value.len())),
                Err(error) => format!("{error:?}"),
            },
            ["set", name, bytes] => format!("{:?}", state::set(name, &filled(bytes), None)),
            ["set", name, bytes, ttl] => {
                format!("{:?}", state::set(name, &filled(bytes), Some(number(ttl))))
            }
            ["delete", name] => format!("{:?}", state::delete(name)),
            ["list", prefix, limit] => list(prefix, None, limit),
            ["list", prefix, limit, cursor] => list(prefix, Some((*cursor).to_owned()), limit),
            ["emit", topic, bytes] => format!("{:?}", emit(&emission(topic, filled(bytes), &[]))),
            ["emit", topic, bytes, header] => {
                format!("{:?}", emit(&emission(topic, filled(bytes), &[header])))
            }
            ["tell", topic, told @ ..] => {
                format!("{:?}", emit(&emission(topic, spoken(told), &[])))
            }
            ["key", key, topic, told @ ..] => {
                let key = Some(key.as_bytes().to_vec());
                let keyed = Emission { key, ..emission(topic, spoken(told), &[]) };
                format!("{:?}", emit(&keyed))
            }
            ["timer", name, due, bytes] => {
                format!("{:?}", timers::set(name, number(due), &filled(bytes)))
            }
            ["cancel", name] => format!("{:?}", timers::cancel(name)),
            ["config"] => format!("{:?}", store::get_all()),
            ["config", key] => format!("{:?}", store::get(key)),
            ["log", level, text] => {
                log(severity(level), "puppet", text);
                continue;
            }
            ["retry"] => {
                let advice = RetryAdvice { reason: "as asked".to_owned(), after_ms: None };
                return Err(Failure::Retry(advice));
            }
            ["reject"] => {
                let rejection = Rejection { reason: "as asked".to_owned(), code: None };
                return Err(Failure::Reject(rejection));
            }
            ["spin", millions] => {
                for turn in 0..number(millions) * 1_000_000 {
                    std::hint::black_box(turn);
                }
                continue;
            }
            _ => panic!("no such line: {line}"),
        };
        emit(&emission("answers", answer.into_bytes(), &[])).expect("answers are granted");
    }
    Ok(())
}

fn list(prefix: &str, cursor: Option<String>, limit: &str) -> String {
    match state::list_names(prefix, cursor.as_deref(), number(limit) as u32) {
        Ok(page) => format!("{} {:?}", page.names.join(","), page.cursor),
        Err(error) => format!("{error:?}"),
    }
}

fn emission(topic: &str, payload: Vec<u8>, headers: &[&str]) -> Emission {
    let header = |name: &&str| Header { name: (*name).to_owned(), value: b"v".to_vec() };
    Emission {
        topic: topic.to_owned(),
        type_: "t".to_owned(),
        version: None,
        subject: None,
        key: None,
        payload,
        content_type: None,
        headers: headers.iter().map(header).collect(),
        correlation_id: None,
    }
}

fn spoken(words: &[&str]) -> Vec<u8> {
    words.join(" ").replace(';', "\n").into_bytes()
}

fn filled(bytes: &str) -> Vec<u8> {
    vec![b'z'; number(bytes) as usize]
}

fn number(text: &str) -> u64 {
    text.parse().expect("a number")
}

fn severity(level: &str) -> Level {
    match level {
        "trace" => Level::Trace,
        "debug" => Level::Debug,
        "info" => Level::Info,
        "warn" => Level::Warn,
        "error" => Level::Error,
        _ => Level::Critical,
    }
}

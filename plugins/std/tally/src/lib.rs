//! Numbers the events of each key and publishes each with its number, so that anyone who knows the
//! input can tell what must come out. Events can ask it to fail, to reject or to set a timer. With
//! `step` in its configuration it counts wrong, by that many.

use std::time::Duration;

use gristmill_plugin::{Emission, Event, Host, Outcome, Timer, export, reject, retry};
use serde::{Deserialize, Serialize};

export!(handle, on_timer);

/// What an event asks for.
#[derive(Debug, Deserialize)]
struct Entry {
    id: String,
    /// Attempts that fail before one succeeds.
    #[serde(default)]
    fails: u32,
    /// Whether it is rejected for good.
    #[serde(default)]
    poison: bool,
    /// Sets a timer this many milliseconds after the event's timestamp.
    timer_ms: Option<u64>,
}

/// What comes out: one per event or timer that succeeded.
#[derive(Debug, Serialize)]
struct Numbered<'a> {
    id: &'a str,
    /// 1 for the first of its key.
    number: u64,
}

fn handle(event: &Event, host: &mut Host) -> Outcome {
    let entry: Entry = event.json()?;
    if entry.poison {
        return Err(reject("poison", "the event asked to be rejected"));
    }
    if event.attempt <= entry.fails {
        return Err(retry(format!("the event asked to fail {} times", entry.fails)));
    }
    if let Some(delay) = entry.timer_ms {
        let due = event.timestamp.after(Duration::from_millis(delay));
        host.timers().set(&entry.id, due, [])?;
    }
    number(&entry.id, host)
}

fn on_timer(timer: &Timer, host: &mut Host) -> Outcome {
    number(&format!("timer:{}", timer.name), host)
}

fn number(id: &str, host: &mut Host) -> Outcome {
    let step = host.config().get("step")?.and_then(|step| step.parse().ok()).unwrap_or(1);
    let number = host.state().get_json::<u64>("count")?.unwrap_or(0) + step;
    host.state().set_json("count", &number)?;
    let to: String = host.config().require("to")?;
    host.emit(Emission::json(to, "tally.numbered", &Numbered { id, number })?)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use gristmill_plugin::testing::{TestHost, event};

    use super::*;

    #[test]
    fn events_and_timers_of_a_key_are_numbered_in_turn() {
        let mut host = TestHost::new().with_config("to", "out");
        for payload in [r#"{"id":"a","timer_ms":5}"#, r#"{"id":"b"}"#] {
            host.handle(handle, &event("in", payload).with_key("k")).unwrap();
        }
        host.fire(on_timer, "k", "a").unwrap();
        let published: Vec<_> = host.emissions().iter().map(|it| it.payload.clone()).collect();
        let expected = [
            r#"{"id":"a","number":1}"#,
            r#"{"id":"b","number":2}"#,
            r#"{"id":"timer:a","number":3}"#,
        ];
        assert_eq!(published, expected.map(|text| text.as_bytes().to_vec()));
    }

    #[test]
    fn it_fails_as_asked() {
        let mut host = TestHost::new().with_config("to", "out");
        let mut asked = event("in", r#"{"id":"a","fails":1}"#).with_key("k");
        assert!(host.handle(handle, &asked).is_err());
        asked.attempt = 2;
        host.handle(handle, &asked).unwrap();
        let poison = event("in", r#"{"id":"b","poison":true}"#).with_key("k");
        assert_eq!(host.handle(handle, &poison).unwrap_err().code(), Some("poison"));
    }
}

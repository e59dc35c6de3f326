//! Waits as its event asks for and then tells that it did. It stands for every handler that waits
//! for somebody else.

mod clock;

use std::time::Duration;

use gristmill_plugin::{Emission, Event, Host, Outcome};
use serde::{Deserialize, Serialize};

gristmill_plugin::export!(handle);

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wait {
    event_id: String,
    wait_ms: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Waited {
    event_id: String,
}

/// Handles one event.
///
/// # Errors
///
/// Rejects what is no such event (`payload`).
fn handle(event: &Event, host: &mut Host) -> Outcome {
    let wait: Wait = event.json()?;
    clock::wait(Duration::from_millis(wait.wait_ms));
    let to: String = host.config().require("to")?;
    host.emit(Emission::json(to, "wait.over", &Waited { event_id: wait.event_id })?)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use gristmill_plugin::testing::{TestHost, event};

    use super::*;

    #[test]
    fn it_tells_what_it_waited_for() {
        let mut host = TestHost::new().with_config("to", "out");
        let asked = event("in", r#"{"eventId":"e","waitMs":1}"#).with_key("k");
        host.handle(handle, &asked).expect("it is such an event");
        assert_eq!(host.emissions()[0].payload, br#"{"eventId":"e"}"#);
    }
}

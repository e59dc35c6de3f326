//! Counts events per key and window, and publishes each window's count when it is over. With
//! windows of no length it counts events per key alone, for comparison. It looks into no payload.

use std::time::Duration;

use gristmill_plugin::windows::{Count, Tumbling, Window};
use gristmill_plugin::{Emission, Event, Failure, Host, Outcome, Timer, export};
use serde::Serialize;

/// How long after its window an event may come.
const LATENESS: Duration = Duration::from_secs(8);

export!(handle, on_timer);

/// What is published of a window.
#[derive(Debug, Serialize)]
struct Counted {
    /// In milliseconds since 1970.
    start: u64,
    revision: u64,
    count: u64,
}

fn handle(event: &Event, host: &mut Host) -> Outcome {
    if let Some(windows) = windows(host)? {
        return windows.add(event, host, ());
    }
    let count = host.state().get_json::<u64>("count")?.unwrap_or(0) + 1;
    Ok(host.state().set_json("count", &count)?)
}

fn on_timer(timer: &Timer, host: &mut Host) -> Outcome {
    match windows(host)? {
        Some(windows) => windows.on_timer(timer, host).map(drop),
        None => Ok(()),
    }
}

/// The windows that the manifest asks for, if any.
fn windows(host: &Host) -> Result<Option<Tumbling<Count>>, Failure> {
    let length = Duration::from_millis(host.config().require("window_ms")?);
    if length.is_zero() {
        return Ok(None);
    }
    Ok(Some(Tumbling::new("counts", length, tell).lateness(LATENESS)))
}

fn tell(window: &Window<u64>, host: &mut Host) -> Outcome {
    let to: String = host.config().require("to")?;
    let (start, revision, count) = (window.start.as_millis(), window.revision, window.value);
    let counted = Counted { start, revision, count };
    Ok(host.emit(Emission::json(to, "window.counted", &counted)?)?)
}

#[cfg(test)]
mod tests {
    use gristmill_plugin::testing::{EVENT_TIME, TestHost, event};

    use super::*;

    fn run(window_ms: &str) -> TestHost {
        let mut host = TestHost::new().with_config("to", "out").with_config("window_ms", window_ms);
        for second in 0..5 {
            let time = EVENT_TIME.after(Duration::from_secs(second));
            let event = event("in", "").with_key("k").with_time(time);
            host.handle(handle, &event).unwrap();
        }
        host.advance(on_timer, EVENT_TIME.after(Duration::from_mins(1))).unwrap();
        host
    }

    #[test]
    fn windows_are_counted_when_they_are_over() {
        let host = run("2000");
        let counts = host.emissions().iter().map(|it| {
            let text = String::from_utf8_lossy(&it.payload).into_owned();
            text.split_once("\"count\":").unwrap().1.to_owned()
        });
        assert_eq!(counts.collect::<Vec<_>>(), ["2}", "2}", "1}"]);
    }

    #[test]
    fn without_windows_keys_are_counted() {
        let host = run("0");
        assert_eq!(host.emissions(), []);
        assert_eq!(host.state_json::<u64>("k", "count"), Some(5));
    }
}

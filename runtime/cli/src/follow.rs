//! Follows what a host does for long to its end, and ends it at Ctrl-C. It judges nothing.

use std::thread;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::oneshot;

use crate::answer::{list, text};
use crate::output::Output;
use crate::problem::Problem;
use crate::remote::{Client, Request};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(200);

/// Says in one line how far it is.
pub(crate) type Line = fn(&Value) -> String;

/// What is told of it when it has ended.
pub(crate) fn to_its_end(
    client: &Client,
    path: &str,
    output: &Output,
    line: Line,
) -> Result<Value, Problem> {
    let (sender, ended) = oneshot::channel();
    let (own, place, to) = (client.clone(), path.to_owned(), output.clone());
    // Asking blocks; Ctrl-C is heard beside it.
    thread::spawn(move || drop(sender.send(watch(&own, &place, &to, line))));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Problem::environment("E0554", "listen for signals").source(error))?;
    runtime.block_on(async {
        tokio::pin!(ended);
        tokio::select! {
            told = &mut ended => return told.unwrap_or_else(|_gone| Err(gone())),
            _ = tokio::signal::ctrl_c() => {}
        }
        client.end(path)?;
        ended.await.unwrap_or_else(|_gone| Err(gone()))
    })
}

fn gone() -> Problem {
    Problem::environment("E0575", "follow what the host does")
        .hint("it goes on; a GET of its path tells how far it is")
}

fn watch(client: &Client, path: &str, output: &Output, line: Line) -> Result<Value, Problem> {
    let mut after = 0_usize;
    loop {
        let mut request = Request::to(path);
        if after > 0 {
            request.query.push(("after", after.to_string()));
        }
        let mut answer = client.get(request)?;
        let shown = list(&answer, "shown");
        after = after.saturating_add(shown.len());
        output.progress("");
        let is_read = shown.iter().all(|effect| output.stream(&effect.to_string()));
        output.progress(&line(&answer));
        let is_over = text(&answer, "status") != "running" || !is_read;
        if shown.is_empty() || !is_read {
            if is_over {
                output.progress("");
                if let Some(members) = answer.as_object_mut() {
                    members.remove("shown");
                }
                return Ok(answer);
            }
            thread::sleep(LOOK);
        }
    }
}

/// How far it is: `[#####...............] 27 %  270 events`.
pub(crate) fn bar(done: u64, all: u64) -> String {
    let share =
        |parts: u64| done.saturating_mul(parts).checked_div(all).unwrap_or(parts).min(parts);
    let cells: String = (0..20).map(|cell| if cell < share(20) { '#' } else { '.' }).collect();
    format!("[{cells}] {} %  {done} events", share(100))
}

#[cfg(test)]
mod tests {
    use super::bar;

    #[test]
    fn a_bar_shows_what_is_done_of_all() {
        for (done, all, expected) in [
            (270, 1_000, "[#####...............] 27 %  270 events"),
            (1_001, 1_000, "[####################] 100 %  1001 events"),
            (0, 0, "[####################] 100 %  0 events"),
        ] {
            assert_eq!(bar(done, all), expected);
        }
    }
}

//! Follows a topic, over lost connections and restarts of the host, without a gap.

use std::io::BufRead;
use std::time::Duration;

use serde_json::Value;

use super::sse::{Frame, Parser};
use super::{Args, Partition, Printer};
use crate::answer::number;
use crate::event::Event;
use crate::problem::Problem;
use crate::remote::{Client, Failure, Request, segment};

/// Time before a lost host is asked again, as its streams propose.
const AGAIN: Duration = Duration::from_secs(1);

/// Follows until the printer has enough.
pub(super) fn run(
    client: &Client,
    args: &Args,
    partitions: &[Partition],
    printer: Printer,
) -> Result<(), Problem> {
    let mut follower = Follower { args, parser: Parser::default(), printer };
    if args.from.as_deref().is_none_or(|from| from == "latest") && !partitions.is_empty() {
        // Named at once: a connection that breaks before its first event loses nothing.
        let ends: Vec<String> =
            partitions.iter().map(|it| format!("{}:{}", it.number, it.end)).collect();
        follower.parser.last_id = Some(ends.join(","));
    }
    let mut is_first = true;
    loop {
        match follower.connection(client) {
            Ok(Ending::Enough) => return Ok(()),
            Ok(Ending::Lost) => {}
            Err(failure) if is_first => return Err(failure.into()),
            Err(Failure::Refused(refusal)) if refusal.status < 500 => return Err(refusal.into()),
            Err(_still_gone) => {
                std::thread::sleep(AGAIN);
                continue;
            }
        }
        is_first = false;
        follower.printer.output.note("the connection is lost: resuming where it was");
        std::thread::sleep(AGAIN);
    }
}

enum Ending {
    Enough,
    Lost,
}

struct Follower<'a> {
    args: &'a Args,
    parser: Parser,
    printer: Printer,
}

impl Follower<'_> {
    /// Reads one connection to its end.
    fn connection(&mut self, client: &Client) -> Result<Ending, Failure> {
        let mut reader = client.stream(self.request())?;
        self.parser.restart();
        let mut line = Vec::new();
        loop {
            line.clear();
            match reader.read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => return Ok(Ending::Lost),
                Ok(_) => {}
            }
            let text = String::from_utf8_lossy(&line);
            let frame = self.parser.line(text.trim_end_matches(['\n', '\r']));
            if frame.is_some_and(|frame| !self.frame(frame)) {
                return Ok(Ending::Enough);
            }
        }
    }

    fn request(&self) -> Request<'static> {
        let Args { topic, from, partition, kind, .. } = self.args;
        let mut request = Request::to(format!("/topics/{}/events", segment(topic)));
        let query = [
            ("from", from.clone()),
            ("partition", partition.map(|partition| partition.to_string())),
            ("type", kind.clone()),
        ];
        let given = query.into_iter().filter_map(|(name, value)| Some((name, value?)));
        request.query.extend(given);
        if let Some(id) = &self.parser.last_id {
            request.headers.push(("last-event-id".to_owned(), id.clone()));
        }
        request
    }

    /// Shows what came; false when no more is wanted.
    fn frame(&mut self, frame: Frame) -> bool {
        match frame.kind.as_str() {
            "" => Event::read(frame.data).is_none_or(|event| self.printer.print(&event)),
            "gap" => {
                self.printer.output.note(gap(&frame.data));
                true
            }
            "error" => {
                let told: Value = serde_json::from_str(&frame.data).unwrap_or_default();
                let word = |name| told.pointer(name).and_then(Value::as_str).unwrap_or_default();
                let (code, message) = (word("/error/code"), word("/error/message"));
                self.printer.output.note(format!("the host ends the stream: [{code}] {message}"));
                true
            }
            _ => true,
        }
    }
}

fn gap(data: &str) -> String {
    let gap: Value = serde_json::from_str(data).unwrap_or_default();
    let of = |name| number(&gap, name).unwrap_or_default();
    format!(
        "partition {}: offsets {} to {} are gone, retention removed them before they were read",
        of("partition"),
        of("from"),
        of("to").saturating_sub(1)
    )
}

//! Publishes events to a topic of a running host: one per line of its input, in order. It says of
//! every line whether it was taken.

mod line;
mod sender;
mod tally;

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::PathBuf;

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

use self::line::Reading;
use self::sender::Sender;
use self::tally::Tally;
use crate::exit::Exit;
use crate::output::Output;
use crate::problem::Problem;
use crate::remote::Remote;

/// Input read ahead, in bytes. What is in it goes out in batches.
const READ_AHEAD: usize = 1_048_576;
/// Events before a progress bar is worth its line.
const PROGRESS_FROM: u64 = 100;

/// What `gristmill produce` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The topic
    topic: String,
    /// Key of every event: equal keys keep their order
    #[arg(long, conflicts_with = "json_key")]
    key: Option<String>,
    /// Where the key of each event is: a JSON pointer into it, such as /customerId
    #[arg(long, value_name = "POINTER", value_parser = pointer)]
    json_key: Option<String>,
    /// Type of the events, which makes CloudEvents of those that are none; they go in batches
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// Source of the events that --type makes CloudEvents of
    #[arg(long, value_name = "URI", default_value = "/gristmill/produce")]
    source: String,
    /// Header of every event; may be repeated
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
    /// Reads this file instead of standard input
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Takes the whole input as one event, instead of every line
    #[arg(long)]
    whole: bool,
    #[command(flatten)]
    remote: Remote,
}

/// Publishes until the input ends.
///
/// # Errors
///
/// When the input cannot be read, no host answers, or it refuses.
pub(crate) fn run(args: &Args, output: &Output) -> anyhow::Result<Exit> {
    let client = args.remote.client()?;
    let reading = Reading {
        json_key: args.json_key.as_deref(),
        kind: args.kind.as_deref(),
        source: &args.source,
    };
    let mut headers = Vec::new();
    for (name, value) in &args.headers {
        headers.push((format!("x-header-{name}"), value.clone()));
    }
    let mut sender = Sender::new(&client, &args.topic, args.key.as_deref(), headers);
    let mut tally = Tally::new(output.clone());
    let bar = progress();
    let stopped = pump(args, &reading, &mut sender, (&mut tally, &bar)).err();
    bar.finish_and_clear();
    tally.finish(&args.topic, stopped)
}

/// Sends every line. An error ends it: what was not sent before is not sent at all.
fn pump(
    args: &Args,
    reading: &Reading<'_>,
    sender: &mut Sender<'_>,
    (tally, bar): (&mut Tally, &ProgressBar),
) -> Result<(), Problem> {
    let mut input = open(args)?;
    let mut line = Vec::new();
    for number in 1_u64.. {
        line.clear();
        let read = if args.whole && number == 1 {
            input.read_to_end(&mut line)
        } else {
            input.read_until(b'\n', &mut line)
        };
        let read = read.map_err(|error| {
            Problem::environment("E0562", format!("read line {number}")).source(error)
        })?;
        if read == 0 {
            break;
        }
        let text = if args.whole { &line[..] } else { line.trim_ascii() };
        if text.is_empty() {
            continue;
        }
        match reading.line(number, text) {
            Ok(entry) => sender.take(entry, tally)?,
            Err(reason) => {
                sender.flush(tally)?;
                tally.failed(number, "E0561", &reason);
            }
        }
        // Whoever types, or writes slowly, sees each line go.
        if !input.buffer().contains(&b'\n') {
            sender.flush(tally)?;
        }
        if number == PROGRESS_FROM {
            bar.reset();
            bar.set_draw_target(indicatif::ProgressDrawTarget::stderr());
        }
        bar.set_position(tally.taken());
    }
    sender.flush(tally)
}

fn open(args: &Args) -> Result<BufReader<Box<dyn Read>>, Problem> {
    let input: Box<dyn Read> = match &args.file {
        None => Box::new(io::stdin()),
        Some(path) => Box::new(File::open(path).map_err(|error| {
            Problem::usage("E0562", format!("open {}", path.display())).source(error)
        })?),
    };
    Ok(BufReader::with_capacity(READ_AHEAD, input))
}

fn progress() -> ProgressBar {
    let bar = ProgressBar::hidden();
    // The style's own rate has four decimals, of which none is known.
    let rate = |state: &ProgressState, out: &mut dyn fmt::Write| {
        let _shown = write!(out, "{:.0}", state.per_sec());
    };
    match ProgressStyle::with_template("{spinner} {pos} events, {rate}/s, {elapsed}") {
        Ok(style) => bar.with_style(style.with_key("rate", rate)),
        Err(_) => bar,
    }
}

fn pointer(text: &str) -> Result<String, String> {
    let broken = text.replace("~0", "").replace("~1", "").contains('~');
    if text.starts_with('/') && !broken {
        return Ok(text.to_owned());
    }
    Err("write a JSON pointer such as /customerId or /order/id".to_owned())
}

fn header(text: &str) -> Result<(String, String), String> {
    let wrong = || "write NAME=VALUE, NAME of letters, digits, - and _, VALUE in one line";
    let (name, value) = text.split_once('=').ok_or_else(wrong)?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_plain) || value.contains(char::is_control) {
        return Err(wrong().to_owned());
    }
    Ok((name.to_ascii_lowercase(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_and_headers_are_checked_before_anything_is_sent() {
        for (text, holds) in [("/a", true), ("/a~1b/0", true), ("a", false), ("/a~2", false)] {
            assert_eq!(pointer(text).is_ok(), holds, "{text}");
        }
        for (text, holds) in [
            ("Tenant=acme", Some(("tenant", "acme"))),
            ("a=", Some(("a", ""))),
            ("a=b=c", Some(("a", "b=c"))),
            ("=a", None),
            ("a", None),
            ("a b=c", None),
            ("a=b\nc", None),
        ] {
            let read = header(text).ok();
            let read = read.as_ref().map(|(name, value)| (name.as_str(), value.as_str()));
            assert_eq!(read, holds, "{text}");
        }
    }
}

//! Prints the events of a topic: those there are, or with `--follow` also those to come. It takes
//! part in no consumer group and changes nothing.

mod follow;
mod kept;
mod sse;

use gristmill_config::Glob;
use serde_json::Value;
use tokio::sync::oneshot;

use crate::answer::{list, number};
use crate::event::Event;
use crate::exit::Exit;
use crate::output::{Output, Style};
use crate::problem::Problem;
use crate::remote::{Client, Remote, Request, segment};

/// What `gristmill consume` takes.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// The topic
    topic: String,
    /// Goes on with what is published from now on, until Ctrl-C
    #[arg(long, short)]
    follow: bool,
    /// Where to begin: earliest, latest, RFC 3339 or Unix milliseconds; earliest without, and
    /// with --follow latest
    #[arg(long, value_name = "PLACE")]
    from: Option<String>,
    /// Reads only this partition
    #[arg(long, value_name = "N")]
    partition: Option<u32>,
    /// Ends after this many events
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    max: Option<u64>,
    /// Prints only events whose type is covered by this pattern, such as order.*
    #[arg(long = "type", value_name = "GLOB")]
    kind: Option<String>,
    #[command(flatten)]
    remote: Remote,
}

/// Prints until there is no more, or Ctrl-C.
///
/// # Errors
///
/// When no host answers, or it refuses.
pub(crate) fn run(args: &Args, output: &Output) -> anyhow::Result<Exit> {
    let client = args.remote.client()?;
    let (sender, ended) = oneshot::channel();
    let (args, own) = (args.clone(), output.clone());
    // Reading blocks; Ctrl-C is heard beside it, and what is unread is nobody's loss.
    std::thread::spawn(move || drop(sender.send(consume(&client, &args, own))));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Problem::environment("E0554", "listen for signals").source(error))?;
    let result = runtime.block_on(async {
        tokio::select! {
            ended = ended => ended.unwrap_or(Ok(())),
            _ = tokio::signal::ctrl_c() => Ok(()),
        }
    });
    Ok(result.map(|()| Exit::Done)?)
}

fn consume(client: &Client, args: &Args, output: Output) -> Result<(), Problem> {
    let topic = client.get(Request::to(format!("/api/v1/topics/{}", segment(&args.topic))))?;
    let partitions = partitions(&topic, args.partition);
    let printer = Printer { output, left: args.max };
    if args.follow {
        return follow::run(client, args, &partitions, printer);
    }
    let filter = args.kind.as_deref().map(Glob::new);
    kept::run(client, args, (&partitions, filter.as_ref()), printer)
}

/// One partition of the topic and its next offset as the reading began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Partition {
    number: u32,
    end: u64,
}

fn partitions(topic: &Value, only: Option<u32>) -> Vec<Partition> {
    let all = list(topic, "partitions").iter().filter_map(|partition| {
        let number_of = number(partition, "partition")?;
        Some(Partition {
            number: u32::try_from(number_of).ok()?,
            end: number(partition, "end_offset")?,
        })
    });
    all.filter(|partition| only.is_none_or(|only| only == partition.number)).collect()
}

/// Prints events until there were enough.
#[derive(Debug)]
struct Printer {
    output: Output,
    left: Option<u64>,
}

impl Printer {
    /// Prints one; false when no more is wanted.
    fn print(&mut self, event: &Event) -> bool {
        let is_read = if self.output.is_json() {
            self.output.stream(&event.text)
        } else {
            let place = format!("{}:{}", event.partition(), event.offset());
            let place = self.output.paint(Style::Dim, &place);
            let kind = self.output.paint(Style::Hint, &event.kind());
            self.output.stream(&format!("{place}  {}  {kind}  {}", event.key(), event.payload()))
        };
        self.left = self.left.map(|left| left.saturating_sub(1));
        is_read && self.left != Some(0)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn one_partition_or_all_are_read() {
        let topic = json!({ "partitions": [
            { "partition": 0, "start_offset": 0, "end_offset": 7 },
            { "partition": 1, "start_offset": 3, "end_offset": 3 },
        ]});
        let one = Partition { number: 1, end: 3 };
        assert_eq!(partitions(&topic, None), [Partition { number: 0, end: 7 }, one]);
        assert_eq!(partitions(&topic, Some(1)), [one]);
        assert_eq!(partitions(&topic, Some(2)), []);
    }
}

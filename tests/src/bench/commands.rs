//! Measures the time from sending a command to its reply, at a steady rate: two commands, each with
//! a topic and a subscription of its own, in turns.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};

use super::figure::{Figure, Target};
use super::latency::percentile;
use super::process::Others;
use super::{Options, Progress, scene};
use crate::support::client::Client;
use crate::support::home::Home;

/// Commands per second.
const RATE: u64 = 500;
/// Connections that send, each one command at a time.
const SENDERS: u64 = 16;
/// Seconds at the start that are not counted: caches and connections are cold.
const WARM_UP: u64 = 2;
/// The commands, each named like its topic and its subscription.
const COMMANDS: [&str; 2] = ["place", "change"];

/// Takes the run.
///
/// # Errors
///
/// When the host fails, or a command is not answered with a reply.
pub fn measure(options: &Options, progress: Progress<'_>) -> Result<Vec<Figure>> {
    let home = home(options)?;
    let mut process = home.start(&[])?;
    let client = process.must_be_ready()?;
    progress(&format!("commands: {RATE} a second for {} s", options.seconds));
    let count = RATE * (options.seconds + WARM_UP);
    let others = Others::beside(&[process.id()])?;
    let began = Instant::now();
    let sent = thread::scope(|scope| {
        let client = &client;
        let senders: Vec<_> = (0..SENDERS)
            .map(|first| scope.spawn(move || send(client, began, (first, count))))
            .collect();
        let ended = senders.into_iter().map(|it| it.join().map_err(|_panic| anyhow!("a panic")));
        ended.map(|sent| sent.and_then(|it| it)).collect::<Result<Vec<_>>>()
    })?;
    let others = others.processors()?;
    process.stop()?;
    let late = sent.iter().map(|sent| sent.late).max().unwrap_or_default();
    let mut taken: Vec<u64> = sent.into_iter().flat_map(|sent| sent.taken).collect();
    let note = format!(
        "{RATE} a second for {} s over {SENDERS} connections, fresh instances; a sender was late \
         by {late:?} at most; other processes kept {others:.2} processors busy",
        options.seconds
    );
    Ok(vec![
        Figure::new("command to reply, p50", percentile(&mut taken, 50), "ms").noting(note.clone()),
        Figure::new("command to reply, p99", percentile(&mut taken, 99), "ms")
            .aiming(Target::AtMost(20.0))
            .noting(note),
        Figure::new("command to reply, worst", percentile(&mut taken, 100), "ms"),
    ])
}

fn home(options: &Options) -> Result<Home> {
    let mut config = String::from(
        "name = \"bench\"\nlisten = \"127.0.0.1:0\"\ndata_dir = \"data\"\n\
         plugins_dir = \"plugins\"\n[storage]\nreserve = \"64MiB\"\n",
    );
    let topics = COMMANDS.into_iter().chain([scene::OUTPUT]);
    config.extend(topics.map(|topic| format!("[topics.{topic}]\n")));
    let mut manifest = String::new();
    for name in COMMANDS {
        let output = scene::OUTPUT;
        config.extend([format!(
            "[commands.{name}]\ntopic = \"{name}\"\nsubscription = \"{name}\"\n\
             reply = \"{output}\"\nkey = \"/customer\"\n"
        )]);
        manifest.extend([format!(
            "[[subscription]]\nname = \"{name}\"\ntopics = [\"{name}\"]\n\
             grants.emit = [\"{output}\"]\ngrants.state = true\n"
        )]);
    }
    let home = Home::new(&options.binary, &config)?;
    home.put("ordinary.toml", manifest.as_bytes())?;
    home.put("ordinary.wasm", &scene::handler()?)?;
    Ok(home)
}

/// What one connection measured.
struct Sent {
    /// From its moment to the reply, in nanoseconds, of each command that counts.
    taken: Vec<u64>,
    /// How late a command ever began.
    late: Duration,
}

/// Sends every command of one connection in its moment.
fn send(client: &Client, began: Instant, (first, count): (u64, u64)) -> Result<Sent> {
    let client = client.patient();
    let mut sent = Sent { taken: Vec::new(), late: Duration::ZERO };
    for number in (first..count).step_by(usize::try_from(SENDERS)?) {
        let moment = began + Duration::from_micros(number * 1_000_000 / RATE);
        let now = Instant::now();
        match moment.checked_duration_since(now) {
            Some(early) => thread::sleep(early),
            None => sent.late = sent.late.max(now.saturating_duration_since(moment)),
        }
        let name = COMMANDS[usize::try_from(number)? % COMMANDS.len()];
        let body = scene::data(number).to_string();
        let answer = client.ask(&format!("/commands/{name}"), &[], &body)?;
        let is_reply = answer.status == 200
            && answer.header("ce-causationid") == answer.header("command-id")
            && !answer.header("command-id").is_empty();
        ensure!(is_reply, "no reply: {answer:?}");
        if number >= RATE * WARM_UP {
            sent.taken.push(u64::try_from(moment.elapsed().as_nanos())?);
        }
    }
    Ok(sent)
}

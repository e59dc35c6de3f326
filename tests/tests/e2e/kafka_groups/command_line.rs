//! The command line against a host whose topics live on Kafka.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gristmill_tests::support::component::{binary, guest};
use gristmill_tests::support::home::Home;
use gristmill_tests::support::kafka::witness::Ground;
use gristmill_tests::support::{process, wait};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_mins(2);
const MANIFEST: &str = "[[subscription]]\nname = \"puppet\"\ntopics = [\"cli-in\", \"cli-back\"]\n\
    envelope = \"raw\"\n[subscription.grants]\nemit = [\"answers\"]\nstate = true\n\
    [[subscription]]\nname = \"mirror\"\ntopics = [\"cli-in\", \"cli-back\"]\nenvelope = \"raw\"\n\
    dead_letter = false\n[subscription.grants]\nemit = [\"answers\"]\nstate = true\n";

/// A command line that speaks to one host.
struct Line {
    url: String,
}

impl Line {
    fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(binary("debug"));
        command.args(arguments.split(' ')).env("GRISTMILL_URL", &self.url);
        command
    }

    /// What a command prints; it must end well.
    fn run(&self, arguments: &str, input: &str) -> Result<String> {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        child.stdin.take().context("no input")?.write_all(input.as_bytes())?;
        let ran = child.wait_with_output()?;
        let complaints = String::from_utf8_lossy(&ran.stderr);
        let said = String::from_utf8_lossy(&ran.stdout).into_owned();
        ensure!(ran.status.success(), "{arguments}: {}:\n{said}{complaints}", ran.status);
        Ok(said)
    }

    fn json(&self, arguments: &str) -> Result<Value> {
        let said = self.run(&format!("{arguments} --json"), "")?;
        serde_json::from_str(&said).with_context(|| format!("{arguments}: {said}"))
    }
}

#[test]
fn the_command_line_speaks_of_topics_on_kafka_as_of_its_own() -> Result<()> {
    let ground = Ground::shared()?;
    let config = format!(
        "name = \"cli\"\nlisten = \"127.0.0.1:0\"\ndata_dir = \"data\"\nworkers = 2\n\
         [broker]\nkind = \"kafka\"\nbrokers = [\"{}\"]\n[topics.defaults]\npartitions = 2\n\
         [topics.cli-in]\n[topics.cli-back]\n[topics.answers]\n",
        ground.cluster().bootstrap()
    );
    let home = Home::new(&binary("debug"), &config)?;
    home.put("puppet.toml", MANIFEST.as_bytes())?;
    home.put("puppet.wasm", &guest("puppet")?)?;
    let mut host = home.start(&[])?;
    let client = host.must_be_ready()?;
    let line = Line { url: client.url().to_owned() };
    topics(&line, &ground)?;
    events(&line, &ground)?;
    letters(&line)?;
    subscriptions(&line)?;
    host.stop()
}

/// A topic is made, shown and deleted, there as well as here.
fn topics(line: &Line, ground: &Ground) -> Result<()> {
    let made = line.run("topics create cli-pay --partitions 3 --retention 2d --compacted", "")?;
    assert_eq!(made, "topic cli-pay is made, with 3 partitions\n");
    let described = ground.cluster().describe_topic("cli-pay")?;
    for told in ["PartitionCount: 3", "cleanup.policy=compact", "retention.ms=172800000"] {
        ensure!(described.contains(told), "{told}: {described}");
    }
    let listed = line.run("topics list", "")?;
    ensure!(listed.contains("\ncli-pay ") && listed.contains("\ncli-in "), "{listed}");
    ensure!(!listed.contains("__"), "the host's own and the cluster's are not told:\n{listed}");
    let shown = line.run("topics describe cli-pay", "")?;
    let rows: Vec<Vec<_>> = shown.lines().map(|row| row.split_whitespace().collect()).collect();
    for told in [["compacted", "yes"], ["retention", "2d"]] {
        ensure!(rows.iter().any(|row| *row == told), "{told:?}: {shown}");
    }
    assert_eq!(line.run("topics delete cli-pay --yes", "")?, "topic cli-pay is deleted\n");
    ensure!(line.run("topics describe cli-pay", "").is_err(), "it is gone");
    let gone = || Ok(ground.cluster().describe_topic("cli-pay").is_err().then_some(()));
    wait::until(PATIENCE, gone)?.context("the cluster still has it")
}

/// Events go in, come out, and are followed.
fn events(line: &Line, ground: &Ground) -> Result<()> {
    let mut following = line
        .command("consume answers --follow --from earliest")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let followed = BufReader::new(following.stdout.take().context("no output")?);
    let told = line.run("produce cli-in --key a", "get x\nget y\n")?;
    ensure!(told.lines().count() == 2, "{told}");
    line.run("produce cli-back --key a --header tenant=acme", "get z\n")?;
    // Two subscriptions answer each line, and each answer is followed as it comes.
    let answers = followed.lines().take(6).collect::<Result<Vec<_>, _>>()?;
    ensure!(answers.iter().all(|answer| answer.ends_with("None")), "{answers:?}");
    process::signal(following.id(), "INT")?;
    ensure!(following.wait()?.success(), "Ctrl-C ends it well");

    let consumed = line.run("consume cli-in", "")?;
    let consumed: Vec<_> = consumed.lines().collect();
    ensure!(consumed.len() == 2 && consumed[0].ends_with("get x"), "{consumed:?}");
    let last = line.run("consume answers --max 6", "")?;
    assert_eq!(last.lines().count(), 6, "{last}");
    let read = ground.read(&["cli-back"])?;
    let record = read["cli-back"].iter().flatten().next().context("a record")?;
    assert_eq!((record.key.as_deref(), record.header("tenant")), (Some("a"), Some("acme")));
    Ok(())
}

/// A dead letter is listed, shown, driven again in vain, and is one again.
fn letters(line: &Line) -> Result<()> {
    line.run("produce cli-in --key b", "reject\n")?;
    let listed = wait::until(PATIENCE, || {
        let listed = line.json("dlq list puppet")?;
        Ok(listed["events"].as_array().is_some_and(|it| it.len() == 1).then_some(listed))
    })?;
    let listed = listed.context("no dead letter")?;
    let id = listed["events"][0]["id"].as_str().context("its id")?;
    let shown = line.run(&format!("dlq show puppet {id}"), "")?;
    ensure!(shown.contains("rejected") && shown.contains("came from     cli-in/"), "{shown}");
    let totals = line.run("dlq list", "")?;
    ensure!(totals.contains("cli-in.puppet.dlq"), "{totals}");
    ensure!(line.run("dlq redrive puppet --dry-run", "").is_err(), "it would fail again");
    let driven = line.run(&format!("dlq redrive puppet --id {id}"), "")?;
    assert_eq!(driven, "1 dead letters of puppet are driven again\n");
    let again = wait::until(PATIENCE, || {
        let listed = line.json("dlq list puppet")?;
        let events = listed["events"].as_array().cloned().unwrap_or_default();
        Ok((events.len() == 1 && events[0]["id"] != id).then_some(()))
    })?;
    again.context("driven again, it is no dead letter again")
}

/// Nothing is left to do, and it is told so.
fn subscriptions(line: &Line) -> Result<()> {
    let settled = wait::until(PATIENCE, || {
        let listed = line.json("subscriptions list")?;
        let listed = listed["subscriptions"].as_array().context("subscriptions")?.clone();
        let is_settled = |it: &Value| {
            let lag = it["lag"].as_array().into_iter().flatten();
            lag.map(|lag| lag["events"].as_u64().unwrap_or(1)).sum::<u64>() == 0
        };
        Ok((listed.len() == 2 && listed.iter().all(is_settled)).then_some(()))
    })?;
    settled.context("the lag of a subscription does not become 0")?;
    let listed = line.run("subscriptions list", "")?;
    ensure!(listed.contains("puppet") && listed.contains("cli-in"), "{listed}");
    Ok(())
}

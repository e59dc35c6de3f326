//! Plays an example system of `examples/` as it is: its configuration, manifests and recorded
//! input on a real host, with the outside parties it calls; and holds what comes out beside what
//! `expected/` says, which a script that knows no host made of the input alone.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value, json};
use toml_edit::{DocumentMut, value};

use super::client::{Client, Stored, Subscription};
use super::component::{binary, guest, root};
pub use super::home::settle;
use super::home::{Home, Process};
use super::kafka::witness::Ground;
use super::wait;

/// What is waited for comes within this time, or not at all.
const PATIENCE: Duration = Duration::from_mins(2);
/// Events a second that each subscription handles until its host is killed: so few that it is not
/// done by then.
const HURRIED: &str = "5";
/// A key for the addresses that shipping encrypts, as its file holds it.
pub const EMAIL_KEY: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n";
/// Entries of state on a page.
const PAGE: usize = 500;

/// An example system.
#[derive(Debug)]
pub struct Example {
    folder: PathBuf,
}

/// An outside party that an example calls: `examples/party.py`. Killed when dropped.
#[derive(Debug)]
pub struct Party {
    child: Child,
    address: String,
}

/// Where an example runs.
#[derive(Debug, Clone)]
pub enum Place {
    /// On the host's own store.
    Embedded,
    /// On Kafka.
    Kafka(Arc<Ground>),
}

/// What each partition of a topic holds, by offset.
type Records = Vec<Vec<Stored>>;

impl Example {
    /// The one in that folder of `examples/`.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn of(name: &str) -> Result<Self> {
        let folder = root().join("examples").join(name);
        ensure!(folder.join("gristmill.toml").is_file(), "{} has no host", folder.display());
        Ok(Self { folder })
    }

    /// A host's folder with all of the example but its handlers' sources, and the components they
    /// were built to. `more` is added to its configuration.
    ///
    /// # Errors
    ///
    /// When something is missing.
    pub fn home(&self, place: &Place, more: &str) -> Result<Home> {
        self.home_of(&binary("debug"), place, more)
    }

    /// The same of a host that is this binary.
    ///
    /// # Errors
    ///
    /// When something is missing.
    pub fn home_of(&self, binary: &Path, place: &Place, more: &str) -> Result<Home> {
        let home = self.bare(binary, &place.config_of(&self.folder)?, more)?;
        self.put_manifests(&home, str::to_owned)?;
        Ok(home)
    }

    /// The same on these brokers, where every topic's name begins with the host's, so that it finds
    /// nothing of another run.
    ///
    /// # Errors
    ///
    /// When something is missing.
    pub fn home_on(&self, binary: &Path, brokers: &str, name: &str) -> Result<Home> {
        let topics = format!("\n[topics]\ntemplate = \"{name}-{{topic}}\"\n");
        let home = self.bare(binary, &config_on(brokers, &self.folder)?, &topics)?;
        let path = home.path().join("gristmill.toml");
        let mut config: DocumentMut = fs::read_to_string(&path)?.parse()?;
        config.insert("name", value(name));
        fs::write(path, config.to_string())?;
        self.put_manifests(&home, str::to_owned)?;
        Ok(home)
    }

    /// The same without its plugins' manifests; `broker` says where.
    fn bare(&self, binary: &Path, broker: &str, more: &str) -> Result<Home> {
        let config = fs::read_to_string(self.folder.join("gristmill.toml"))?;
        let config = config.replace("\".gristmill\"", "\"data\"");
        let home = Home::new(binary, &format!("{config}\n{broker}{more}"))?;
        copy(&self.folder, home.path())?;
        for (name, _) in self.manifests()? {
            home.put(&format!("{name}.wasm"), &guest(&name)?)?;
        }
        Ok(home)
    }

    /// The manifests by the names of their plugins.
    fn manifests(&self) -> Result<BTreeMap<String, String>> {
        let mut manifests = BTreeMap::new();
        for file in fs::read_dir(self.folder.join("plugins"))? {
            let file = file?.path();
            if file.extension().is_some_and(|it| it == "toml") {
                let name = file.file_stem().context("a file")?.to_string_lossy().into_owned();
                manifests.insert(name, fs::read_to_string(&file)?);
            }
        }
        Ok(manifests)
    }

    /// Puts every manifest in place, as `changed` makes it of the example's.
    fn put_manifests(&self, home: &Home, changed: impl Fn(&str) -> String) -> Result<()> {
        for (name, manifest) in self.manifests()? {
            home.put(&format!("{name}.toml"), changed(&manifest).as_bytes())?;
        }
        Ok(())
    }

    /// The recorded input: the files of `events/`, `NUMBER-TOPIC.jsonl`, in their order; each line
    /// with its topic.
    ///
    /// # Errors
    ///
    /// When a file cannot be read.
    pub fn input(&self) -> Result<Vec<(String, String)>> {
        let mut files: Vec<PathBuf> = Vec::new();
        for file in fs::read_dir(self.folder.join("events"))? {
            files.push(file?.path());
        }
        files.retain(|it| it.extension().is_some_and(|it| it == "jsonl"));
        files.sort();
        let mut input = Vec::new();
        for file in files {
            let stem = file.file_stem().context("a file")?.to_string_lossy().into_owned();
            let (_, topic) = stem.split_once('-').context("a number and a topic")?;
            let text = fs::read_to_string(&file)?;
            input.extend(text.lines().map(|line| (topic.to_owned(), line.to_owned())));
        }
        Ok(input)
    }

    /// Publishes the recorded input as `gristmill produce` would.
    ///
    /// # Errors
    ///
    /// When a line is refused.
    pub fn publish(&self, client: &Client) -> Result<()> {
        self.input()?.iter().try_for_each(|(topic, line)| publish(client, topic, line))
    }

    /// A file of the example.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn read(&self, name: &str) -> Result<String> {
        let path = self.folder.join(name);
        fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
    }

    /// What `expected/` says of `name`; nothing where it says nothing.
    fn expected(&self, name: &str) -> Result<Map<String, Value>> {
        let path = self.folder.join("expected").join(name);
        let Ok(text) = fs::read_to_string(&path) else { return Ok(Map::new()) };
        serde_json::from_str(&text).with_context(|| format!("read {}", path.display()))
    }

    /// The example's outside party, which fails the first `failures` attempts at every fourth
    /// request: so few that no breaker opens.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub fn party(&self, failures: u32) -> Result<Party> {
        self.party_on(0, failures)
    }

    /// The same on that port, where another one was before.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub fn party_on(&self, port: u16, failures: u32) -> Result<Party> {
        let rules = self.folder.join("party.json");
        let mut command = Command::new("python3");
        command.arg(root().join("examples/party.py")).args(["--one-in", "4"]);
        command.args(["--port", &port.to_string(), "--fail", &failures.to_string()]);
        if rules.is_file() {
            command.arg("--rules").arg(rules);
        }
        let mut child = command.stdout(Stdio::piped()).spawn().context("start python3")?;
        let mut address = String::new();
        let told = child.stdout.take().context("a pipe")?;
        BufReader::new(told).read_line(&mut address)?;
        Ok(Party { child, address: address.trim().to_owned() })
    }

    /// Holds all that `expected/` names beside what is there. Events that handlers publish to a
    /// topic are expected by key, in their order; or in a list, where nothing orders those of one
    /// key.
    ///
    /// # Errors
    ///
    /// The first that differs.
    pub fn check(&self, client: &Client, place: &Place) -> Result<()> {
        for (topic, wanted) in self.expected("topics.json")? {
            let records = place.read(client, &topic)?;
            let listed = wanted.as_array();
            let found = listed.map_or_else(|| by_key(&records), |it| arranged(&records, it));
            ensure!(found == wanted, "topic {topic} has {found:#}, and not {wanted:#}");
        }
        for (subscription, wanted) in self.expected("state.json")? {
            let found = state(client, &subscription)?;
            ensure!(found == wanted, "{subscription} keeps {found:#}, and not {wanted:#}");
        }
        for (subscription, wanted) in self.expected("dead-letters.json")? {
            let found = letters(client, &subscription)?;
            ensure!(found == wanted, "{subscription} gave up on {found:#}, and not {wanted:#}");
        }
        Ok(())
    }

    /// Plays the whole: publishes the input, kills the host with -9 while it is at work, starts it
    /// again, and waits until everything is as expected; publishes it all once more, as a producer
    /// that lost every answer would, and sees that nothing changes.
    ///
    /// # Errors
    ///
    /// What is not as expected.
    pub fn play(&self, place: &Place, more: &str, variables: &[(&str, String)]) -> Result<()> {
        self.play_with(place, more, variables, |client| self.publish(client))
    }

    /// The same with an input that is published in another way.
    ///
    /// # Errors
    ///
    /// What is not as expected.
    pub fn play_with(
        &self,
        place: &Place,
        more: &str,
        variables: &[(&str, String)],
        publish: impl Fn(&Client) -> Result<()>,
    ) -> Result<()> {
        let home = self.bare(&binary("debug"), &place.config_of(&self.folder)?, more)?;
        self.put_manifests(&home, slowed)?;
        let mut host = home.start(variables)?;
        let client = host.must_be_ready()?;
        let subscriptions = client.subscriptions()?;
        for subscription in &subscriptions {
            operate(&client, subscription, "pause")?;
        }
        publish(&client)?;
        for subscription in &subscriptions {
            operate(&client, subscription, "resume")?;
        }
        let own = || self.put_manifests(&home, str::to_owned);
        let (host, client) = killed_at_work((&home, variables), (host, &client), own)?;
        self.await_expected(&client, &host, place)?;
        let before = self.counts(&client, place)?;
        publish(&client)?;
        settle(&client, &host)?;
        self.check(&client, place)?;
        let after = self.counts(&client, place)?;
        ensure!(before == after, "events that came again changed {before:?} to {after:?}");
        host.stop()
    }

    /// Waits until all is as expected and nothing is left to do.
    ///
    /// # Errors
    ///
    /// What differs in the end.
    pub fn await_expected(&self, client: &Client, host: &Process, place: &Place) -> Result<()> {
        let seen = wait::until(PATIENCE, || Ok(self.check(client, place).is_ok().then_some(())))?;
        if seen.is_none() {
            self.check(client, place).with_context(|| host.tail())?;
        }
        settle(client, host)?;
        self.check(client, place)
    }

    /// Events that handlers published to each topic that is expected to have any.
    fn counts(&self, client: &Client, place: &Place) -> Result<BTreeMap<String, usize>> {
        let topics = self.expected("topics.json")?.into_iter().map(|(topic, _)| topic);
        topics
            .map(|topic| {
                let count = told(&place.read(client, &topic)?).count();
                Ok((topic, count))
            })
            .collect()
    }
}

impl Place {
    /// What has to be added to a configuration.
    pub fn config(&self) -> String {
        match self {
            Self::Embedded => String::new(),
            Self::Kafka(ground) => kafka(&ground.cluster().bootstrap()),
        }
    }

    /// The same for the example in `folder`.
    fn config_of(&self, folder: &Path) -> Result<String> {
        match self {
            Self::Embedded => Ok(String::new()),
            Self::Kafka(ground) => config_on(&ground.cluster().bootstrap(), folder),
        }
    }

    /// All records of a topic.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn read(&self, client: &Client, topic: &str) -> Result<Records> {
        match self {
            Self::Embedded => client.topic(topic),
            Self::Kafka(ground) => ground.read(&[topic])?.remove(topic).context("it was not read"),
        }
    }
}

/// What the configuration of the example in `folder` says of these brokers: its `broker.toml`,
/// where it has one.
fn config_on(brokers: &str, folder: &Path) -> Result<String> {
    const BEGIN: &str = "[broker]\n";
    let path = folder.join("broker.toml");
    if !path.is_file() {
        return Ok(kafka(brokers));
    }
    let own = fs::read_to_string(path)?.replace("localhost:9092", brokers);
    ensure!(own.contains(BEGIN) && own.contains(brokers), "no brokers in {own}");
    Ok(own.replace(BEGIN, &format!("{BEGIN}session_timeout = \"6s\"\n")))
}

fn kafka(brokers: &str) -> String {
    let kind = "[broker]\nkind = \"kafka\"";
    format!("{kind}\nbrokers = [\"{brokers}\"]\nsession_timeout = \"6s\"\n")
}

impl Party {
    /// Where it listens.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What it took: path, key, body and status of each request.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub fn calls(&self) -> Result<Vec<Value>> {
        let text = ureq::get(format!("{}/calls", self.address)).call()?;
        Ok(serde_json::from_str(&text.into_body().read_to_string()?)?)
    }
}

impl Drop for Party {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Publishes a line as `gristmill produce` would: as a CloudEvent where it is one.
///
/// # Errors
///
/// When it is refused.
pub fn publish(client: &Client, topic: &str, line: &str) -> Result<()> {
    let event: Value = serde_json::from_str(line)?;
    let is_cloud_event = event["specversion"].is_string();
    let media = if is_cloud_event { "application/cloudevents+json" } else { "application/json" };
    let path = format!("/topics/{topic}");
    let answer = client.ask(&path, &[("content-type", media)], line)?;
    ensure!(answer.status == 202, "{path}: {answer:?}");
    Ok(())
}

/// Kills a host as soon as it has finished an event, and starts it again; the new one must have
/// found something to finish.
fn killed_at_work(
    (home, variables): (&Home, &[(&str, String)]),
    (mut host, client): (Process, &Client),
    unhurried: impl FnOnce() -> Result<()>,
) -> Result<(Process, Client)> {
    let begun = wait::until(PATIENCE, || Ok((completed(client)? > 0).then_some(())))?;
    begun.with_context(|| format!("nothing is handled:\n{}", host.tail()))?;
    host.kill()?;
    unhurried()?;
    let mut host = home.start(variables)?;
    let client = host.must_be_ready()?;
    let resumed = wait::until(PATIENCE, || Ok((completed(&client)? > 0).then_some(())))?;
    resumed.context("the host had finished everything before it was killed")?;
    Ok((host, client))
}

/// A manifest whose subscriptions handle few events a second.
fn slowed(manifest: &str) -> String {
    const BEGIN: &str = "[[subscription]]\n";
    const RATE: &str = "events_per_second = ";
    let own = manifest.lines().filter(|line| !line.starts_with(RATE));
    let lines: String = own.flat_map(|line| [line, "\n"]).collect();
    lines.replace(BEGIN, &format!("{BEGIN}{RATE}{HURRIED}\n"))
}

/// Events that a host has finished since it started.
///
/// # Errors
///
/// When it does not answer.
pub fn completed(client: &Client) -> Result<u64> {
    const FULL: u16 = 409;
    let (status, text) = client.answer("/metrics")?;
    // A host that restores much state on Kafka reads as much as it may, and tells no backlogs yet.
    if status == FULL && text.contains("E0421") {
        return Ok(0);
    }
    ensure!(status == 200, "metrics: {status} {text}");
    let lines = text.lines().filter(|it| it.starts_with("gristmill_events_completed_total{"));
    Ok(lines.filter_map(|it| it.rsplit(' ').next()?.parse::<u64>().ok()).sum())
}

fn operate(client: &Client, subscription: &Subscription, verb: &str) -> Result<()> {
    client.post(&format!("/api/v1/subscriptions/{}/{verb}", subscription.name))
}

/// What handlers tell in a topic: key, type and data of its events. What comes from outside has
/// no cause in a header.
fn told(records: &Records) -> impl Iterator<Item = (String, Value)> {
    let caused = |record: &&Stored| record.header("ce_causationid").is_some();
    records.iter().flatten().filter(caused).map(|record| {
        let key = record.key.clone().unwrap_or_default();
        (key, json!({ "type": record.header("ce_type"), "data": record.payload }))
    })
}

/// The same by key, in their order.
fn by_key(records: &Records) -> Value {
    let mut by_key = Map::new();
    for (key, event) in told(records) {
        let events = by_key.entry(key).or_insert_with(|| json!([]));
        if let Value::Array(events) = events {
            events.push(event);
        }
    }
    by_key.into()
}

/// The same in the order of those that are wanted, and what nobody wants after them.
fn arranged(records: &Records, wanted: &[Value]) -> Value {
    let mut left: Vec<Value> = told(records).map(|(_, event)| event).collect();
    let mut arranged = Vec::new();
    for event in wanted {
        if let Some(at) = left.iter().position(|it| it == event) {
            arranged.push(left.swap_remove(at));
        }
    }
    arranged.append(&mut left);
    arranged.into()
}

/// All state of a subscription: values by name by key.
fn state(client: &Client, subscription: &str) -> Result<Value> {
    let mut state: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    let mut after = String::new();
    loop {
        let page = client.json(&format!("/state/{subscription}?limit={PAGE}{after}"))?;
        for entry in page["entries"].as_array().context("entries")? {
            let key = entry["key"].as_str().context("a key")?;
            if state.contains_key(key) {
                continue;
            }
            let values = client.json(&format!("/state/{subscription}/{}", encoded(key)))?;
            let values = values["values"].as_array().context("values")?.iter().map(|it| {
                (it["name"].as_str().unwrap_or_default().to_owned(), it["value"].clone())
            });
            state.insert(key.to_owned(), values.collect());
        }
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return Ok(json!(state)),
        }
    }
}

/// A key as it stands in a path.
fn encoded(key: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    key.bytes().map(byte).collect()
}

/// The events a subscription gave up on: id, code and class of each, by id.
fn letters(client: &Client, subscription: &str) -> Result<Value> {
    let listed = client.json(&format!("/api/v1/dlq/{subscription}/events"))?;
    let letters = listed["events"].as_array().context("dead letters")?.iter().map(|letter| {
        let failure = &letter["failure"];
        json!({ "id": failure["event_id"], "code": failure["code"], "class": failure["class"] })
    });
    let mut letters: Vec<Value> = letters.collect();
    letters.sort_by_key(|it| it["id"].to_string());
    Ok(letters.into())
}

/// Copies the files and folders of an example that its host reads.
fn copy(from: &Path, to: &Path) -> Result<()> {
    const OTHERS: [&str; 5] = ["handlers", "plugins", "events", "expected", "gristmill.toml"];
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        if OTHERS.iter().any(|other| *other == name) || name.to_string_lossy().starts_with('.') {
            continue;
        }
        let target = to.join(&name);
        if entry.file_type()?.is_dir() {
            fs::create_dir_all(&target)?;
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

//! Plays a scenario written as text against one real engine and tells what came of it, so that a
//! rule can be read aloud. It decides nothing; whoever writes the scenario is the world.
//!
//! One subscription, `billing`, reads partition 0 of `orders` and `payments`. One command a line:
//!
//! | command | what it does |
//! |---|---|
//! | `policy inline 1, attempts 3` | before `start`; its words are in `Story::policy` |
//! | `append orders ann id 7 unwanted` | appends a record; key `-` is none; or `invalid` |
//! | `start` | the process starts and is assigned the partition |
//! | `read`, `read 2` | reads all there is, or so many |
//! | `orders@0 succeeds, sets wake 500ms, cancels nap` | ends an attempt; timers count from now |
//! | `orders@0 fails`, `fails after 2s`, `is rejected`, `traps`, `times out` | ends an attempt |
//! | `wait 100ms` | time passes |
//! | `commit`, `commit aborts`, `commit, then the process dies` | ends a checkpoint |
//! | `the process dies` | everything in memory is gone |
//! | `assign` | answers a rewind |
//! | `upgrade 2`, `pause`, `resume`, `revoke`, `lose` | an input of that name |
//! | `show` | tells what is durable |

mod words;

use std::collections::BTreeMap;

use gristmill_engine::{
    AttemptId, Bytes, FailureClass, Fetched, Generation, IdHash, Input, Instant, KeyHash, Millis,
    OnDead, Order, Outcome, PartitionId, Policy, Position, SubscriptionId, TimerChange, TimerHash,
    TopicId, Verdict, Version, WorkerPolicy,
};

use crate::planted::Subject;
use crate::script::{DAWN, Network, Rates, Script, Subscription};
use crate::topic::{EventId, Record, Topics};
use crate::world::driver::{Asked, Driver};
use crate::world::durable::{Durable, Home};

const HOME: Home = (SubscriptionId(0), PartitionId(0));
const TOPICS: [&str; 2] = ["orders", "payments"];

/// Plays `scenario` and gives the transcript.
///
/// # Errors
///
/// The line that is not understood, or that broke the engine's protocol.
pub fn play(scenario: &str) -> Result<String, String> {
    let mut story = Story::new();
    for line in scenario.lines().map(str::trim).filter(|line| !line.is_empty()) {
        story.tell(line);
        story.command(line).map_err(|what| format!("{line}: {what}\n\n{}", story.told))?;
    }
    Ok(story.told)
}

/// A scenario in play.
#[derive(Debug)]
struct Story {
    script: Script,
    topics: Topics,
    durable: Durable,
    driver: Option<Driver>,
    now: Instant,
    lives: u64,
    generation: u64,
    version: Version,
    keys: Vec<String>,
    timers: Vec<String>,
    attempts: BTreeMap<AttemptId, EventId>,
    told: String,
}

impl Story {
    fn new() -> Self {
        let mut topics = Topics::default();
        for topic in [TopicId(0), TopicId(1)] {
            topics.create(topic, 1);
        }
        let policy = Policy { jitter_permille: 0, breaker: None, guard: None, ..Policy::default() };
        let topics_read = vec![TopicId(0), TopicId(1)];
        let billing = Subscription { id: HOME.0, topics: topics_read, ends_late: false, policy };
        Self {
            script: Script {
                seed: 0,
                workers: 1,
                partitions: 1,
                worker_policy: WorkerPolicy::default(),
                subscriptions: vec![billing],
                arrivals: Vec::new(),
                faults: Vec::new(),
                rates: Rates {
                    crash_per_step: 0,
                    abort: 0,
                    crash_after_commit: 0,
                    crash_before_commit: 0,
                },
                heal_at: DAWN,
                group_offsets: true,
                cluster: false,
                network: Network { lost: 0, late: 0 },
            },
            topics,
            durable: Durable { group_offsets: true, ..Durable::default() },
            driver: None,
            now: DAWN,
            lives: 0,
            generation: 0,
            version: Version(1),
            keys: Vec::new(),
            timers: Vec::new(),
            attempts: BTreeMap::new(),
            told: String::new(),
        }
    }

    fn tell(&mut self, line: &str) {
        self.told.push_str(line);
        self.told.push('\n');
    }

    fn command(&mut self, line: &str) -> Result<(), String> {
        let (head, rest) = line.split_once(' ').unwrap_or((line, ""));
        match head {
            "policy" => self.policy(rest),
            "append" => self.append(rest),
            "start" => self.start(),
            "assign" => self.assign(),
            "read" => self.read(rest),
            "wait" => self.wait(millis(rest)?),
            "commit" | "commit," => self.commit(rest),
            "the" if rest == "process dies" => {
                self.driver = None;
                Ok(())
            }
            "upgrade" => {
                let version = Version(number(rest)?);
                self.feed(Input::Upgraded { subscription: HOME.0, version })
            }
            "pause" => self.feed(Input::Paused { subscription: HOME.0 }),
            "resume" => {
                let ends = self.ends();
                self.feed(Input::Resumed { subscription: HOME.0, ends })
            }
            "revoke" => self.feed(Input::Revoked { subscription: HOME.0, partition: HOME.1 }),
            "lose" => self.feed(Input::Lost { subscription: HOME.0, partition: HOME.1 }),
            "show" => {
                let shown = words::durable(self);
                self.told.push_str(&shown);
                Ok(())
            }
            _ => self.end(head, rest),
        }
    }

    fn policy(&mut self, text: &str) -> Result<(), String> {
        let policy = &mut self.script.subscriptions[0].policy;
        for setting in text.split(',').map(str::trim) {
            let (name, value) = setting.split_once(' ').unwrap_or((setting, ""));
            match name {
                "inline" => policy.inline_attempts = number(value)?,
                "attempts" => policy.max_attempts = number(value)?,
                "concurrency" => policy.concurrency = number(value)?,
                "delay" => policy.initial_interval = millis(value)?,
                "stateful" => policy.stateful = true,
                "on-dead" => policy.on_dead = OnDead::BlockKey,
                "order" => policy.order = Order::Partition,
                "checkpoint" => {
                    self.script.worker_policy.checkpoint_interval_max = millis(value)?;
                }
                _ => return Err(format!("no policy is called \"{name}\"")),
            }
        }
        Ok(())
    }

    fn append(&mut self, text: &str) -> Result<(), String> {
        let mut words = text.split(' ');
        let (topic, key) = (words.next().unwrap_or(""), words.next().unwrap_or("-"));
        let topic = topic_of(topic)?;
        let mut record = Record {
            key: (key != "-").then(|| self.key(key)),
            id: None,
            size: Bytes(100),
            verdict: Verdict::Accepted,
            redriven: false,
            timestamp: self.now,
        };
        while let Some(word) = words.next() {
            match word {
                "id" => record.id = Some(IdHash(number::<u128>(words.next().unwrap_or(""))?)),
                "unwanted" => record.verdict = Verdict::Filtered,
                "invalid" => record.verdict = Verdict::Invalid,
                "elsewhere" => record.verdict = Verdict::Forwarded,
                _ => return Err(format!("no record is \"{word}\"")),
            }
        }
        if let Some(log) = self.topics.log_mut(topic, HOME.1) {
            log.append(0, record);
        }
        Ok(())
    }

    fn start(&mut self) -> Result<(), String> {
        self.lives += 1;
        self.attempts.clear();
        let subject = Subject::new(&self.script.worker_policy, 0, None);
        self.driver = Some(Driver::new(0, self.lives, subject, None));
        let policy = Box::new(self.script.subscriptions[0].policy.clone());
        let version = self.durable.versions.get(&(0, HOME.0)).copied().unwrap_or(self.version);
        self.feed(Input::Subscribed { subscription: HOME.0, policy, version })?;
        self.assign()
    }

    fn assign(&mut self) -> Result<(), String> {
        self.generation += 1;
        let generation = Generation(self.generation);
        let assignment = self.durable.assignment(HOME, generation, &self.script, &self.topics);
        if let Some(driver) = &mut self.driver {
            driver.assign(&assignment, &self.durable);
        }
        self.feed(Input::Assigned(Box::new(assignment)))?;
        // Where reading begins is a checkpoint of its own, and of no interest here.
        if self.driver.as_ref().is_some_and(|driver| driver.committing.is_some()) {
            return self.commit("");
        }
        Ok(())
    }

    fn read(&mut self, text: &str) -> Result<(), String> {
        let count = if text.is_empty() { u32::MAX } else { number(text)? };
        for _ in 0..count {
            let Some(fetched) = self.fetch() else { break };
            self.feed(Input::Fetched(fetched))?;
        }
        Ok(())
    }

    fn fetch(&mut self) -> Option<Fetched> {
        let part = self.driver.as_mut()?.parts.get_mut(&HOME)?;
        for (topic, from) in &mut part.fetch {
            let Some((offset, record)) = self.topics.log(*topic, HOME.1).read(*from) else {
                continue;
            };
            *from = offset.next();
            return Some(Fetched {
                subscription: HOME.0,
                generation: part.generation,
                position: Position { topic: *topic, partition: HOME.1, offset },
                key: record.key,
                size: record.size,
                id: record.id,
                mark: record.id.and_then(|id| self.durable.marks.get(&(HOME, id)).copied()),
                redriven: record.redriven,
                verdict: record.verdict,
            });
        }
        None
    }

    /// Ends the attempt of the event called `name`.
    fn end(&mut self, name: &str, how: &str) -> Result<(), String> {
        let named = |(_, event): &(&AttemptId, &EventId)| words::event(self, **event) == name;
        let Some((attempt, _)) = self.attempts.iter().find(named) else {
            return Err(format!("no attempt of {name} runs"));
        };
        let attempt = *attempt;
        self.attempts.remove(&attempt);
        let outcome = self.outcome(how)?;
        if let Some(driver) = &mut self.driver {
            driver.end(attempt, &outcome);
        }
        self.feed(Input::Finished { attempt, outcome })
    }

    fn outcome(&mut self, how: &str) -> Result<Outcome, String> {
        let mut parts = how.split(", ");
        let verb = parts.next().unwrap_or("");
        let (verb, after) = verb.split_once(" after ").unwrap_or((verb, ""));
        let class = match verb {
            "succeeds" => {
                let timers = parts.map(|part| self.timer_change(part)).collect::<Result<_, _>>()?;
                return Ok(Outcome::Succeeded { timers, size: Bytes(10) });
            }
            "fails" => FailureClass::Retryable,
            "is rejected" => FailureClass::Rejected,
            "traps" => FailureClass::Trap,
            "times out" => FailureClass::Timeout,
            _ => return Err(format!("no attempt \"{verb}\"")),
        };
        let retry_after = if after.is_empty() { None } else { Some(millis(after)?) };
        Ok(Outcome::Failed { class, retry_after })
    }

    /// `sets NAME 500ms` or `cancels NAME`.
    fn timer_change(&mut self, text: &str) -> Result<TimerChange, String> {
        let words: Vec<&str> = text.split(' ').collect();
        match words[..] {
            ["sets", name, delay] => {
                let due = self.now.after(millis(delay)?);
                Ok(TimerChange::Set { timer: self.timer(name), due })
            }
            ["cancels", name] => Ok(TimerChange::Cancel { timer: self.timer(name) }),
            _ => Err(format!("no timer is changed by \"{text}\"")),
        }
    }

    fn wait(&mut self, span: Millis) -> Result<(), String> {
        let until = self.now.after(span);
        while let Some(driver) = &self.driver
            && let Some(due) = driver.subject.engine().next_deadline()
            && due <= until
        {
            self.now = self.now.max(due);
            let before = self.told.len();
            self.feed(Input::Deadline)?;
            if self.told.len() > before {
                let at = self.now.since(DAWN).0;
                self.told.insert_str(before, &format!("  at {at} ms:\n"));
            }
        }
        self.now = until;
        Ok(())
    }

    fn commit(&mut self, how: &str) -> Result<(), String> {
        let batch = self.driver.as_mut().and_then(|driver| driver.committing.take());
        let batch = batch.ok_or("nothing commits")?;
        let checkpoint = batch.checkpoint;
        if how == "aborts" {
            return self.feed(Input::Aborted { checkpoint });
        }
        self.durable.apply(&batch, &self.topics);
        if how == "then the process dies" {
            self.driver = None;
            return Ok(());
        }
        self.feed(Input::Committed { checkpoint })
    }

    fn feed(&mut self, input: Input) -> Result<(), String> {
        let Some(mut driver) = self.driver.take() else {
            return Err("the process is dead".to_owned());
        };
        let mut effects = Vec::new();
        let stepped = driver.subject.step(self.now, input, &mut effects);
        stepped.map_err(|violation| violation.what.to_owned())?;
        for effect in effects {
            let event = driver.event_of(&effect);
            if let Some(line) = words::effect(self, &effect, event) {
                self.tell(&format!("    {line}"));
            }
            let asked = driver.execute(effect, event, &mut self.durable, &self.topics);
            if let (Some(Asked::Attempt(attempt)), Some(event)) = (asked, event) {
                self.attempts.insert(attempt, event);
            }
        }
        self.attempts.retain(|attempt, _| driver.running.contains_key(attempt));
        self.driver = Some(driver);
        Ok(())
    }

    fn ends(&self) -> Vec<Position> {
        let end = |topic| Position {
            topic,
            partition: HOME.1,
            offset: self.topics.log(topic, HOME.1).end(),
        };
        vec![end(TopicId(0)), end(TopicId(1))]
    }

    /// The hash a key goes by here.
    fn key(&mut self, name: &str) -> KeyHash {
        KeyHash((index_of(&mut self.keys, name) + 1) << 100)
    }

    fn timer(&mut self, name: &str) -> TimerHash {
        TimerHash(index_of(&mut self.timers, name))
    }
}

fn index_of(names: &mut Vec<String>, name: &str) -> u128 {
    let at = names.iter().position(|known| known == name).unwrap_or_else(|| {
        names.push(name.to_owned());
        names.len() - 1
    });
    u128::try_from(at).unwrap_or(0)
}

fn topic_of(name: &str) -> Result<TopicId, String> {
    let at = TOPICS.iter().position(|topic| *topic == name);
    let at = at.and_then(|at| u32::try_from(at).ok());
    at.map(TopicId).ok_or_else(|| format!("no topic is called \"{name}\""))
}

fn millis(text: &str) -> Result<Millis, String> {
    match text.strip_suffix("ms") {
        Some(count) => Ok(Millis(number(count)?)),
        None => Ok(Millis::seconds(number(text.trim_end_matches('s'))?)),
    }
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().ok().ok_or_else(|| format!("\"{text}\" is no number"))
}

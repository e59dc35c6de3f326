//! Lets one write or sync of a host's store fail in each life of the host, as a broken or a full
//! disk would, by a library in front of the system's. A host may stop or go on; nothing
//! that it acknowledged may be gone, nothing be there twice.

mod shim;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};

use self::shim::{Fault, SHIM, Shim};
use super::complaints::Expected;
use super::producer::Pace;
use super::report::{Done, Report};
use super::world::World;
use super::{Options, Progress, finish, run};
use crate::support::home::Process;
use crate::support::wait;

/// A call is the first one of a life to fail, or so many calls later.
const CALLS_MAX: u64 = 1_500;
/// A call that is not made within this time is not waited for.
const PATIENCE: Duration = Duration::from_secs(15);
/// A host that goes on so long after a call failed does go on.
const ENDING: Duration = Duration::from_secs(10);

/// What a host says when its disk fails, and rightly.
const SAID: [Expected; 5] = [
    Expected { parts: &["ERROR", "os error 5"], why: "the disk said so" },
    Expected { parts: &["ERROR", "os error 28"], why: "the disk is full" },
    Expected { parts: &["ERROR fjall", "Os { code: 5,"], why: "the engine says it before" },
    Expected { parts: &["ERROR fjall", "Os { code: 28,"], why: "the engine says it before" },
    Expected { parts: &["ERROR", "the store stops"], why: "after that nothing is certain" },
];

/// Lets calls fail until as many did as are wanted, then reads what the hosts left.
///
/// # Errors
///
/// When a host fails otherwise. What is wrong with events is in the report.
pub fn disk(options: &Options, progress: Progress<'_>) -> Result<Report> {
    let shim = Shim::build()?;
    run("disk", options, &SAID, |world, random, pace| {
        let (mut random, wanted) = (random.fork(100), options.disk);
        let mut lives = Lives { world, pace, shim: &shim, faults: BTreeMap::new(), failed: 0 };
        while lives.failed < wanted {
            pace.allow(options.events.saturating_mul(lives.failed + 1) / (wanted + 1));
            lives.live(Fault::any(&mut random, CALLS_MAX))?;
            progress("disk", lives.failed, wanted, pace.count().published);
        }
        let faults = lives.faults;
        let mut process = world.home.start(&[])?;
        let client = process.must_be_ready()?;
        pace.connect(0, Some(client.clone()));
        pace.allow(options.events);
        finish(process, &client, pace)?;
        Ok(Done { faults, ..Done::default() })
    })
}

/// Lives of a host, each with a disk that fails once.
struct Lives<'a> {
    world: &'a World,
    pace: &'a Pace,
    shim: &'a Shim,
    /// What failed, and how hosts took it.
    faults: BTreeMap<String, u64>,
    /// Calls that failed.
    failed: u64,
}

impl Lives<'_> {
    fn live(&mut self, fault: Fault) -> Result<()> {
        let file = self.file();
        if file.exists() {
            fs::remove_file(&file)?;
        }
        let store = self.world.home.path().join("data/store");
        let mut process = self.world.home.start(&self.shim.variables(fault, &store, &file))?;
        // None where it failed before.
        self.pace.connect(0, process.ready()?);
        let told = || Ok(file.exists().then_some(()));
        let has_failed = match process.ended(Duration::ZERO)? {
            None => wait::until(PATIENCE, told)?.is_some(),
            Some(_) => file.exists(),
        };
        let ended = if has_failed { process.ended(ENDING)? } else { None };
        if ended.is_none() {
            process.kill()?;
        }
        self.pace.connect(0, None);
        if let Some(status) = ended {
            let is_orderly = status.code().is_some_and(|code| code != 0 && code != 101);
            ensure!(has_failed && is_orderly, "the host ended with {status}:\n{}", process.tail());
        }
        self.count(fault, has_failed, ended.is_some(), &process)
    }

    fn count(&mut self, fault: Fault, failed: bool, ended: bool, process: &Process) -> Result<()> {
        if !failed {
            self.add("lives had fewer calls than were waited for".to_owned());
            return Ok(());
        }
        self.failed += 1;
        let told = fs::read_to_string(self.file())?;
        let (call, path) = told.trim_end().split_once(' ').unwrap_or((told.trim_end(), ""));
        self.add(format!("{} by {call} of {}, at {SHIM}", fault.error_name(), shim::kind(path)));
        let tail = process.tail();
        ensure!(
            !ended || tail.contains(fault.words()),
            "a host that stops for its disk says so, but this one:\n{tail}"
        );
        let how =
            if ended { "hosts stopped, and said why" } else { "hosts went on, and were killed" };
        self.add(how.to_owned());
        Ok(())
    }

    fn add(&mut self, words: String) {
        *self.faults.entry(words).or_default() += 1;
    }

    /// Where the library tells what it did.
    fn file(&self) -> PathBuf {
        self.world.home.path().join("fault")
    }
}

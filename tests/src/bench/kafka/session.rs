//! Owns one runner at work: its process, the reader of what it emits, and the patience with both.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::clock::Clock;
use super::field::Field;
use super::reader::{Reader, Seen};
use super::runner::{Processor, Runner, Wiring};
use super::tally::Tally;
use super::usage::Usage;
use super::work;
use crate::bench::Progress;

/// Time between two looks at the process and the reader.
const LOOK: Duration = Duration::from_millis(10);
/// Time between two lines about what is going on.
const TELL: Duration = Duration::from_secs(5);
/// A runner that emits nothing new for so long will not.
const STUCK: Duration = Duration::from_mins(1);

/// A runner at work, or none: then what is written to the output is all there is.
#[derive(Debug)]
pub struct Session<'a> {
    field: &'a Field,
    clock: Clock,
    wiring: Wiring,
    processor: Option<Processor>,
    reader: Reader,
    /// Processor time of the process, by moments.
    samples: Vec<(u64, f64)>,
}

impl<'a> Session<'a> {
    /// Creates the output topic, starts to read it, and starts the runner.
    ///
    /// # Errors
    ///
    /// When one of them does not start.
    pub fn start(
        field: &'a Field,
        clock: Clock,
        runner: Option<&dyn Runner>,
        wiring: Wiring,
        tally: Tally,
    ) -> Result<Self> {
        field.create(&wiring.output, work::PARTITIONS)?;
        let reader =
            Reader::start(field.brokers(), &wiring.output, work::PARTITIONS, tally, clock)?;
        let processor = match runner {
            Some(runner) => Some(runner.prepare(&wiring)?.start()?),
            None => None,
        };
        Ok(Self { field, clock, wiring, processor, reader, samples: Vec::new() })
    }

    /// The process, where there is one.
    pub fn processor(&self) -> Option<&Processor> {
        self.processor.as_ref()
    }

    /// Waits until `until` sees what it waits for in what was read.
    ///
    /// # Errors
    ///
    /// When the runner ends, or nothing new comes.
    pub fn wait(
        &mut self,
        what: &str,
        progress: Progress<'_>,
        until: impl Fn(&Reader, Option<&Processor>) -> bool,
    ) -> Result<()> {
        let (mut before, mut moved) = (self.reader.count(), Instant::now());
        let mut told = Instant::now();
        loop {
            if let Some(processor) = &mut self.processor {
                let usage = processor.usage()?;
                self.samples.push((self.clock.now(), usage.cpu));
            }
            if until(&self.reader, self.processor.as_ref()) {
                return Ok(());
            }
            let count = self.reader.count();
            if count != before {
                (before, moved) = (count, Instant::now());
            } else if moved.elapsed() > STUCK || self.reader.is_over() {
                let said = self.processor.as_ref().map(Processor::tail).unwrap_or_default();
                bail!("{count} came out, {} must come and do not:\n{said}", self.reader.missing());
            }
            if told.elapsed() > TELL {
                told = Instant::now();
                progress(&format!("{what}: {count} out, {} to come", self.reader.missing()));
            }
            thread::sleep(LOOK);
        }
    }

    /// Stops the runner, reads everything there is, and checks it.
    ///
    /// # Errors
    ///
    /// When the runner does not end well, or what came out is not what had to.
    pub fn end(mut self) -> Result<Ended> {
        let usage = self.processor.as_mut().map(Processor::usage).transpose()?;
        if let Some(processor) = self.processor.take() {
            processor.stop()?;
        }
        let seen = self.reader.finish()?;
        seen.check().with_context(|| format!("{} of {}", self.wiring.output, self.wiring.name))?;
        self.field.clear(&self.wiring.name)?;
        Ok(Ended { seen, usage, samples: self.samples })
    }
}

/// What is left of a session whose output was right.
#[derive(Debug)]
pub struct Ended {
    /// What came out.
    pub seen: Seen,
    /// What the process had used at its end.
    pub usage: Option<Usage>,
    samples: Vec<(u64, f64)>,
}

impl Ended {
    /// Seconds of processor time the process had used at `moment`.
    pub fn cpu_at(&self, moment: u64) -> f64 {
        let after = self.samples.partition_point(|(at, _)| *at < moment);
        self.samples.get(after).or(self.samples.last()).map_or(0.0, |(_, cpu)| *cpu)
    }
}

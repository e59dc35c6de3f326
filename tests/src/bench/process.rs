//! Reads what a process used: processor time per thread, memory. It knows Linux only, and what the
//! threads of a host are called.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// Processor time of a host's threads since its start, in nanoseconds.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cpu {
    /// Threads that run handlers and decide.
    pub workers: u64,
    /// Time those threads were ready to run and had no processor.
    pub workers_waited: u64,
    /// Threads that write and sync, and that compact in the background.
    pub store: u64,
    /// Everything else: HTTP, plugin loading, the clock of deadlines.
    pub rest: u64,
}

impl Cpu {
    /// What `process` used until now.
    ///
    /// # Errors
    ///
    /// When the system does not tell.
    pub fn of(process: u32) -> Result<Self> {
        let mut cpu = Self::default();
        let tasks = format!("/proc/{process}/task");
        for task in fs::read_dir(&tasks).with_context(|| format!("list {tasks}"))? {
            let path = task?.path();
            // A thread may end between listing and looking.
            let Ok(name) = fs::read_to_string(path.join("comm")) else { continue };
            let Ok(times) = fs::read_to_string(path.join("schedstat")) else { continue };
            let mut times = times.split_whitespace().map(|it| it.parse().unwrap_or(0));
            let (ran, waited): (u64, u64) = (times.next().unwrap_or(0), times.next().unwrap_or(0));
            match name.trim() {
                name if name.starts_with("worker-") => {
                    cpu.workers += ran;
                    cpu.workers_waited += waited;
                }
                name if ["store", "fjall", "lsm"].iter().any(|it| name.starts_with(it)) => {
                    cpu.store += ran;
                }
                _ => cpu.rest += ran,
            }
        }
        Ok(cpu)
    }

    /// What was used since `before`.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self {
            workers: self.workers.saturating_sub(before.workers),
            workers_waited: self.workers_waited.saturating_sub(before.workers_waited),
            store: self.store.saturating_sub(before.store),
            rest: self.rest.saturating_sub(before.rest),
        }
    }

    /// All threads together.
    pub fn all(self) -> u64 {
        self.workers + self.store + self.rest
    }
}

/// Watches what other processes take of the machine meanwhile: a measurement beside much of that
/// says little.
#[derive(Debug)]
pub struct Others {
    began: Instant,
    busy: f64,
    own: f64,
    hosts: Vec<u32>,
}

impl Others {
    /// From now on; `hosts` and this process do not count.
    ///
    /// # Errors
    ///
    /// When the system does not tell.
    pub fn beside(hosts: &[u32]) -> Result<Self> {
        let hosts = hosts.to_vec();
        Ok(Self { began: Instant::now(), busy: busy()?, own: own(&hosts)?, hosts })
    }

    /// Processors that others kept busy since, on average.
    ///
    /// # Errors
    ///
    /// When the system does not tell.
    pub fn processors(&self) -> Result<f64> {
        let others = (busy()? - self.busy) - (own(&self.hosts)? - self.own);
        Ok((others / self.began.elapsed().as_secs_f64()).max(0.0))
    }
}

/// Seconds that all processors together were busy since the machine started.
fn busy() -> Result<f64> {
    // Linux counts hundredths of a second here on every architecture (source: proc(5), USER_HZ).
    const TICKS: f64 = 100.0;
    let stat = fs::read_to_string("/proc/stat").context("read /proc/stat")?;
    let line = stat.lines().next().unwrap_or_default();
    let fields = line.split_whitespace().skip(1).map(|it| it.parse().unwrap_or(0.0));
    // user, nice, system, idle, iowait, irq, softirq: all but the two of waiting.
    let busy = fields.take(7).enumerate().filter(|(at, _)| !matches!(at, 3 | 4));
    Ok(busy.map(|(_, ticks): (usize, f64)| ticks).sum::<f64>() / TICKS)
}

/// Seconds of processor time of the hosts and of this process.
fn own(hosts: &[u32]) -> Result<f64> {
    let mut nanos = Cpu::of(std::process::id())?.all();
    for host in hosts {
        nanos += Cpu::of(*host)?.all();
    }
    Ok(Duration::from_nanos(nanos).as_secs_f64())
}

/// Resident memory of `process` in bytes.
///
/// # Errors
///
/// When the system does not tell.
pub fn resident(process: u32) -> Result<u64> {
    let path = format!("/proc/{process}/status");
    let status = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|it| it.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    Ok(kib.with_context(|| format!("find VmRSS in {path}"))? * 1_024)
}

/// The value of a metric in Prometheus' text format, summed over its labels.
pub fn metric(text: &str, name: &str) -> f64 {
    let lines = text.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        if !rest.starts_with(['{', ' ']) {
            return None;
        }
        rest.rsplit(' ').next()?.parse::<f64>().ok()
    });
    lines.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_the_sum_over_its_labels() {
        let text = "# HELP a x\na_sum{s=\"x\"} 1.5\na_sum{s=\"y y\"} 2\na_sums 9\na 7\n";
        for (name, value) in [("a_sum", 3.5), ("a", 7.0), ("b", 0.0)] {
            assert!((metric(text, name) - value).abs() < 1e-9, "{name}");
        }
    }

    #[test]
    fn this_process_has_memory_and_used_time() {
        let this = std::process::id();
        assert!(resident(this).unwrap() > 100_000);
        assert!(Cpu::of(this).unwrap().all() > 0);
    }
}

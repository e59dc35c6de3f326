//! Reads what a whole process used, whatever it is written in. It knows Linux only.

use std::fs;

use anyhow::{Context, Result};

/// Linux counts hundredths of a second here on every architecture (source: proc(5), `USER_HZ`).
const TICKS: f64 = 100.0;

/// What a process used since its start.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Usage {
    /// Seconds of processor time: user and system, of all threads and ended children.
    pub cpu: f64,
    /// Most memory that was ever resident, in bytes.
    pub memory_peak: u64,
    /// Threads now.
    pub threads: u64,
}

impl Usage {
    /// Of the process with that number.
    ///
    /// # Errors
    ///
    /// When the system does not tell.
    pub fn of(process: u32) -> Result<Self> {
        let stat = read(process, "stat")?;
        let status = read(process, "status")?;
        let cpu = ticks(&stat).with_context(|| format!("find processor time in {stat:?}"))?;
        let memory_peak = field(&status, "VmHWM").context("find VmHWM")? * 1_024;
        let threads = field(&status, "Threads").context("find Threads")?;
        Ok(Self { cpu: cpu / TICKS, memory_peak, threads })
    }
}

fn read(process: u32, file: &str) -> Result<String> {
    let path = format!("/proc/{process}/{file}");
    fs::read_to_string(&path).with_context(|| format!("read {path}"))
}

/// Sum of utime, stime, cutime and cstime, the fields 14 to 17 of `stat`. The second is the
/// program's name in parentheses and may hold anything.
fn ticks(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let times: Vec<f64> =
        fields.split_whitespace().skip(11).take(4).map_while(|it| it.parse().ok()).collect();
    (times.len() == 4).then(|| times.iter().sum())
}

fn field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_stand_behind_the_name_whatever_it_holds() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4 10 0 0 0 150 50 3 7 20 0 9 0 100 1 1";
        assert_eq!(ticks(stat), Some(210.0));
        assert_eq!(ticks("7 (a) S 1"), None);
        assert_eq!(ticks(""), None);
    }

    #[test]
    fn fields_are_found_by_name() {
        let status = "VmPeak:\t 9 kB\nVmHWM:\t  2048 kB\nThreads:\t12\n";
        assert_eq!((field(status, "VmHWM"), field(status, "Threads")), (Some(2_048), Some(12)));
        assert_eq!(field(status, "Vm"), None);
    }

    #[test]
    fn this_process_used_something() {
        let usage = Usage::of(std::process::id()).unwrap();
        assert!(usage.memory_peak > 100_000 && usage.threads > 0, "{usage:?}");
    }
}

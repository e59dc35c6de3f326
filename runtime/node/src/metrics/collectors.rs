//! Shows figures that others count: the store's syncs and the process itself, read when somebody
//! asks. It keeps no count of its own.

use std::sync::{Arc, Mutex, PoisonError};

use gristmill_store::Histogram;
use prometheus::core::{Collector, Desc};
use prometheus::proto;

/// A histogram that somebody else keeps, as of the last [`Borrowed::set`].
#[derive(Debug, Clone)]
pub(super) struct Borrowed {
    name: &'static str,
    help: &'static str,
    desc: Desc,
    latest: Arc<Mutex<Histogram>>,
}

impl Borrowed {
    pub(super) fn new(name: &'static str, help: &'static str) -> prometheus::Result<Self> {
        let labels = std::collections::HashMap::new();
        let desc = Desc::new(name.to_owned(), help.to_owned(), Vec::new(), labels)?;
        Ok(Self { name, help, desc, latest: Arc::default() })
    }

    pub(super) fn set(&self, histogram: Histogram) {
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = histogram;
    }
}

impl Collector for Borrowed {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<proto::MetricFamily> {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut below = 0;
        let finite = latest.buckets.iter().filter(|(bound, _)| bound.is_finite());
        let buckets = finite.map(|(bound, count)| {
            below += count;
            let mut bucket = proto::Bucket::default();
            bucket.set_upper_bound(*bound);
            bucket.set_cumulative_count(below);
            bucket
        });
        let mut histogram = proto::Histogram::default();
        histogram.set_bucket(buckets.collect());
        histogram.set_sample_sum(latest.sum);
        histogram.set_sample_count(latest.count);
        let mut metric = proto::Metric::default();
        metric.set_histogram(histogram);
        let mut family = proto::MetricFamily::default();
        family.set_name(self.name.to_owned());
        family.set_help(self.help.to_owned());
        family.set_field_type(proto::MetricType::HISTOGRAM);
        family.set_metric(vec![metric]);
        vec![family]
    }
}

/// What the operating system says of this process.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Process {
    /// Resident memory in bytes.
    pub(super) resident_bytes: u64,
    /// Processor time used, user and system, in milliseconds.
    pub(super) cpu_ms: u64,
    /// Threads.
    pub(super) threads: u64,
    /// Open file descriptors.
    pub(super) open_fds: u64,
}

impl Process {
    /// Figures of this process; zeros where the system has no `/proc`.
    pub(super) fn read() -> Self {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let open_fds = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
        Self {
            resident_bytes: field(&status, "VmRSS:").saturating_mul(1_024),
            cpu_ms: cpu_ms(&stat),
            threads: field(&status, "Threads:"),
            open_fds: u64::try_from(open_fds).unwrap_or(u64::MAX),
        }
    }
}

fn field(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// User and system time are the 14th and 15th field, in hundredths of a second (the unit Linux
/// shows to user space whatever its own tick). The second field may hold blanks and brackets.
fn cpu_ms(stat: &str) -> u64 {
    let Some((_, after_name)) = stat.rsplit_once(')') else { return 0 };
    let ticks = after_name.split_whitespace().skip(11).take(2);
    ticks.filter_map(|text| text.parse::<u64>().ok()).sum::<u64>().saturating_mul(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_processs_own_figures() {
        let name_with_brackets = "42 (a) b (c)) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 1 0";
        assert_eq!(cpu_ms(name_with_brackets), 2_000);
        assert_eq!(cpu_ms(""), 0);
        assert_eq!(field("VmRSS:\t  120 kB\nThreads:\t3\n", "Threads:"), 3);
        assert_eq!(field("", "Threads:"), 0);
    }
}

//! Measures the flow of orders through the example system commerce on Kafka.

use anyhow::{Result, ensure};

use super::Bench;
use super::ledger::Ledger;
use crate::bench::Progress;
use crate::bench::commerce::flow;
use crate::support::component::binary;
use crate::support::example::Example;

/// The host with the example.
pub const NAME: &str = "gristmill, commerce";
/// From an order to what ships it, of 99 in 100.
pub const P99: &str = "order to shipped, p99";
/// Milliseconds from an order to what ships it that are asked for, of 99 in 100.
pub const ASKED: f64 = 500.0;

/// Takes one run, on topics that no other run has.
///
/// # Errors
///
/// When the host fails, or an order is not shipped.
pub fn measure(bench: &Bench<'_>, ledger: &mut Ledger, progress: Progress<'_>) -> Result<()> {
    let binary = binary("release");
    ensure!(binary.is_file(), "{} is not built; `make bench-kafka` builds it", binary.display());
    let name = bench.field.name();
    let home = Example::of("commerce")?.home_on(&binary, bench.field.brokers(), &name)?;
    let flow = flow(&home, bench.options.seconds, progress)?;
    bench.field.clear(&name)?;
    let [middle, last, worst] = flow.millis;
    ledger.add(NAME, "order to shipped, p50", "ms", middle);
    ledger.add(NAME, P99, "ms", last);
    ledger.add(NAME, "order to shipped, worst", "ms", worst);
    Ok(())
}

//! Measures what traces and metrics for a collector cost: the same backlog is handled without them,
//! with the defaults, and with every trace told of, in turns.

use anyhow::Result;

use super::figure::{Figure, Target};
use super::throughput::{Backlog, Run, Sign, median, run};
use super::{Options, Progress, scene};
use crate::support::collector::Collector;

/// Turns; the figures are of their medians.
const ROUNDS: usize = 5;

/// A way to run, and its runs.
struct Way {
    name: &'static str,
    lines: Option<&'static str>,
    runs: Vec<Run>,
}

/// Takes all runs.
///
/// # Errors
///
/// When a host or the collector fails, or a host does not get on.
pub fn measure(options: &Options, progress: Progress<'_>) -> Result<Vec<Figure>> {
    let collector = Collector::start()?;
    let way = |name, lines| Way { name, lines, runs: Vec::new() };
    let mut ways = [
        way("off", None),
        way("by default", Some("")),
        way("with all traces", Some("sample = 1.0")),
    ];
    for round in 1..=ROUNDS {
        for way in &mut ways {
            let label = format!("telemetry {}, {round} of {ROUNDS}", way.name);
            let told = &mut |what: &str| progress(&format!("{label}: {what}"));
            way.runs.push(handled(options, &collector, way.lines, told)?);
        }
    }
    let [off, default, all] = &ways;
    let mut figures = Vec::new();
    for way in &ways {
        let name = format!("throughput, telemetry {}", way.name);
        figures.push(Figure::new(name, median(&way.runs, Run::rate), "events/s").noting(NOTE));
    }
    for (way, target) in [(default, Some(Target::AtMost(5.0))), (all, None)] {
        let figure =
            Figure::new(format!("telemetry {}, throughput lost", way.name), lost(off, way), "%");
        figures.push(target.into_iter().fold(figure, Figure::aiming).noting(NOTE));
        let more = median(&way.runs, Run::cpu_per_event) - median(&off.runs, Run::cpu_per_event);
        let name = format!("telemetry {}, processor time per event", way.name);
        figures.push(Figure::new(name, more, "µs").noting("of the host, beyond that without it"));
    }
    Ok(figures)
}

const NOTE: &str = "median of five turns, two subscriptions with two topics each, instances \
    reused; the collector is a real one, on the same processors";

fn handled(
    options: &Options,
    collector: &Collector,
    lines: Option<&str>,
    progress: Progress<'_>,
) -> Result<Run> {
    let otlp = lines.map(|lines| {
        let endpoint = collector.endpoint();
        let table = "[telemetry.otlp]\nmetrics_interval = \"5s\"";
        format!("{table}\nendpoint = \"{endpoint}\"\n{lines}\n")
    });
    let topics = [scene::INPUT, scene::SECOND_INPUT];
    let [first, second] = topics;
    let all = [first, second, scene::OUTPUT];
    let home = scene::home_with(&options.binary, &all, &otlp.unwrap_or_default())?;
    home.put("ordinary.wasm", &scene::handler()?)?;
    home.put("ordinary.toml", scene::pair(&topics).as_bytes())?;
    // Each event is handled twice.
    let events = options.events / 2;
    let (subscriptions, sign) = (&scene::PAIR, Sign::Emissions);
    let backlog = Backlog { topics: &topics, subscriptions, events, sign };
    run(&home, &backlog, progress, |_client| Ok(())).map(|(run, ())| run)
}

/// Share of the throughput without telemetry that is lost, in per cent.
fn lost(off: &Way, on: &Way) -> f64 {
    (1.0 - median(&on.runs, Run::rate) / median(&off.runs, Run::rate)) * 100.0
}

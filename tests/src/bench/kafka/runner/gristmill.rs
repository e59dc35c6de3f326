//! Starts a host of Gristmill: its configuration, its plugins and their manifests.
//!
//! The only place that knows how a host is told to work on Kafka: `broker` writes its table.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use super::{End, Prepared, Repeats, Runner, Wiring, folder};
use crate::support::component;

/// Events a reused instance handles.
const REUSE: u32 = 10_000;
/// The default of `guarantee` in `[broker]`.
const EXACTLY_ONCE: &str = "exactly-once";
/// Workers of the host.
const WORKERS: u32 = 2;

/// A host with one handler.
#[derive(Debug)]
pub struct Gristmill {
    name: String,
    handler: Handler,
    reuse: u32,
    guarantee: &'static str,
}

/// What the plugins are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Handler {
    /// One subscription per source topic that tells what happened to a seat.
    Seats,
    /// So many subscriptions to all source topics, each of a plugin of its own, which do the same.
    Crowd(u32),
    /// One subscription that waits as its events ask for, with so many attempts at once.
    Waits(u32),
}

impl Gristmill {
    /// Exactly once, with an instance used for many events.
    pub fn reused() -> Self {
        Self::seats("gristmill, exactly-once, reused", REUSE)
    }

    /// At least once, with an instance used for many events.
    pub fn at_least_once() -> Self {
        let guarantee = "at-least-once";
        Self { guarantee, ..Self::seats("gristmill, at-least-once, reused", REUSE) }
    }

    /// Exactly once, with an instance per event.
    pub fn fresh() -> Self {
        Self::seats("gristmill, exactly-once, fresh", 1)
    }

    /// `count` subscriptions to the same topics.
    pub fn crowd(count: u32) -> Self {
        let name = format!("gristmill, {count} subscriptions");
        Self { name, handler: Handler::Crowd(count), reuse: REUSE, guarantee: EXACTLY_ONCE }
    }

    /// With `concurrency` attempts at once, ordered by key.
    pub fn waits(concurrency: u32) -> Self {
        let name = format!("gristmill, {concurrency} in flight");
        let handler = Handler::Waits(concurrency);
        Self { name, handler, reuse: REUSE, guarantee: EXACTLY_ONCE }
    }

    fn seats(name: &str, reuse: u32) -> Self {
        Self { name: name.to_owned(), handler: Handler::Seats, reuse, guarantee: EXACTLY_ONCE }
    }

    /// Manifests by the name of the plugin.
    fn manifests(&self, wiring: &Wiring) -> Vec<(String, String)> {
        let topics =
            wiring.sources.iter().map(|it| format!("\"{it}\"")).collect::<Vec<_>>().join(", ");
        match self.handler {
            Handler::Seats => {
                let subscription = |(at, source): (usize, &String)| {
                    self.subscription(&format!("seats-{at}"), &format!("\"{source}\""), wiring)
                };
                let all: String = wiring.sources.iter().enumerate().map(subscription).collect();
                vec![("seats".to_owned(), all)]
            }
            Handler::Crowd(count) => (0..count)
                .map(|number| format!("seats-{number}"))
                .map(|name| (name.clone(), self.subscription(&name, &topics, wiring)))
                .collect(),
            Handler::Waits(_) => {
                vec![("waits".to_owned(), self.subscription("waits", &topics, wiring))]
            }
        }
    }

    fn subscription(&self, name: &str, topics: &str, wiring: &Wiring) -> String {
        let (envelope, concurrency) = match self.handler {
            Handler::Seats | Handler::Crowd(_) => ("ticketing", String::new()),
            Handler::Waits(concurrency) => ("raw", format!("concurrency = {concurrency}\n")),
        };
        format!(
            r#"[[subscription]]
name = "{name}"
topics = [{topics}]
order = "key"
envelope = "{envelope}"
{concurrency}
[subscription.grants]
emit = ["{output}"]
config = {{ to = "{output}" }}

[subscription.limits]
instances = {{ reuse = {reuse} }}

"#,
            output = wiring.output,
            reuse = self.reuse,
        )
    }
}

impl Runner for Gristmill {
    fn name(&self) -> &str {
        &self.name
    }

    fn repeats(&self) -> Repeats {
        Repeats::Dropped
    }

    fn prepare(&self, wiring: &Wiring) -> Result<Prepared> {
        let binary = component::binary("release");
        if !binary.is_file() {
            bail!("{} is not built; `make bench-kafka` builds it", binary.display());
        }
        let folder = folder()?;
        write(
            folder.path(),
            &self.configuration(wiring),
            &self.component()?,
            &self.manifests(wiring),
        )?;
        let mut command = Command::new(binary);
        command.args(["run", "--config"]).arg(folder.path().join("gristmill.toml"));
        Ok(Prepared { folder, command, end: End::Signal })
    }
}

impl Gristmill {
    /// Everything but the broker is as a user would have it. All topics exist before it starts.
    fn configuration(&self, wiring: &Wiring) -> String {
        let name = &wiring.name;
        let broker = self.broker(wiring);
        format!(
            "name = \"{name}\"\nlisten = \"127.0.0.1:0\"\ndata_dir = \"data\"\n\
             plugins_dir = \"plugins\"\nworkers = {WORKERS}\n\n{broker}"
        )
    }

    /// The table that tells a host to work on Kafka.
    fn broker(&self, wiring: &Wiring) -> String {
        let brokers: Vec<_> = wiring.brokers.split(',').map(|it| format!("\"{it}\"")).collect();
        format!(
            "[broker]\nkind = \"kafka\"\nbrokers = [{}]\nguarantee = \"{}\"\n",
            brokers.join(", "),
            self.guarantee
        )
    }

    fn component(&self) -> Result<Vec<u8>> {
        component::guest(match self.handler {
            Handler::Seats | Handler::Crowd(_) => "seats",
            Handler::Waits(_) => "waits",
        })
    }
}

fn write(
    folder: &Path,
    configuration: &str,
    component: &[u8],
    manifests: &[(String, String)],
) -> Result<()> {
    let plugins = folder.join("plugins");
    fs::create_dir(&plugins)?;
    fs::write(folder.join("gristmill.toml"), configuration)?;
    for (name, manifest) in manifests {
        fs::write(plugins.join(format!("{name}.wasm")), component)?;
        fs::write(plugins.join(format!("{name}.toml")), manifest)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wiring() -> Wiring {
        Wiring {
            name: "bench-1".to_owned(),
            brokers: "a:1,b:2".to_owned(),
            sources: vec!["x".to_owned(), "y".to_owned()],
            output: "z".to_owned(),
        }
    }

    #[test]
    fn a_source_has_a_subscription_and_a_crowd_shares_all() {
        let manifests = Gristmill::reused().manifests(&wiring());
        assert_eq!(manifests.len(), 1);
        assert_eq!(manifests[0].1.matches("[[subscription]]").count(), 2);
        assert!(manifests[0].1.contains("topics = [\"y\"]"), "{}", manifests[0].1);
        let crowd = Gristmill::crowd(100).manifests(&wiring());
        assert_eq!(crowd.len(), 100);
        assert!(crowd[99].1.contains("name = \"seats-99\"\ntopics = [\"x\", \"y\"]"));
    }

    #[test]
    fn a_host_is_told_its_brokers() {
        let configuration = Gristmill::at_least_once().configuration(&wiring());
        let expected = "[broker]\nkind = \"kafka\"\nbrokers = [\"a:1\", \"b:2\"]\n\
                        guarantee = \"at-least-once\"\n";
        assert!(configuration.ends_with(expected), "{configuration}");
    }
}

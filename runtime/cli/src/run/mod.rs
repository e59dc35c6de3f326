//! Owns the life of the process that is a host: its configuration, its signals, the file that
//! names its address. What a host does is `gristmill-node`'s.

mod address;
mod failpoint;
mod logs;
pub(crate) mod settings;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use gristmill_node::{Node, Settings};
use serde_json::json;
use tokio::signal::unix::{Signal, SignalKind, signal};

use self::address::AddressFile;
use crate::exit::Exit;
use crate::output::{Output, Style};
use crate::problem::Problem;

/// Threads for HTTP and the plugin directory; each worker has a thread of its own beside them.
const THREADS: usize = 2;

/// What `gristmill run` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The host's configuration; without the option ./gristmill.toml, or every default if there
    /// is none
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address to listen on instead of the configured one; port 0 takes any free port
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Folder of topics, state and compiled plugins instead of the configured one
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Folder of plugins and manifests instead of the configured one
    #[arg(long, value_name = "DIR")]
    plugins_dir: Option<PathBuf>,
    /// What is logged: a level, or directives TARGET=LEVEL separated by commas
    #[arg(long, value_name = "FILTER", env = "GRISTMILL_LOG", hide_env_values = true)]
    log: Option<String>,
}

/// Runs a host until a signal or a failure ends it.
///
/// # Errors
///
/// Whatever keeps it from starting, or ended it.
pub(crate) fn run(args: &Args, output: &Output) -> anyhow::Result<Exit> {
    let Some(config) = settings::read(args, output)? else { return Ok(Exit::Usage) };
    logs::start(args.log.as_deref(), &config.telemetry, output)?;
    let (hook, transaction_hook) = failpoint::hooks(output)?;
    let settings = Settings { config, hook, transaction_hook };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .enable_all()
        .build()
        .map_err(|error| Problem::environment("E0554", "start the threads").source(error))?;
    let result = runtime.block_on(live(settings, output));
    // What still waits for the store, or for nothing, must not hold the process up.
    runtime.shutdown_background();
    result
}

async fn live(settings: Settings, output: &Output) -> anyhow::Result<Exit> {
    let mut signals = Signals::new()?;
    let data_dir = settings.config.data_dir.clone();
    AddressFile::forget_stale(&data_dir);
    let node = tokio::select! {
        node = Node::start(settings) => node.map_err(failed)?,
        () = signals.next() => return Ok(Exit::Interrupted),
    };
    let address = node.address();
    let _file = AddressFile::write(&data_dir, address)?;
    announce(address, output);
    let stopper = node.stopper();
    let mut ended = std::pin::pin!(node.ended());
    tokio::select! {
        result = &mut ended => return result.map(|()| Exit::Done).map_err(failed),
        () = signals.next() => {}
    }
    stopper.send_replace(true);
    output.note("stopping: what runs may finish; a second signal ends it at once");
    tokio::select! {
        result = &mut ended => result.map(|()| Exit::Done).map_err(failed),
        () = signals.next() => Ok(Exit::Interrupted),
    }
}

/// Says where the host listens.
fn announce(address: SocketAddr, output: &Output) {
    let url = format!("http://{}", reachable(address));
    output.json(&json!({ "url": url, "address": address.to_string() }));
    if !output.is_json() {
        let url = output.paint_note(Style::Bold, &url);
        output.note(format!("gristmill listens at {url} (Ctrl-C stops it)"));
    }
}

/// An address this machine reaches `address` by.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        IpAddr::V4(_) | IpAddr::V6(_) => address.ip(),
    };
    SocketAddr::new(ip, address.port())
}

fn failed(error: gristmill_node::Error) -> anyhow::Error {
    let mut problem = Problem::environment(error.code(), "run the host");
    if let Some(hint) = error.hint() {
        problem = problem.hint(hint);
    }
    problem.source(error).into()
}

/// The signals that ask a host to end.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> Result<Self, Problem> {
        let listen = |kind| {
            signal(kind)
                .map_err(|error| Problem::environment("E0554", "listen for signals").source(error))
        };
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    /// Waits for the next one.
    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_interface_is_reached_by_loopback() {
        for (address, holds) in [
            ("0.0.0.0:80", "127.0.0.1:80"),
            ("[::]:80", "[::1]:80"),
            ("10.0.0.1:80", "10.0.0.1:80"),
            ("127.0.0.1:1", "127.0.0.1:1"),
        ] {
            assert_eq!(reachable(address.parse().unwrap()).to_string(), holds, "{address}");
        }
    }
}

//! Copies topics to other clusters: every record once, in its order, and never back. One thread per
//! replication reads, and commits over there what it read together with how far it has come. It
//! touches no event that a plugin handles.

mod batch;
mod error;
mod flow;
mod judge;
mod look;
mod progress;
mod provenance;
mod report;
mod runner;
mod show;
mod slots;
mod source;
mod target;

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant as Moment};

use gristmill_config::{HostConfig, ReplicationConfig};
use gristmill_kafka::Hook;

use self::report::View;
pub(crate) use self::report::{Report, State};
use self::runner::{Event, Runner};
use self::target::{Target, Who};
use crate::shared::Shared;
use crate::{Error, connecting};

/// How long a host that stops waits for transactions in hand, and for clients to end.
const CLOSE_MAX: Duration = Duration::from_secs(8);

/// The replications of a host.
#[derive(Debug, Default)]
pub(crate) struct Replications {
    running: Vec<Running>,
}

/// One that runs.
struct Running {
    view: Arc<View>,
    told: Sender<Event>,
    /// Closed when its thread has ended.
    ended: std::sync::Mutex<Receiver<Infallible>>,
}

impl fmt::Debug for Running {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Running").field("view", &self.view).finish_non_exhaustive()
    }
}

/// Makes clients of every replication, so that a wrong property or a secret that cannot be read is
/// found at the start. Waits for no broker.
pub(crate) fn check(config: &HostConfig) -> Result<(), Error> {
    for (name, rule) in &config.replication {
        let who = Who { host: &config.name, host_id: "check", replication: name };
        let settings = Target::settings(who, rule).map_err(Error::Secret)?;
        gristmill_kafka::check(&settings).map_err(Error::Kafka)?;
    }
    Ok(())
}

impl Replications {
    /// Starts all that are configured. `hook` is called after the steps of each transaction.
    pub(crate) fn start(shared: &Arc<Shared>, hook: Option<&Hook>) -> Result<Self, Error> {
        check(&shared.config)?;
        let mut running = Vec::new();
        for (name, config) in &shared.config.replication {
            running.push(Running::start(shared, (name, config), hook)?);
        }
        Ok(Self { running })
    }

    /// How each of them is, by name.
    pub(crate) fn reports(&self) -> Vec<Report> {
        self.running.iter().map(|running| running.view.report()).collect()
    }

    /// Ends all of them: the transactions in hand end, what comes after is copied by others, or
    /// later. Waits, but not for a cluster that is away.
    pub(crate) fn close(&self) {
        for running in &self.running {
            // A thread that has ended needs no word.
            let _told = running.told.send(Event::Stop);
        }
        let began = Moment::now();
        for running in &self.running {
            if running.view.report().state == State::Away {
                // Nothing can end there.
                continue;
            }
            let ended = running.ended.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let left = CLOSE_MAX.saturating_sub(began.elapsed());
            if let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(left) {
                // What it had in hand is aborted over there, and copied again.
                tracing::info!(
                    replication = running.view.report().name,
                    "a replication does not end in time; it is left"
                );
            }
        }
    }
}

impl Running {
    fn start(
        shared: &Arc<Shared>,
        (name, config): (&str, &ReplicationConfig),
        hook: Option<&Hook>,
    ) -> Result<Self, Error> {
        let host_id = connecting::host_id(&shared.store)?;
        let who = Who { host: &shared.config.name, host_id: &host_id, replication: name };
        let settings = Target::settings(who, config).map_err(Error::Secret)?;
        let target = Target::connect(who, config, settings).map_err(Error::Kafka)?;
        let (told, events) = channel();
        let hook = hook.map_or_else(|| -> Hook { Arc::new(|_, _| {}) }, Arc::clone);
        let around = (told.clone(), events);
        let runner = Runner::new(shared, (name, config), (target, &host_id), around, hook);
        let view = runner.view();
        let (alive, ended) = channel();
        thread::Builder::new()
            .name(format!("replicate-{name}"))
            .spawn(move || {
                runner.run();
                drop(alive);
            })
            .map_err(Error::Thread)?;
        Ok(Self { view, told, ended: std::sync::Mutex::new(ended) })
    }
}

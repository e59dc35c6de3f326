//! Owns the calls of one plugin version for one subscription. It never retries and never decides
//! what a failure means.

use std::{
    fmt,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{Arc, Weak},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use tokio::time::Sleep;

use crate::{
    Error, Failure, Finished, Grants, Handled, HttpGrants, Limits, Plugin, Request, Runtime, Usage,
    World,
    attempt::Attempt,
    failure,
    instance::{Answer, Instance},
    seats::{Shelf, Yields},
    ticker::{Slice, Ticker},
};

/// Calls one plugin version for one subscription; a worker has one per pair.
pub struct Runner {
    runtime: Runtime,
    plugin: Plugin,
    settings: Arc<RunnerSettings>,
    /// Instances that may serve further events.
    shelf: Arc<Shelf<Instance>>,
}

/// What a runner is made with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunnerSettings {
    /// Name of the plugin, for logs.
    pub plugin: Arc<str>,
    /// Name of the subscription, for logs.
    pub subscription: Arc<str>,
    /// Bounds of each attempt.
    pub limits: Limits,
    /// What `wasi:config` answers, in this order.
    pub config: Vec<(String, String)>,
    /// What the manifest grants.
    pub grants: Grants,
    /// What may be called by HTTP.
    pub http: HttpGrants,
}

impl Runner {
    /// Prepares calls of `plugin`. Cheap: the plugin is compiled and linked already.
    ///
    /// # Errors
    ///
    /// [`Error::Limit`] when a limit is beyond what the runtime was started with.
    pub fn new(
        runtime: &Runtime,
        plugin: &Plugin,
        settings: RunnerSettings,
    ) -> Result<Arc<Self>, Error> {
        check_limits(runtime, &settings)?;
        let shelf: Arc<Shelf<Instance>> = Arc::default();
        if settings.limits.reuse > 1 {
            let weak: Weak<Shelf<Instance>> = Arc::downgrade(&shelf);
            runtime.inner.seats.register(weak as Weak<dyn Yields>);
        }
        let (runtime, plugin, settings) = (runtime.clone(), plugin.clone(), Arc::new(settings));
        Ok(Arc::new(Self { runtime, plugin, settings, shelf }))
    }

    /// Runs one attempt. The future must be polled within a tokio runtime with time enabled; it
    /// yields to other tasks about every millisecond. Dropping it ends the guest at once and voids
    /// everything it asked for.
    ///
    /// Where all instances are in use the call waits for one; that does not count to its deadline.
    #[expect(clippy::manual_async_fn, reason = "that the future is Send is part of the promise")]
    pub fn call(
        self: Arc<Self>,
        request: Request,
        world: Box<dyn World>,
    ) -> impl Future<Output = Finished> + Send + 'static {
        async move {
            if matches!(request.handled, Handled::Timer(_)) && !self.plugin.has_timers() {
                return Finished::uncalled(failure::no_timer_handler());
            }
            let Some(mut instance) = self.instance().await else {
                return Finished::uncalled(failure::no_seat());
            };
            instance.begin_attempt(Attempt::new(&request, world));
            let started = Instant::now();
            let (answer, busy) = {
                let slice = Arc::clone(instance.slice());
                let answer = pin!(instance.answer(&self.plugin.program, &request));
                metered(answer, &self.runtime.inner.ticker, &slice).await
            };
            self.finish(instance, answer, (started.elapsed(), busy))
        }
    }

    /// An instance that served before and may serve on, else a fresh one.
    async fn instance(&self) -> Option<Instance> {
        if self.settings.limits.reuse > 1
            && let Some(instance) = self.shelf.take()
        {
            return Some(instance);
        }
        let seat = self.runtime.inner.seats.take().await?;
        Some(Instance::new(&self.runtime.inner, &self.settings, seat))
    }

    /// Judges the answer, and keeps the instance where it may serve on.
    fn finish(
        &self,
        mut instance: Instance,
        answer: Option<Answer>,
        (wall, busy): (Duration, Duration),
    ) -> Finished {
        let usage = Usage { wall, ..instance.usage() };
        let (result, intact) = match answer {
            None => (Err(failure::timed_out(&self.settings.limits, None)), false),
            Some(Err(error)) => {
                instance.host_mut().drain_streams(true);
                (Err(failure::ended(&error, instance.host())), false)
            }
            Some(Ok(Err(failure))) => {
                // What became of its requests says what kind of failure it is.
                instance.host_mut().drain_streams(true);
                (Err(failure::answered(failure, instance.host())), true)
            }
            Some(Ok(Ok(()))) => (Ok(()), true),
        };
        let mut attempt = instance.end_attempt();
        let calls = attempt.as_mut().map(|it| std::mem::take(&mut it.calls)).unwrap_or_default();
        let withheld = attempt.as_mut().and_then(|it| it.withheld.take());
        // What an instance of its own costs is the attempt's, to its end.
        let ending = Instant::now();
        if intact && instance.served() < self.settings.limits.reuse {
            self.runtime.inner.seats.keep(&self.shelf, instance);
        } else {
            drop(instance);
        }
        let usage = Usage { busy: busy.saturating_add(ending.elapsed()), ..usage };
        let effects = attempt.map(Attempt::into_effects).unwrap_or_default();
        let result: Result<_, Failure> = match withheld {
            Some(request) => Err(failure::withheld(&request)),
            None => result.map(|()| effects),
        };
        Finished { result, usage, calls }
    }
}

impl fmt::Debug for Runner {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Runner")
            .field("plugin", &self.plugin)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

fn check_limits(runtime: &Runtime, settings: &RunnerSettings) -> Result<(), Error> {
    let (limits, ceiling) = (&settings.limits, &runtime.inner.settings);
    let what = if limits.memory_bytes > ceiling.memory_bytes_max {
        format!("{} bytes of memory, at most {}", limits.memory_bytes, ceiling.memory_bytes_max)
    } else if limits.table_elements > ceiling.table_elements_max {
        let (wanted, most) = (limits.table_elements, ceiling.table_elements_max);
        format!("{wanted} table elements, at most {most}")
    } else if limits.fuel.is_some() && !ceiling.fuel {
        "a fuel limit, but the host was started without metering".to_owned()
    } else {
        return Ok(());
    };
    let (plugin, subscription) = (settings.plugin.to_string(), settings.subscription.to_string());
    Err(Error::Limit { plugin, subscription, what })
}

/// Polls `answer` to its end or its deadline, with the ticker running while it does. Returns how
/// long it held its thread besides; `None` when the deadline passed while it waited.
async fn metered<F: Future<Output = Answer>>(
    mut answer: Pin<&mut F>,
    ticker: &Ticker,
    slice: &Slice,
) -> (Option<Answer>, Duration) {
    let mut busy = Duration::ZERO;
    let mut alarm: Option<Pin<Box<Sleep>>> = None;
    let answer = poll_fn(|cx| {
        slice.begin_poll();
        let polled = {
            let _running = ticker.running();
            answer.as_mut().poll(cx)
        };
        busy += slice.polled_for();
        match polled {
            Poll::Ready(answer) => Poll::Ready(Some(answer)),
            // It gave its thread up and runs on at once; its own epoch watches the deadline.
            Poll::Pending if slice.yielded() => Poll::Pending,
            Poll::Pending => past_deadline(&mut alarm, slice, cx).map(|()| None),
        }
    });
    (answer.await, busy)
}

/// Ready once the deadline passed. A timer is only made for a guest that waits.
fn past_deadline(
    alarm: &mut Option<Pin<Box<Sleep>>>,
    slice: &Slice,
    cx: &mut Context<'_>,
) -> Poll<()> {
    let alarm = alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep(slice.remaining())));
    alarm.as_mut().poll(cx)
}

//! Owns one instance: its store, its memory and its place in the pool. It never decides whether
//! it may serve again.

use std::{fmt, sync::Arc};

use wasmtime::{Store, UpdateDeadline};

use crate::{
    Handled, Request, RunnerSettings, Usage,
    attempt::Attempt,
    bindings::{
        exports::gristmill::plugin::{event_handler, timer_handler},
        gristmill::plugin::types,
    },
    failure::DeadlinePassed,
    host::Host,
    lower,
    plugin::Program,
    runtime::Inner,
    seats::Seat,
    ticker::{Slice, Turn},
};

/// Bytes of lists and text one host call may carry beyond the largest thing it may be about.
const HOSTCALL_BYTES: u64 = 1 << 20;

/// Most handles of resources, such as pending sleeps, that an instance may hold.
const HANDLES_MAX: usize = 10_000;

/// What a handler answered, or what ended it.
pub(crate) type Answer = wasmtime::Result<Result<(), types::Failure>>;

/// One instance, not yet instantiated until its first attempt.
pub(crate) struct Instance {
    store: Store<Host>,
    handlers: Option<Handlers>,
    served: u32,
    /// Given back after the store is dropped: fields drop in order.
    _seat: Seat,
}

struct Handlers {
    event: event_handler::Guest,
    timer: Option<timer_handler::Guest>,
}

impl Instance {
    pub(crate) fn new(runtime: &Inner, settings: &Arc<RunnerSettings>, seat: Seat) -> Self {
        let slice = Arc::new(Slice::new());
        let alarms = Arc::clone(&runtime.alarms);
        let host = Host::new(Arc::clone(settings), Arc::clone(&slice), alarms);
        let mut store = Store::new(&runtime.engine, host);
        store.limiter(|host| &mut host.limiter);
        let limits = &settings.limits;
        let largest = limits.emitted_bytes.max(limits.value_bytes).saturating_add(HOSTCALL_BYTES);
        store.set_hostcall_fuel(usize::try_from(largest).unwrap_or(usize::MAX));
        store.set_max_component_handles(HANDLES_MAX);
        store.epoch_deadline_callback(move |_store| match slice.turn() {
            Turn::Over => Err(DeadlinePassed.into()),
            Turn::Yield => Ok(UpdateDeadline::Yield(1)),
            Turn::Continue => Ok(UpdateDeadline::Continue(1)),
        });
        Self { store, handlers: None, served: 0, _seat: seat }
    }

    /// Gives the instance what the next answer is about.
    pub(crate) fn begin_attempt(&mut self, attempt: Attempt) {
        self.store.set_epoch_deadline(1);
        self.served += 1;
        let host = self.store.data_mut();
        host.begin_attempt(attempt);
    }

    /// Runs the handler, after instantiating the plugin where that has not been done.
    pub(crate) async fn answer(&mut self, program: &Program, request: &Request) -> Answer {
        if let Some(fuel) = self.store.data().settings.limits.fuel {
            self.store.set_fuel(fuel)?;
        }
        let handlers = match self.handlers.take() {
            Some(handlers) => handlers,
            None => instantiate(&mut self.store, program).await?,
        };
        let handlers = &*self.handlers.insert(handlers);
        match (&request.handled, &handlers.timer) {
            (Handled::Event(event), _) => {
                let headers = lower::headers(&event.headers);
                let event = lower::event(event, &headers, request);
                handlers.event.call_handle(&mut self.store, event).await
            }
            (Handled::Timer(timer), Some(guest)) => {
                guest.call_on_timer(&mut self.store, lower::timer(timer, request)).await
            }
            (Handled::Timer(_), None) => {
                Err(wasmtime::format_err!("the plugin exports no timer handler"))
            }
        }
    }

    /// What the attempt cost, apart from time.
    pub(crate) fn usage(&self) -> Usage {
        let host = self.store.data();
        let fuel = host.settings.limits.fuel.and_then(|fuel| {
            let left = self.store.get_fuel().ok()?;
            Some(fuel.saturating_sub(left))
        });
        Usage { fuel, fresh: self.served == 1, ..host.usage() }
    }

    /// Takes the attempt back.
    pub(crate) fn end_attempt(&mut self) -> Option<Attempt> {
        self.store.data_mut().end_attempt()
    }

    /// Attempts begun so far.
    pub(crate) fn served(&self) -> u32 {
        self.served
    }

    pub(crate) fn host(&self) -> &Host {
        self.store.data()
    }

    pub(crate) fn host_mut(&mut self) -> &mut Host {
        self.store.data_mut()
    }

    pub(crate) fn slice(&self) -> &Arc<Slice> {
        &self.store.data().slice
    }
}

impl fmt::Debug for Instance {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Instance").field("served", &self.served).finish_non_exhaustive()
    }
}

async fn instantiate(store: &mut Store<Host>, program: &Program) -> wasmtime::Result<Handlers> {
    let instance = program.pre.instantiate_async(&mut *store).await?;
    let event = program.on_event.load(&mut *store, &instance)?;
    let timer = match &program.on_timer {
        Some(indices) => Some(indices.load(&mut *store, &instance)?),
        None => None,
    };
    Ok(Handlers { event, timer })
}

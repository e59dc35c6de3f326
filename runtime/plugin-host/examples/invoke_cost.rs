//! Measures what one call costs, in microseconds: through this crate with everything a worker
//! pays, and below it, straight on the engine, with and without async calls. It asserts nothing.
//!
//! Give it a core module built from `plugins/hostile/ordinary`; the tests leave one in
//! `target/guests/wasm32-unknown-unknown/release/ordinary.wasm`.
#![expect(clippy::print_stdout, reason = "a measurement is printed")]

use std::{
    error::Error,
    fs,
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use bytes::Bytes;
use gristmill_plugin_host::{
    Emission, EmitError, Event, Grants, Handled, Limits, Request, Runner, RunnerSettings, Runtime,
    RuntimeSettings, StateError, TimerError, World,
};
use wit_component::ComponentEncoder;

const CALLS: u32 = 20_000;

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("give the path of ordinary.wasm")?;
    let module = fs::read(path)?;
    let component = ComponentEncoder::default().module(&module)?.validate(true).encode()?;
    println!("{:<34} {:>8} {:>8} {:>8}", "µs per call", "min", "median", "p99");
    through_this_crate(&component)?;
    engine::straight_on_the_engine(&component)?;
    println!("resident memory: {} KiB", resident_kib().unwrap_or_default());
    Ok(())
}

fn through_this_crate(component: &[u8]) -> Result<(), Box<dyn Error>> {
    let started = Instant::now();
    let runtime = Runtime::new(RuntimeSettings::default())?;
    println!("start {:?}, resident {} KiB", started.elapsed(), resident_kib().unwrap_or_default());
    let started = Instant::now();
    let plugin = runtime.load(component)?;
    println!("load {:?}, pooled {}", started.elapsed(), runtime.is_pooled());
    let tokio = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    for (name, reuse) in [("fresh", 0), ("reused", u32::MAX), ("recycled every 100", 100)] {
        let limits = Limits { reuse, ..Limits::default() };
        let grants = Grants { state: true, ..Grants::default() };
        let settings = RunnerSettings {
            plugin: "ordinary".into(),
            subscription: "measured".into(),
            limits,
            config: Vec::new(),
            grants,
            http: gristmill_plugin_host::HttpGrants::default(),
        };
        let runner = Runner::new(&runtime, &plugin, settings)?;
        let event = Arc::new(event());
        let costs = tokio.block_on(async {
            let mut costs = Vec::new();
            for _ in 0..CALLS {
                let request = Request::first(Handled::Event(Arc::clone(&event)));
                let started = Instant::now();
                let finished = Arc::clone(&runner).call(request, Box::new(Nothing)).await;
                costs.push(started.elapsed());
                finished.result.map_err(|failure| failure.reason)?;
            }
            Ok::<_, String>(costs)
        })?;
        print(&format!("gristmill, {name}"), costs);
    }
    Ok(())
}

/// The engine with the same pool, without epochs, limits, seats or effects: what is left of a call
/// when this crate is taken away.
mod engine {
    use super::{CALLS, Duration, Error, Instant, ready};
    use wasmtime::{
        Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store,
        component::{Component, Linker},
    };

    mod bindings {
        wasmtime::component::bindgen!({
            path: "../../wit",
            world: "gristmill:plugin/timed-handler",
            exports: { default: async },
            ownership: Borrowing { duplicate_if_necessary: true },
        });
    }

    mod bindings_sync {
        wasmtime::component::bindgen!({
            path: "../../wit",
            world: "gristmill:plugin/timed-handler",
            ownership: Borrowing { duplicate_if_necessary: true },
        });
    }

    struct Host;

    macro_rules! host {
        ($bindings:ident) => {
            use $bindings::gristmill::plugin::{publish, state, timers, types};
            use $bindings::wasi::{config::store, logging::logging};

            pub(super) use $bindings::exports::gristmill::plugin::event_handler::GuestIndices;

            impl types::Host for Host {}

            impl publish::Host for Host {
                fn emit(&mut self, _: publish::Emission) -> Result<(), publish::EmitError> {
                    Ok(())
                }
            }

            impl state::Host for Host {
                fn get(&mut self, _: String) -> Result<Option<Vec<u8>>, state::StateError> {
                    Ok(Some(b"30".to_vec()))
                }

                fn set(
                    &mut self,
                    _: String,
                    _: Vec<u8>,
                    _: Option<u64>,
                ) -> Result<(), state::StateError> {
                    Ok(())
                }

                fn delete(&mut self, _: String) -> Result<(), state::StateError> {
                    Ok(())
                }

                fn list_names(
                    &mut self,
                    _: String,
                    _: Option<String>,
                    _: u32,
                ) -> Result<state::Page, state::StateError> {
                    Ok(state::Page { names: Vec::new(), cursor: None })
                }
            }

            impl timers::Host for Host {
                fn set(&mut self, _: String, _: u64, _: Vec<u8>) -> Result<(), timers::TimerError> {
                    Ok(())
                }

                fn cancel(&mut self, _: String) -> Result<(), timers::TimerError> {
                    Ok(())
                }
            }

            impl store::Host for Host {
                fn get(&mut self, _: String) -> Result<Option<String>, store::Error> {
                    Ok(None)
                }

                fn get_all(&mut self) -> Result<Vec<(String, String)>, store::Error> {
                    Ok(Vec::new())
                }
            }

            impl logging::Host for Host {
                fn log(&mut self, _: logging::Level, _: String, _: String) {}
            }

            pub(super) fn linker(engine: &Engine) -> wasmtime::Result<Linker<Host>> {
                let mut linker = Linker::new(engine);
                $bindings::TimedHandler::add_to_linker::<Host, wasmtime::component::HasSelf<Host>>(
                    &mut linker,
                    |host| host,
                )?;
                Ok(linker)
            }

            pub(super) fn event(payload: &[u8]) -> types::Event<'_> {
                types::Event {
                    id: "e-1",
                    type_: "order.placed",
                    version: None,
                    source: "shop",
                    subject: None,
                    time: 0,
                    topic: "orders",
                    partition: 0,
                    offset: 0,
                    key: Some(b"k"),
                    payload,
                    tombstone: false,
                    headers: &[],
                    timestamp: 0,
                    content_type: Some("application/json"),
                    correlation_id: "c-1",
                    causation_id: None,
                    trace_parent: None,
                    tenant: None,
                    attempt: 1,
                    previous_error: None,
                }
            }
        };
    }

    mod with_async {
        use super::{Engine, Host, Linker, bindings};
        host!(bindings);
    }

    mod without_async {
        use super::{Engine, Host, Linker, bindings_sync};
        host!(bindings_sync);
    }

    pub(super) fn straight_on_the_engine(component: &[u8]) -> Result<(), Box<dyn Error>> {
        for kept in [0, 2 << 20, 32 << 20] {
            let engine = engine(kept)?;
            let component = Component::from_binary(&engine, component)?;
            let payload = super::payload();
            let kib = kept >> 10;

            let pre = with_async::linker(&engine)?.instantiate_pre(&component)?;
            let indices = with_async::GuestIndices::new(&pre)?;
            let costs = measure(|| {
                let mut store = Store::new(&engine, Host);
                let instance = ready(pre.instantiate_async(&mut store))?;
                let guest = indices.load(&mut store, &instance)?;
                ready(guest.call_handle(&mut store, with_async::event(&payload)))?
                    .map_err(|failure| wasmtime::format_err!("{failure}"))
            })?;
            super::print(&format!("engine, async, {kib} KiB kept, fresh"), costs);

            let pre = without_async::linker(&engine)?.instantiate_pre(&component)?;
            let indices = without_async::GuestIndices::new(&pre)?;
            let costs = measure(|| {
                let mut store = Store::new(&engine, Host);
                let instance = pre.instantiate(&mut store)?;
                let guest = indices.load(&mut store, &instance)?;
                guest
                    .call_handle(&mut store, without_async::event(&payload))?
                    .map_err(|failure| wasmtime::format_err!("{failure}"))
            })?;
            super::print(&format!("engine, sync, {kib} KiB kept, fresh"), costs);

            let mut store = Store::new(&engine, Host);
            let instance = pre.instantiate(&mut store)?;
            let guest = indices.load(&mut store, &instance)?;
            let costs = measure(|| {
                guest
                    .call_handle(&mut store, without_async::event(&payload))?
                    .map_err(|failure| wasmtime::format_err!("{failure}"))
            })?;
            super::print("engine, sync, reused", costs);
        }
        Ok(())
    }

    fn engine(kept: usize) -> wasmtime::Result<Engine> {
        let mut pool = PoolingAllocationConfig::new();
        pool.linear_memory_keep_resident(kept)
            .table_keep_resident(kept.min(256 << 10))
            .pagemap_scan(Enabled::Auto);
        let mut config = Config::new();
        config
            .concurrency_support(false)
            .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        Engine::new(&config)
    }

    fn measure(mut call: impl FnMut() -> wasmtime::Result<()>) -> wasmtime::Result<Vec<Duration>> {
        let mut costs = Vec::new();
        for _ in 0..CALLS {
            let started = Instant::now();
            call()?;
            costs.push(started.elapsed());
        }
        Ok(costs)
    }
}

/// Polls a future that never waits.
fn ready<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
    }
}

fn print(name: &str, mut costs: Vec<Duration>) {
    costs.sort();
    let at = |permille: usize| {
        let index = (costs.len() - 1) * permille / 1_000;
        costs.get(index).map_or(0.0, |cost| cost.as_secs_f64() * 1e6)
    };
    println!("{name:<34} {:>8.1} {:>8.1} {:>8.1}", at(0), at(500), at(990));
}

/// A JSON document of about one kilobyte.
fn payload() -> Bytes {
    let lines: Vec<String> = (0..18)
        .map(|line| format!(r#"{{"sku":"A-{line:04}","count":{line},"price":"12.50 EUR"}}"#))
        .collect();
    let lines = lines.join(",");
    Bytes::from(format!(r#"{{"id":"o-1","amount":12,"lines":[{lines}]}}"#))
}

fn event() -> Event {
    Event {
        id: "e-1".into(),
        kind: "order.placed".into(),
        version: None,
        source: "shop".into(),
        subject: None,
        time_ms: 0,
        topic: "orders".into(),
        partition: 0,
        offset: 0,
        key: Some(Bytes::from_static(b"k")),
        payload: payload(),
        tombstone: false,
        headers: Arc::default(),
        timestamp_ms: 0,
        content_type: Some("application/json".into()),
        correlation_id: "c-1".into(),
        causation_id: None,
        trace_parent: None,
        tenant: None,
    }
}

/// Resident memory of this process, in KiB.
fn resident_kib() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// A world that allows everything and holds one value.
struct Nothing;

impl World for Nothing {
    fn check_emission(&mut self, _emission: &Emission) -> Result<(), EmitError> {
        Ok(())
    }

    fn state_get(&mut self, _name: &str) -> Result<Option<Bytes>, StateError> {
        Ok(Some(Bytes::from_static(b"30")))
    }

    fn state_names(
        &mut self,
        _prefix: &str,
        _after: Option<&str>,
        _limit: u32,
    ) -> Result<Vec<String>, StateError> {
        Ok(Vec::new())
    }

    fn timer_room(&mut self, _due_ms: u64) -> Result<(), TimerError> {
        Ok(())
    }

    fn event_time(&self) -> u64 {
        0
    }
}

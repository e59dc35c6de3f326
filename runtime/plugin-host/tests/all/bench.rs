//! What the tests stand on: one runtime, loaded guests, a world that answers from a map. It
//! asserts nothing.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use gristmill_plugin_host::{
    Emission, EmitError, Event, Finished, Grants, Handled, Limits, Plugin, Request, Runner,
    RunnerSettings, Runtime, RuntimeSettings, StateError, Timer, TimerError, World,
};

use crate::guests;

/// The event time of every test event: 2026-11-21T12:00:00Z, in milliseconds.
pub(crate) const EVENT_TIME: u64 = 1_795_262_400_000;

/// The runtime most tests share.
pub(crate) fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        let cache_dir = Some(guests::target().join("guests/compiled"));
        Runtime::new(RuntimeSettings { cache_dir, ..RuntimeSettings::default() }).unwrap()
    })
}

/// The guest `name`, loaded once into the shared runtime.
pub(crate) fn plugin(name: &str) -> Plugin {
    static LOADED: Mutex<BTreeMap<String, Plugin>> = Mutex::new(BTreeMap::new());
    let mut loaded = LOADED.lock().unwrap();
    if let Some(plugin) = loaded.get(name) {
        return plugin.clone();
    }
    let plugin = runtime().load(&guests::component(name)).unwrap();
    loaded.insert(name.to_owned(), plugin.clone());
    plugin
}

/// A runner of the guest `name` in the shared runtime.
pub(crate) fn runner(name: &str, limits: Limits) -> Arc<Runner> {
    runner_with(runtime(), &plugin(name), limits)
}

/// A runner that is granted everything but the wall clock.
pub(crate) fn runner_with(runtime: &Runtime, plugin: &Plugin, limits: Limits) -> Arc<Runner> {
    Runner::new(runtime, plugin, settings(limits)).unwrap()
}

pub(crate) fn settings(limits: Limits) -> RunnerSettings {
    RunnerSettings {
        plugin: "guest".into(),
        subscription: "tests".into(),
        limits,
        config: vec![("greeting".into(), "hello".into()), ("empty".into(), String::new())],
        grants: Grants { state: true, timers: true, wall_clock: false },
        http: gristmill_plugin_host::HttpGrants::default(),
    }
}

/// One call with the default limits and an empty world, on a thread of its own runtime.
pub(crate) fn call(name: &str, payload: &str) -> Finished {
    call_on(&runner(name, Limits::default()), payload, Memory::default())
}

pub(crate) fn call_on(runner: &Arc<Runner>, payload: &str, world: Memory) -> Finished {
    let call = Arc::clone(runner).call(event(payload), Box::new(world));
    block_on(call)
}

/// Runs a future as a worker does: on one thread. By default tokio looks at timers and at the
/// outermost future only after 61 polls of tasks: 61 ms when guests use their slices up.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.event_interval(1).enable_all().build().unwrap().block_on(future)
}

/// Tries `timed` up to ten times until it takes less than `most`: other programs may hold the
/// processor for longer than what is measured, but not every time.
pub(crate) fn at_best_within(most: Duration, mut timed: impl FnMut() -> Duration) {
    let missed: Vec<Duration> = (0..10).map(|_| timed()).take_while(|took| *took >= most).collect();
    assert!(missed.len() < 10, "never within {most:?}: {missed:?}");
}

/// The text of each emission to the topic `answers`.
pub(crate) fn answers(finished: &Finished) -> Vec<String> {
    let effects = finished.result.as_ref().unwrap();
    let answers = effects.emissions.iter().filter(|emission| emission.topic == "answers");
    answers.map(|answer| String::from_utf8(answer.payload.to_vec()).unwrap()).collect()
}

/// The text of the only emission.
pub(crate) fn answer(finished: &Finished) -> String {
    let effects = finished.result.as_ref().unwrap();
    let [emission] = effects.emissions.as_slice() else { panic!("{effects:?}") };
    String::from_utf8(emission.payload.to_vec()).unwrap()
}

pub(crate) fn event(payload: &str) -> Request {
    let payload = Bytes::copy_from_slice(payload.as_bytes());
    first(Event { payload, ..plain_event() })
}

/// The first attempt of an event.
pub(crate) fn first(event: Event) -> Request {
    Request::first(Handled::Event(Arc::new(event)))
}

pub(crate) fn plain_event() -> Event {
    Event {
        id: "e-1".into(),
        kind: "order.placed".into(),
        version: None,
        source: "shop".into(),
        subject: None,
        time_ms: EVENT_TIME,
        topic: "orders".into(),
        partition: 3,
        offset: 41,
        key: Some(Bytes::from_static(b"k")),
        payload: Bytes::new(),
        tombstone: false,
        headers: Arc::default(),
        timestamp_ms: EVENT_TIME,
        content_type: None,
        correlation_id: "c-1".into(),
        causation_id: None,
        trace_parent: None,
        tenant: None,
    }
}

/// The first attempt of a timer.
pub(crate) fn timer(payload: &str) -> Request {
    let timer = Timer {
        name: "reminder".into(),
        key: Bytes::from_static(b"k"),
        due_ms: EVENT_TIME,
        payload: Bytes::copy_from_slice(payload.as_bytes()),
        set_by: "e-1".into(),
        correlation_id: "c-1".into(),
        trace_parent: None,
        partition: 3,
    };
    Request::first(Handled::Timer(Arc::new(timer)))
}

/// A world that answers from memory. Topics beginning with `secret` are not granted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Memory {
    pub(crate) state: BTreeMap<String, Bytes>,
    pub(crate) store_is_down: bool,
    pub(crate) timers_are_full: bool,
}

impl World for Memory {
    fn check_emission(&mut self, emission: &Emission) -> Result<(), EmitError> {
        if emission.topic.starts_with("secret") {
            return Err(EmitError::NotGranted(format!("emit = [{:?}]", emission.topic)));
        }
        Ok(())
    }

    fn state_get(&mut self, name: &str) -> Result<Option<Bytes>, StateError> {
        self.check_store()?;
        Ok(self.state.get(name).cloned())
    }

    fn state_names(
        &mut self,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<String>, StateError> {
        self.check_store()?;
        let names = self.state.keys().filter(|name| name.starts_with(prefix));
        let names = names.filter(|name| after.is_none_or(|after| name.as_str() > after));
        Ok(names.take(limit as usize).cloned().collect())
    }

    fn timer_room(&mut self, _due_ms: u64) -> Result<(), TimerError> {
        if self.timers_are_full { Err(TimerError::LimitReached(1_000_000)) } else { Ok(()) }
    }

    fn event_time(&self) -> u64 {
        EVENT_TIME
    }
}

impl Memory {
    pub(crate) fn with(entries: &[(&str, &'static [u8])]) -> Self {
        let entries = entries.iter().map(|(name, value)| ((*name).to_owned(), Bytes::from(*value)));
        Self { state: entries.collect(), ..Self::default() }
    }

    fn check_store(&self) -> Result<(), StateError> {
        if self.store_is_down { Err(StateError::Unavailable("no disk".into())) } else { Ok(()) }
    }
}

/// Runs `during` and returns what it logged, one line per entry, with what it returned.
pub(crate) fn logged<T>(during: impl FnOnce() -> T) -> (Vec<String>, T) {
    let lines = Lines::default();
    let returned = tracing::subscriber::with_default(lines.clone(), during);
    let lines = lines.0.lock().unwrap().clone();
    (lines, returned)
}

/// A subscriber that keeps `LEVEL target field=value …`.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl tracing::Subscriber for Lines {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target().starts_with("gristmill")
    }

    fn new_span(&self, _span: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _span: &tracing::span::Id, _values: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _span: &tracing::span::Id, _follows: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let metadata = event.metadata();
        let mut line = format!("{} {}", metadata.level(), metadata.target());
        event.record(&mut Fields(&mut line));
        self.0.lock().unwrap().push(line);
    }

    fn enter(&self, _span: &tracing::span::Id) {}

    fn exit(&self, _span: &tracing::span::Id) {}
}

struct Fields<'a>(&'a mut String);

impl tracing::field::Visit for Fields<'_> {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        write!(self.0, " {}={value:?}", field.name()).unwrap();
    }

    fn record_str(&mut self, field: &tracing::field::Field, value: &str) {
        write!(self.0, " {}={value}", field.name()).unwrap();
    }
}

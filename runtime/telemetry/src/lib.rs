//! Tells a collector of OpenTelemetry what the host does, in spans and metrics, over OTLP. It
//! decides nothing, and nothing waits for it: what a collector does not take is dropped and
//! counted.

mod context;
mod exporter;
mod metrics;
mod outbox;
mod proto;
mod span;

pub use self::context::{Sampler, SpanIds, TraceContext};
pub use self::exporter::{Exporter, ExporterSettings, Listener, News};
pub use self::outbox::Outbox;
pub use self::span::{Span, SpanKind, Value, now_ns};

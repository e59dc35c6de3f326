//! What the host does on a Kafka that asks who is there, and lets nobody do what they have no
//! right to. The configuration and the rights are those of `docs/kafka.md`, section "Security".

mod admitted;
mod denied;
mod forwarded;
mod refused;
mod scene;

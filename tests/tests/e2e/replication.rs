//! What the host promises of topics that are copied to a second cluster, on two real ones. What
//! must be there follows from what was written, and is read by Kafka's own tools.

mod away;
mod directions;
mod embedded;
mod kills;
mod pair;
mod refused;

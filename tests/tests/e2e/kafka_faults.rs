//! What the host promises on Kafka while something breaks: brokers, hosts, transactions, topics.
//! What must come out follows from the input alone, and is read by Kafka's own tools.

mod deleted;
mod freezes;
mod groups;
mod oversized;
mod poison;
mod repeats;
mod restarts;
mod restores;
mod scene;

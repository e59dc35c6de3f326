//! Hosts on a real Apache Kafka: groups that share partitions, hosts that come, leave and are
//! killed, and what operators see. What must come out is computed from the input alone, and what
//! did is read by Kafka's own client.

mod absent;
mod command_line;
mod example;
mod kills;
mod rebinding;
mod scene;
mod sharing;
mod stops;
mod twins;

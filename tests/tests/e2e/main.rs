//! End-to-end tests on real hosts: the binary that `make build` built and the guests that
//! `make guests` did.

mod audit;
mod billing;
mod both;
mod chaos;
mod commands;
mod commerce;
mod encryption;
mod kafka;
mod kafka_chaos;
mod kafka_faults;
mod kafka_groups;
mod kafka_operators;
mod kafka_security;
mod local;
mod monitoring;
mod names;
mod outbox;
mod outgoing;
mod pipeline;
mod pos;
mod rebuild;
mod reload;
mod repartition;
mod replay;
mod replication;
mod sagas;
mod schemas;
mod shipping;
mod snapshots;
mod streams;
mod ticketing;
mod tracing;
mod versions;
mod windows;

//! End-to-end tests on real hosts: the binary that `make build` built and the guests that
//! `make guests` did.

mod chaos;
mod kafka;
mod reload;
mod ticketing;

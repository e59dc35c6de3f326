//! Owns the means of tests that run real hosts: processes, HTTP, topics read whole, waiting for a
//! condition. It decides nothing about what is right.

pub mod browser;
pub mod certificates;
pub mod client;
pub mod collector;
pub mod component;
pub mod example;
pub mod home;
pub mod kafka;
pub mod pages;
pub mod postgres;
pub mod process;
pub mod random;
pub mod registry;
pub mod server;
pub mod stub;
pub mod trail;
pub mod wait;

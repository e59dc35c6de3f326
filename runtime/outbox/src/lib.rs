//! Takes: rows that a service's own transactions left in PostgreSQL. It holds shards of a table
//! so that nobody else does, claims rows of them in their order, and marks those that are
//! published. It publishes nothing, and nothing of the database's client is in its public
//! interface.
//!
//! Start at [`Database::open`]; a [`Session`] does the rest.

mod connect;
mod envelope;
mod error;
mod row;
mod session;
mod settings;
mod standing;
mod statements;
mod tls;

pub use connect::Database;
pub use envelope::{Unwrapped, unwrap};
pub use error::{Cause, Class, Error};
pub use row::{Claimed, Parked, Row};
pub use session::Session;
pub use settings::{Column, Role, Settings, check};
pub use standing::{Backlog, Relays};

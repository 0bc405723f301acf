//! Real PostgreSQL and Pulsar for tests, and fault injection.
//!
//! `make test` starts one PostgreSQL cluster and one Pulsar, and names them in `TEST_DATABASE_URL`,
//! `TEST_PULSAR_URL` and `TEST_PULSAR_ADMIN_URL`. A test takes a [`TestDatabase`] and a [`TestNamespace`] of its own
//! in these. Only a test that breaks a server starts one for itself ([`Postgres`], [`PulsarServer`]).
//! Everything here stops and removes what it started when it is dropped, on a panic too, and panics with a
//! message that says what to do when something is missing: it is for tests alone.

mod admin;
mod database;
mod environment;
mod eventually;
mod postgres;
mod process;
mod proxy;
mod pulsar;
mod script;
mod sender;
mod tempdir;

pub use admin::PulsarAdmin;
pub use database::{TestDatabase, connect};
pub use environment::{pulsar_admin_url, pulsar_url};
pub use eventually::eventually;
pub use postgres::Postgres;
pub use process::{Process, Signal};
pub use proxy::TcpProxy;
pub use pulsar::{PulsarServer, TestNamespace};
pub use sender::Sender;
/// The client that [`connect`] gives, for tests of crates that may not know it.
pub use tokio_postgres;

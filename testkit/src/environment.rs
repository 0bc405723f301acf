//! What `make test` tells the tests: where its servers listen.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::TcpListener;

use uuid::Uuid;

/// The shared PostgreSQL cluster, as superuser.
pub(crate) fn database_url() -> String {
    required("TEST_DATABASE_URL")
}

/// The shared Pulsar: `pulsar://127.0.0.1:…`. Panics outside `make test`.
pub fn pulsar_url() -> String {
    required("TEST_PULSAR_URL")
}

/// The shared Pulsar's admin API: `http://127.0.0.1:…`. Panics outside `make test`.
pub fn pulsar_admin_url() -> String {
    required("TEST_PULSAR_ADMIN_URL")
}

#[expect(
    clippy::disallowed_methods,
    reason = "the test harness is configured by `make test`, not by the service"
)]
fn required(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: run `make test` (a part: `make test ARGS='-p eventstore'`), which starts the servers")
    })
}

/// A name nobody else has: `prefix_` and 32 hexadecimal digits.
#[expect(
    clippy::disallowed_methods,
    reason = "names of throw-away databases and namespaces are meant to be fresh"
)]
pub(crate) fn unique(prefix: &str) -> String {
    format!("{prefix}_{}", Uuid::now_v7().simple())
}

/// A port nobody listens on, below the range that the system gives to clients: a server that is down for a moment
/// finds it free again.
pub(crate) fn free_port() -> u16 {
    for _ in 0..200 {
        let random = RandomState::new().build_hasher().finish() % 15_000;
        let port = 15_000 + u16::try_from(random).expect("below 15,000");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port between 15,000 and 30,000 in 200 attempts");
}

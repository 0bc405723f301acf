//! Where the process listens for HTTP.

use std::net::SocketAddr;

use super::role::Role;
use crate::env::{Env, Variable};

pub(crate) const HTTP_ADDR: Variable = Variable::plain(
    "HTTP_ADDR",
    "api 0.0.0.0:8010, projector 0.0.0.0:8011, worker 0.0.0.0:8012",
    "Address and port; worker and projector answer health and metrics only.",
);

pub(super) const VARIABLES: &[Variable] = &[HTTP_ADDR];

/// The HTTP settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Http {
    /// Where to listen.
    pub addr: SocketAddr,
}

impl Http {
    /// The default of `role`.
    pub(super) fn of(role: Role) -> Self {
        Self {
            addr: address(role.default_http_addr()).expect("the defaults are addresses"),
        }
    }

    pub(super) fn read(env: &mut Env, role: Role) -> Self {
        Self {
            addr: env.or_default(&HTTP_ADDR, role.default_http_addr(), address),
        }
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let text = text.trim();
    let text = text
        .strip_prefix("localhost:")
        .map_or_else(|| text.to_owned(), |port| format!("127.0.0.1:{port}"));
    text.parse()
        .map_err(|_| "an IP address and a port such as 0.0.0.0:8010".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_an_ip_and_a_port() {
        assert_eq!(address("localhost:1").unwrap().to_string(), "127.0.0.1:1");
        assert_eq!(address("[::1]:8010").unwrap().to_string(), "[::1]:8010");
        for wrong in ["8010", ":8010", "example.org:80", "127.0.0.1", "127.0.0.1:99999"] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
    }
}

//! Who may call the API.

use super::http::Http;
use super::parse::yes_or_no;
use crate::env::{Env, Variable};

const AUTH_MODE: Variable = Variable::plain("AUTH_MODE", "off", "How callers of the API are known: off.");
const AUTH_OFF_ANYWHERE: Variable = Variable::plain(
    "AUTH_OFF_ANYWHERE",
    "no",
    "yes lets AUTH_MODE=off listen on an address that other machines reach.",
);

pub(super) const VARIABLES: &[Variable] = &[AUTH_MODE, AUTH_OFF_ANYWHERE];

/// How callers are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AuthMode {
    /// Everyone may do everything.
    #[default]
    Off,
}

/// The authentication settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Auth {
    /// How callers are known.
    pub mode: AuthMode,
}

impl Auth {
    pub(super) fn read(env: &mut Env, http: &Http) -> Self {
        let found_before = env.check().err().map_or(0, |error| error.0.len());
        let mode = env.or_default(&AUTH_MODE, AUTH_MODE.default, auth_mode);
        let anywhere = env.or_default(&AUTH_OFF_ANYWHERE, AUTH_OFF_ANYWHERE.default, yes_or_no);
        let found = env.check().err().map_or(0, |error| error.0.len());
        // Said only when the two were understood: a mistake in one is no answer to the question.
        if found == found_before && !anywhere && !http.addr.ip().is_loopback() {
            let message = format!(
                "off lets anyone who reaches {} read and write, expected AUTH_OFF_ANYWHERE=yes if that is meant, or a loopback HTTP_ADDR such as 127.0.0.1:8010",
                http.addr
            );
            env.mistake(&AUTH_MODE, message);
        }
        Self { mode }
    }
}

fn auth_mode(text: &str) -> Result<AuthMode, String> {
    match text.trim() {
        "off" => Ok(AuthMode::Off),
        "keys" | "jwt" => Err("off; keys and jwt are not available yet".to_owned()),
        _ => Err("off".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(addr: &str, pairs: &[(&str, &str)]) -> Vec<String> {
        let mut env = Env::from_pairs(pairs.iter().copied());
        Auth::read(
            &mut env,
            &Http {
                addr: addr.parse().unwrap(),
            },
        );
        let mistakes = env.check().err().map(|error| error.0).unwrap_or_default();
        mistakes
            .into_iter()
            .map(|mistake| format!("{}: {}", mistake.variable, mistake.message))
            .collect()
    }

    #[test]
    fn off_on_an_address_that_others_reach_must_be_said_twice() {
        assert_eq!(problems("127.0.0.1:8010", &[]), [""; 0]);
        assert_eq!(problems("[::1]:8010", &[]), [""; 0]);
        assert_eq!(problems("0.0.0.0:8010", &[("AUTH_OFF_ANYWHERE", "yes")]), [""; 0]);
        for pairs in [&[][..], &[("AUTH_OFF_ANYWHERE", "no")][..]] {
            let found = problems("0.0.0.0:8010", pairs);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(
                found[0].starts_with("AUTH_MODE: off lets anyone")
                    && found[0].contains("AUTH_OFF_ANYWHERE=yes"),
                "{found:?}"
            );
        }
    }

    #[test]
    fn modes_to_come_are_refused_as_such() {
        for mode in ["keys", "jwt"] {
            let found = problems("0.0.0.0:8010", &[("AUTH_MODE", mode)]);
            assert_eq!(
                found,
                [format!(
                    "AUTH_MODE: expected off; keys and jwt are not available yet, got {mode:?}"
                )]
            );
        }
        assert_eq!(problems("0.0.0.0:8010", &[("AUTH_OFF_ANYWHERE", "1")]).len(), 1);
    }
}

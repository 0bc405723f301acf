//! What the log looks like and how much it says.

use std::io::IsTerminal as _;

use super::role::Role;
use crate::env::{Env, Variable};

const LOG_FORMAT: Variable = Variable::plain(
    "LOG_FORMAT",
    "json (on a terminal: pretty)",
    "json, one line an event, or pretty.",
);
const LOG_LEVEL: Variable = Variable::plain(
    "LOG_LEVEL",
    "info",
    "error, warn, info, debug, trace or off, and target=level pairs: info,worker=debug.",
);

pub(super) const VARIABLES: &[Variable] = &[LOG_FORMAT, LOG_LEVEL];

/// The form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Pretty,
}

/// The log settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// The form.
    pub format: LogFormat,
    /// A level, or directives of the form `target=level`, separated by commas.
    pub level: String,
}

impl Log {
    /// The default form follows where the log goes: stdout for services, stderr for tools.
    pub(super) fn read(env: &mut Env, role: Role) -> Self {
        let terminal = if role.serves_http() {
            std::io::stdout().is_terminal()
        } else {
            std::io::stderr().is_terminal()
        };
        let default = if terminal { "pretty" } else { "json" };
        Self {
            format: env.or_default(&LOG_FORMAT, default, format),
            level: env.or_default(&LOG_LEVEL, LOG_LEVEL.default, directives),
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self::read(&mut Env::default(), Role::Tool)
    }
}

fn format(text: &str) -> Result<LogFormat, String> {
    match text.trim() {
        "json" => Ok(LogFormat::Json),
        "pretty" => Ok(LogFormat::Pretty),
        _ => Err("json or pretty".to_owned()),
    }
}

/// Stricter than the filter's own syntax, which takes a misspelt level for the name of a target.
fn directives(text: &str) -> Result<String, String> {
    let directives: Vec<&str> = text.split(',').map(str::trim).collect();
    let good = directives
        .iter()
        .all(|directive| match directive.rsplit_once('=') {
            Some((target, level)) => !target.is_empty() && is_level(level),
            None => is_level(directive),
        });
    let joined = directives.join(",");
    if good && crate::telemetry::parses(&joined) {
        Ok(joined)
    } else {
        Err("off, error, warn, info, debug, trace, or pairs such as info,worker=debug".to_owned())
    }
}

fn is_level(text: &str) -> bool {
    ["off", "error", "warn", "info", "debug", "trace"]
        .iter()
        .any(|level| text.eq_ignore_ascii_case(level))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_directives_are_taken_and_misspelt_ones_refused() {
        for good in [
            "info",
            "WARN",
            "info,worker=debug",
            "off, messaging::pulsar=trace",
        ] {
            assert_eq!(directives(good), Ok(good.replace(' ', "")));
        }
        for wrong in ["debgu", "info,worker", "worker=loud", "=debug", "info,"] {
            assert!(directives(wrong).is_err(), "{wrong}");
        }
    }
}

//! `.env.example`, written from the registry of variables.

use std::fmt::Write as _;

use super::variables;
use crate::env::Shown;

/// The text of `.env.example`: every variable with its default, switched off, so that copying it changes nothing.
pub fn env_example() -> String {
    let mut text = String::from(
        "# Every variable that tracking reads, with its default. `tracking config` shows what is in force.\n\
         # Any variable can be given as NAME_FILE, the path of a file that holds the value; meant for the secret ones.\n\
         # Written by: tracking config --env-example > .env.example\n",
    );
    for (title, list) in variables() {
        let _ = write!(text, "\n## {title}\n");
        for variable in list {
            let secret = if variable.shown == Shown::Plain {
                ""
            } else {
                " (secret)"
            };
            let _ = write!(text, "\n# {}{secret}\n", variable.doc);
            // A default in words is no value; a line that is switched on must be valid as it stands.
            if is_value(variable.default) {
                let _ = writeln!(text, "#{}={}", variable.name, variable.default);
            } else {
                let _ = writeln!(text, "# Default: {}\n#{}=", variable.default, variable.name);
            }
        }
    }
    text
}

fn is_value(default: &str) -> bool {
    !default.contains([' ', '<']) && !default.chars().all(|c| c.is_ascii_uppercase() || c == '_')
        || default.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::Env;
    use crate::settings::{Role, Settings};

    fn committed() -> String {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../.env.example");
        std::fs::read_to_string(path).expect("read .env.example")
    }

    #[test]
    fn the_committed_file_is_the_generated_one() {
        assert!(
            committed() == env_example(),
            "run: tracking config --env-example > .env.example"
        );
    }

    #[test]
    fn every_default_switched_on_is_valid() {
        let text = committed();
        let on = text
            .lines()
            .filter_map(|line| line.strip_prefix('#'))
            .filter(|line| !line.starts_with([' ', '#']));
        let mut pairs: Vec<(&str, &str)> = on.filter_map(|line| line.split_once('=')).collect();
        assert!(pairs.len() > 20, "{pairs:?}");
        pairs.retain(|(name, _)| !["DATABASE_URL", "AUTH_OFF_ANYWHERE"].contains(name));
        pairs.extend([("DATABASE_URL", "postgres://h/d"), ("AUTH_OFF_ANYWHERE", "yes")]);
        for role in Role::ALL {
            Settings::load(&mut Env::from_pairs(pairs.iter().copied()), role).unwrap();
        }
    }
}

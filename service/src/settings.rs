//! What a process is told from outside, typed: one file per concern, plain data.
//!
//! The registry of all variables is the concatenation of what the files declare; `.env.example` is generated from it.

mod auth;
mod database;
mod example;
mod http;
mod lifecycle;
mod log;
mod parse;
mod queue;
mod role;
mod worker;

pub use auth::{Auth, AuthMode};
pub use database::Database;
pub use example::env_example;
pub use http::Http;
pub use lifecycle::Lifecycle;
pub use log::{Log, LogFormat};
pub use queue::{Queue, QueueKind};
pub use role::Role;
pub use worker::Worker;

use crate::env::{ConfigError, Env, Variable};
use crate::exit::ExitError;

/// The settings of one process. A section that the role does not use holds its defaults.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What the process is.
    pub role: Role,
    /// The database; present for every role that needs one.
    pub database: Option<Database>,
    /// The queue.
    pub queue: Queue,
    /// The HTTP listener.
    pub http: Http,
    /// Who may call the API.
    pub auth: Auth,
    /// How the worker batches.
    pub worker: Worker,
    /// Start and stop.
    pub lifecycle: Lifecycle,
    /// The log.
    pub log: Log,
}

impl Settings {
    /// Reads the settings of `role`, or gives all mistakes at once. What was read stays in `env` for [`Env::effective`].
    pub fn load(env: &mut Env, role: Role) -> Result<Self, ConfigError> {
        let database = role.uses_database().then(|| Database::read(env, role)).flatten();
        let queue = Queue::read(env);
        let http = if role.serves_http() {
            Http::read(env, role)
        } else {
            Http::of(role)
        };
        let auth = if role == Role::Api {
            Auth::read(env, &http)
        } else {
            Auth::default()
        };
        let worker = match (&database, role) {
            (Some(database), Role::Worker) => Worker::read(env, database.pool_size),
            (None, Role::Worker) => Worker::read(env, Database::MAX_POOL_SIZE),
            _ => Worker::default(),
        };
        let lifecycle = Lifecycle::read(env);
        let log = Log::read(env, role);
        env.check()?;
        Ok(Self {
            role,
            database,
            queue,
            http,
            auth,
            worker,
            lifecycle,
            log,
        })
    }

    /// The database of a role that needs one.
    pub fn database(&self) -> Result<&Database, ExitError> {
        self.database.as_ref().ok_or_else(|| {
            ExitError::usage(format!(
                "{}: missing, {} runs without a database",
                database::DATABASE_URL.name,
                self.role
            ))
        })
    }

    /// What an operator should know at start although it is allowed.
    pub fn warnings(&self) -> Vec<String> {
        let open =
            self.role == Role::Api && self.auth.mode == AuthMode::Off && !self.http.addr.ip().is_loopback();
        let text = || {
            format!(
                "anyone who reaches {} may read and write: AUTH_MODE=off with AUTH_OFF_ANYWHERE=yes",
                self.http.addr
            )
        };
        open.then(text).into_iter().collect()
    }
}

/// Every variable, by concern, in the order of `.env.example`.
pub fn variables() -> [(&'static str, &'static [Variable]); 7] {
    [
        ("Database", database::VARIABLES),
        ("Queue", queue::VARIABLES),
        ("HTTP", http::VARIABLES),
        ("Authentication", auth::VARIABLES),
        ("Worker", worker::VARIABLES),
        ("Start and stop", lifecycle::VARIABLES),
        ("Log", log::VARIABLES),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const URL: (&str, &str) = ("DATABASE_URL", "postgres://u:hunter2@h/d");
    const OPEN: (&str, &str) = ("AUTH_OFF_ANYWHERE", "yes");

    fn load(role: Role, pairs: &[(&str, &str)]) -> Result<Settings, ConfigError> {
        Settings::load(&mut Env::from_pairs(pairs.iter().copied()), role)
    }

    fn mistakes(role: Role, pairs: &[(&str, &str)]) -> Vec<String> {
        load(role, pairs)
            .unwrap_err()
            .0
            .into_iter()
            .map(|mistake| mistake.variable)
            .collect()
    }

    #[test]
    fn defaults_are_those_of_the_role() {
        for (role, addr, pool) in [
            (Role::Api, "0.0.0.0:8010", 8),
            (Role::Projector, "0.0.0.0:8011", 4),
            (Role::Worker, "0.0.0.0:8012", 4),
        ] {
            let settings = load(role, &[URL, OPEN]).unwrap();
            assert_eq!(settings.http.addr.to_string(), addr);
            assert_eq!(settings.database().unwrap().pool_size, pool);
            assert_eq!(settings.lifecycle.shutdown_grace.as_secs(), 25);
            assert_eq!(settings.lifecycle.startup_timeout.as_secs(), 60);
        }
    }

    #[test]
    fn only_a_role_without_a_database_does_without_its_url() {
        for role in [
            Role::Api,
            Role::Worker,
            Role::Projector,
            Role::Migrate,
            Role::Tool,
        ] {
            assert_eq!(mistakes(role, &[OPEN]), ["DATABASE_URL"], "{role}");
        }
        let produce = load(Role::Produce, &[]).unwrap();
        assert_eq!(produce.database().unwrap_err().code, crate::exit::USAGE);
    }

    #[test]
    fn mistakes_of_all_concerns_come_together() {
        let wrong = [
            ("QUEUE_TYPE", "kafka"),
            ("HTTP_ADDR", "8012"),
            ("WORKER_BATCH_SIZE", "0"),
            ("SHUTDOWN_GRACE_SECONDS", "soon"),
            ("LOG_LEVEL", "loud"),
        ];
        assert_eq!(
            mistakes(Role::Worker, &wrong),
            [
                "DATABASE_URL",
                "QUEUE_TYPE",
                "HTTP_ADDR",
                "WORKER_BATCH_SIZE",
                "SHUTDOWN_GRACE_SECONDS",
                "LOG_LEVEL"
            ]
        );
    }

    #[test]
    fn settings_show_no_password() {
        let settings = load(
            Role::Worker,
            &[
                URL,
                ("PULSAR_TOKEN", "t0ken"),
                ("PULSAR_ADMIN_URL", "http://u:pw0@h:8080"),
            ],
        )
        .unwrap();
        let shown = format!("{settings:?}");
        assert!(
            !shown.contains("hunter2") && !shown.contains("t0ken") && !shown.contains("pw0"),
            "{shown}"
        );
    }

    #[test]
    fn every_variable_that_is_read_is_registered_and_the_other_way_round() {
        let registered: BTreeSet<&str> = variables()
            .iter()
            .flat_map(|(_, list)| list.iter())
            .map(|v| v.name)
            .collect();
        let mut read = BTreeSet::new();
        for role in Role::ALL {
            let mut env = Env::from_pairs([URL, OPEN]);
            Settings::load(&mut env, role).unwrap();
            read.extend(env.effective().iter().map(|line| line.name));
        }
        assert_eq!(read, registered);
    }

    #[test]
    fn the_document_of_the_configuration_names_every_variable_and_marks_the_secret_ones() {
        let document = include_str!("../../docs/configuration.md");
        let row = |line: &str| {
            let (name, rest) = line.strip_prefix("| `")?.split_once("` ")?;
            Some((name.to_owned(), rest.starts_with('★')))
        };
        let documented: Vec<(String, bool)> = document.lines().filter_map(row).collect();
        let known: Vec<(String, bool)> = variables()
            .iter()
            .flat_map(|(_, list)| list.iter())
            .map(|v| (v.name.to_owned(), v.shown != crate::env::Shown::Plain))
            .collect();
        assert_eq!(documented, known);
    }

    #[test]
    fn an_open_api_is_warned_about() {
        assert_eq!(load(Role::Api, &[URL, OPEN]).unwrap().warnings().len(), 1);
        assert!(
            load(Role::Api, &[URL, ("HTTP_ADDR", "127.0.0.1:8010")])
                .unwrap()
                .warnings()
                .is_empty()
        );
        assert!(load(Role::Worker, &[URL]).unwrap().warnings().is_empty());
    }
}

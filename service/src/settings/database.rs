//! Which PostgreSQL, as which role, with how many connections.

use super::parse::whole;
use super::role::Role;
use crate::env::{Env, Variable};
use crate::secret::SecretUrl;

pub(super) const DATABASE_URL: Variable = Variable::url(
    "DATABASE_URL",
    "",
    "PostgreSQL 15 or later, for example postgres://tracking:secret@127.0.0.1:5432/tracking. Required by all but produce.",
);
const DATABASE_MIGRATE_URL: Variable = Variable::url(
    "DATABASE_MIGRATE_URL",
    "DATABASE_URL",
    "The owner's role, for migrate alone; it grants the role of DATABASE_URL only what that needs.",
);
const DATABASE_READ_URL: Variable = Variable::url(
    "DATABASE_READ_URL",
    "DATABASE_URL",
    "A replica for the queries of the API.",
);
const DATABASE_POOL_SIZE: Variable = Variable::plain(
    "DATABASE_POOL_SIZE",
    "api 8, worker 4, projector 4",
    "Connections of one process, 1 to 200.",
);

pub(super) const VARIABLES: &[Variable] = &[
    DATABASE_URL,
    DATABASE_MIGRATE_URL,
    DATABASE_READ_URL,
    DATABASE_POOL_SIZE,
];

/// The database settings.
#[derive(Clone, Debug)]
pub struct Database {
    /// The application's role.
    pub url: SecretUrl,
    /// The owner's role; `url` unless the role is migrate and another was given.
    pub migrate_url: SecretUrl,
    /// For queries; `url` unless the role is api and a replica was given.
    pub read_url: SecretUrl,
    /// At most this many connections in this process.
    pub pool_size: usize,
}

impl Database {
    pub(super) const MAX_POOL_SIZE: usize = 200;

    /// `None` when the URL is missing or wrong, which `env` then knows.
    pub(super) fn read(env: &mut Env, role: Role) -> Option<Self> {
        let expected = "a URL such as postgres://user:password@host:5432/database";
        let url = env.required(&DATABASE_URL, expected, postgres_url);
        // Read by the one role that uses them: the file of the owner's password is mounted nowhere else.
        let migrate_url = (role == Role::Migrate)
            .then(|| other_url(env, &DATABASE_MIGRATE_URL, url.as_ref()))
            .flatten();
        let read_url = (role == Role::Api)
            .then(|| other_url(env, &DATABASE_READ_URL, url.as_ref()))
            .flatten();
        let pool_size = env.or_default(
            &DATABASE_POOL_SIZE,
            role.default_pool_size(),
            whole(1..=Self::MAX_POOL_SIZE),
        );
        let url = url?;
        Some(Self {
            migrate_url: migrate_url.unwrap_or_else(|| url.clone()),
            read_url: read_url.unwrap_or_else(|| url.clone()),
            url,
            pool_size,
        })
    }
}

fn other_url(env: &mut Env, variable: &Variable, default: Option<&SecretUrl>) -> Option<SecretUrl> {
    let url = env.optional(variable, postgres_url);
    if let Some(default) = default {
        env.default_is(variable, default.expose());
    }
    url
}

/// Only the form is checked here: several hosts with ports are valid for PostgreSQL and for no URL parser.
fn postgres_url(text: &str) -> Result<SecretUrl, String> {
    let text = text.trim();
    let rest = text
        .strip_prefix("postgres://")
        .or_else(|| text.strip_prefix("postgresql://"));
    match rest {
        Some(rest) if !rest.is_empty() && !rest.contains(char::is_whitespace) => Ok(SecretUrl::new(text)),
        _ => Err("a URL such as postgres://user:password@host:5432/database".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: (&str, &str) = ("DATABASE_URL", "postgres://app:pw@h/d");
    const OWNER: (&str, &str) = ("DATABASE_MIGRATE_URL", "postgresql://owner:pw@h/d");
    const REPLICA: (&str, &str) = ("DATABASE_READ_URL", "postgres://app:pw@h1:5432,h2:5432/d");

    #[test]
    fn each_role_gets_the_urls_it_uses() {
        let read = |role| Database::read(&mut Env::from_pairs([URL, OWNER, REPLICA]), role).unwrap();
        assert_eq!(read(Role::Migrate).migrate_url.expose(), OWNER.1);
        assert_eq!(read(Role::Worker).migrate_url.expose(), URL.1);
        assert_eq!(read(Role::Api).read_url.expose(), REPLICA.1);
        assert_eq!(read(Role::Projector).read_url.expose(), URL.1);
    }

    #[test]
    fn a_wrong_url_is_a_mistake_that_does_not_show_it() {
        for wrong in [
            "mysql://u:hunter2@h/d",
            "postgres://",
            "host=h password=hunter2",
            "postgres://h /d",
        ] {
            let mut env = Env::from_pairs([("DATABASE_URL", wrong)]);
            assert!(Database::read(&mut env, Role::Worker).is_none());
            let message = env.check().unwrap_err().to_string();
            assert!(
                message.contains("DATABASE_URL: expected a URL such as postgres://"),
                "{message}"
            );
            assert!(!message.contains("hunter2"), "{message}");
        }
    }
}

//! Connections: a pool with limits and timeouts on everything.

use crate::{StoreError, Trouble};
use deadpool_postgres::{
    Hook, HookError, Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime, Timeouts,
};
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::config::TargetSessionAttrs;
use tokio_postgres::{Config, NoTls};

/// How to connect.
#[derive(Clone)]
pub struct DatabaseOptions {
    /// `postgres://…` or key=value; holds the password.
    pub url: String,
    /// Most connections.
    pub pool_size: usize,
    /// Shown in `pg_stat_activity`.
    pub application_name: String,
    /// The server ends a statement after this.
    pub statement_timeout: Duration,
    /// The server ends a session that sits in a transaction for this long; must lie below the projectors' lease.
    pub idle_in_transaction_timeout: Duration,
    /// Whether any server will do, or only one that takes writes.
    pub read_only: bool,
}

impl DatabaseOptions {
    /// The timeouts that the store is built for.
    pub fn new(url: impl Into<String>, pool_size: usize, application_name: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            pool_size,
            application_name: application_name.into(),
            statement_timeout: Duration::from_secs(30),
            idle_in_transaction_timeout: Duration::from_secs(5),
            read_only: false,
        }
    }
}

/// A pool of connections. Cheap to clone.
#[derive(Clone)]
pub struct Database {
    pool: Pool,
    config: Arc<Config>,
}

impl Database {
    /// Makes the pool; connects only when a connection is asked for.
    pub fn new(options: &DatabaseOptions) -> Result<Self, StoreError> {
        let broken = |message: String| StoreError::new("read DATABASE_URL", Trouble::Configuration, message);
        // The driver's message does not repeat the text, which holds the password.
        let mut config: Config = options
            .url
            .parse()
            .map_err(|e: tokio_postgres::Error| broken(e.to_string()))?;
        config
            .application_name(&options.application_name)
            .connect_timeout(Duration::from_secs(3))
            .keepalives_idle(Duration::from_secs(15))
            .keepalives_interval(Duration::from_secs(5))
            .keepalives_retries(2)
            .tcp_user_timeout(Duration::from_secs(15));
        if !options.read_only {
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        let manager = Manager::from_config(
            config.clone(),
            NoTls,
            ManagerConfig {
                recycling_method: RecyclingMethod::Fast,
            },
        );
        let session = session_settings(options);
        let pool = Pool::builder(manager)
            .max_size(options.pool_size)
            .runtime(Runtime::Tokio1)
            .timeouts(Timeouts {
                wait: Some(Duration::from_secs(5)),
                create: Some(Duration::from_secs(10)),
                recycle: Some(Duration::from_secs(2)),
            })
            .post_create(Hook::async_fn(move |client, _| {
                let session = session.clone();
                Box::pin(async move { client.batch_execute(&session).await.map_err(HookError::Backend) })
            }))
            .build()
            .map_err(|e| broken(e.to_string()))?;
        Ok(Self {
            pool,
            config: Arc::new(config),
        })
    }

    /// A connection of the pool, in at most five seconds.
    pub async fn client(&self) -> Result<Object, StoreError> {
        use deadpool_postgres::PoolError;
        self.pool.get().await.map_err(|error| match error {
            PoolError::Backend(error) | PoolError::PostCreateHook(HookError::Backend(error)) => {
                StoreError::of("connect to the database", error)
            }
            PoolError::Timeout(kind) => {
                let message = format!("no connection in time ({kind:?}, {} in use)", self.in_use());
                StoreError::new("connect to the database", Trouble::Transient, message)
            }
            other => StoreError::new("connect to the database", Trouble::Transient, other.to_string()),
        })
    }

    /// Gives a connection back, or throws it away when `error` says that it may be broken or its server demoted.
    pub fn discard_if_lost(&self, client: Object, error: &StoreError) {
        if error.connection_lost {
            drop(Object::take(client));
            // A demoted or restarted server has broken the others too.
            self.pool.retain(|_, _| false);
        }
    }

    /// Connections of the pool: (in use, idle, most).
    pub fn connections(&self) -> (usize, usize, usize) {
        let status = self.pool.status();
        let idle = status.available;
        (status.size.saturating_sub(idle), idle, status.max_size)
    }

    /// The role and the database's name in the URL, for grants and messages.
    pub fn role(&self) -> Option<&str> {
        self.config.get_user()
    }

    /// Gives up the connections that lie idle.
    pub fn close(&self) {
        self.pool.close();
    }

    fn in_use(&self) -> usize {
        self.connections().0
    }
}

/// What every session sets. The server must notice a client whose host is gone, for its locks hold others back.
/// Durable commits are part of "success means kept": off is not accepted.
fn session_settings(options: &DatabaseOptions) -> String {
    format!(
        "set statement_timeout = {}; set idle_in_transaction_session_timeout = {}; set timezone = 'UTC'; \
         set client_min_messages = warning; \
         set tcp_keepalives_idle = 10; set tcp_keepalives_interval = 3; set tcp_keepalives_count = 3; \
         set tcp_user_timeout = 15000; \
         select set_config('synchronous_commit', 'on', false) where current_setting('synchronous_commit') = 'off'",
        options.statement_timeout.as_millis(),
        options.idle_in_transaction_timeout.as_millis()
    )
}

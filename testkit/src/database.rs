//! A database of one's own in the cluster that `make test` started.

use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::{Client, NoTls};
use url::Url;

use crate::environment::{database_url, unique};

/// A server that does not answer in this time will not answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection for looking at, or preparing, a database. Panics when there is none within 30 s.
pub async fn connect(url: &str) -> Client {
    let connected = timeout(PATIENCE, tokio_postgres::connect(url, NoTls))
        .await
        .expect("PostgreSQL answers");
    let (client, connection) = connected.unwrap_or_else(|error| panic!("cannot connect to {url}: {error}"));
    #[expect(
        clippy::disallowed_methods,
        reason = "ends with its client, whose next query tells what went wrong"
    )]
    tokio::spawn(connection);
    client
}

/// An empty database for one test. Dropped, with whoever is still connected, when the value goes.
#[derive(Debug)]
pub struct TestDatabase {
    name: String,
    url: String,
}

impl TestDatabase {
    /// A fresh, empty database. Panics outside `make test`.
    pub async fn create() -> Self {
        let name = unique("test");
        let admin = connect(&database_url()).await;
        // template0, as no other session can hold it.
        let create = format!("CREATE DATABASE {name} TEMPLATE template0");
        timeout(PATIENCE, admin.batch_execute(&create))
            .await
            .expect("in time")
            .expect("we are superuser");
        let mut url = Url::parse(&database_url()).expect("TEST_DATABASE_URL is a URL");
        url.set_path(&name);
        Self {
            name,
            url: url.into(),
        }
    }

    /// A fresh database that `prepare`, given its URL, fills: e.g. runs the migrations.
    pub async fn create_with(prepare: impl AsyncFnOnce(&str)) -> Self {
        let database = Self::create().await;
        prepare(&database.url).await;
        database
    }

    /// `postgres://…/test_…`, as superuser.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A connection to it.
    pub async fn connect(&self) -> Client {
        connect(&self.url).await
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        // On a thread of its own: the test's runtime may be ending, or be the one that runs this.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime can be made").block_on(async {
                let _ = timeout(PATIENCE, async {
                    connect(&database_url()).await.batch_execute(&drop).await
                })
                .await;
            });
        });
        // Best effort: the whole cluster goes after the run.
        let _ = dropping.join();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn databases_are_apart_and_go_with_the_value() {
        let one = TestDatabase::create_with(async |url| {
            connect(url)
                .await
                .batch_execute("CREATE TABLE only_here (id int)")
                .await
                .unwrap();
        })
        .await;
        let other = TestDatabase::create().await;
        let found = "SELECT to_regclass('only_here') IS NOT NULL";
        let held = one.connect().await;
        assert!(held.query_one(found, &[]).await.unwrap().get::<_, bool>(0));
        assert!(
            !other
                .connect()
                .await
                .query_one(found, &[])
                .await
                .unwrap()
                .get::<_, bool>(0)
        );

        let name = one.name.clone();
        drop(one);
        let left = connect(&database_url()).await;
        let left = left
            .query("SELECT 1 FROM pg_database WHERE datname = $1", &[&name])
            .await
            .unwrap();
        assert!(left.is_empty());
    }
}

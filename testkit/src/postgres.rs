//! A PostgreSQL cluster of one's own, for tests that stop, crash or freeze the server.

use std::fs::read_to_string;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::environment::free_port;
use crate::process::send;
use crate::tempdir::temp_dir;
use crate::{Signal, script};

/// How long a start may fail because what a killed server leaves behind is still there.
const LEFTOVERS: Duration = Duration::from_secs(15);

/// A cluster on 127.0.0.1, superuser `postgres` without password. Stopped and removed on drop.
#[derive(Debug)]
pub struct Postgres {
    dir: TempDir,
    port: u16,
    settings: Vec<String>,
}

impl Postgres {
    /// A fresh cluster, durable (`fsync=on`): a crash is what it is in production.
    pub async fn start() -> Self {
        Self::start_with(&["fsync=on"]).await
    }

    /// A fresh cluster with these settings, e.g. `"max_connections=20"`.
    pub async fn start_with(settings: &[&str]) -> Self {
        let settings = settings.iter().map(|&setting| setting.to_owned()).collect();
        let cluster = Self {
            dir: temp_dir("postgres"),
            port: free_port(),
            settings,
        };
        cluster.start_again().await;
        cluster
    }

    /// The URL of a database in this cluster; `postgres` is always there.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// The port, the same for the life of the value.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Starts it after a stop, a crash or a kill, on the same port; returns when it takes connections.
    pub async fn start_again(&self) {
        let mut arguments = vec!["start".to_owned(), self.path(), self.port.to_string()];
        arguments.extend(self.settings.iter().cloned());
        let start = move || {
            let began = Instant::now();
            loop {
                match script::run("postgres", &arguments) {
                    Ok(_) => return,
                    // For a moment after a SIGKILL the postmaster is not quite gone, or its backends still live.
                    Err(complaint)
                        if (complaint.contains("shared memory") || complaint.contains("lock file"))
                            && began.elapsed() < LEFTOVERS =>
                    {
                        std::thread::sleep(Duration::from_millis(200));
                    }
                    Err(complaint) => panic!("{complaint}"),
                }
            }
        };
        tokio::task::spawn_blocking(start)
            .await
            .expect("PostgreSQL starts");
    }

    /// Disconnects everybody and shuts down in order.
    pub async fn stop(&self) {
        script::run_async("postgres", vec!["stop".to_owned(), self.path()]).await;
    }

    /// Crashes: no checkpoint, recovery at the next start.
    pub async fn stop_immediate(&self) {
        script::run_async("postgres", vec!["crash".to_owned(), self.path()]).await;
    }

    /// Kills the postmaster with SIGKILL; its backends notice and leave by themselves.
    pub fn kill(&self) {
        self.signal(Signal::Kill);
    }

    /// Signals the postmaster, e.g. [`Signal::Stop`]: new connections hang while old ones go on.
    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = self.postmaster() {
            send(pid, signal);
        }
    }

    fn path(&self) -> String {
        self.directory()
            .to_str()
            .expect("temporary folders have plain names")
            .to_owned()
    }

    fn directory(&self) -> PathBuf {
        self.dir.path().join("cluster")
    }

    fn postmaster(&self) -> Option<u32> {
        let file = read_to_string(self.directory().join("data/postmaster.pid")).ok()?;
        file.lines().next()?.trim().parse().ok()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // A frozen postmaster hears nothing else. After a SIGKILL there is nobody to stop, which is an error here.
        self.signal(Signal::Continue);
        let _ = script::run("postgres", &["crash", &self.path()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connect;

    async fn count(cluster: &Postgres) -> i64 {
        let client = connect(&cluster.url("postgres")).await;
        client
            .query_one("SELECT count(*) FROM kept", &[])
            .await
            .unwrap()
            .get(0)
    }

    #[tokio::test]
    async fn committed_rows_outlive_a_crash_and_a_kill() {
        let cluster = Postgres::start().await;
        let client = connect(&cluster.url("postgres")).await;
        client
            .batch_execute("CREATE TABLE kept (id int); INSERT INTO kept VALUES (1)")
            .await
            .unwrap();
        client
            .batch_execute("BEGIN; INSERT INTO kept VALUES (2)")
            .await
            .unwrap();

        cluster.stop_immediate().await;
        assert!(client.batch_execute("COMMIT").await.is_err());
        cluster.start_again().await;
        assert_eq!(count(&cluster).await, 1);

        cluster.kill();
        cluster.start_again().await;
        assert_eq!(count(&cluster).await, 1);
    }

    #[tokio::test]
    async fn a_dropped_cluster_is_gone() {
        let cluster = Postgres::start_with(&["fsync=off"]).await;
        let (url, directory) = (cluster.url("postgres"), cluster.directory());
        drop(cluster);
        assert!(
            tokio_postgres::connect(&url, tokio_postgres::NoTls)
                .await
                .is_err()
        );
        assert!(!directory.exists());
    }
}

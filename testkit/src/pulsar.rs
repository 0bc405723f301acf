//! A namespace of one's own in the shared Pulsar, and a Pulsar of one's own to break.

use std::fs::read_to_string;

use serde_json::json;
use tempfile::TempDir;
use ureq::http::Method;

use crate::environment::{free_port, pulsar_admin_url, unique};
use crate::process::send;
use crate::tempdir::temp_dir;
use crate::{PulsarAdmin, Signal, script};

/// A namespace with default policies for one test; removed, with its topics, when the value goes.
#[derive(Debug)]
pub struct TestNamespace {
    name: String,
    admin: PulsarAdmin,
}

impl TestNamespace {
    /// A fresh namespace in the Pulsar that `make test` started. Panics outside `make test`.
    pub async fn create() -> Self {
        Self::create_in(PulsarAdmin::new(&pulsar_admin_url())).await
    }

    /// A fresh namespace in another Pulsar.
    pub async fn create_in(admin: PulsarAdmin) -> Self {
        let name = format!("public/{}", unique("test"));
        admin
            .call(Method::PUT, format!("namespaces/{name}"), json!({}))
            .await;
        Self { name, admin }
    }

    /// `public/test_…`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The full name of a topic in it: `persistent://public/test_…/name`. Does not make it.
    pub fn topic(&self, name: &str) -> String {
        format!("persistent://{}/{name}", self.name)
    }

    /// The admin API that it was made with.
    pub fn admin(&self) -> &PulsarAdmin {
        &self.admin
    }
}

impl Drop for TestNamespace {
    fn drop(&mut self) {
        // Best effort: the server goes after the run. A topic whose client reconnects meanwhile comes back once.
        let _ = self
            .admin
            .remove_namespace(&self.name)
            .or_else(|_| self.admin.remove_namespace(&self.name));
    }
}

/// A standalone of one's own, on ports that stay the same. Killed and removed on drop.
/// It takes some 6 s and 400 MB: share one among the tests of a file where that is sound.
#[derive(Debug)]
pub struct PulsarServer {
    dir: TempDir,
    port: u16,
    admin_port: u16,
}

impl PulsarServer {
    /// A fresh, healthy standalone.
    pub async fn start() -> Self {
        let server = Self {
            dir: temp_dir("pulsar"),
            port: free_port(),
            admin_port: free_port(),
        };
        server.start_again().await;
        server
    }

    /// `pulsar://127.0.0.1:…`.
    pub fn url(&self) -> String {
        format!("pulsar://127.0.0.1:{}", self.port)
    }

    /// `http://127.0.0.1:…`.
    pub fn admin_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.admin_port)
    }

    /// Its admin API.
    pub fn admin(&self) -> PulsarAdmin {
        PulsarAdmin::new(&self.admin_url())
    }

    /// Starts it after a stop or a kill, with its data; returns when it is healthy. After a kill it starts twice
    /// (`scripts/pulsar` says why), so that clients see it come, go and come again.
    pub async fn start_again(&self) {
        let [port, admin_port] = [self.port, self.admin_port].map(|port| port.to_string());
        let arguments = [
            "up",
            "--dir",
            &self.path(),
            "--port",
            &port,
            "--admin-port",
            &admin_port,
        ];
        script::run_async("pulsar", arguments.map(str::to_owned).to_vec()).await;
    }

    /// Stops it gracefully.
    pub async fn stop(&self) {
        script::run_async(
            "pulsar",
            ["down", "--dir", &self.path()].map(str::to_owned).to_vec(),
        )
        .await;
    }

    /// Kills it with SIGKILL.
    pub fn kill(&self) {
        self.signal(Signal::Kill);
    }

    /// Signals it, e.g. [`Signal::Stop`]: connections stay, nothing answers.
    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid() {
            send(pid, signal);
        }
    }

    fn path(&self) -> String {
        self.dir
            .path()
            .to_str()
            .expect("temporary folders have plain names")
            .to_owned()
    }

    fn pid(&self) -> Option<u32> {
        read_to_string(self.dir.path().join("pulsar.pid"))
            .ok()?
            .trim()
            .parse()
            .ok()
    }
}

impl Drop for PulsarServer {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn answers(admin: &PulsarAdmin) -> bool {
        admin.request(Method::GET, "clusters", &Value::Null).is_ok()
    }

    #[tokio::test]
    async fn a_namespace_has_default_policies_and_goes_with_its_topics() {
        let namespace = TestNamespace::create().await;
        let (admin, name) = (namespace.admin().clone(), namespace.name().to_owned());
        admin.create_topic(&namespace.topic("plain")).await;
        admin.create_partitioned(&namespace.topic("split"), 3).await;
        admin
            .create_subscription(&namespace.topic("plain"), "workers")
            .await;
        assert_eq!(admin.backlog(&namespace.topic("plain"), "workers").await, 0);
        admin.unload(&namespace.topic("plain")).await;
        let policies = admin
            .call(Method::GET, format!("namespaces/{name}"), Value::Null)
            .await;
        assert_eq!(policies["replication_clusters"], json!(["standalone"]));
        assert_eq!(policies["deleted"], json!(false));

        drop(namespace);
        let left = admin
            .call(Method::GET, "namespaces/public".to_owned(), Value::Null)
            .await;
        assert!(!left.as_array().unwrap().contains(&json!(name)), "{left}");
    }

    #[tokio::test]
    async fn a_killed_server_comes_back_with_its_data_and_at_rest() {
        let server = PulsarServer::start().await;
        let topic = "persistent://public/default/kept";
        server.admin().create_partitioned(topic, 2).await;
        server.kill();
        assert!(!answers(&server.admin()));
        server.start_again().await;
        let partitioned = "persistent/public/default/partitioned".to_owned();
        assert_eq!(
            server.admin().call(Method::GET, partitioned, Value::Null).await,
            json!([topic])
        );
        // The loop that the second start is there to avoid writes thousands of these a second.
        let log = read_to_string(server.dir.path().join("console.log")).unwrap();
        assert!(
            log.matches("was invalidated").count() < 5,
            "the bookie registers itself over and over"
        );
    }
}

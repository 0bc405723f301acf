//! Pulsar's admin API, as far as tests need it.

use std::time::Duration;

use serde_json::{Value, json};
use ureq::Agent;
use ureq::http::{Method, Request};

/// Unloads and deletions wait for the broker's storage.
const PATIENCE: Duration = Duration::from_secs(30);

/// The admin API of one Pulsar. Every call panics with the broker's answer when it fails.
/// Topics are named in full: `persistent://public/default/commands`.
#[derive(Clone, Debug)]
pub struct PulsarAdmin {
    url: String,
    agent: Agent,
}

impl PulsarAdmin {
    /// For the API at `url`, e.g. [`pulsar_admin_url`](crate::pulsar_admin_url).
    pub fn new(url: &str) -> Self {
        let config = Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            .http_status_as_error(false)
            .build();
        Self {
            url: url.trim_end_matches('/').to_owned(),
            agent: config.into(),
        }
    }

    /// Makes a topic that is not partitioned.
    pub async fn create_topic(&self, topic: &str) {
        self.call(Method::PUT, path(topic), Value::Null).await;
    }

    /// Makes a topic of `partitions` partitions.
    pub async fn create_partitioned(&self, topic: &str, partitions: u32) {
        self.call(
            Method::PUT,
            format!("{}/partitions", path(topic)),
            json!(partitions),
        )
        .await;
    }

    /// Makes a durable subscription that begins with the first message.
    pub async fn create_subscription(&self, topic: &str, subscription: &str) {
        // Its own names for the end of a message id: the least there is.
        let earliest = json!({ "ledgerId": -1, "entryId": -1 });
        self.call(
            Method::PUT,
            format!("{}/subscription/{subscription}", path(topic)),
            earliest,
        )
        .await;
    }

    /// The topic's statistics, with its subscriptions, consumers and backlogs.
    pub async fn stats(&self, topic: &str) -> Value {
        self.call(
            Method::GET,
            format!("{}/stats?getPreciseBacklog=true", path(topic)),
            Value::Null,
        )
        .await
    }

    /// The topic's ledgers and cursors.
    pub async fn internal_stats(&self, topic: &str) -> Value {
        self.call(Method::GET, format!("{}/internalStats", path(topic)), Value::Null)
            .await
    }

    /// How many messages the subscription has not acknowledged.
    pub async fn backlog(&self, topic: &str, subscription: &str) -> u64 {
        let stats = self.stats(topic).await;
        let backlog = &stats["subscriptions"][subscription]["msgBacklog"];
        backlog
            .as_u64()
            .unwrap_or_else(|| panic!("{topic} has no subscription {subscription}: {stats}"))
    }

    /// Makes the broker drop the topic from memory: producers and consumers must connect anew.
    pub async fn unload(&self, topic: &str) {
        self.call(Method::PUT, format!("{}/unload", path(topic)), Value::Null)
            .await;
    }

    /// Any other call: `path` is what follows `/admin/v2/`; a null body is none. An empty answer is null.
    pub async fn call(&self, method: Method, path: String, body: Value) -> Value {
        let (admin, what) = (self.clone(), format!("{method} {path}"));
        let answer = tokio::task::spawn_blocking(move || admin.request(method, &path, &body)).await;
        answer
            .expect("a request does not panic")
            .unwrap_or_else(|error| panic!("{what}: {error}"))
    }

    /// Removes a namespace with its topics. Blocks.
    pub(crate) fn remove_namespace(&self, namespace: &str) -> Result<(), String> {
        let list = |path: &str| -> Result<Vec<String>, String> {
            let topics = self.request(Method::GET, path, &Value::Null)?;
            Ok(topics
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|topic| Some(topic.as_str()?.to_owned()))
                .collect())
        };
        for topic in list(&format!("persistent/{namespace}/partitioned"))? {
            let path = format!("{}/partitions?force=true", path(&topic));
            self.request(Method::DELETE, &path, &Value::Null)?;
        }
        for topic in list(&format!("persistent/{namespace}"))? {
            self.request(
                Method::DELETE,
                &format!("{}?force=true", path(&topic)),
                &Value::Null,
            )?;
        }
        self.request(Method::DELETE, &format!("namespaces/{namespace}"), &Value::Null)
            .map(drop)
    }

    /// One call. Blocks.
    pub(crate) fn request(&self, method: Method, path: &str, body: &Value) -> Result<Value, String> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}/admin/v2/{path}", self.url));
        let response = if body.is_null() {
            self.agent
                .run(request.body(()).map_err(|error| error.to_string())?)
        } else {
            let request = request
                .header("content-type", "application/json")
                .body(body.to_string());
            self.agent.run(request.map_err(|error| error.to_string())?)
        };
        let mut response = response.map_err(|error| error.to_string())?;
        let text = response
            .body_mut()
            .read_to_string()
            .map_err(|error| error.to_string())?;
        if !response.status().is_success() {
            return Err(format!("{}: {text}", response.status()));
        }
        if text.is_empty() {
            Ok(Value::Null)
        } else {
            serde_json::from_str(&text).map_err(|error| error.to_string())
        }
    }
}

/// `persistent://tenant/namespace/name` as the API spells it.
fn path(topic: &str) -> String {
    assert!(topic.contains("://"), "name the topic in full, not `{topic}`");
    topic.replacen("://", "/", 1)
}

//! What lies unacknowledged, by the admin API's statistics.

use super::admin::Admin;
use super::errors::MIGRATE;
use super::names::TopicName;
use super::topics::partitions;
use crate::{Backlog, QueueError, Topics};
use chrono::DateTime;
use serde_json::Value;

const READ: &str = "read the backlog";

/// The backlog of the workers' subscription, over all partitions. The broker reads the oldest entry from disk
/// for it: not more often than every few seconds.
pub(super) async fn read(admin: &Admin, topics: &Topics) -> Result<Backlog, QueueError> {
    let topic = TopicName::parse(&topics.commands)?;
    let missing = || QueueError::Refused {
        action: READ,
        reason: format!(
            "there is no subscription {} on {}: {MIGRATE}",
            topics.subscription,
            topic.full()
        ),
    };
    let stats = match partitions(admin, READ, &topic).await?.ok_or_else(missing)? {
        0 => "stats?getEarliestTimeInBacklog=true",
        _ => "partitioned-stats?perPartition=true&getEarliestTimeInBacklog=true",
    };
    let answer = admin
        .get(READ, format!("persistent/{}/{stats}", topic.admin_path()))
        .await?;
    let stats = answer.json();
    let all: Vec<&Value> = match stats.get("partitions").and_then(Value::as_object) {
        Some(partitions) => partitions.values().collect(),
        None => vec![&stats],
    };
    let mut backlog = Backlog::default();
    let mut found = false;
    for subscription in all
        .iter()
        .filter_map(|one| one.get("subscriptions")?.get(&topics.subscription))
    {
        found = true;
        let number = |field: &str| subscription.get(field).and_then(Value::as_i64).unwrap_or(0);
        let lying = u64::try_from(number("msgBacklog")).unwrap_or(0);
        backlog.messages += lying;
        let oldest = number("earliestMsgPublishTimeInBacklog");
        if lying > 0 && oldest > 0 {
            let oldest = DateTime::from_timestamp_millis(oldest);
            backlog.oldest = backlog.oldest.min(oldest).or(oldest);
        }
    }
    if found { Ok(backlog) } else { Err(missing()) }
}

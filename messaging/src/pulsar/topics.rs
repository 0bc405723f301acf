//! What `migrate` makes: topics, subscriptions, retention. What is there stays as it is.
//!
//! A topic without a subscription or retention is deleted by the broker after a minute, with its messages. So
//! nothing else makes topics: sources and sinks ask here first whether theirs was made.

use super::admin::Admin;
use super::errors::MIGRATE;
use super::names::{TopicName, segment};
use super::session::Subscription;
use crate::{QueueError, Topics};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::{sleep, timeout};
use ureq::http::StatusCode;

/// The subscription that keeps dead letters until someone reads them.
const DEAD_LETTER_SUBSCRIPTION: &str = "tracking-dead-letters";
const MINUTES_PER_DAY: i64 = 24 * 60;
/// 10 GiB, and the MiB by which retention has to exceed the backlog quota that a broker sets by default.
const COMMANDS_RETENTION_MB: i64 = 10 * 1024 + 1;
const UNLIMITED: i64 = -1;
/// A source or sink does not wait longer to learn whether its topic was made.
const CHECK_TIMEOUT: Duration = Duration::from_secs(3);
/// Policies of a topic just made may not be writable at once.
const POLICY_ATTEMPTS: u32 = 5;

const MAKE_TOPIC: &str = "make the topic";
const MAKE_SUBSCRIPTION: &str = "make the subscription";
const SET_RETENTION: &str = "set the retention";

/// A topic as it has to be.
struct Plan<'a> {
    name: &'a str,
    partitions: u32,
    subscription: Option<&'a str>,
    retention_days: i64,
    retention_mb: i64,
}

/// Makes what is missing. A line for each thing done.
pub(super) async fn prepare(admin: &Admin, topics: &Topics) -> Result<Vec<String>, QueueError> {
    let plans = [
        Plan {
            name: &topics.commands,
            partitions: topics.commands_partitions,
            subscription: Some(&topics.subscription),
            retention_days: 7,
            retention_mb: COMMANDS_RETENTION_MB,
        },
        Plan {
            name: &topics.dead_letters,
            partitions: 0,
            subscription: Some(DEAD_LETTER_SUBSCRIPTION),
            retention_days: 30,
            retention_mb: UNLIMITED,
        },
        Plan {
            name: &topics.events,
            partitions: 0,
            subscription: None,
            retention_days: 7,
            retention_mb: UNLIMITED,
        },
    ];
    let mut done = Vec::new();
    for plan in &plans {
        let topic = TopicName::parse(plan.name)?;
        make_topic(admin, &topic, plan, &mut done).await?;
        // Retention first: a topic with neither is soon deleted.
        set_retention(admin, &topic, plan, &mut done).await?;
        if let Some(subscription) = plan.subscription {
            make_subscription(admin, &topic, subscription, &mut done).await?;
        }
    }
    Ok(done)
}

async fn make_topic(
    admin: &Admin,
    topic: &TopicName,
    plan: &Plan<'_>,
    done: &mut Vec<String>,
) -> Result<(), QueueError> {
    if partitions(admin, MAKE_TOPIC, topic).await?.is_some() {
        return Ok(());
    }
    let path = format!("persistent/{}", topic.admin_path());
    let answer = if plan.partitions == 0 {
        admin.put(MAKE_TOPIC, path, None).await?
    } else {
        admin
            .put(
                MAKE_TOPIC,
                format!("{path}/partitions"),
                Some(json!(plan.partitions)),
            )
            .await?
    };
    match answer.status {
        StatusCode::CONFLICT => Ok(()),
        status if status.is_success() => {
            let shape = match plan.partitions {
                0 => "not partitioned".to_owned(),
                count => format!("{count} partitions"),
            };
            done.push(format!("made topic {} ({shape})", topic.full()));
            Ok(())
        }
        _ => Err(QueueError::Refused {
            action: MAKE_TOPIC,
            reason: format!(
                "{}: {}: make the namespace {} first",
                topic.full(),
                answer.reason(),
                topic.namespace()
            ),
        }),
    }
}

async fn make_subscription(
    admin: &Admin,
    topic: &TopicName,
    subscription: &str,
    done: &mut Vec<String>,
) -> Result<(), QueueError> {
    let path = format!(
        "persistent/{}/subscription/{}",
        topic.admin_path(),
        segment(subscription)
    );
    let earliest = json!({"ledgerId": -1, "entryId": -1, "partitionIndex": -1});
    let answer = admin.put(MAKE_SUBSCRIPTION, path, Some(earliest)).await?;
    match answer.status {
        StatusCode::CONFLICT => Ok(()),
        status if status.is_success() => {
            done.push(format!("made subscription {subscription} on {}", topic.full()));
            Ok(())
        }
        _ => Err(QueueError::Refused {
            action: MAKE_SUBSCRIPTION,
            reason: format!("{}: {}", topic.full(), answer.reason()),
        }),
    }
}

/// Sets the retention of a topic that has none, neither its own nor its namespace's.
async fn set_retention(
    admin: &Admin,
    topic: &TopicName,
    plan: &Plan<'_>,
    done: &mut Vec<String>,
) -> Result<(), QueueError> {
    let path = format!("persistent/{}/retention", topic.admin_path());
    let wanted = json!({
        "retentionTimeInMinutes": plan.retention_days * MINUTES_PER_DAY,
        "retentionSizeInMB": plan.retention_mb,
    });
    let mut attempt = 0;
    loop {
        attempt += 1;
        let answer = admin.get(SET_RETENTION, format!("{path}?applied=true")).await?;
        let now = answer.json();
        let kept = |field: &str| {
            now.get(field)
                .and_then(Value::as_i64)
                .is_some_and(|value| value != 0)
        };
        if answer.status.is_success() && kept("retentionTimeInMinutes") && kept("retentionSizeInMB") {
            return Ok(());
        }
        let answer = admin.post(SET_RETENTION, path.clone(), wanted.clone()).await?;
        if answer.status.is_success() {
            let days = plan.retention_days;
            done.push(match plan.retention_mb {
                UNLIMITED => format!("set retention of {} to {days} days", topic.full()),
                mb => format!(
                    "set retention of {} to {days} days or {} GiB",
                    topic.full(),
                    mb / 1024
                ),
            });
            return Ok(());
        }
        if attempt == POLICY_ATTEMPTS {
            let reason = format!(
                "{}: {}: set it yourself, on the topic or its namespace",
                topic.full(),
                answer.reason()
            );
            return Err(QueueError::Refused {
                action: SET_RETENTION,
                reason,
            });
        }
        sleep(Duration::from_millis(200) * attempt).await;
    }
}

/// How many partitions a topic has, 0 when it is not partitioned; `None` when there is no such topic.
pub(super) async fn partitions(
    admin: &Admin,
    action: &'static str,
    topic: &TopicName,
) -> Result<Option<u64>, QueueError> {
    let answer = admin
        .get(action, format!("persistent/{}/partitions", topic.admin_path()))
        .await?;
    if !answer.status.is_success() {
        return Ok(None);
    }
    Ok(Some(
        answer
            .json()
            .get("partitions")
            .and_then(Value::as_u64)
            .unwrap_or(0),
    ))
}

/// Whether a topic was made. Without an admin API that answers, it is taken for granted.
pub(super) async fn require_topic(admin: &Admin, topic: &TopicName) -> Result<(), QueueError> {
    let found = known(partitions(admin, "look for the topic", topic)).await;
    if matches!(found, Some(None)) {
        let reason = format!("there is no topic {}: {MIGRATE}", topic.full());
        return Err(QueueError::Refused {
            action: "look for the topic",
            reason,
        });
    }
    Ok(())
}

/// Whether a partition and its subscription were made. Without an admin API that answers, it is taken for
/// granted: subscribing makes no topic, but a subscription that is missing, at the earliest message.
pub(super) async fn require_subscription(
    admin: &Admin,
    subscription: &Subscription,
) -> Result<(), QueueError> {
    const ACTION: &str = "look for the subscription";
    let topic = TopicName::parse(&subscription.partition_topic)?;
    let path = format!("persistent/{}/subscriptions", topic.admin_path());
    let Some(answer) = known(admin.get(ACTION, path)).await else {
        return Ok(());
    };
    let missing = if answer.status == StatusCode::NOT_FOUND {
        format!("there is no topic {}", topic.full())
    } else {
        let names = answer.json();
        let Some(names) = names.as_array() else {
            return Ok(());
        };
        if names.iter().any(|name| name.as_str() == Some(&subscription.name)) {
            return Ok(());
        }
        format!(
            "there is no subscription {} on {}",
            subscription.name,
            topic.full()
        )
    };
    Err(QueueError::Refused {
        action: ACTION,
        reason: format!("{missing}: {MIGRATE}"),
    })
}

/// An answer that came in time; `None` when there was none.
async fn known<T>(asked: impl Future<Output = Result<T, QueueError>>) -> Option<T> {
    match timeout(CHECK_TIMEOUT, asked).await {
        Ok(Ok(answer)) => Some(answer),
        Ok(Err(error)) => {
            tracing::debug!(%error, "the admin API does not tell");
            None
        }
        Err(_) => None,
    }
}

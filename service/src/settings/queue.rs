//! Which queue, and the names of its topics and subscriptions.

use super::parse::{url, whole};
use crate::env::{Env, Variable};
use crate::secret::{Secret, SecretUrl};

const QUEUE_TYPE: Variable = Variable::plain("QUEUE_TYPE", "pulsar", "The queue: pulsar.");
const PULSAR_URL: Variable = Variable::url(
    "PULSAR_URL",
    "pulsar://127.0.0.1:6650",
    "The broker or proxy, pulsar:// or pulsar+ssl://.",
);
const PULSAR_ADMIN_URL: Variable = Variable::url(
    "PULSAR_ADMIN_URL",
    "http://127.0.0.1:8080",
    "The broker's admin API, http:// or https://: topics, backlog, unreadable entries.",
);
const PULSAR_TOKEN: Variable =
    Variable::hidden("PULSAR_TOKEN", "", "Token authentication; none when not set.");
const COMMANDS_TOPIC: Variable = Variable::plain(
    "COMMANDS_TOPIC",
    "persistent://public/default/commands.tracking",
    "Where commands come from, partitioned or not; a short name is of public/default.",
);
const COMMANDS_PARTITIONS: Variable = Variable::plain(
    "COMMANDS_PARTITIONS",
    "0",
    "Partitions of the topic when migrate makes it, 0 to 1024; 0 is not partitioned.",
);
const COMMANDS_SUBSCRIPTION: Variable = Variable::plain(
    "COMMANDS_SUBSCRIPTION",
    "tracking-workers",
    "The KeyShared subscription of the workers.",
);
const DEAD_LETTER_TOPIC: Variable = Variable::plain(
    "DEAD_LETTER_TOPIC",
    "<COMMANDS_TOPIC>-<COMMANDS_SUBSCRIPTION>-DLQ",
    "Where copies of dead letters are published.",
);
const EVENTS_TOPIC: Variable = Variable::plain(
    "EVENTS_TOPIC",
    "persistent://public/default/events.tracking",
    "Where recorded events are published.",
);

pub(super) const VARIABLES: &[Variable] = &[
    QUEUE_TYPE,
    PULSAR_URL,
    PULSAR_ADMIN_URL,
    PULSAR_TOKEN,
    COMMANDS_TOPIC,
    COMMANDS_PARTITIONS,
    COMMANDS_SUBSCRIPTION,
    DEAD_LETTER_TOPIC,
    EVENTS_TOPIC,
];

/// The backend of the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueKind {
    /// Apache Pulsar.
    Pulsar,
}

/// The queue settings. Topics are full names, `persistent://tenant/namespace/topic`.
#[derive(Clone, Debug)]
pub struct Queue {
    /// The backend.
    pub kind: QueueKind,
    /// The broker.
    pub pulsar_url: SecretUrl,
    /// The broker's admin API.
    pub pulsar_admin_url: SecretUrl,
    /// Token authentication.
    pub pulsar_token: Option<Secret>,
    /// Where commands come from.
    pub commands_topic: String,
    /// Partitions of the commands topic when it is made; 0 is not partitioned.
    pub commands_partitions: u32,
    /// The subscription of the workers.
    pub commands_subscription: String,
    /// Where copies of dead letters go.
    pub dead_letter_topic: String,
    /// Where recorded events go.
    pub events_topic: String,
}

impl Queue {
    pub(super) fn read(env: &mut Env) -> Self {
        let kind = env.or_default(&QUEUE_TYPE, QUEUE_TYPE.default, queue_kind);
        let pulsar_url = env.or_default(&PULSAR_URL, PULSAR_URL.default, url(&["pulsar", "pulsar+ssl"]));
        let pulsar_admin_url = env.or_default(
            &PULSAR_ADMIN_URL,
            PULSAR_ADMIN_URL.default,
            url(&["http", "https"]),
        );
        let pulsar_token = env.optional(&PULSAR_TOKEN, |text| Ok(Secret::new(text.trim())));
        let commands_topic = env.or_default(&COMMANDS_TOPIC, COMMANDS_TOPIC.default, topic);
        let commands_partitions =
            env.or_default(&COMMANDS_PARTITIONS, COMMANDS_PARTITIONS.default, whole(0..=1024));
        let commands_subscription = env.or_default(
            &COMMANDS_SUBSCRIPTION,
            COMMANDS_SUBSCRIPTION.default,
            subscription,
        );
        let dead_letters = format!("{commands_topic}-{commands_subscription}-DLQ");
        let dead_letter_topic = env.or_default(&DEAD_LETTER_TOPIC, &dead_letters, topic);
        let events_topic = env.or_default(&EVENTS_TOPIC, EVENTS_TOPIC.default, topic);
        // A topic that is fed by what is read from it never ends.
        if dead_letter_topic == commands_topic {
            env.mistake(&DEAD_LETTER_TOPIC, "expected another topic than COMMANDS_TOPIC");
        }
        if events_topic == commands_topic || events_topic == dead_letter_topic {
            env.mistake(
                &EVENTS_TOPIC,
                "expected another topic than COMMANDS_TOPIC and DEAD_LETTER_TOPIC",
            );
        }
        Self {
            kind,
            pulsar_url: SecretUrl::new(pulsar_url),
            pulsar_admin_url: SecretUrl::new(pulsar_admin_url),
            pulsar_token,
            commands_topic,
            commands_partitions,
            commands_subscription,
            dead_letter_topic,
            events_topic,
        }
    }
}

fn queue_kind(text: &str) -> Result<QueueKind, String> {
    match text.trim() {
        "pulsar" => Ok(QueueKind::Pulsar),
        "embedded" => Err("pulsar; embedded is not available yet".to_owned()),
        _ => Err("pulsar".to_owned()),
    }
}

/// The full name of a topic: a bare name is of `public/default`.
fn topic(text: &str) -> Result<String, String> {
    const DOMAIN: &str = "persistent://";
    let expected = || "a topic such as commands.tracking or persistent://tenant/namespace/topic".to_owned();
    let text = text.trim();
    if text.starts_with("non-persistent://") {
        return Err("a persistent topic, as a non-persistent one keeps nothing".to_owned());
    }
    let path = text.strip_prefix(DOMAIN).unwrap_or(text);
    if !path
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "-_.=:/%".contains(c))
    {
        return Err(expected());
    }
    let full = path == text && !path.contains('/');
    let path = if full {
        format!("public/default/{path}")
    } else {
        path.to_owned()
    };
    let parts: Vec<&str> = path.split('/').collect();
    if parts.len() != 3 || parts.iter().any(|part| part.is_empty()) || path.contains("://") {
        return Err(expected());
    }
    Ok(format!("{DOMAIN}{path}"))
}

fn subscription(text: &str) -> Result<String, String> {
    let text = text.trim();
    let good = text.len() <= 200
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    if good {
        Ok(text.to_owned())
    } else {
        Err("a name of letters, digits, - _ and .".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> (Queue, Vec<String>) {
        let mut env = Env::from_pairs(pairs.iter().copied());
        let queue = Queue::read(&mut env);
        let mistakes = env.check().err().map(|error| error.0).unwrap_or_default();
        (
            queue,
            mistakes.into_iter().map(|mistake| mistake.variable).collect(),
        )
    }

    #[test]
    fn defaults_are_a_local_broker_and_the_names_of_the_contract() {
        let (queue, mistakes) = read(&[]);
        assert_eq!(mistakes, [""; 0]);
        assert_eq!(queue.pulsar_url.expose(), "pulsar://127.0.0.1:6650");
        assert_eq!(queue.pulsar_admin_url.expose(), "http://127.0.0.1:8080");
        assert_eq!(
            queue.commands_topic,
            "persistent://public/default/commands.tracking"
        );
        assert_eq!(queue.commands_subscription, "tracking-workers");
        assert_eq!(queue.commands_partitions, 0);
        assert_eq!(
            queue.dead_letter_topic,
            "persistent://public/default/commands.tracking-tracking-workers-DLQ"
        );
        assert_eq!(queue.events_topic, "persistent://public/default/events.tracking");
    }

    #[test]
    fn short_names_become_full_ones() {
        for (given, full) in [
            ("likes", "persistent://public/default/likes"),
            ("acme/shop/likes", "persistent://acme/shop/likes"),
            ("persistent://acme/shop/likes", "persistent://acme/shop/likes"),
        ] {
            let (queue, mistakes) = read(&[("COMMANDS_TOPIC", given), ("COMMANDS_SUBSCRIPTION", "s")]);
            assert_eq!(mistakes, [""; 0]);
            assert_eq!(queue.commands_topic, full);
            assert_eq!(queue.dead_letter_topic, format!("{full}-s-DLQ"));
        }
    }

    #[test]
    fn names_that_pulsar_refuses_and_loops_are_mistakes() {
        for wrong in [
            "a/b",
            "a//b",
            "persistent://likes",
            "non-persistent://a/b/c",
            "a b",
            "a/b/c/d",
            "http://a/b/c",
        ] {
            assert_eq!(
                read(&[("COMMANDS_TOPIC", wrong)]).1,
                ["COMMANDS_TOPIC"],
                "{wrong}"
            );
        }
        assert_eq!(
            read(&[("COMMANDS_SUBSCRIPTION", "a/b")]).1,
            ["COMMANDS_SUBSCRIPTION"]
        );
        assert_eq!(
            read(&[("DEAD_LETTER_TOPIC", "commands.tracking")]).1,
            ["DEAD_LETTER_TOPIC"]
        );
        assert_eq!(read(&[("EVENTS_TOPIC", "commands.tracking")]).1, ["EVENTS_TOPIC"]);
        assert_eq!(read(&[("QUEUE_TYPE", "embedded")]).1, ["QUEUE_TYPE"]);
    }
}

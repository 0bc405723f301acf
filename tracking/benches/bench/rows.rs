//! The commands: as a sender writes them, and as the worker prepares them for the store.

use bytes::Bytes;
use domain::command::read;
use domain::{DeliveryCoordinates, decide, derive_command_id};
use eventstore::{Content, Item, Origin};
use std::sync::Arc;

const KINDS: [&str; 5] = ["like", "view", "click", "share", "purchase"];
/// The producer's name.
const PRODUCER: &str = "bench-0-1";
/// Users among whom the commands are spread.
pub(crate) const USERS: u64 = 100_000;
/// Commands whose ids share a millisecond: as of a topic that takes 30,000 a second.
pub(crate) const PER_MS: u64 = 30;

/// The user of the `n`th command: neighbours differ, and all come in turn.
pub(crate) fn user(n: u64) -> u64 {
    n * 7_919 % USERS + 1
}

/// The `n`th command, as JSON.
pub(crate) fn payload(n: u64) -> String {
    let kind = KINDS[usize::try_from(n % 5).expect("below 5")];
    let (user, target, campaign) = (user(n), n % 50_000, n % 200);
    format!(
        r#"{{"type":"create_interaction","user_id":{user},"interaction":"{kind}","timestamp":"2026-01-01T12:00:00Z","target_id":"item-{target}","campaign_id":"campaign-{campaign}"}}"#
    )
}

/// The JSON of commands `from` to `from + count`.
pub(crate) fn payloads(from: u64, count: usize) -> Vec<Bytes> {
    let numbers = from..from + u64::try_from(count).expect("a usize fits");
    numbers.map(|n| Bytes::from(payload(n))).collect()
}

/// Prepares the commands `from` and following as the worker does, in batches: reads, decides, encodes. Ids carry the
/// time now, as those of a topic do.
pub(crate) fn prepare(from: u64, payloads: Vec<Bytes>, batch_size: usize) -> Vec<Vec<Item>> {
    let now = service::clock::now();
    let start = u64::try_from(now.timestamp_millis()).expect("after 1970");
    let (topic, producer) = (
        Arc::from("persistent://public/default/bench"),
        Arc::from(PRODUCER),
    );
    let item = |(i, payload): (u64, Bytes)| {
        let n = from + i;
        let read = read(&payload);
        let at = DeliveryCoordinates {
            publish_time_ms: start + i / PER_MS,
            producer: PRODUCER,
            sequence_id: n,
            ledger: 7,
            entry: n / 500,
            batch_index: i32::try_from(n % 500).expect("below 500"),
        };
        let command = read.command.expect("our own commands are valid");
        Item {
            command_id: derive_command_id(&at),
            project: read.project,
            fingerprint: read.fingerprint,
            content: Content::from(&decide(command, now)),
            origin: Origin {
                topic: Arc::clone(&topic),
                partition: -1,
                ledger: 7,
                entry: i64::try_from(at.entry).expect("small"),
                batch_index: at.batch_index,
                key: Some(user(n).to_string().into()),
                producer: Arc::clone(&producer),
                properties: Vec::new(),
                payload,
                attempts: 1,
                first_seen: now,
            },
        }
    };
    let mut items = (0..).zip(payloads).map(item);
    let mut batches = Vec::new();
    loop {
        let batch: Vec<Item> = items.by_ref().take(batch_size).collect();
        if batch.is_empty() {
            return batches;
        }
        batches.push(batch);
    }
}

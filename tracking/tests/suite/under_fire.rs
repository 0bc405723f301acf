//! 100,000 commands with repeats and garbage, through two workers and two projectors, while processes are killed and
//! the database crashes: every valid command exactly once, every bad one a dead letter, order per key, views equal to
//! the log.

use crate::system::{EVENTS, KEPT, SUBSCRIPTION, System};
use std::collections::{BTreeMap, HashSet};
use std::time::Duration;
use testkit::Sender;

/// Half of them sent one message an entry, half in entries that mix keys.
const COMMANDS: u32 = 100_000;
const USERS: u32 = 500;
const DRAIN: Duration = Duration::from_mins(4);

/// Every hundredth is garbage; of the others every tenth repeats one that was sent a thousand before.
enum Sent {
    Garbage,
    Repeat(u32),
    New,
}

fn sent(n: u32) -> Sent {
    let of_its_half = n % (COMMANDS / 2);
    match n % 100 {
        99 => Sent::Garbage,
        // What was sent 1,005 before ends in 0: a new one.
        end if end % 10 == 5 && 2_000 <= of_its_half => Sent::Repeat(n - 1_005),
        _ => Sent::New,
    }
}

fn message(n: u32) -> (String, String) {
    match sent(n) {
        Sent::Garbage => ((n % USERS).to_string(), format!("garbage {n}")),
        Sent::Repeat(first) => command(first),
        Sent::New => command(n),
    }
}

fn command(n: u32) -> (String, String) {
    let user = n % USERS + 1;
    let id = format!("01890a5d-ac96-7b7c-8f9e-{n:012x}");
    let payload = format!(
        r#"{{"type":"create_interaction","command_id":"{id}","user_id":{user},"interaction":"like","timestamp":"2024-06-01T12:00:00Z","properties":{{"n":{n}}}}}"#
    );
    (user.to_string(), payload)
}

fn news() -> impl Iterator<Item = u32> {
    (0..COMMANDS).filter(|n| matches!(sent(*n), Sent::New))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_is_kept_once_whatever_is_killed() {
    let system = System::start().await;
    let sending = send(&system);
    let ((), ()) = tokio::join!(sending, fire(&system));
    let expected = i64::from(COMMANDS) - repeats();
    system.until(KEPT, expected, DRAIN).await;
    system.until_acknowledged(DRAIN).await;
    system.until_projected(DRAIN).await;
    check(&system).await;
}

fn repeats() -> i64 {
    i64::try_from(
        (0..COMMANDS)
            .filter(|n| matches!(sent(*n), Sent::Repeat(_)))
            .count(),
    )
    .expect("few")
}

async fn send(system: &System) {
    let (url, topic) = (testkit::pulsar_url(), system.topic());
    let mut one_by_one = Sender::open(&url, &topic, None).await;
    let mut in_batches = Sender::open(&url, &topic, Some(100)).await;
    tokio::join!(
        one_by_one.send((0..COMMANDS / 2).map(message)),
        in_batches.send((COMMANDS / 2..COMMANDS).map(message)),
    );
}

/// Everything happens while commands are under way: each step waits for a share of them to be kept.
async fn fire(system: &System) {
    let share = |percent: u32| i64::from(COMMANDS / 100 * percent);
    let (first_worker, second_worker) = tokio::join!(system.role("worker"), system.role("worker"));
    let (first_projector, second_projector) =
        tokio::join!(system.role("projector"), system.role("projector"));

    system.until(EVENTS, share(10), DRAIN).await;
    first_worker.kill().await;
    first_projector.kill().await;
    let third_worker = system.role("worker").await;
    let third_projector = system.role("projector").await;

    system.until(EVENTS, share(30), DRAIN).await;
    second_worker.stop().await;
    let fourth_worker = system.role("worker").await;

    system.until(EVENTS, share(45), DRAIN).await;
    system.postgres.stop_immediate().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    system.postgres.start_again().await;

    let all = i64::from(COMMANDS) - repeats();
    system.until(KEPT, all, DRAIN).await;
    system.until_acknowledged(DRAIN).await;
    system.until_projected(DRAIN).await;
    for role in [third_worker, fourth_worker, second_projector, third_projector] {
        role.stop().await;
    }
}

async fn check(system: &System) {
    let client = system.look().await;
    let rows = client
        .query("select (data->'details'->'properties'->>'n')::bigint, message_key from eventstore.events order by position", &[])
        .await
        .expect("the log");
    let recorded: Vec<u32> = rows
        .iter()
        .map(|row| u32::try_from(row.get::<_, i64>(0)).expect("small"))
        .collect();
    let expected: HashSet<u32> = news().collect();
    assert_eq!(recorded.len(), expected.len(), "lost or doubled");
    assert_eq!(recorded.iter().copied().collect::<HashSet<u32>>(), expected);

    // Order per key, for the sender that keeps keys apart.
    let mut last: BTreeMap<&str, u32> = BTreeMap::new();
    for (n, row) in recorded.iter().zip(&rows).filter(|(n, _)| **n < COMMANDS / 2) {
        let before = last.insert(row.get(1), *n);
        assert!(
            before.is_none_or(|before| before < *n),
            "key {}: {before:?} before {n}",
            row.get::<_, &str>(1)
        );
    }

    let letters = client
        .query(
            "select convert_from(payload, 'UTF8'), code from eventstore.dead_letters",
            &[],
        )
        .await
        .expect("the dead letters");
    let bad: HashSet<String> = letters.iter().map(|row| row.get(0)).collect();
    let garbage: HashSet<String> = (0..COMMANDS)
        .filter(|n| matches!(sent(*n), Sent::Garbage))
        .map(|n| format!("garbage {n}"))
        .collect();
    assert_eq!((letters.len(), bad), (garbage.len(), garbage));
    assert!(letters.iter().all(|row| row.get::<_, &str>(1) == "invalid_json"));

    let viewed = system
        .count("select count(*) from readmodels.interactions_v1")
        .await;
    let counted = system
        .count("select sum(count)::bigint from readmodels.daily_stats_v1")
        .await;
    let all = Some(i64::try_from(expected.len()).expect("few"));
    assert_eq!((viewed, counted), (all, all));
    let verify = system.run(&["verify"]);
    assert!(
        verify.status.success(),
        "{}\n{}",
        crate::stdout(&verify),
        crate::stderr(&verify)
    );
    assert_eq!(
        system
            .namespace
            .admin()
            .backlog(&system.topic(), SUBSCRIPTION)
            .await,
        0
    );
}

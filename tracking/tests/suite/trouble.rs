//! A database that refuses: one command that it will not have, and a schema that is broken under a running worker.

use crate::system::{EVENTS, KEPT, System};
use std::time::Duration;
use testkit::{Sender, eventually};

const SOON: Duration = Duration::from_mins(1);

fn likes(users: std::ops::RangeInclusive<u32>) -> impl Iterator<Item = (String, String)> {
    users.map(|user| {
        let payload = format!(r#"{{"type":"create_interaction","user_id":{user},"interaction":"like"}}"#);
        ("same key".to_owned(), payload)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_the_store_refuses_is_poison_and_the_others_of_its_batch_are_kept() {
    let system = System::start().await;
    // No data of a command is refused by the schema as it is, so a trigger plays the part of what nobody thought of.
    let refuse = "
        create function refuse() returns trigger language plpgsql as $$
            begin raise exception 'not this one' using errcode = '22000'; end $$;
        create trigger refuse before insert on eventstore.events for each row
            when (new.stream = 'user/37') execute function refuse()";
    system
        .look()
        .await
        .batch_execute(refuse)
        .await
        .expect("a trigger");
    Sender::open(&testkit::pulsar_url(), &system.topic(), Some(100))
        .await
        .send(likes(1..=100))
        .await;
    let worker = system.role("worker").await;
    system.until(KEPT, 100, SOON).await;
    system.until_acknowledged(SOON).await;
    assert_eq!(system.count(EVENTS).await, Some(99));
    let letters = "select count(*) from eventstore.dead_letters where code = 'poison' and attempts = 3
                      and detail like '%not this one%' and convert_from(payload, 'UTF8') like '%:37,%'";
    assert_eq!(system.count(letters).await, Some(1));
    let inversions = "select count(*) from (
        select entry, batch_index, lag(batch_index) over (order by position) as before from eventstore.events) e
        where batch_index < before";
    assert_eq!(
        system.count(inversions).await,
        Some(0),
        "halving a batch keeps its order"
    );
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_schema_halts_the_worker_and_blames_no_command() {
    let system = System::start().await;
    let worker = system.role("worker").await;
    let client = system.look().await;
    client
        .batch_execute("alter table eventstore.commands rename to elsewhere")
        .await
        .expect("renamed");
    Sender::open(&testkit::pulsar_url(), &system.topic(), None)
        .await
        .send(likes(1..=20))
        .await;
    let ready = format!("{}/ready", worker.url);
    eventually(SOON, async || ureq::get(&ready).call().is_err().then_some(())).await;
    assert_eq!(system.count(KEPT).await, Some(0));
    client
        .batch_execute("alter table eventstore.elsewhere rename to commands")
        .await
        .expect("renamed");
    system.until(EVENTS, 20, SOON).await;
    assert_eq!(system.count(KEPT).await, Some(20));
    worker.stop().await;
}

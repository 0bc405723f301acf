//! `tracking verify` finds what a hand has changed, and nothing where nothing was.

use super::database::{Log, id, item, like};
use crate::system::System;
use serde_json::Value;
use std::time::{Duration, Instant};

/// The kinds found, with their counts, and the exit code.
fn kinds(log: &Log) -> (Option<i32>, Vec<(String, u64)>) {
    let (code, report) = log.json(&["verify"]);
    let kinds = report["differences"]["kinds"].as_object().expect("an object");
    let count = |(kind, count): (&String, &Value)| (kind.clone(), count.as_u64().expect("a number"));
    (code, kinds.iter().map(count).collect())
}

/// After `sql` on a log of 300 events, exactly these are found.
async fn found_after(sql: &str, expected: &[(&str, u64)]) {
    let log = Log::with_events(300).await;
    log.sql(sql).await;
    let expected: Vec<(String, u64)> = expected
        .iter()
        .map(|(kind, count)| ((*kind).to_owned(), *count))
        .collect();
    assert_eq!(kinds(&log), (Some(3), expected), "{sql}");
}

#[tokio::test]
async fn a_log_that_nobody_touched_is_clean_also_ahead_of_its_views() {
    let log = Log::with_events(300).await;
    log.record(&(300..400).map(like).collect::<Vec<_>>()).await;
    log.record(&[item(900, "{}"), item(7, r#"{"type":"create_interaction","user_id":8,"interaction":"share","command_id":"01900000-0000-7000-8000-000000000007"}"#)])
        .await;
    let (code, report) = log.json(&["verify"]);
    assert_eq!(code, Some(0), "{report}");
    for (what, count) in [
        ("events", 400),
        ("commands", 400),
        ("interactions", 300),
        ("dead_letters", 2),
    ] {
        assert_eq!(report[what], count, "{what}: {report}");
    }
    assert!(0 < report["daily_stats"].as_u64().unwrap_or_default(), "{report}");
    assert!(
        report["notes"][0]
            .as_str()
            .expect("a text")
            .contains("fingerprints")
    );

    let text = crate::stdout(&log.run(&["verify"]));
    assert!(text.contains("no differences\n"), "{text}");
}

#[tokio::test]
async fn a_deleted_event_is_missed_by_its_dedup_row_and_the_views() {
    found_after(
        "delete from eventstore.events where position = 42",
        &[
            // The counter itself, and the total over campaigns.
            ("counter_differs", 2),
            ("dedup_without_event", 1),
            ("view_row_without_event", 1),
        ],
    )
    .await;
}

#[tokio::test]
async fn an_edited_event_is_told_from_its_view_or_its_own_columns() {
    // What only the view remembers.
    found_after(
        "update eventstore.events set data = replace(data::text, '\"like\"', '\"bike\"')::json where position = 43",
        &[("counter_differs", 4), ("view_row_differs", 1)],
    )
    .await;
    // A detail that has no column and no counter.
    found_after(
        "update eventstore.events set data = replace(data::text, '12345678901234567890', '12345678901234567891')::json
          where position = 1",
        &[("view_row_differs", 1)],
    )
    .await;
    // What the columns remember.
    found_after(
        "update eventstore.events set data = replace(data::text, '\"user_id\":\"3\"', '\"user_id\":\"4\"')::json
          where position = 43",
        &[("event_inconsistent", 1), ("view_row_differs", 1)],
    )
    .await;
    found_after(
        "update eventstore.events set data = '{}' where position = 43",
        &[
            ("counter_differs", 2),
            ("event_unreadable", 1),
            ("view_row_without_event", 1),
        ],
    )
    .await;
}

#[tokio::test]
async fn rows_of_a_view_that_are_lost_doubled_or_changed_are_found() {
    let doubled = "insert into readmodels.interactions_v1
        select 1000000, occurred_at, recorded_at, event_id, command_id, project, user_id, interaction, target_id,
               campaign_id, partner_id, details from readmodels.interactions_v1 where position = 42";
    found_after(doubled, &[("view_row_without_event", 1)]).await;
    found_after(
        "delete from readmodels.interactions_v1 where position = 42",
        &[("view_row_missing", 1)],
    )
    .await;
    found_after(
        "update readmodels.interactions_v1 set interaction = 'share' where position = 42",
        &[("view_row_differs", 1)],
    )
    .await;
    found_after(
        "update readmodels.daily_stats_v1 set count = count + 1
          where ctid = (select min(ctid) from readmodels.daily_stats_v1)",
        &[("counter_differs", 1)],
    )
    .await;
    found_after(
        "delete from readmodels.daily_totals_v1 where ctid = (select min(ctid) from readmodels.daily_totals_v1);
         insert into readmodels.daily_stats_v1 (quarter, shard, project, interaction, campaign_id, partner_id, count)
         values ('1999-12-31T23:45:00Z', 1, 'default', 'like', '', '', 1)",
        &[("counter_differs", 2)],
    )
    .await;
}

#[tokio::test]
async fn the_dedup_table_and_the_log_must_name_each_other() {
    let row = "where command_id = (select command_id from eventstore.events where position = 42)";
    found_after(
        &format!("delete from eventstore.commands {row}"),
        &[("event_without_dedup", 1)],
    )
    .await;
    found_after(
        &format!("update eventstore.commands set position = 44 {row}"),
        &[("dedup_position_differs", 1), ("dedup_position_used_twice", 1)],
    )
    .await;
    found_after(
        "insert into eventstore.commands values (nextval('eventstore.event_position'), gen_random_uuid(),
                                                 gen_random_uuid(), 'default')",
        &[("dedup_without_event", 1)],
    )
    .await;
    found_after(
        "update eventstore.events set event_id = gen_random_uuid() where position = 42",
        &[("event_inconsistent", 1), ("view_row_differs", 1)],
    )
    .await;
}

#[tokio::test]
async fn a_checkpoint_that_was_set_forward_backward_or_taken_away_is_found() {
    let log = Log::with_events(100).await;
    log.record(&(100..200).map(like).collect::<Vec<_>>()).await;
    // Forward over events that were never folded, some of which lie in these buckets.
    log.sql(
        "update projections.bucket set checkpoint = 200 where name = 'interactions' and bucket in
             (select bucket from eventstore.events where position = 150)",
    )
    .await;
    let (code, found) = kinds(&log);
    assert_eq!(
        (code, found.len(), &*found[0].0),
        (Some(3), 1, "view_row_missing")
    );

    found_after(
        "update projections.bucket set checkpoint = 5000 where name = 'interactions' and bucket = 7",
        &[("checkpoint_above_log", 1)],
    )
    .await;
    let back = "update projections.bucket set checkpoint = 0 where name = 'interactions' and bucket in
        (select bucket from eventstore.events where position = 150)";
    found_after(back, &[("checkpoint_behind_view", 1)]).await;
    let elsewhere = "update projections.bucket set bucket = 99 where name = 'interactions' and bucket =
        (select min(n) from generate_series(0, 63) n where n not in (select bucket from eventstore.events))";
    found_after(
        elsewhere,
        &[("checkpoint_missing", 1), ("checkpoint_unknown_bucket", 1)],
    )
    .await;
}

#[tokio::test]
async fn the_order_of_a_key_is_told_from_the_log() {
    let log = Log::new().await;
    let mut items: Vec<_> = (0..4).map(|n| like(n * 20 + 1)).collect();
    items.swap(1, 2);
    log.record(&items).await;
    assert_eq!(kinds(&log), (Some(3), vec![("order_inverted".to_owned(), 1)]));

    // The same from a sender that puts two keys into one entry: information, no difference.
    let log = Log::new().await;
    let mut mixed = vec![like(1000), like(1001)];
    for (batch_index, item) in (0..).zip(&mut mixed) {
        item.origin.batch_index = batch_index;
        item.origin.entry = 5_000;
    }
    log.record(&[items, mixed].concat()).await;
    let (code, report) = log.json(&["verify"]);
    assert_eq!(
        (code, &report["inversions_without_promise"]),
        (Some(0), &1.into()),
        "{report}"
    );
}

#[tokio::test]
async fn dead_letters_must_be_what_the_recorder_writes() {
    let log = Log::with_events(10).await;
    log.record(&[item(900, "{}"), item(901, "garbage")]).await;
    log.sql("update eventstore.dead_letters set code = 'conflict', message_id = '3:x' where code = 'invalid_json'")
        .await;
    assert_eq!(
        kinds(&log),
        (Some(3), vec![("dead_letter_malformed".to_owned(), 1)])
    );
}

#[tokio::test]
async fn all_are_counted_and_the_first_are_named() {
    let log = Log::with_events(100).await;
    log.sql("delete from readmodels.interactions_v1 where position between 31 and 60")
        .await;
    let (code, report) = log.json(&["verify", "--limit", "2"]);
    let differences = &report["differences"];
    assert_eq!((code, &differences["total"]), (Some(3), &30.into()), "{report}");
    let named = differences["named"].as_array().expect("an array");
    assert_eq!(named.len(), 2);
    assert_eq!(named[0]["id"], id(30).to_string());
    assert_eq!(named[0]["kind"], "view_row_missing");

    let output = log.run(&["verify"]);
    let text = crate::stdout(&output);
    assert!(
        text.contains("and 10 more: --limit") && text.contains(&id(30).to_string()),
        "{text}"
    );
    assert_eq!(crate::stderr(&output), "error: 30 differences\n");
}

#[tokio::test]
async fn what_cannot_be_verified_is_no_difference() {
    let log = Log::with_events(10).await;
    log.sql("drop table readmodels.interactions_v1").await;
    let output = log.run(&["verify"]);
    assert_eq!(output.status.code(), Some(1), "{}", crate::stdout(&output));
}

#[tokio::test]
async fn a_system_at_work_has_no_differences_at_any_time() {
    const COMMANDS: usize = 30_000;
    let system = System::start().await;
    let line = |n: usize| {
        format!(
            r#"{{"type":"create_interaction","user_id":{},"interaction":"like","campaign_id":"c{}"}}"#,
            n % 97 + 1,
            n % 7
        )
    };
    let mut lines: Vec<String> = (0..COMMANDS).map(line).collect();
    lines.push("garbage".to_owned());
    let file = tempfile::NamedTempFile::new().expect("a file can be made");
    std::fs::write(file.path(), lines.join("\n")).expect("there is room");
    let path = file.path().to_str().expect("a plain name");
    let produced = system.run(&["produce", "--no-validate", "--file", path]);
    assert_eq!(produced.status.code(), Some(0), "{}", crate::stderr(&produced));

    let projector = system.role("projector").await;
    let worker = system.role("worker").await;
    let (mut under_way, deadline) = (0, Instant::now() + Duration::from_mins(2));
    loop {
        let verified = system.run(&["verify", "--json"]);
        let text = crate::stdout(&verified);
        assert_eq!(
            verified.status.code(),
            Some(0),
            "{text}{}",
            crate::stderr(&verified)
        );
        let report: Value = serde_json::from_str(&text).expect("a JSON object");
        let projected = report["interactions"].as_u64().expect("a number");
        if projected == COMMANDS as u64 && report["dead_letters"] == 1 {
            break;
        }
        under_way += u32::from(0 < projected);
        assert!(Instant::now() < deadline, "{report}");
    }
    assert!(0 < under_way, "it was over before it could be looked at");
    worker.stop().await;
    projector.stop().await;
}

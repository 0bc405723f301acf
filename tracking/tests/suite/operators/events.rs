//! `tracking events`.

use super::database::{Log, id, like};
use serde_json::{Value, json};
use std::time::Duration;
use testkit::{Process, Signal, eventually};

const SOON: Duration = Duration::from_secs(20);

/// The positions of a list.
fn listed(log: &Log, arguments: &[&str]) -> Vec<String> {
    let (code, events) = log.json(&[&["events", "list"], arguments].concat());
    assert_eq!(code, Some(0));
    let events = events.as_array().expect("an array").clone();
    events
        .iter()
        .map(|event| event["position"].as_str().expect("a decimal string").to_owned())
        .collect()
}

#[tokio::test]
async fn events_are_listed_in_order_and_by_project_and_user() {
    let log = Log::new().await;
    log.record(&(0..100).map(like).collect::<Vec<_>>()).await;
    // A gap longer than several steps of the search.
    log.sql("select setval('eventstore.event_position', 70000)").await;
    log.record(&(100..120).map(like).collect::<Vec<_>>()).await;

    assert_eq!(
        listed(&log, &["--after", "98", "--limit", "4"]),
        ["99", "100", "70001", "70002"]
    );
    assert_eq!(listed(&log, &["--after", "70020"]), [""; 0]);
    assert_eq!(
        listed(&log, &["--user-id", "4", "--after", "63", "--limit", "3"]),
        ["64", "84", "70004"]
    );
    // User 1 is of commands 0, 20, 40 …: all of project acme.
    assert_eq!(listed(&log, &["--user-id", "1", "--project", "default"]), [""; 0]);
    assert_eq!(
        listed(&log, &["--user-id", "1", "--project", "acme"]),
        ["1", "21", "41", "61", "81", "70001"]
    );

    let (_, events) = log.json(&["events", "list", "--limit", "1"]);
    let event = &events[0];
    assert_eq!(event["id"], id(0).to_string());
    for (field, value) in [
        ("position", json!("1")),
        ("project", json!("acme")),
        ("stream", json!("user/1")),
        ("type", json!("InteractionTracked")),
        ("schema_version", json!(1)),
        ("timestamp", json!("2024-06-01T00:00:00Z")),
    ] {
        assert_eq!(event[field], value, "{event}");
    }
    assert_eq!(event["data"]["interaction"], "like");
    let table = crate::stdout(&log.run(&["events", "list", "--limit", "1"]));
    assert!(table.starts_with("POSITION  RECORDED"), "{table}");
}

#[tokio::test]
async fn the_tail_follows_and_ends_well_when_interrupted() {
    let log = Log::new().await;
    log.record(&[like(0)]).await;
    let follow = |arguments: &[&str]| {
        let environment = [("DATABASE_URL", log.server.url()), ("LOG_LEVEL", "warn")];
        let arguments = [&["events", "tail", "--json"], arguments].concat();
        Process::spawn(env!("CARGO_BIN_EXE_tracking"), &arguments, &environment)
    };
    let (mut all, mut new) = (follow(&["--after", "0"]), follow(&["--from-now"]));
    let positions = |process: &Process| -> Vec<String> {
        let text = process.stdout();
        let line = |line: &str| serde_json::from_str::<Value>(line).expect("a JSON object");
        text.lines()
            .map(|text| line(text)["position"].as_str().expect("a text").to_owned())
            .collect()
    };
    eventually(SOON, async || (positions(&all) == ["1"]).then_some(())).await;
    // When the other one began is not to be seen; what is recorded once it reads is.
    eventually(SOON, async || {
        let sql = "select 1 from pg_stat_activity where application_name = 'tracking tool'
            and query like '%watermark%' having count(*) = 2";
        log.server
            .connect()
            .await
            .query_opt(sql, &[])
            .await
            .expect("we may look")
    })
    .await;
    log.record(&[like(1), like(2)]).await;
    eventually(SOON, async || (positions(&all) == ["1", "2", "3"]).then_some(())).await;
    eventually(SOON, async || (positions(&new) == ["2", "3"]).then_some(())).await;
    for process in [&mut all, &mut new] {
        process.signal(Signal::Interrupt);
        assert_eq!(process.wait(SOON).await.code(), Some(0), "{}", process.stderr());
    }
}

#[tokio::test]
async fn the_session_that_holds_the_watermark_is_named() {
    let log = Log::new().await;
    log.record(&[like(0)]).await;
    let (_, explained) = log.json(&["events", "explain-watermark"]);
    assert_eq!(
        explained,
        json!({"watermark": "1", "allocated": "1", "holders": []})
    );
    let text = crate::stdout(&log.run(&["events", "explain-watermark"]));
    assert!(text.contains("nothing holds it"), "{text}");

    let session = log.server.connect().await;
    session
        .batch_execute("set application_name = 'stalled'; begin; select eventstore.declare_append()")
        .await
        .expect("a writer may declare");
    log.record(&[like(1), like(2)]).await;
    let (_, explained) = log.json(&["events", "explain-watermark"]);
    assert_eq!(
        (&explained["watermark"], &explained["allocated"]),
        (&"1".into(), &"3".into())
    );
    let holder = &explained["holders"][0];
    assert_eq!(
        (&holder["application_name"], &holder["state"], &holder["declared"]),
        (&"stalled".into(), &"idle in transaction".into(), &"1".into())
    );
    assert!(
        holder["pid"].is_number() && holder["since"].is_string(),
        "{holder}"
    );
    let text = crate::stdout(&log.run(&["events", "explain-watermark"]));
    assert!(
        text.contains("stalled")
            && text.contains("declare_append()")
            && text.contains("2 above the watermark"),
        "{text}"
    );
}

//! What is missing is named, with the variable that points to it and the remedy.

use super::database::Log;
use std::time::Duration;
use testkit::{Process, TestDatabase, pulsar_admin_url, pulsar_url};

const SOON: Duration = Duration::from_secs(30);
const NOWHERE: &str = "postgres://x@127.0.0.1:1/x";

const TOOLS: [&[&str]; 4] = [
    &["events", "list"],
    &["events", "explain-watermark"],
    &["deadletters", "list"],
    &["verify"],
];

/// Runs a role until it ends by itself: its exit code and all that it wrote.
async fn role(role: &str, variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let (url, admin) = (pulsar_url(), pulsar_admin_url());
    let mut environment = vec![
        ("STARTUP_TIMEOUT_SECONDS", "1"),
        ("HTTP_ADDR", "127.0.0.1:0"),
        ("LOG_FORMAT", "json"),
        ("PULSAR_URL", &*url),
        ("PULSAR_ADMIN_URL", &*admin),
    ];
    environment.retain(|(name, _)| variables.iter().all(|(other, _)| other != name));
    environment.extend_from_slice(variables);
    let mut process = Process::spawn(env!("CARGO_BIN_EXE_tracking"), &[role], &environment);
    let status = process.wait(SOON).await;
    (status.code(), process.stdout() + &process.stderr())
}

#[tokio::test]
async fn a_missing_database_is_waited_for_by_roles_and_not_by_tools() {
    for name in ["api", "worker", "projector"] {
        let (code, text) = role(name, &[("DATABASE_URL", NOWHERE)]).await;
        assert_eq!(code, Some(1), "{name}: {text}");
        assert!(
            text.contains("database is not available after 1 s, check DATABASE_URL"),
            "{name}: {text}"
        );
    }
    for tool in TOOLS {
        let begin = std::time::Instant::now();
        let output = crate::tracking(tool, &[("DATABASE_URL", NOWHERE)]);
        assert_eq!(output.status.code(), Some(1), "{tool:?}");
        let text = crate::stderr(&output);
        assert!(text.contains("see DATABASE_URL"), "{tool:?}: {text}");
        assert!(begin.elapsed() < Duration::from_secs(10), "{tool:?}");
        let output = crate::tracking(tool, &[]);
        assert_eq!(output.status.code(), Some(2), "{tool:?}");
    }
}

#[tokio::test]
async fn an_empty_database_asks_for_migrate() {
    let database = TestDatabase::create().await;
    let url = [("DATABASE_URL", database.url())];
    for name in ["api", "worker", "projector"] {
        let (code, text) = role(name, &url).await;
        assert_eq!(code, Some(1), "{name}: {text}");
        assert!(text.contains("run `tracking migrate`"), "{name}: {text}");
    }
    for tool in TOOLS {
        let output = crate::tracking(tool, &url);
        assert_eq!(output.status.code(), Some(1), "{tool:?}");
        let text = crate::stderr(&output);
        assert!(text.contains("run `tracking migrate`"), "{tool:?}: {text}");
    }
}

#[tokio::test]
async fn a_schema_of_another_release_says_which_one_to_run() {
    let log = Log::new().await;
    log.sql("update eventstore.compatibility set oldest_schema_version = 999")
        .await;
    let (code, text) = role("worker", &[("DATABASE_URL", log.server.url())]).await;
    assert!(
        code == Some(1) && text.contains("run a newer release of tracking"),
        "{text}"
    );
    let output = log.run(&["verify"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(crate::stderr(&output).contains("run a newer release of tracking"));
}

#[tokio::test]
async fn a_missing_broker_is_named() {
    let log = Log::new().await;
    let nowhere = [
        ("DATABASE_URL", log.server.url()),
        ("PULSAR_URL", "pulsar://127.0.0.1:1"),
        ("PULSAR_ADMIN_URL", "http://127.0.0.1:1"),
    ];
    for name in ["api", "worker", "projector"] {
        let (code, text) = role(name, &nowhere).await;
        assert_eq!(code, Some(1), "{name}: {text}");
        assert!(
            text.contains("queue is not available after 1 s, check PULSAR_URL"),
            "{name}: {text}"
        );
    }
}

#[tokio::test]
async fn a_role_without_its_rights_is_told_which_and_who_grants_them() {
    let log = Log::new().await;
    let name = format!("weak_{}", std::process::id());
    let url = log.server.url().replace("postgres@", &format!("{name}:secret@"));
    log.sql(&format!("create role {name} login password 'secret'"))
        .await;
    let remedy = "run `tracking migrate` with the owner's role in DATABASE_MIGRATE_URL";

    // Nothing at all: not even the schema may be looked into.
    let output = crate::tracking(&["events", "list"], &[("DATABASE_URL", &url)]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        crate::stderr(&output).contains(remedy),
        "{}",
        crate::stderr(&output)
    );

    // May read, may not record.
    log.sql(&format!(
        "grant usage on schema eventstore to {name}; grant select on all tables in schema eventstore to {name};
         grant execute on all functions in schema eventstore to {name};
         grant select on sequence eventstore.event_position to {name}; grant usage on schema projections to {name}"
    ))
    .await;
    let output = crate::tracking(&["events", "list"], &[("DATABASE_URL", &url)]);
    assert_eq!(output.status.code(), Some(0), "{}", crate::stderr(&output));
    for (role_name, right) in [
        ("worker", "INSERT on eventstore.events"),
        ("projector", "CREATE on schema readmodels"),
    ] {
        let (code, text) = role(role_name, &[("DATABASE_URL", &url)]).await;
        assert_eq!(code, Some(1), "{role_name}: {text}");
        assert!(
            text.contains(right) && text.contains(remedy),
            "{role_name}: {text}"
        );
    }
    log.sql(&format!("drop owned by {name}; drop role {name}")).await;
}

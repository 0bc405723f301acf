//! Migrations, grants, partitions, and the check at start.

use crate::support::{fixture, like, open};
use eventstore::{Database, DatabaseOptions, EventStore, Trouble, check_schema, migrate};
use testkit::TestDatabase;

#[tokio::test]
async fn migrating_twice_does_nothing_more() {
    let f = fixture().await;
    assert!(migrate(f.store.database(), None).await.unwrap().is_empty());
    check_schema(f.store.database()).await.unwrap();
}

#[tokio::test]
async fn an_empty_database_is_refused_with_the_remedy() {
    let database = TestDatabase::create().await;
    let error = check_schema(&open(&database, 1)).await.unwrap_err();
    assert_eq!(error.trouble, Trouble::Configuration);
    assert!(error.message.contains("tracking migrate"), "{error}");
}

#[tokio::test]
async fn a_schema_that_has_moved_on_is_refused() {
    let f = fixture().await;
    let session = f.session().await;
    session
        .batch_execute("update eventstore.compatibility set oldest_schema_version = 999")
        .await
        .unwrap();
    let error = check_schema(f.store.database()).await.unwrap_err();
    assert!(error.message.contains("newer release"), "{error}");
    session
        .batch_execute("delete from eventstore.schema_history where version > 1")
        .await
        .unwrap();
    let error = check_schema(f.store.database()).await.unwrap_err();
    assert!(error.message.contains("tracking migrate"), "{error}");
}

#[tokio::test]
async fn the_service_role_can_add_to_the_log_and_not_change_it() {
    let f = fixture().await;
    let role = format!("service_{}", std::process::id());
    let session = f.session().await;
    session
        .batch_execute(&format!("create role {role} login password 'secret'"))
        .await
        .unwrap();
    migrate(f.store.database(), Some(&role)).await.unwrap();
    let mut url = url::Url::parse(f.database.url()).unwrap();
    url.set_username(&role).unwrap();
    url.set_password(Some("secret")).unwrap();
    let db = Database::new(&DatabaseOptions::new(url.as_str(), 2, "test")).unwrap();
    let store = EventStore::new(db.clone());
    store.record(&[like(1)]).await.unwrap();
    assert_eq!(store.ensure_partitions(3).await.unwrap(), 1);
    check_schema(&db).await.unwrap();
    let client = db.client().await.unwrap();
    for forbidden in [
        "delete from eventstore.events",
        "update eventstore.events set project = 'x'",
        "truncate eventstore.commands",
        "delete from eventstore.dead_letters",
        "create table eventstore.x ()",
    ] {
        let error = client.batch_execute(forbidden).await.expect_err(forbidden);
        assert_eq!(error.code().unwrap().code(), "42501", "{forbidden}");
    }
    drop(client);
    db.close();
    session
        .batch_execute(&format!("drop owned by {role}; drop role {role}"))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_log_that_outgrew_its_partitions_makes_more_and_goes_on() {
    let f = fixture().await;
    let session = f.session().await;
    session
        .batch_execute("select setval('eventstore.event_position', 49999999)")
        .await
        .unwrap();
    let error = f.store.record(&[like(1)]).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    f.record(&[like(1)]).await;
    assert_eq!(f.log().await, [1]);
}

#[tokio::test]
async fn a_database_that_is_not_there_is_named_as_such() {
    let db = Database::new(&DatabaseOptions::new("postgres://x@127.0.0.1:1/x", 1, "test")).unwrap();
    assert_eq!(check_schema(&db).await.unwrap_err().trouble, Trouble::Transient);
    assert!(Database::new(&DatabaseOptions::new("postgres://x:secret@:bad", 1, "test")).is_err());
}

#[tokio::test]
async fn a_sequence_behind_the_log_holds_and_puts_nothing_aside() {
    let f = fixture().await;
    f.record(&[like(1)]).await;
    f.session()
        .await
        .batch_execute("select setval('eventstore.event_position', 1, false)")
        .await
        .unwrap();
    let error = f.store.record(&[like(2)]).await.unwrap_err();
    assert_eq!(error.trouble, Trouble::Configuration, "{error}");
    assert_eq!(f.log().await, [1]);
}

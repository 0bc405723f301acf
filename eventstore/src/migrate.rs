//! The schema: brought up to date by `migrate`, checked by everything else at its start.

use crate::{Database, StoreError, Trouble};
use tokio_postgres::error::SqlState;

mod embedded {
    refinery::embed_migrations!("../migrations");
}

/// Serialises migrations; beside the watermark's and the partitions' numbers.
const LOCK: &str = "select pg_advisory_lock(29541, 0)";

/// Brings the schema up to date and grants `role`, when it is another than the owner's, what the roles of the
/// service need and no more. Gives the migrations applied now, a line each.
pub async fn migrate(owner: &Database, role: Option<&str>) -> Result<Vec<String>, StoreError> {
    let failed = |e| StoreError::of("migrate the schema", e);
    // Its settings and its lock go with the connection, however this ends.
    let mut client = deadpool_postgres::Object::take(owner.client().await?);
    client
        .batch_execute("set statement_timeout = 0; set lock_timeout = '5s'")
        .await
        .map_err(failed)?;
    client.batch_execute(LOCK).await.map_err(failed)?;
    client
        .batch_execute("create schema if not exists eventstore")
        .await
        .map_err(failed)?;
    let mut runner = embedded::migrations::runner();
    runner.set_migration_table_name("eventstore.schema_history");
    let report = runner.run_async(&mut *client).await.map_err(|e| {
        let message = format!("{e:?}");
        StoreError::new("migrate the schema", Trouble::Configuration, message)
    })?;
    let mut done: Vec<String> = report
        .applied_migrations()
        .iter()
        .map(|m| format!("applied {m}"))
        .collect();
    if let Some(role) = role.filter(|role| Some(*role) != owner.role()) {
        let quoted = format!("\"{}\"", role.replace('"', "\"\""));
        client.batch_execute(&grants(&quoted)).await.map_err(failed)?;
        done.push(format!("granted {role} what it needs"));
    }
    Ok(done)
}

/// The log can be read and added to, never changed; dead letters change their state; views belong to the role.
fn grants(role: &str) -> String {
    format!(
        "grant usage on schema eventstore, projections to {role};
         grant usage, create on schema readmodels to {role};
         grant select, insert on eventstore.events, eventstore.commands to {role};
         grant select, insert, update on eventstore.dead_letters to {role};
         grant select on eventstore.compatibility, eventstore.schema_history to {role};
         grant usage, select on sequence eventstore.event_position to {role};
         grant execute on all functions in schema eventstore to {role};
         grant select, insert, update, delete on all tables in schema projections to {role};"
    )
}

/// Refuses a schema that this release cannot work on, with the remedy.
pub async fn check_schema(db: &Database) -> Result<(), StoreError> {
    let refuse = |message: String| {
        Err(StoreError::new(
            "check the schema",
            Trouble::Configuration,
            message,
        ))
    };
    let client = db.client().await?;
    let sql = "select (select coalesce(max(version), 0) from eventstore.schema_history)::int,
                      (select max(oldest_schema_version) from eventstore.compatibility)::int";
    let row = match client.query_one(sql, &[]).await {
        Ok(row) => row,
        Err(error) if matches!(error.code(), Some(c) if *c == SqlState::UNDEFINED_TABLE || *c == SqlState::INVALID_SCHEMA_NAME) =>
        {
            return refuse("the database has no tracking schema: run `tracking migrate`".to_owned());
        }
        Err(error) => return Err(StoreError::of("check the schema", error)),
    };
    let (found, oldest): (i32, Option<i32>) = (row.get(0), row.get(1));
    let known = i32::try_from(embedded::migrations::runner().get_migrations().len()).unwrap_or(i32::MAX);
    if found < known {
        return refuse(format!(
            "the schema is at version {found}, this release needs {known}: run `tracking migrate` of this release"
        ));
    }
    if known < oldest.unwrap_or(0) {
        return refuse(format!(
            "the schema is at version {found}, which no longer works with this release (schema version {known}): \
             run a newer release of tracking"
        ));
    }
    Ok(())
}

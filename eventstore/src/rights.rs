//! Whether the role of the connection may do what its process is there for: better known at the start than at the
//! first command.

use crate::{Database, StoreError, Trouble};

/// What a process is going to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rights {
    /// Read the log.
    Read,
    /// Record batches.
    Record,
    /// Make and fill views.
    Project,
}

const READ: &str = "('SELECT on eventstore.events', has_table_privilege('eventstore.events', 'select')),
    ('SELECT on eventstore.dead_letters', has_table_privilege('eventstore.dead_letters', 'select'))";

const RECORD: &str = "('SELECT and INSERT on eventstore.commands',
        has_table_privilege('eventstore.commands', 'select') and has_table_privilege('eventstore.commands', 'insert')),
    ('INSERT on eventstore.events', has_table_privilege('eventstore.events', 'insert')),
    ('INSERT on eventstore.dead_letters', has_table_privilege('eventstore.dead_letters', 'insert')),
    ('USAGE on eventstore.event_position', has_sequence_privilege('eventstore.event_position', 'usage'))";

const PROJECT: &str = "('CREATE on schema readmodels', has_schema_privilege('readmodels', 'create')),
    ('INSERT on projections.projection', has_table_privilege('projections.projection', 'insert')),
    ('INSERT and UPDATE on projections.bucket',
        has_table_privilege('projections.bucket', 'insert') and has_table_privilege('projections.bucket', 'update'))";

/// Refuses a role that lacks a right, naming all that it lacks and the remedy. The schema must be there.
pub async fn check_rights(db: &Database, rights: Rights) -> Result<(), StoreError> {
    const ACTION: &str = "check the role's rights";
    let more = match rights {
        Rights::Read => String::new(),
        Rights::Record => format!(", {RECORD}"),
        Rights::Project => format!(", {PROJECT}"),
    };
    let sql = format!(
        "select coalesce(string_agg(r.name, ', ') filter (where not r.held), ''), current_user::text
           from (values {READ}{more}) as r (name, held)"
    );
    let client = db.client().await?;
    let row = client
        .query_one(&sql, &[])
        .await
        .map_err(|e| StoreError::of(ACTION, e))?;
    let (missing, role): (String, String) = (row.get(0), row.get(1));
    if missing.is_empty() {
        return Ok(());
    }
    let message = format!("the database role `{role}` lacks {missing}: {GRANT}");
    Err(StoreError::new(ACTION, Trouble::Configuration, message))
}

/// The remedy for a right that is missing.
pub const GRANT: &str = "run `tracking migrate` with the owner's role in DATABASE_MIGRATE_URL and this one in DATABASE_URL, which grants it";

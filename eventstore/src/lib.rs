//! What is true: the event store on PostgreSQL.
//!
//! Writers record batches ([`EventStore::record`]); readers take the watermark ([`EventStore::watermark`]) and then
//! read what lies below it ([`EventStore::read`]). Every statement of the log's tables is in this crate.

mod browse;
mod database;
mod dead_letters;
mod event;
mod migrate;
mod position;
mod read;
mod record;
mod rights;
mod trouble;
pub mod verify;

pub use browse::{EventFilter, Found};
pub use database::{Database, DatabaseOptions};
pub use dead_letters::{DeadLetter, DeadLetterFilter};
pub use event::RecordedEvent;
pub use migrate::{check_schema, migrate};
pub use position::Position;
pub use read::{Page, WatermarkHolder};
pub use record::{Content, Item, Origin, Outcome};
pub use rights::{GRANT, Rights, check_rights};
pub use trouble::{StoreError, Trouble};

/// The log. Cheap to clone.
#[derive(Clone)]
pub struct EventStore {
    db: Database,
}

impl EventStore {
    /// The log in this database.
    pub fn new(db: Database) -> Self {
        Self { db }
    }

    /// The database, for what lies beside the log.
    pub fn database(&self) -> &Database {
        &self.db
    }
}

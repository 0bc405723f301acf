//! The database under measurement, and the rows that lie in it before.

use crate::rows::{PER_MS, USERS};
use anyhow::Context as _;
use eventstore::{Database, DatabaseOptions, EventStore};
use std::time::{Duration, Instant};
use testkit::TestDatabase;

/// Where positions begin: at ten million rows the log's partition in use is then half full, not fresh.
const FIRST: i64 = 5_000_000;
/// Rows of one statement of the filling.
const CHUNK: i64 = 250_000;

/// A database of its own, migrated.
pub(crate) struct Store {
    pub(crate) log: EventStore,
    /// For looking, and for filling: statements may take long.
    pub(crate) side: Database,
    pub(crate) database: TestDatabase,
    /// The number of the next command, so that no two sides record the same.
    next: u64,
}

impl Store {
    /// An empty log.
    pub(crate) async fn create(pool: usize) -> anyhow::Result<Self> {
        let database = TestDatabase::create().await;
        let db = Database::new(&DatabaseOptions::new(database.url(), pool, "bench"))?;
        eventstore::migrate(&db, None).await?;
        let side = Database::new(&DatabaseOptions {
            statement_timeout: Duration::ZERO,
            idle_in_transaction_timeout: Duration::ZERO,
            ..DatabaseOptions::new(database.url(), 4, "bench side")
        })?;
        let begin = "select setval('eventstore.event_position', $1)";
        side.client().await?.execute(begin, &[&FIRST]).await?;
        Ok(Self {
            log: EventStore::new(db),
            side,
            database,
            next: 0,
        })
    }

    /// The numbers of so many new commands: the first of them.
    pub(crate) fn take(&mut self, count: usize) -> u64 {
        let first = self.next;
        self.next += u64::try_from(count).expect("a usize fits");
        first
    }

    /// Rows in the log, by the positions drawn: none was drawn in vain.
    async fn stored(&self) -> anyhow::Result<i64> {
        Ok(self.log.allocated().await?.0 - FIRST)
    }

    /// Draws `count` positions at once; gives the first of them.
    pub(crate) async fn draw(&self, count: usize) -> anyhow::Result<i64> {
        let count = i64::try_from(count)?;
        let sql = "select setval('eventstore.event_position', eventstore.allocated() + $1) - $1 + 1";
        Ok(self.side.client().await?.query_one(sql, &[&count]).await?.get(0))
    }

    /// What dirty pages there are is written now, not in the middle of a measurement.
    pub(crate) async fn checkpoint(&self) -> anyhow::Result<()> {
        self.run("checkpoint").await
    }

    /// Statements without an answer.
    pub(crate) async fn run(&self, sql: &str) -> anyhow::Result<()> {
        Ok(self.side.client().await?.batch_execute(sql).await?)
    }

    /// Fills the log up to so many rows, then vacuums, analyses and checkpoints.
    pub(crate) async fn fill_to(&mut self, rows: i64, view: bool) -> anyhow::Result<()> {
        let missing = rows - self.stored().await?;
        if 0 < missing {
            let began = Instant::now();
            self.fill(missing, view).await.context("fill the log")?;
            eprintln!("filled {missing} rows in {:.0} s", began.elapsed().as_secs_f64());
        }
        self.log.ensure_partitions(2).await?;
        self.run("vacuum (analyze)").await?;
        self.checkpoint().await
    }

    async fn fill(&self, count: i64, view: bool) -> anyhow::Result<()> {
        let base = self.log.allocated().await?.0;
        let sequence = "select setval('eventstore.event_position', $1)";
        let (events, commands) = (self.side.client().await?, self.side.client().await?);
        events.execute(sequence, &[&(base + count)]).await?;
        self.log.ensure_partitions(2).await?;
        // The ids' times end now: what is recorded next comes after them, as in a log that grew.
        let end_ms = service::clock::now().timestamp_millis();
        let begin_ms = end_ms - count / i64::try_from(PER_MS)?;
        for from in (0..count).step_by(usize::try_from(CHUNK)?) {
            let to = count.min(from + CHUNK);
            let dedup = commands_sql(base, begin_ms, from, to);
            let copies = events_sql(base, begin_ms, from, to);
            let log = async {
                events.batch_execute(&copies).await?;
                if view {
                    events.batch_execute(&view_sql(base, from, to)).await?;
                }
                Ok(())
            };
            tokio::try_join!(commands.batch_execute(&dedup), log)?;
        }
        Ok(())
    }
}

/// The id of row `i`: as a derived one, 48 bits of time and then bits of a hash.
fn id(base: i64, begin_ms: i64) -> String {
    let hash = format!("md5(({base} + i)::text)");
    format!(
        "(lpad(to_hex({begin_ms} + i / {PER_MS}), 12, '0') || '8' || substr({hash}, 1, 3) || '8' || substr({hash}, 4, 15))::uuid"
    )
}

fn commands_sql(base: i64, begin_ms: i64, from: i64, to: i64) -> String {
    format!(
        "insert into eventstore.commands (position, command_id, fingerprint, project)
         select {base} + 1 + i, {}, md5('print' || {base} + i)::uuid, 'default'
           from generate_series({from}::bigint, {to}::bigint - 1) as i",
        id(base, begin_ms)
    )
}

fn events_sql(base: i64, begin_ms: i64, from: i64, to: i64) -> String {
    format!(
        r#"insert into eventstore.events (position, occurred_at, event_id, command_id, ledger, entry, partition,
                  batch_index, bucket, schema_version, project, stream, type, message_key, producer, data)
         select {base} + 1 + i, to_timestamp(({begin_ms} + i / {PER_MS}) / 1000.0), md5('event' || {base} + i)::uuid, {id},
                7, i / 500, -1, i % 500, i % 64, 1, 'default', 'user/' || u, 'InteractionTracked', u::text, 'bench-0-1',
                ('{{"project":"default","user_id":"' || u || '","interaction":"like","timestamp":"2026-01-01T12:00:00Z",'
                 || '"details":{{"target_id":"item-' || i % 50000 || '","campaign_id":"campaign-' || i % 200 || '"}}}}')::json
           from generate_series({from}::bigint, {to}::bigint - 1) as i, lateral (select i * 7919 % {USERS} + 1 as u) as who"#,
        id = id(base, begin_ms)
    )
}

/// The read model has these rows, too.
fn view_sql(base: i64, from: i64, to: i64) -> String {
    format!(
        "insert into readmodels.interactions_v1 (position, occurred_at, recorded_at, event_id, command_id, project, user_id,
                                                 interaction, target_id, campaign_id)
         select position, occurred_at, recorded_at, event_id, command_id, project, data ->> 'user_id',
                data ->> 'interaction', data -> 'details' ->> 'target_id', data -> 'details' ->> 'campaign_id'
           from eventstore.events where {base} + {from} < position and position <= {base} + {to}"
    )
}

//! A log with events in it, and a projector that folds them page by page.

use chrono::{DateTime, TimeZone, Utc};
use domain::{BUCKETS, command, decide};
use eventstore::{Content, Database, DatabaseOptions, EventStore, Item, Origin, Outcome, Position};
use readmodels::{Advance, Folded, Projection, checkpoints, commit_page, install};
use serde_json::{Value, json};
use std::time::Duration;
use testkit::TestDatabase;
use uuid::Uuid;

const OWNER: &str = "test";
const TTL: Duration = Duration::from_mins(1);

pub(crate) struct Fixture {
    // Dropped last: dropping it throws everybody out.
    pub(crate) db: Database,
    pub(crate) store: EventStore,
    pub(crate) server: TestDatabase,
}

impl Fixture {
    /// A migrated database without views.
    pub(crate) async fn bare() -> Self {
        let server = TestDatabase::create().await;
        let db = Database::new(&DatabaseOptions::new(server.url(), 4, "test")).unwrap();
        eventstore::migrate(&db, None).await.unwrap();
        Self {
            store: EventStore::new(db.clone()),
            db,
            server,
        }
    }

    /// With empty views.
    pub(crate) async fn new() -> Self {
        let fixture = Self::bare().await;
        for projection in readmodels::all() {
            install(&fixture.db, projection.id(), projection.schema())
                .await
                .unwrap();
        }
        fixture
    }

    /// Records commands; they must all be stored.
    pub(crate) async fn record(&self, commands: &[Value]) -> Vec<Position> {
        let mut positions = Vec::new();
        for batch in commands.chunks(500) {
            let items: Vec<Item> = batch.iter().map(item).collect();
            for outcome in self.store.record(&items).await.unwrap() {
                let Outcome::Stored(position) = outcome else {
                    panic!("not stored: {outcome:?}")
                };
                positions.push(position);
            }
        }
        positions
    }

    /// Folds what is settled into all views, in pages of `size`, first these buckets and then the others, as two
    /// projectors might.
    pub(crate) async fn fold(&self, size: usize, first: impl Fn(i16) -> bool + Copy) {
        for projection in readmodels::all() {
            for group in [true, false] {
                let buckets: Vec<i16> = (0..BUCKETS).filter(|bucket| first(*bucket) == group).collect();
                self.fold_buckets(&*projection, size, &buckets).await;
            }
        }
    }

    pub(crate) async fn fold_all(&self) {
        self.fold(1000, |_| true).await;
    }

    async fn fold_buckets(&self, projection: &dyn Projection, size: usize, buckets: &[i16]) {
        let id = projection.id();
        let claimed = checkpoints::claim(&self.db, id, OWNER, 64, TTL).await.unwrap();
        let (mut leases, others): (Vec<_>, Vec<_>) =
            claimed.into_iter().partition(|l| buckets.contains(&l.bucket));
        let watermark = self.store.watermark().await.unwrap();
        let after = leases.iter().map(|lease| lease.at).min().unwrap_or(watermark);
        let events: Vec<Folded> = self
            .store
            .read(buckets, after, watermark)
            .await
            .unwrap()
            .iter()
            .map(|e| Folded::read(e).unwrap())
            .collect();
        let mut pages: Vec<(Position, &[Folded])> = events
            .chunks(size)
            .map(|page| (page.last().unwrap().position, page))
            .collect();
        pages.push((watermark, &[]));
        for (to, page) in pages {
            let advance = Advance {
                owner: OWNER,
                leases: &leases,
                to,
                ttl: TTL,
            };
            commit_page(&self.db, projection, advance, page).await.unwrap();
            for lease in &mut leases {
                lease.at = to;
            }
        }
        let held: Vec<(i16, i64)> = leases
            .iter()
            .chain(&others)
            .map(|lease| (lease.bucket, lease.fence))
            .collect();
        checkpoints::release(&self.db, id, OWNER, &held).await.unwrap();
    }

    /// Empties the views and takes their checkpoints back.
    pub(crate) async fn reset(&self) {
        self.sql(
            "truncate readmodels.interactions_v1, readmodels.daily_stats_v1, readmodels.daily_totals_v1; \
             update projections.bucket set checkpoint = 0",
        )
        .await;
    }

    pub(crate) async fn sql(&self, text: &str) {
        self.server.connect().await.batch_execute(text).await.unwrap();
    }

    /// All rows of a table, as texts in order.
    pub(crate) async fn dump(&self, table: &str) -> Vec<String> {
        let sql = format!("select t::text from {table} t order by 1");
        let rows = self.server.connect().await.query(&sql, &[]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }
}

/// A command's id from a number.
pub(crate) fn id(number: usize) -> Uuid {
    Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + number as u128)
}

pub(crate) fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// `count` commands: of two projects, many kinds, with and without details, with equal times among them, spread over
/// days around a change of clocks in Europe.
pub(crate) fn commands(count: usize) -> Vec<Value> {
    let start = Utc.with_ymd_and_hms(2024, 3, 29, 0, 0, 0).unwrap();
    (0..count)
        .map(|n| {
            // Three commands share a time; not in the order of their positions.
            let minutes = (n / 3 * 7919) % (5 * 24 * 60);
            let time = start + chrono::TimeDelta::minutes(i64::try_from(minutes).unwrap());
            let kind = ["like", "view", "view", "click"][n % 4];
            let mut command = json!({
                "type": "create_interaction", "command_id": id(n), "user_id": n % 17 + 1,
                "interaction": kind, "timestamp": time.to_rfc3339(),
            });
            let fields = command.as_object_mut().unwrap();
            for (every, name, value) in [
                (5, "project", json!("acme")),
                (2, "campaign_id", json!(format!("c{}", n % 6))),
                (3, "partner_id", json!(format!("p{}", n % 4))),
                (4, "target_id", json!(format!("t{}", n % 40))),
                (7, "properties", json!({"colour": "grün", "n": n})),
                (11, "unknown_field", json!([1, null])),
            ] {
                if n % every == 0 {
                    fields.insert(name.to_owned(), value);
                }
            }
            command
        })
        .collect()
}

fn item(value: &Value) -> Item {
    let payload = value.to_string();
    let read = command::read(payload.as_bytes());
    let event = decide(read.command.unwrap(), at("2024-06-01T00:00:00Z"));
    Item {
        command_id: read.command_id.unwrap(),
        project: read.project,
        fingerprint: read.fingerprint,
        content: Content::from(&event),
        origin: Origin {
            topic: "commands".into(),
            partition: -1,
            ledger: 1,
            entry: 1,
            batch_index: -1,
            key: None,
            producer: "test".into(),
            properties: Vec::new(),
            payload: payload.into_bytes().into(),
            attempts: 1,
            first_seen: at("2024-06-01T00:00:00Z"),
        },
    }
}

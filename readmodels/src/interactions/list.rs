//! The list of interactions, page by page.

use super::fold::details;
use super::{Conditions, Filter, Interactions};
use crate::as_of::{AsOf, Attempts, ReadError, as_of_on, within};
use chrono::{DateTime, Utc};
use deadpool_postgres::Object;
use domain::command::Details;
use domain::{CommandId, EventId};
use eventstore::{Database, Position, StoreError, Trouble};
use tokio_postgres::Row;

/// Which end of time comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Order {
    /// Latest first.
    #[default]
    Newest,
    /// Earliest first.
    Oldest,
}

/// The last row of a page: the next one begins after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// When it happened, to the microsecond.
    pub occurred_at: DateTime<Utc>,
    /// Where it lies in the log.
    pub position: Position,
}

/// A page to be read.
#[derive(Clone, Debug)]
pub struct ListQuery {
    /// Of which interactions.
    pub filter: Filter,
    /// In which order.
    pub order: Order,
    /// Most rows.
    pub limit: u16,
    /// After which row; `None` begins at the end that `order` names.
    pub after: Option<Cursor>,
}

/// One interaction as it is shown.
#[derive(Clone, Debug, PartialEq)]
pub struct Interaction {
    /// Where it lies in the log.
    pub position: Position,
    /// When it happened.
    pub occurred_at: DateTime<Utc>,
    /// When it was recorded.
    pub recorded_at: DateTime<Utc>,
    /// The event.
    pub event_id: EventId,
    /// The command that it came from.
    pub command_id: CommandId,
    /// Whose installation.
    pub project: String,
    /// Who.
    pub user_id: String,
    /// Did what.
    pub interaction: String,
    /// Everything else that was sent.
    pub details: Details,
}

/// A page.
#[derive(Clone, Debug)]
pub struct Listing {
    /// The rows, in the order asked for.
    pub rows: Vec<Interaction>,
    /// Where the next page begins, if there is more.
    pub next: Option<Cursor>,
    /// What the page holds at least.
    pub as_of: AsOf,
}

/// Reads a page. Its cost depends on `limit`, not on how much there is, as long as one of the filters is selective.
pub async fn list(db: &Database, query: &ListQuery) -> Result<Listing, ReadError> {
    let mut attempts = Attempts::new(db);
    loop {
        let client = attempts.client().await?;
        let ran = within(list_on(&client, query)).await;
        if let Some(done) = attempts.settle(client, ran).await {
            return done;
        }
    }
}

async fn list_on(client: &Object, query: &ListQuery) -> Result<Listing, ReadError> {
    // Before the rows, so that they hold at least as much.
    let as_of = as_of_on(client, Interactions::ID).await?;
    let mut conditions = Conditions::default();
    conditions.and_all(&query.filter);
    if let Some(from) = query.filter.from {
        conditions.and("occurred_at >=", from);
    }
    if let Some(to) = query.filter.to {
        conditions.and("occurred_at <", to);
    }
    let (comparison, direction) = match query.order {
        Order::Newest => ("<", "desc"),
        Order::Oldest => (">", "asc"),
    };
    if let Some(after) = query.after {
        conditions.and_beyond(comparison, after.occurred_at, after.position.0);
    }
    let limit = conditions.param(i64::from(query.limit) + 1);
    let sql = format!(
        "select position, occurred_at, recorded_at, event_id, command_id, project, user_id, interaction, \
         target_id, campaign_id, partner_id, details::text from readmodels.interactions_v1 {} \
         order by occurred_at {direction}, position {direction} limit ${limit}",
        conditions.text()
    );
    let failed = |error| StoreError::of("list interactions", error);
    let statement = client.prepare_cached(&sql).await.map_err(failed)?;
    let rows = client
        .query(&statement, &conditions.params())
        .await
        .map_err(failed)?;
    page(&rows, usize::from(query.limit), as_of)
}

/// One row more than asked for says that there is more.
fn page(rows: &[Row], limit: usize, as_of: AsOf) -> Result<Listing, ReadError> {
    let has_more = limit < rows.len();
    let rows: Vec<Interaction> = rows
        .iter()
        .take(limit)
        .map(interaction)
        .collect::<Result<_, StoreError>>()?;
    let last = rows.last().map(|row| Cursor {
        occurred_at: row.occurred_at,
        position: row.position,
    });
    Ok(Listing {
        rows,
        next: last.filter(|_| has_more),
        as_of,
    })
}

fn interaction(row: &Row) -> Result<Interaction, StoreError> {
    let position = Position(row.get(0));
    let rest: Option<&str> = row.get(11);
    let details = details(rest, row.get(8), row.get(9), row.get(10)).map_err(|error| {
        let message = format!("the details at position {position} are not what the fold wrote: {error}");
        StoreError::new("list interactions", Trouble::Data, message)
    })?;
    Ok(Interaction {
        position,
        occurred_at: row.get(1),
        recorded_at: row.get(2),
        event_id: EventId(row.get(3)),
        command_id: CommandId(row.get(4)),
        project: row.get(5),
        user_id: row.get(6),
        interaction: row.get(7),
        details,
    })
}

//! Looking through the log for people: by project and user, in bounded steps however rare the matches are.

use crate::read::{COLUMNS, event};
use crate::{EventStore, Position, RecordedEvent, StoreError};
use domain::{BUCKETS, Bucket, Project, Stream, UserId};

/// Which events to look for; all conditions hold.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    /// Only of this project.
    pub project: Option<Project>,
    /// Only of this user.
    pub user: Option<UserId>,
}

impl EventFilter {
    /// Where they can lie: project and user together name one bucket.
    fn buckets(&self) -> Vec<i16> {
        match (&self.project, &self.user) {
            (Some(project), Some(user)) => vec![Bucket::of(project, &Stream::of_user(user)).0],
            _ => (0..BUCKETS).collect(),
        }
    }
}

/// What one step found.
#[derive(Clone, Debug)]
pub struct Found {
    /// The events, in order.
    pub events: Vec<RecordedEvent>,
    /// Up to here there are no others.
    pub through: Position,
}

/// Positions of the first statement, and the most of a later one: what a sort keeps within its memory.
const FIRST_STEP: i64 = 2_000;
const LONGEST_STEP: i64 = 32_000;

impl EventStore {
    /// The first `limit` events after a position and up to another, which must not lie above a watermark taken before.
    pub async fn find(
        &self,
        filter: &EventFilter,
        after: Position,
        through: Position,
        limit: usize,
    ) -> Result<Found, StoreError> {
        let failed = |e| StoreError::of("look for events", e);
        let (buckets, stream) = (filter.buckets(), filter.user.as_ref().map(Stream::of_user));
        let sql = format!(
            "select {COLUMNS} from eventstore.events
              where bucket = any($1) and position > $2 and position <= $3
                and ($4::text is null or project = $4) and ($5::text is null or stream = $5)
              order by position limit $6"
        );
        let mut found = Found {
            events: Vec::new(),
            through: after,
        };
        let mut step = FIRST_STEP;
        while found.through < through && found.events.len() < limit {
            let to = through.min(Position(found.through.0.saturating_add(step)));
            let wanted = i64::try_from(limit - found.events.len()).unwrap_or(i64::MAX);
            let client = self.db.client().await?;
            let statement = client.prepare_cached(&sql).await.map_err(failed)?;
            let rows = client
                .query(
                    &statement,
                    &[
                        &buckets,
                        &found.through.0,
                        &to.0,
                        &filter.project.as_ref().map(Project::as_str),
                        &stream.as_ref().map(Stream::as_str),
                        &wanted,
                    ],
                )
                .await
                .map_err(failed)?;
            found.events.extend(rows.iter().map(event));
            found.through = match found.events.last() {
                Some(last) if found.events.len() == limit => last.position,
                _ => to,
            };
            step = (step * 2).min(LONGEST_STEP);
        }
        Ok(found)
    }
}

//! The fold of `daily_stats`: a page is added up here, then added to the counters of each table by one statement.

use super::GRAIN;
use crate::{ApplyError, Folded, ViewTx};
use chrono::{DateTime, Utc};
use domain::{Event, InteractionTracked};
use std::collections::BTreeMap;

/// Rows are locked in the order in which they come, that of the keys, and the tables always in the same order: two
/// projectors never wait for each other in a ring.
const ADD: &str = "insert into readmodels.daily_stats_v1 as kept \
    (quarter, project, interaction, campaign_id, partner_id, shard, count) \
    select * from unnest($1::timestamptz[], $2::text[], $3::text[], $4::text[], $5::text[], $6::smallint[], $7::bigint[]) \
    on conflict (quarter, project, interaction, campaign_id, partner_id, shard) \
    do update set count = kept.count + excluded.count";

const ADD_TOTALS: &str = "insert into readmodels.daily_totals_v1 as kept \
    (quarter, project, interaction, shard, count) \
    select * from unnest($1::timestamptz[], $2::text[], $3::text[], $4::smallint[], $5::bigint[]) \
    on conflict (quarter, project, interaction, shard) do update set count = kept.count + excluded.count";

/// How many shards there are. Changing it needs a new version.
const SHARDS: i16 = 4;

/// In the order of the primary keys.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key<'a> {
    quarter: DateTime<Utc>,
    project: &'a str,
    interaction: &'a str,
    campaign_id: &'a str,
    partner_id: &'a str,
    shard: i16,
}

pub(super) async fn apply(tx: &ViewTx<'_>, events: &[Folded]) -> Result<(), ApplyError> {
    let mut sums: BTreeMap<Key<'_>, i64> = BTreeMap::new();
    for folded in events {
        // Other kinds of events are not counted in this version.
        if let Event::InteractionTracked(tracked) = &folded.event {
            *sums.entry(key(folded.bucket, tracked)).or_default() += 1;
        }
    }
    if sums.is_empty() {
        return Ok(());
    }
    let mut totals: BTreeMap<Key<'_>, i64> = BTreeMap::new();
    for (key, count) in &sums {
        *totals
            .entry(Key {
                campaign_id: "",
                partner_id: "",
                ..*key
            })
            .or_default() += count;
    }
    tx.execute(
        ADD,
        &[
            &sums.keys().map(|key| key.quarter).collect::<Vec<_>>(),
            &sums.keys().map(|key| key.project).collect::<Vec<_>>(),
            &sums.keys().map(|key| key.interaction).collect::<Vec<_>>(),
            &sums.keys().map(|key| key.campaign_id).collect::<Vec<_>>(),
            &sums.keys().map(|key| key.partner_id).collect::<Vec<_>>(),
            &sums.keys().map(|key| key.shard).collect::<Vec<_>>(),
            &sums.values().copied().collect::<Vec<_>>(),
        ],
    )
    .await?;
    tx.execute(
        ADD_TOTALS,
        &[
            &totals.keys().map(|key| key.quarter).collect::<Vec<_>>(),
            &totals.keys().map(|key| key.project).collect::<Vec<_>>(),
            &totals.keys().map(|key| key.interaction).collect::<Vec<_>>(),
            &totals.keys().map(|key| key.shard).collect::<Vec<_>>(),
            &totals.values().copied().collect::<Vec<_>>(),
        ],
    )
    .await?;
    Ok(())
}

fn key(bucket: i16, tracked: &InteractionTracked) -> Key<'_> {
    let seconds = tracked.timestamp.timestamp();
    let begin = seconds - seconds.rem_euclid(GRAIN);
    Key {
        quarter: DateTime::from_timestamp(begin, 0).expect("at most 15 minutes before a time that exists"),
        project: tracked.project.as_str(),
        interaction: tracked.interaction.as_str(),
        campaign_id: tracked.details.campaign_id.as_deref().unwrap_or_default(),
        partner_id: tracked.details.partner_id.as_deref().unwrap_or_default(),
        shard: bucket % SHARDS,
    }
}

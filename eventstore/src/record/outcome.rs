//! Tells repeats from conflicts, by what the dedup table holds.

use super::{Content, Item, Key, Outcome, key};
use crate::{Position, StoreError};
use deadpool_postgres::Transaction;
use domain::Code;
use std::collections::HashMap;
use uuid::Uuid;

/// What the dedup table holds of a command.
pub(super) struct Known {
    pub(super) position: Position,
    pub(super) fingerprint: Uuid,
    /// The item that was recorded now; `None` when it was recorded before.
    pub(super) by: Option<usize>,
}

const READ_KNOWN: &str = "\
select asked.place, c.position, c.fingerprint
  from unnest($1::uuid[], $2::text[]) with ordinality as asked (command_id, project, place)
  join eventstore.commands c using (command_id, project)";

/// Reads what was recorded before, in a statement of its own: its snapshot holds what the insert waited for.
pub(super) async fn read_known<'a>(
    tx: &Transaction<'_>,
    items: &'a [Item],
    first: &[usize],
    known: &mut HashMap<Key<'a>, Known>,
) -> Result<(), StoreError> {
    let failed = |e| StoreError::of("read recorded commands", e);
    let missing: Vec<Key<'a>> = first
        .iter()
        .map(|index| key(&items[*index]))
        .filter(|key| !known.contains_key(key))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let (projects, ids): (Vec<&str>, Vec<Uuid>) = missing.iter().copied().unzip();
    let statement = tx.prepare_cached(READ_KNOWN).await.map_err(failed)?;
    for row in tx.query(&statement, &[&ids, &projects]).await.map_err(failed)? {
        let place = usize::try_from(row.get::<_, i64>(0) - 1).expect("ordinality counts from 1");
        known.insert(
            missing[place],
            Known {
                position: Position(row.get(1)),
                fingerprint: row.get(2),
                by: None,
            },
        );
    }
    Ok(())
}

/// What became of each item.
pub(super) fn of(items: &[Item], known: &HashMap<Key<'_>, Known>) -> Vec<Outcome> {
    items
        .iter()
        .enumerate()
        .map(|(index, item)| match &item.content {
            Content::Rejected(rejection) => Outcome::DeadLettered(rejection.code),
            Content::Event { .. } => {
                let known = known
                    .get(&key(item))
                    .expect("inserted now, or found: rows are never deleted");
                if known.by == Some(index) {
                    Outcome::Stored(known.position)
                } else if known.fingerprint == Uuid::from_bytes(item.fingerprint) {
                    Outcome::Duplicate(known.position)
                } else {
                    Outcome::DeadLettered(Code::Conflict)
                }
            }
        })
        .collect()
}

//! Tells repeats from conflicts, by what the dedup table holds.

use super::{Commands, Content, Item, Outcome};
use crate::{Position, StoreError};
use deadpool_postgres::Transaction;
use domain::Code;
use uuid::Uuid;

/// What the dedup table holds of a command.
pub(super) struct Known {
    pub(super) position: Position,
    pub(super) fingerprint: Uuid,
    /// Whether it was recorded now, not before.
    pub(super) now: bool,
}

const READ_KNOWN: &str = "\
select asked.place, c.position, c.fingerprint
  from unnest($1::uuid[], $2::text[]) with ordinality as asked (command_id, project, place)
  join eventstore.commands c using (command_id, project)";

/// Reads what was recorded before, in a statement of its own: its snapshot holds what the insert waited for.
pub(super) async fn read_known(
    tx: &Transaction<'_>,
    items: &[Item],
    commands: &Commands,
    known: &mut [Option<Known>],
) -> Result<(), StoreError> {
    let failed = |e| StoreError::of("read recorded commands", e);
    let missing: Vec<usize> = (0..known.len()).filter(|place| known[*place].is_none()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let item = |place: &usize| &items[commands.first[*place]];
    let ids: Vec<Uuid> = missing.iter().map(|place| item(place).command_id.0).collect();
    let projects: Vec<&str> = missing.iter().map(|place| item(place).project.as_str()).collect();
    let statement = tx.prepare_cached(READ_KNOWN).await.map_err(failed)?;
    for row in tx.query(&statement, &[&ids, &projects]).await.map_err(failed)? {
        let asked = usize::try_from(row.get::<_, i64>(0) - 1).expect("ordinality counts from 1");
        known[missing[asked]] = Some(Known {
            position: Position(row.get(1)),
            fingerprint: row.get(2),
            now: false,
        });
    }
    Ok(())
}

/// What became of each item.
pub(super) fn of(items: &[Item], commands: &Commands, known: &[Option<Known>]) -> Vec<Outcome> {
    let outcome = |(index, item): (usize, &Item)| match (&item.content, commands.place[index]) {
        (Content::Rejected(rejection), _) => Outcome::DeadLettered(rejection.code),
        (Content::Event { .. }, place) => {
            let place = place.expect("every event has a place");
            let known = known[place]
                .as_ref()
                .expect("inserted now, or found: rows are never deleted");
            if known.now && commands.first[place] == index {
                Outcome::Stored(known.position)
            } else if known.fingerprint == Uuid::from_bytes(item.fingerprint) {
                Outcome::Duplicate(known.position)
            } else {
                Outcome::DeadLettered(Code::Conflict)
            }
        }
    };
    items.iter().enumerate().map(outcome).collect()
}

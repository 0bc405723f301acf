//! The log against itself and against the dedup table.

use super::{CommandRow, DeadLetterRow, Differences, LogRow, Order};
use crate::{Position, RecordedEvent};
use domain::{Bucket, Code, Event, Project, derive_event_id};

/// Positions that are checked at once: 256 MiB of memory for each of the two maps, at the most.
pub const SEGMENT: i64 = 1 << 31;

/// Checks one segment of the log: first all of its events, in order, then all commands.
#[derive(Debug)]
pub struct LogCheck {
    after: Position,
    through: Position,
    /// Positions that have an event.
    seen: Positions,
    /// Positions that a command claims.
    claimed: Positions,
    last: Position,
}

impl LogCheck {
    /// For the positions after one and up to another, at most [`SEGMENT`] further.
    pub fn new(after: Position, through: Position) -> Self {
        Self {
            after,
            through,
            seen: Positions::default(),
            claimed: Positions::default(),
            last: after,
        }
    }

    /// The next event of the log; gives it decoded, if it can be.
    pub fn event(&mut self, row: &LogRow, order: &mut Order, found: &mut Differences) -> Option<Event> {
        let event = &row.event;
        if event.position <= self.last {
            found.add(
                "position_used_twice",
                &event.position,
                format!("command {}", event.command_id),
            );
        }
        self.last = event.position;
        self.seen.insert(event.position.0 - self.after.0);
        match row.deduplicated {
            None => found.add(
                "event_without_dedup",
                &event.command_id,
                format!("the event at position {} could be recorded again", event.position),
            ),
            Some(position) if position != event.position => found.add(
                "dedup_position_differs",
                &event.command_id,
                format!(
                    "the event lies at {}, its dedup row says {position}",
                    event.position
                ),
            ),
            Some(_) => {}
        }
        order.event(row);
        let decoded = event.decode();
        match decoded {
            Ok(decoded) => {
                compare(event, &decoded, found);
                Some(decoded)
            }
            Err(error) => {
                let detail = format!("position {}: {error}", event.position);
                found.add("event_unreadable", &event.command_id, detail);
                None
            }
        }
    }

    /// A row of the dedup table, once all events of the segment were given; those of other segments are passed over.
    pub fn command(&mut self, row: &CommandRow, found: &mut Differences) {
        if row.position <= self.after || self.through < row.position {
            return;
        }
        let offset = row.position.0 - self.after.0;
        if !self.seen.contains(offset) {
            let detail = format!("its event, at position {}, is not in the log", row.position);
            found.add("dedup_without_event", &row.command_id, detail);
        }
        if !self.claimed.insert(offset) {
            let detail = format!("another command claims position {} too", row.position);
            found.add("dedup_position_used_twice", &row.command_id, detail);
        }
    }
}

/// The columns of an event against what its data say.
fn compare(event: &RecordedEvent, decoded: &Event, found: &mut Differences) {
    let stream = decoded.stream();
    let mut wrong = Vec::new();
    if event.project.parse::<Project>().as_ref() != Ok(decoded.project()) {
        wrong.push("project");
    }
    if event.stream != stream.as_str() {
        wrong.push("stream");
    }
    if event.bucket != Bucket::of(decoded.project(), &stream).0 {
        wrong.push("bucket");
    }
    if event.occurred_at != decoded.occurred_at() {
        wrong.push("occurred_at");
    }
    if event.event_id != derive_event_id(decoded.project(), event.command_id) {
        wrong.push("event_id");
    }
    if !wrong.is_empty() {
        let detail = format!(
            "position {}: {} not as data and command say",
            event.position,
            wrong.join(", ")
        );
        found.add("event_inconsistent", &event.command_id, detail);
    }
}

/// Whether a dead letter is what the recorder writes.
pub fn check_dead_letter(row: &DeadLetterRow, found: &mut Differences) {
    let mut wrong = Vec::new();
    if !Code::ALL.iter().any(|code| code.as_str() == row.code) {
        wrong.push(format!("there is no code `{}`", row.code));
    }
    if row.code == Code::Conflict.as_str() && !row.recorded {
        wrong.push("it conflicts with a command that was never recorded".to_owned());
    }
    if row.project.parse::<Project>().is_err() {
        wrong.push("its project is none".to_owned());
    }
    if row.detail.is_empty() || row.topic.is_empty() || row.attempts < 1 {
        wrong.push("it has no reason, no topic, or no attempts".to_owned());
    }
    let numbers: Option<Vec<i64>> = row.message_id.split(':').map(|part| part.parse().ok()).collect();
    if !numbers.is_some_and(|numbers| (3..=4).contains(&numbers.len())) {
        wrong.push("its message id is not ledger:entry:partition[:batch index]".to_owned());
    }
    if !row.properties_are_object {
        wrong.push("its properties are no object".to_owned());
    }
    if !wrong.is_empty() {
        found.add("dead_letter_malformed", &row.command_id, wrong.join("; "));
    }
}

/// A set of small numbers, a bit each.
#[derive(Debug, Default)]
struct Positions(Vec<u64>);

impl Positions {
    /// Whether it was not there yet.
    fn insert(&mut self, n: i64) -> bool {
        let (word, bit) = Self::place(n);
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        let new = self.0[word] & bit == 0;
        self.0[word] |= bit;
        new
    }

    fn contains(&self, n: i64) -> bool {
        let (word, bit) = Self::place(n);
        self.0.get(word).is_some_and(|bits| bits & bit != 0)
    }

    fn place(n: i64) -> (usize, u64) {
        let n = usize::try_from(n).expect("positions lie after the segment's begin");
        (n / 64, 1 << (n % 64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_a_set() {
        let mut set = Positions::default();
        assert!(set.insert(63) && set.insert(64) && set.insert(0));
        assert!(!set.insert(64));
        assert!(set.contains(63) && !set.contains(62) && !set.contains(1 << 40));
    }
}

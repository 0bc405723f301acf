//! Whether events of a key were recorded in the order of their topic (invariant 3), told from the log alone.

use super::{Differences, LogRow};
use crate::Position;
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

/// Keys and entries that are remembered, each between this and twice as many: what bounds memory to some 100 MB.
/// An inversion is between neighbours, so that what lies further back need not be known.
const REMEMBERED: usize = 500_000;

/// Follows the order of each key. Keys are remembered by hash: a false alarm is less likely than a broken disk.
#[derive(Debug, Default)]
pub struct Order {
    /// The last place of a stream, key, partition and producer.
    last: Recent<(i64, i64, i32)>,
    /// The key of the first message seen of an entry.
    entries: Recent<u64>,
    /// Inversions by producer.
    inversions: HashMap<u64, Inversions>,
    /// Producers that mix keys in an entry: they are promised no order.
    mixing: HashSet<u64>,
}

/// Inversions that are kept with their details, for each producer.
const KEPT: usize = 20;

/// Events that lie before, in the topic, what was recorded before them.
#[derive(Debug, Default)]
struct Inversions {
    count: u64,
    first: Vec<(Position, String)>,
}

impl Order {
    /// The next event of the log.
    pub(super) fn event(&mut self, row: &LogRow) {
        let (Some(key), Some((partition, ledger, entry, batch)), Some(producer)) =
            (&row.message_key, row.at, &row.producer)
        else {
            return;
        };
        let (by, key) = (hash(producer), hash(key));
        if 0 <= batch {
            let first = self.entries.get_or_insert(hash(&(partition, ledger, entry)), key);
            if first != key {
                self.mixing.insert(by);
            }
        }
        let place = (ledger, entry, batch);
        let event = &row.event;
        let lane = hash(&(&event.project, &event.stream, key, partition, by));
        let before = self.last.get_or_insert(lane, place);
        if place < before {
            let inversions = self.inversions.entry(by).or_default();
            inversions.count += 1;
            if inversions.first.len() < KEPT {
                let text = |(ledger, entry, batch)| format!("{ledger}:{entry}:{partition}:{batch}");
                let detail = format!("lay at {} and was recorded after {}", text(place), text(before));
                inversions.first.push((event.position, detail));
            }
        }
        self.last.insert(lane, place.max(before));
    }

    /// Adds the inversions of senders that keep keys apart; gives how many others have, which are promised no order.
    pub fn finish(self, found: &mut Differences) -> u64 {
        let (excused, broken): (Vec<_>, Vec<_>) = self
            .inversions
            .into_iter()
            .partition(|(producer, _)| self.mixing.contains(producer));
        let mut named: Vec<(Position, String)> = Vec::new();
        let mut count = 0;
        for (_, inversions) in broken {
            count += inversions.count;
            named.extend(inversions.first);
        }
        named.sort();
        for (position, detail) in &named {
            found.add("order_inverted", position, detail.clone());
        }
        found.count("order_inverted", count - named.len() as u64);
        excused.iter().map(|(_, inversions)| inversions.count).sum()
    }
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// A map that forgets what was not touched for long: two generations.
#[derive(Debug)]
struct Recent<T> {
    young: HashMap<u64, T>,
    old: HashMap<u64, T>,
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self {
            young: HashMap::new(),
            old: HashMap::new(),
        }
    }
}

impl<T: Copy> Recent<T> {
    fn get_or_insert(&mut self, key: u64, value: T) -> T {
        if let Some(known) = self.young.get(&key).or_else(|| self.old.get(&key)) {
            return *known;
        }
        self.insert(key, value);
        value
    }

    fn insert(&mut self, key: u64, value: T) {
        if REMEMBERED <= self.young.len() {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }
}

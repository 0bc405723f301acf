//! The recording engine against `COPY` into the same tables, and its best batch size and number of lanes.

use crate::copy;
use crate::report::{Aim, Report};
use crate::rows;
use crate::sizes::Sizes;
use crate::stats::Series;
use crate::store::Store;
use eventstore::{Database, EventStore, Item};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use tokio::task::JoinSet;

/// What the sweep tries.
const SWEEP_BATCHES: [usize; 4] = [500, 1_000, 2_000, 5_000];
const SWEEP_LANES: [usize; 4] = [1, 2, 4, 8];

/// How batches reach the tables.
#[derive(Clone)]
pub(crate) enum Way {
    Record(EventStore),
    Copy(Database, i64),
}

/// Rows a second of the batches over so many connections.
pub(crate) async fn rate(way: Way, batches: Vec<Vec<Item>>, lanes: usize) -> anyhow::Result<f64> {
    let rows: usize = batches.iter().map(Vec::len).sum();
    let batch_size = batches.first().map_or(1, Vec::len);
    let batches = Arc::new(batches);
    let next = Arc::new(AtomicUsize::new(0));
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..lanes {
        let (way, batches, next) = (way.clone(), Arc::clone(&batches), Arc::clone(&next));
        tasks.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(batch) = batches.get(number) else {
                    return Ok(());
                };
                match &way {
                    Way::Record(store) => drop(store.record(batch).await?),
                    Way::Copy(db, first) => {
                        copy::batch(db, batch, first + i64::try_from(number * batch_size)?).await?;
                    }
                }
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        let ended: anyhow::Result<()> = ended?;
        ended?;
    }
    Ok(rows as f64 / began.elapsed().as_secs_f64())
}

/// So many new commands, prepared.
fn batches(store: &mut Store, rows: usize, batch_size: usize) -> Vec<Vec<Item>> {
    let from = store.take(rows);
    rows::prepare(from, rows::payloads(from, rows), batch_size)
}

/// Records so many new commands by the engine; rows a second.
async fn record(store: &mut Store, rows: usize, batch_size: usize, lanes: usize) -> anyhow::Result<f64> {
    let batches = batches(store, rows, batch_size);
    store.checkpoint().await?;
    rate(Way::Record(store.log.clone()), batches, lanes).await
}

async fn copy(store: &mut Store, rows: usize, batch_size: usize, lanes: usize) -> anyhow::Result<f64> {
    let batches = batches(store, rows, batch_size);
    let first = store.draw(rows).await?;
    store.checkpoint().await?;
    rate(Way::Copy(store.log.database().clone(), first), batches, lanes).await
}

/// The ratio, pair by pair, the two sides in turn first.
pub(crate) async fn against_copy(
    store: &mut Store,
    sizes: &Sizes,
    report: &mut Report,
) -> anyhow::Result<()> {
    let (rows, batch_size, lanes) = (sizes.rows, sizes.batch_size, sizes.lanes);
    // Connections, prepared statements, the tables' last pages: neither side pays for being the first.
    record(store, rows / 4, batch_size, lanes).await?;
    copy(store, rows / 4, batch_size, lanes).await?;
    let (mut engine, mut limit, mut ratio) = (Series::default(), Series::default(), Series::default());
    for pair in 0..sizes.pairs {
        let (recorded, copied) = if pair % 2 == 0 {
            let recorded = record(store, rows, batch_size, lanes).await?;
            (recorded, copy(store, rows, batch_size, lanes).await?)
        } else {
            let copied = copy(store, rows, batch_size, lanes).await?;
            (record(store, rows, batch_size, lanes).await?, copied)
        };
        engine.push(recorded);
        limit.push(copied);
        ratio.push(recorded / copied);
    }
    report.add("recording engine / COPY", ratio, Aim::AtLeast(0.6));
    report.add("  recording engine, rows/s", engine, Aim::None);
    report.add("  COPY, rows/s", limit, Aim::None);
    Ok(())
}

/// Every combination, round by round, so that a slow minute hits all of them.
pub(crate) async fn sweep(store: &mut Store, sizes: &Sizes, report: &mut Report) -> anyhow::Result<()> {
    let rows = sizes.rows / 2;
    let combinations: Vec<(usize, usize)> = SWEEP_BATCHES
        .iter()
        .flat_map(|batch| SWEEP_LANES.iter().map(|lanes| (*batch, *lanes)))
        .collect();
    let mut rates = vec![Series::default(); combinations.len()];
    for round in 0..3 {
        for place in 0..combinations.len() {
            // Another order each round.
            let place = (place * 7 + round * 5) % combinations.len();
            let (batch_size, lanes) = combinations[place];
            rates[place].push(record(store, rows, batch_size, lanes).await?);
        }
    }
    for ((batch_size, lanes), rates) in combinations.into_iter().zip(rates) {
        let name = format!("  engine, batches of {batch_size}, {lanes} lanes, rows/s");
        report.add(name, rates, Aim::None);
    }
    Ok(())
}

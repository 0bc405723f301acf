//! `tracking events tail`: follows the log behind the watermark, so that nothing is passed over (invariant 4).

use super::TailArguments;
use super::shown::{Shown, row};
use crate::{output, tool};
use eventstore::{EventFilter, EventStore, Found, Position, StoreError};
use service::backoff::Backoff;
use std::time::Duration;
use tokio::time::sleep;

/// How often the watermark is asked for while nothing happens.
const IDLE: Duration = Duration::from_millis(100);
/// Most events printed at once.
const PAGE: usize = 1_000;
/// Positions looked through between two looks at the stop.
const STEP: i64 = 100_000;

pub(super) fn run(arguments: TailArguments, json: bool) -> anyhow::Result<()> {
    tool::run(move |process, store| async move {
        let follow = follow(&store, arguments, json);
        // Being told to stop is how following ends well.
        process
            .stopping
            .run_until_cancelled(follow)
            .await
            .unwrap_or(Ok(()))
    })
}

async fn follow(store: &EventStore, arguments: TailArguments, json: bool) -> anyhow::Result<()> {
    let filter = EventFilter::from(arguments.filter);
    let mut at = match arguments.after {
        Some(position) => position,
        None => store.watermark().await?,
    };
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
    loop {
        match next(store, &filter, at).await {
            Ok(found) => {
                backoff.reset();
                print(&found, json)?;
                if at == found.through {
                    sleep(IDLE).await;
                }
                at = found.through;
            }
            Err(error) if error.is_transient() => {
                tracing::warn!(%error, "the database is not available, trying again");
                sleep(backoff.wait()).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

async fn next(store: &EventStore, filter: &EventFilter, at: Position) -> Result<Found, StoreError> {
    let through = store.watermark().await?.min(Position(at.0.saturating_add(STEP)));
    store.find(filter, at, through.max(at), PAGE).await
}

/// A line for each, at once: whoever reads the pipe is waiting.
fn print(found: &Found, json: bool) -> anyhow::Result<()> {
    let mut text = String::new();
    for event in &found.events {
        if json {
            text.push_str(&serde_json::to_string(&Shown::from(event))?);
        } else {
            text.push_str(&row(event).join("  "));
        }
        text.push('\n');
    }
    if text.is_empty() {
        Ok(())
    } else {
        output::text(&text)
    }
}

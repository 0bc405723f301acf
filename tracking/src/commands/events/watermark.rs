//! `tracking events explain-watermark`: why views stand still although the log grows.

use crate::{output, tool};
use eventstore::{EventStore, Position, WatermarkHolder};
use serde::Serialize;

#[derive(Serialize)]
struct Explanation {
    /// Everything up to here is settled.
    watermark: Position,
    /// The highest position ever drawn.
    allocated: Position,
    /// The sessions that hold the watermark back, the lowest first.
    holders: Vec<WatermarkHolder>,
}

pub(super) fn run(json: bool) -> anyhow::Result<()> {
    tool::run(move |process, store| async move {
        let explanation = process.interruptible(explain(&store)).await?;
        if json {
            output::json(&explanation)
        } else {
            show(&explanation)
        }
    })
}

async fn explain(store: &EventStore) -> anyhow::Result<Explanation> {
    let (watermark, allocated) = store.heights().await?;
    let mut holders = store.watermark_holders().await?;
    // One that declared the full height has drawn nothing yet, or drew after the heights were read.
    holders.retain(|holder| holder.declared < allocated);
    Ok(Explanation {
        watermark,
        allocated,
        holders,
    })
}

fn show(explanation: &Explanation) -> anyhow::Result<()> {
    let Explanation {
        watermark,
        allocated,
        holders,
    } = explanation;
    let unsettled = allocated.0.saturating_sub(watermark.0);
    output::text(&format!(
        "watermark  {watermark}   everything up to here is settled and may be projected\n\
         allocated  {allocated}   the highest position drawn; {unsettled} above the watermark\n\n"
    ))?;
    if holders.is_empty() {
        return output::text("nothing holds it\n");
    }
    let rows = holders.iter().map(|holder| {
        [
            holder.pid.to_string(),
            holder.application_name.clone(),
            holder.declared.to_string(),
            holder
                .since
                .map_or_else(|| "-".to_owned(), |since| since.to_rfc3339()),
            holder.state.clone(),
            output::shortened(&holder.query, 100),
        ]
    });
    output::table(
        &["PID", "APPLICATION", "DECLARED", "SINCE", "STATE", "QUERY"],
        rows,
    )?;
    if holders.iter().any(|holder| holder.state.is_empty()) {
        output::text("\nWhat is missing, this role may not see: grant it pg_read_all_stats.\n")?;
    }
    output::text("\nA session that hangs is ended by: select pg_terminate_backend(<pid>)\n")
}

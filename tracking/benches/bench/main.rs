//! `make bench`: what the system does, against limits measured in the same run. `docs/performance.md` says how.

mod backlog;
mod copy;
mod drain;
mod engine;
mod machine;
mod proc;
mod report;
mod rows;
mod sizes;
mod stats;
mod store;
mod visible;

use report::Report;
use sizes::Sizes;
use store::Store;
use testkit::TestNamespace;

/// Connections of this process: the most lanes that are tried.
const POOL: usize = 16;

fn main() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(Box::pin(run()))
}

async fn run() -> anyhow::Result<()> {
    let sizes = Sizes::from_env()?;
    let namespace = TestNamespace::create().await;
    let mut store = Store::create(POOL).await?;
    let mut report = Report::new(machine::describe(&store, &sizes).await?);
    if sizes.measures("visible") {
        visible::install(&store, &namespace).await?;
    }
    let mut swept = false;
    for stored in &sizes.stored {
        store.fill_to(*stored, sizes.measures("visible")).await?;
        report.begin_level(*stored);
        if sizes.measures("engine") {
            engine::against_copy(&mut store, &sizes, &mut report).await?;
        }
        if sizes.measures("sweep") && !swept {
            engine::sweep(&mut store, &sizes, &mut report).await?;
            swept = true;
        }
        if sizes.measures("drain") {
            drain::measure(&mut store, &namespace, &sizes, &mut report).await?;
        }
        if sizes.measures("visible") {
            visible::measure(&store, &namespace, &sizes, &mut report).await?;
        }
    }
    report.finish()
}

//! From a command to a row that a query sees, at a steady rate: worker and projector as processes.

use crate::backlog::Backlog;
use crate::drain::Role;
use crate::report::{Aim, Report};
use crate::rows;
use crate::sizes::Sizes;
use crate::stats::Series;
use crate::store::Store;
use anyhow::Context as _;
use eventstore::Database;
use hdrhistogram::Histogram;
use messaging::{MessageSink, OutgoingMessage, Queue as _};
use std::sync::Arc;
use std::time::Duration;
use testkit::TestNamespace;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use uuid::Uuid;

/// Sent before the measurement, at the same rate: connections, plans, leases.
const WARM_UP: Duration = Duration::from_secs(10);
/// The percentiles are given for so many parts of the time, too: their spread.
const PARTS: usize = 5;
/// Longest wait for the last commands.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at the view.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// Has the projector make its tables and checkpoints, while the log is empty.
pub(crate) async fn install(store: &Store, namespace: &TestNamespace) -> anyhow::Result<()> {
    let backlog = Backlog::create(namespace, "install").await?;
    Role::start("projector", store, &backlog.topics, &[])
        .await?
        .stop()
        .await
}

/// Open loop: each command has the moment at which it is meant to be sent, whatever became of those before it.
pub(crate) async fn measure(
    store: &Store,
    namespace: &TestNamespace,
    sizes: &Sizes,
    report: &mut Report,
) -> anyhow::Result<()> {
    let height = store.log.allocated().await?.0;
    // What lies in the log was not to be projected: the filling wrote its rows.
    let skip = format!("update projections.bucket set checkpoint = {height}, lease_until = '-infinity'");
    store.run(&skip).await?;
    store.checkpoint().await?;
    let backlog = Backlog::create(namespace, &format!("visible-{height}")).await?;
    let worker = Role::start("worker", store, &backlog.topics, &[]).await?;
    let projector = Role::start("projector", store, &backlog.topics, &[]).await?;
    let sink = backlog.queue(crate::backlog::WORKER).command_sink().await?;

    let schedule = Schedule {
        began: Instant::now() + Duration::from_millis(100),
        rate: u64::from(sizes.rate),
        warm_up: u64::from(sizes.rate) * WARM_UP.as_secs(),
        count: u64::from(sizes.rate) * (WARM_UP.as_secs() + u64::from(sizes.seconds)),
    };
    let sending = async { send(sink, schedule).await };
    let looking = look(&store.side, height, schedule);
    let ((), latencies) = tokio::try_join!(sending, looking)?;
    worker.stop().await?;
    projector.stop().await?;
    add(&latencies, schedule, report)
}

/// When each command is meant to be sent.
#[derive(Clone, Copy)]
struct Schedule {
    began: Instant,
    rate: u64,
    warm_up: u64,
    count: u64,
}

impl Schedule {
    fn at(self, n: u64) -> Instant {
        self.began + Duration::from_nanos(n * 1_000_000_000 / self.rate)
    }

    /// The id of the `n`th command: time first, its number last.
    fn id(n: u64) -> Uuid {
        let millis = u128::try_from(service::clock::now().timestamp_millis()).expect("after 1970");
        Uuid::new_v8(((millis << 80) | u128::from(n)).to_be_bytes())
    }

    fn number(id: Uuid) -> u64 {
        u64::try_from(id.as_u128() & 0xffff_ffff).expect("32 bits")
    }
}

async fn send(sink: Arc<dyn MessageSink>, schedule: Schedule) -> anyhow::Result<()> {
    let mut receipts = JoinSet::new();
    for n in 0..schedule.count {
        sleep_until(schedule.at(n)).await;
        let payload = rows::payload(n).replacen('{', &format!(r#"{{"command_id":"{}","#, Schedule::id(n)), 1);
        let message = OutgoingMessage {
            key: Some(rows::user(n).to_string()),
            payload: payload.into_bytes(),
            properties: Vec::new(),
        };
        receipts.spawn(sink.send(message).await?);
        while let Some(sent) = receipts.try_join_next() {
            sent??;
        }
    }
    while let Some(sent) = receipts.join_next().await {
        sent??;
    }
    Ok(())
}

/// Looks for new rows all the time; gives, for each command, the time from when it was meant to be sent until a look
/// that showed it had returned.
async fn look(db: &Database, height: i64, schedule: Schedule) -> anyhow::Result<Vec<Duration>> {
    const ROWS: &str =
        "select position, command_id from readmodels.interactions_v1 where position > $1 order by position";
    let client = db.client().await?;
    let statement = client.prepare_cached(ROWS).await?;
    let mut latencies = vec![None; usize::try_from(schedule.count)?];
    let (mut left, mut floor) = (schedule.count, height);
    let last = schedule.at(schedule.count) + PATIENCE;
    while 0 < left {
        anyhow::ensure!(Instant::now() < last, "{left} commands did not become visible");
        let found = client.query(&statement, &[&floor]).await?;
        let now = Instant::now();
        for row in found {
            // Up to the first gap: a row of a bucket that lags may yet come there.
            let position: i64 = row.get(0);
            floor += i64::from(position == floor + 1);
            let number = Schedule::number(row.get(1));
            let latency = latencies
                .get_mut(usize::try_from(number)?)
                .context("a command that was not sent")?;
            if latency.is_none() {
                *latency = Some(now - schedule.at(number));
                left -= 1;
            }
        }
        sleep(LOOK_EVERY).await;
    }
    Ok(latencies.into_iter().flatten().collect())
}

fn add(latencies: &[Duration], schedule: Schedule, report: &mut Report) -> anyhow::Result<()> {
    let measured = &latencies[usize::try_from(schedule.warm_up)?..];
    let parts: Vec<Histogram<u64>> = measured
        .chunks(measured.len().div_ceil(PARTS))
        .map(histogram)
        .collect::<Result<_, _>>()?;
    let all = histogram(measured)?;
    let millis =
        |histogram: &Histogram<u64>, quantile| histogram.value_at_quantile(quantile) as f64 / 1_000.0;
    for (name, quantile, aim) in [
        ("p50", 0.5, Aim::None),
        ("p95", 0.95, Aim::Below(100.0)),
        ("p99", 0.99, Aim::None),
        ("max", 1.0, Aim::None),
    ] {
        let values = parts.iter().map(|part| millis(part, quantile)).collect();
        let name = format!("command to visible at {}/s, {name}, ms", schedule.rate);
        report.add_measured(name, millis(&all, quantile), Series(values), aim);
    }
    Ok(())
}

/// In microseconds.
fn histogram(latencies: &[Duration]) -> anyhow::Result<Histogram<u64>> {
    let mut histogram = Histogram::new(3)?;
    for latency in latencies {
        histogram.record(u64::try_from(latency.as_micros())?)?;
    }
    Ok(histogram)
}

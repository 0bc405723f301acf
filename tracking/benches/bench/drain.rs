//! Draining a backlog, by `tracking worker` as a process, against receiving alone and recording alone.

use crate::backlog::{Backlog, WORKER};
use crate::engine;
use crate::proc::Watched;
use crate::report::{Aim, Report};
use crate::rows;
use crate::sizes::Sizes;
use crate::stats::Series;
use crate::store::Store;
use messaging::Topics;
use std::time::{Duration, Instant};
use testkit::{Process, Signal, TestNamespace, eventually, pulsar_admin_url, pulsar_url};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Entries as the most common clients batch them.
const BATCHED: u32 = 500;
/// A drain that takes longer has failed.
const PATIENCE: Duration = Duration::from_mins(10);

/// Throughput and CPU of one side.
#[derive(Clone, Copy, Debug)]
struct Side {
    a_second: f64,
    cpu: f64,
}

/// What one pair gave.
struct Measured {
    drain: Side,
    receive: Side,
    record: Side,
    /// CPU seconds of preparing as many commands: reading, deciding, encoding.
    prepare: f64,
    /// The worker's peak, in MiB.
    memory: f64,
}

/// The values of all pairs.
#[derive(Default)]
struct Pairs {
    ratio: Series,
    cpu_ratio: Series,
    drain: Series,
    receive: Series,
    record: Series,
    cpu_ratio_prepared: Series,
    cpu_drain: Series,
    cpu_receive: Series,
    cpu_prepare: Series,
    cpu_record: Series,
    memory: Series,
}

/// Backlogs in entries of 500, and of one command an entry.
pub(crate) async fn measure(
    store: &mut Store,
    namespace: &TestNamespace,
    sizes: &Sizes,
    report: &mut Report,
) -> anyhow::Result<()> {
    for (name, count, batch) in [
        ("entries of 500", sizes.backlog, Some(BATCHED)),
        ("unbatched", sizes.unbatched, None),
    ] {
        if count == 0 {
            continue;
        }
        // As long as a pair: a fresh broker compiles its code on the cores that we measure with.
        Box::pin(three_sides(store, namespace, sizes, (count, batch), 0)).await?;
        let mut pairs = Pairs::default();
        for pair in 0..sizes.pairs {
            let measured = Box::pin(three_sides(store, namespace, sizes, (count, batch), pair)).await?;
            pairs.add(&measured, count);
        }
        pairs.report(name, report);
    }
    Ok(())
}

/// One backlog drained, received alone, and as much recorded alone, in an order that turns.
async fn three_sides(
    store: &mut Store,
    namespace: &TestNamespace,
    sizes: &Sizes,
    (count, batch): (usize, Option<u32>),
    pair: usize,
) -> anyhow::Result<Measured> {
    let number = store.take(count);
    let backlog = Backlog::create(namespace, &format!("drain-{number}")).await?;
    backlog.send(number, count, batch).await;
    let mut measured = [None; 3];
    let (mut memory, mut prepare) = (0.0, 0.0);
    for turn in 0..3 {
        let side = (turn + pair) % 3;
        measured[side] = Some(match side {
            0 => {
                let (drained, peak) = drain(store, namespace, &backlog.topics, sizes, count).await?;
                memory = peak;
                drained
            }
            1 => receive(&backlog, count).await?,
            _ => {
                let (recorded, cpu) = record(store, sizes, count).await?;
                prepare = cpu;
                recorded
            }
        });
    }
    let [drain, receive, record] = measured.map(|side| side.expect("each had its turn"));
    Ok(Measured {
        drain,
        receive,
        record,
        prepare,
        memory,
    })
}

async fn receive(backlog: &Backlog, count: usize) -> anyhow::Result<Side> {
    let (took, cpu) = backlog.receive(count).await?;
    Ok(side(count, took, cpu))
}

/// Also the CPU seconds of preparing what is recorded.
async fn record(store: &mut Store, sizes: &Sizes, count: usize) -> anyhow::Result<(Side, f64)> {
    let this = Watched::this()?;
    let from = store.take(count);
    let payloads = rows::payloads(from, count);
    let before = this.cpu()?;
    let batches = rows::prepare(from, payloads, sizes.batch_size);
    let prepare = this.cpu()? - before;
    store.checkpoint().await?;
    let before = this.cpu()?;
    let way = engine::Way::Record(store.log.clone());
    let a_second = engine::rate(way, batches, sizes.lanes).await?;
    let cpu = this.cpu()? - before;
    Ok((Side { a_second, cpu }, prepare))
}

fn side(count: usize, took: Duration, cpu: f64) -> Side {
    Side {
        a_second: count as f64 / took.as_secs_f64(),
        cpu,
    }
}

/// Drains the backlog: from the worker's readiness until all of it is committed. Also its peak of memory, in MiB.
async fn drain(
    store: &Store,
    namespace: &TestNamespace,
    topics: &Topics,
    sizes: &Sizes,
    count: usize,
) -> anyhow::Result<(Side, f64)> {
    store.checkpoint().await?;
    let target = store.log.allocated().await?.0 + i64::try_from(count)?;
    let mut worker = Role::start("worker", store, topics, &worker_settings(sizes)).await?;
    let watched = Watched::of(worker.process.pid())?;
    let (began, before) = (Instant::now(), watched.cpu()?);
    loop {
        let (watermark, _) = store.log.heights().await?;
        if target <= watermark.0 {
            break;
        }
        anyhow::ensure!(
            worker.process.is_running(),
            "the worker ended:\n{}",
            worker.process.stdout()
        );
        anyhow::ensure!(
            began.elapsed() < PATIENCE,
            "the backlog was not drained in {PATIENCE:?}"
        );
        tokio::time::sleep(Duration::from_millis(4)).await;
    }
    let took = began.elapsed();
    let cpu = watched.cpu()? - before;
    // Acknowledged, too; and nothing was recorded beyond the backlog.
    eventually(Duration::from_secs(30), async || {
        let left = namespace.admin().backlog(&topics.commands, WORKER).await;
        (left == 0).then_some(())
    })
    .await;
    anyhow::ensure!(
        store.log.allocated().await?.0 == target,
        "more was recorded than was sent"
    );
    let peak = watched.peak_mib()?;
    worker.stop().await?;
    Ok((side(count, took, cpu), peak))
}

fn worker_settings(sizes: &Sizes) -> [(&'static str, String); 3] {
    [
        ("WORKER_BATCH_SIZE", sizes.batch_size.to_string()),
        ("WORKER_LANES", sizes.lanes.to_string()),
        ("DATABASE_POOL_SIZE", sizes.lanes.to_string()),
    ]
}

/// A role of the executable, as a process.
pub(crate) struct Role {
    pub(crate) process: Process,
}

impl Role {
    /// Starts it and returns the moment it is ready.
    pub(crate) async fn start(
        role: &str,
        store: &Store,
        topics: &Topics,
        more: &[(&str, String)],
    ) -> anyhow::Result<Self> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?.to_string();
        drop(listener);
        let mut variables = vec![
            ("DATABASE_URL", store.database.url().to_owned()),
            ("PULSAR_URL", pulsar_url()),
            ("PULSAR_ADMIN_URL", pulsar_admin_url()),
            ("COMMANDS_TOPIC", topics.commands.clone()),
            ("COMMANDS_SUBSCRIPTION", topics.subscription.clone()),
            ("EVENTS_TOPIC", topics.events.clone()),
            ("DEAD_LETTER_TOPIC", topics.dead_letters.clone()),
            ("LOG_FORMAT", "json".to_owned()),
            ("HTTP_ADDR", address.clone()),
        ];
        variables.extend(more.iter().map(|(name, value)| (*name, value.clone())));
        let variables: Vec<(&str, &str)> = variables
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let mut process = Process::spawn(env!("CARGO_BIN_EXE_tracking"), &[role], &variables);
        let began = Instant::now();
        while !is_ready(&address).await {
            anyhow::ensure!(
                process.is_running() && began.elapsed() < Duration::from_mins(1),
                "the {role} did not get ready:\n{}{}",
                process.stdout(),
                process.stderr()
            );
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(Self { process })
    }

    /// Stops it as an operator does, and sees that it ends well.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        self.process.signal(Signal::Terminate);
        let status = self.process.wait(Duration::from_secs(40)).await;
        anyhow::ensure!(
            status.success(),
            "it ended with {status}:\n{}",
            self.process.stdout()
        );
        Ok(())
    }
}

/// Asks without a client library, whose set-up would take longer than what is timed.
async fn is_ready(address: &str) -> bool {
    let ask = async {
        let mut stream = TcpStream::connect(address).await.ok()?;
        let request = format!("GET /ready HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.ok()?;
        answer.starts_with(b"HTTP/1.1 200").then_some(())
    };
    matches!(
        tokio::time::timeout(Duration::from_secs(2), ask).await,
        Ok(Some(()))
    )
}

impl Pairs {
    fn add(&mut self, of: &Measured, count: usize) {
        let slower = of.receive.a_second.min(of.record.a_second);
        self.ratio.push(of.drain.a_second / slower);
        self.drain.push(of.drain.a_second);
        self.receive.push(of.receive.a_second);
        self.record.push(of.record.a_second);
        let limits = of.receive.cpu + of.record.cpu;
        self.cpu_ratio.push(of.drain.cpu / limits);
        self.cpu_ratio_prepared.push(of.drain.cpu / (limits + of.prepare));
        let micros = |cpu: f64| cpu * 1e6 / count as f64;
        self.cpu_drain.push(micros(of.drain.cpu));
        self.cpu_receive.push(micros(of.receive.cpu));
        self.cpu_prepare.push(micros(of.prepare));
        self.cpu_record.push(micros(of.record.cpu));
        self.memory.push(of.memory);
    }

    fn report(self, name: &str, report: &mut Report) {
        let text = |what: &str| format!("{what}, {name}");
        report.add(
            text("drain / slower of receive, record"),
            self.ratio,
            Aim::AtLeast(0.8),
        );
        report.add("  drain, commands/s", self.drain, Aim::None);
        report.add("  receive only, commands/s", self.receive, Aim::None);
        report.add("  record only, commands/s", self.record, Aim::None);
        report.add(
            text("CPU of drain / (receive + record)"),
            self.cpu_ratio,
            Aim::AtMost(1.2),
        );
        report.add(
            "  with preparing among the limits",
            self.cpu_ratio_prepared,
            Aim::None,
        );
        report.add("  drain, CPU us/command", self.cpu_drain, Aim::None);
        report.add("  receive only, CPU us/command", self.cpu_receive, Aim::None);
        report.add("  prepare only, CPU us/command", self.cpu_prepare, Aim::None);
        report.add("  record only, CPU us/command", self.cpu_record, Aim::None);
        report.add(
            text("worker's peak of memory, MiB"),
            self.memory,
            Aim::Below(128.0),
        );
    }
}

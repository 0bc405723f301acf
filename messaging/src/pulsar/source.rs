//! The source: one supervised subscription per partition behind one stream.

use super::PulsarQueue;
use super::damaged::Damaged;
use super::errors::unavailable;
use super::names::TopicName;
use super::partition::{Health, Notice, Partition, Shared};
use super::session::{Phase, Session, Subscription};
use super::window::Window;
use crate::{CommandSource, QueueError, Receipt, Settler, SourceEvent, SourceOptions};
use futures::FutureExt as _;
use futures::future::{BoxFuture, try_join_all};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval_at, timeout};

type Routes = Arc<RwLock<HashMap<i32, mpsc::UnboundedSender<Vec<Receipt>>>>>;

/// Commands of all partitions.
pub(super) struct PulsarSource {
    notices: mpsc::UnboundedReceiver<Notice>,
    phase: watch::Sender<Phase>,
    health: Health,
    settler: Arc<PulsarSettler>,
    /// Ends when all partitions have closed, with the first failure.
    partitions: tokio::task::JoinHandle<Result<(), QueueError>>,
}

/// Makes the partitions of a source.
struct Builder {
    shared: Shared,
    topic: TopicName,
    full: Arc<str>,
    subscription: String,
    options: SourceOptions,
    /// Among how many partitions the prefetch is shared out.
    share: usize,
    routes: Routes,
}

impl Builder {
    fn partition(&self, number: i32) -> Partition {
        let (settle, settled) = mpsc::unbounded_channel();
        self.routes
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(number, settle);
        let name = &self.options.consumer_name;
        let subscription = Subscription {
            topic: self.full.clone(),
            partition_topic: self.topic.partition(number),
            partition: number,
            name: self.subscription.clone(),
            consumer: if number < 0 {
                name.clone()
            } else {
                format!("{name}-{number}")
            },
        };
        let window = Window::new(
            self.options.prefetch / self.share,
            self.options.prefetch_bytes / self.share,
        );
        Partition::new(self.shared.clone(), subscription, Arc::new(window), settled)
    }
}

/// Subscribes to all partitions; fails when one cannot be had now.
pub(super) async fn open(queue: &PulsarQueue, options: SourceOptions) -> Result<PulsarSource, QueueError> {
    let topics = &queue.options.topics;
    let topic = TopicName::parse(&topics.commands)?;
    let service = queue.service()?;
    let count = service.partition_count(&topic.full()).await?;
    let (phase, phases) = watch::channel(Phase::Taking);
    let (notice, notices) = mpsc::unbounded_channel();
    let health = Health::default();
    let numbers = TopicName::partitions(count);
    let builder = Builder {
        shared: Shared {
            service,
            admin: queue.admin.clone(),
            notices: notice,
            phase: phases,
            health: health.clone(),
        },
        full: topic.full().into(),
        topic,
        subscription: topics.subscription.clone(),
        options,
        share: numbers.len(),
        routes: Routes::default(),
    };
    let opening = numbers.into_iter().map(|number| {
        let partition = builder.partition(number);
        async move {
            partition
                .open(Damaged::default())
                .await
                .map(|session| (partition, session))
        }
    });
    let open = try_join_all(opening).await?;
    let settler = Arc::new(PulsarSettler {
        routes: builder.routes.clone(),
    });
    #[expect(
        clippy::disallowed_methods,
        reason = "the source's own task: `close` waits for it, its drop ends it"
    )]
    let partitions = tokio::spawn(supervise(builder, open, count, queue.partition_refresh));
    Ok(PulsarSource {
        notices,
        phase,
        health,
        settler,
        partitions,
    })
}

/// Runs the partitions, and those that are added, until all are closed.
async fn supervise(
    builder: Builder,
    open: Vec<(Partition, Session)>,
    mut count: u32,
    refresh: Duration,
) -> Result<(), QueueError> {
    let mut tasks = JoinSet::new();
    let mut numbers = HashMap::new();
    for (partition, session) in open {
        let number = partition.number();
        numbers.insert(tasks.spawn(partition.run(Some(session))).id(), number);
    }
    let mut phase = builder.shared.phase.clone();
    let mut tick = interval_at(Instant::now() + refresh, refresh);
    let mut result = Ok(());
    loop {
        tokio::select! {
            ended = tasks.join_next_with_id() => match ended {
                None => return result,
                Some(Ok((_, closed))) => result = result.and(closed),
                Some(Err(panic)) => {
                    // A partition that ended in silence would be one that nobody reads.
                    let Some(number) = numbers.remove(&panic.id()) else { continue };
                    tracing::error!(partition = number, error = %panic, "a partition's task died; it begins anew");
                    numbers.insert(tasks.spawn(builder.partition(number).run(None)).id(), number);
                }
            },
            _ = tick.tick(), if *phase.borrow() == Phase::Taking => {
                let looked_up = tokio::select! {
                    looked_up = builder.shared.service.partition_count(&builder.full) => looked_up,
                    _ = phase.wait_for(|phase| *phase != Phase::Taking) => continue,
                };
                // A topic that was not partitioned stays what it is; partitions are never taken away.
                let Some(more) = looked_up.ok().filter(|more| 0 < count && count < *more) else { continue };
                tracing::info!(partitions.before = count, partitions.now = more, "partitions were added");
                for number in TopicName::partitions(more).into_iter().skip(count as usize) {
                    numbers.insert(tasks.spawn(builder.partition(number).run(None)).id(), number);
                }
                count = more;
            }
        }
    }
}

impl CommandSource for PulsarSource {
    fn next(&mut self) -> BoxFuture<'_, Result<SourceEvent, QueueError>> {
        async {
            loop {
                if *self.phase.borrow() != Phase::Taking {
                    return std::future::pending().await;
                }
                let Some(notice) = self.notices.recv().await else {
                    return std::future::pending().await;
                };
                match notice {
                    Notice::Deliveries(window, chunk) => {
                        window.take(chunk.cost);
                        // Of a life that is over: the broker hands these out again.
                        if window.is_current(chunk.generation) {
                            return Ok(SourceEvent::Deliveries(chunk.deliveries));
                        }
                    }
                    Notice::Rebuilt { partition, reason } => {
                        return Ok(SourceEvent::Rebuilt { partition, reason });
                    }
                    Notice::Refused(error) => return Err(error),
                }
            }
        }
        .boxed()
    }

    fn settler(&self) -> Arc<dyn Settler> {
        self.settler.clone()
    }

    fn connected(&self) -> Result<(), String> {
        self.health.check()
    }

    fn stop_taking(&mut self) {
        self.phase.send_if_modified(|phase| {
            let taking = *phase == Phase::Taking;
            if taking {
                *phase = Phase::Stopped;
            }
            taking
        });
        // Never taken, never settled: with the broker still.
        while self.notices.try_recv().is_ok() {}
    }

    fn close(self: Box<Self>, within: Duration) -> BoxFuture<'static, Result<(), QueueError>> {
        async move {
            let Self {
                phase,
                mut partitions,
                ..
            } = *self;
            phase.send_replace(Phase::Closing);
            match timeout(within, &mut partitions).await {
                Ok(Ok(result)) => result,
                Ok(Err(error)) => Err(unavailable("close the consumer", error.to_string())),
                Err(_) => {
                    partitions.abort();
                    Err(unavailable(
                        "close the consumer",
                        "the broker did not answer in time".into(),
                    ))
                }
            }
        }
        .boxed()
    }
}

/// Routes receipts to their partitions.
struct PulsarSettler {
    routes: Routes,
}

impl Settler for PulsarSettler {
    fn settle(&self, receipts: Vec<Receipt>) {
        let mut by_partition: Vec<(i32, Vec<Receipt>)> = Vec::new();
        for receipt in receipts {
            let partition = receipt.at.partition;
            match by_partition.iter_mut().find(|(number, _)| *number == partition) {
                Some((_, list)) => list.push(receipt),
                None => by_partition.push((partition, vec![receipt])),
            }
        }
        let routes = self.routes.read().unwrap_or_else(PoisonError::into_inner);
        for (partition, list) in by_partition {
            if let Some(route) = routes.get(&partition) {
                // A partition that has closed takes no more: its messages come again.
                let _ = route.send(list);
            }
        }
    }
}

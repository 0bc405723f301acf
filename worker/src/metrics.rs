//! What an operator sees of the worker.

use eventstore::Outcome;
use prometheus::{Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

#[derive(Clone)]
pub(crate) struct Metrics {
    pub(crate) received: IntCounter,
    processed: IntCounterVec,
    pub(crate) rebuilt: IntCounter,
    pub(crate) duration: Histogram,
    pub(crate) batch_size: Histogram,
    pub(crate) backlog: IntGauge,
    pub(crate) backlog_age: Gauge,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let seconds = vec![
            0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 120.0,
        ];
        let sizes = vec![1.0, 5.0, 20.0, 100.0, 500.0, 1000.0, 2000.0, 5000.0, 10000.0];
        let metrics = Self {
            received: IntCounter::new(
                "tracking_commands_received_total",
                "Commands taken from the queue.",
            )?,
            processed: IntCounterVec::new(
                Opts::new(
                    "tracking_commands_processed_total",
                    "Commands kept, by what became of them.",
                ),
                &["outcome"],
            )?,
            rebuilt: IntCounter::new(
                "tracking_consumer_rebuilt_total",
                "Subscriptions that were lost and rebuilt.",
            )?,
            duration: Histogram::with_opts(
                HistogramOpts::new(
                    "tracking_command_duration_seconds",
                    "From received to acknowledged.",
                )
                .buckets(seconds),
            )?,
            batch_size: Histogram::with_opts(
                HistogramOpts::new("tracking_append_batch_size", "Commands of one transaction.")
                    .buckets(sizes),
            )?,
            backlog: IntGauge::new(
                "tracking_backlog_messages",
                "Entries of the topic not yet acknowledged.",
            )?,
            backlog_age: Gauge::new(
                "tracking_backlog_oldest_age_seconds",
                "Age of the oldest entry not yet acknowledged.",
            )?,
        };
        for outcome in ["stored", "duplicate", "dead_lettered"] {
            metrics.processed.with_label_values(&[outcome]);
        }
        registry.register(Box::new(metrics.received.clone()))?;
        registry.register(Box::new(metrics.processed.clone()))?;
        registry.register(Box::new(metrics.rebuilt.clone()))?;
        registry.register(Box::new(metrics.duration.clone()))?;
        registry.register(Box::new(metrics.batch_size.clone()))?;
        registry.register(Box::new(metrics.backlog.clone()))?;
        registry.register(Box::new(metrics.backlog_age.clone()))?;
        Ok(metrics)
    }

    /// Counts a batch; gives (stored, duplicate, dead-lettered).
    pub(crate) fn processed(&self, outcomes: &[Outcome]) -> (u64, u64, u64) {
        let mut counts = (0, 0, 0);
        for outcome in outcomes {
            match outcome {
                Outcome::Stored(_) => counts.0 += 1,
                Outcome::Duplicate(_) => counts.1 += 1,
                Outcome::DeadLettered(_) => counts.2 += 1,
            }
        }
        self.processed.with_label_values(&["stored"]).inc_by(counts.0);
        self.processed.with_label_values(&["duplicate"]).inc_by(counts.1);
        self.processed
            .with_label_values(&["dead_lettered"])
            .inc_by(counts.2);
        counts
    }
}

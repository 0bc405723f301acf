//! What an operator sees of the projections.

use prometheus::{Gauge, GaugeVec, IntCounterVec, IntGaugeVec, Opts, Registry};

#[derive(Clone)]
pub(crate) struct Metrics {
    pub(crate) lag_events: IntGaugeVec,
    pub(crate) lag_seconds: GaugeVec,
    pub(crate) heartbeat_age: GaugeVec,
    pub(crate) projected: IntCounterVec,
    pub(crate) buckets: IntGaugeVec,
    pub(crate) watermark_blocked: Gauge,
    pub(crate) dead_letters: IntGaugeVec,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let projection = &["projection"];
        let metrics = Self {
            lag_events: IntGaugeVec::new(
                Opts::new(
                    "tracking_projection_lag_events",
                    "Positions drawn from the log that this process has not yet projected, in its buckets.",
                ),
                projection,
            )?,
            lag_seconds: GaugeVec::new(
                Opts::new(
                    "tracking_projection_lag_seconds",
                    "Age of what was projected last while there is more.",
                ),
                projection,
            )?,
            heartbeat_age: GaugeVec::new(
                Opts::new(
                    "tracking_projection_heartbeat_age_seconds",
                    "Time since the loop of the projection last went round.",
                ),
                projection,
            )?,
            projected: IntCounterVec::new(
                Opts::new(
                    "tracking_events_projected_total",
                    "Events folded into a read model or published.",
                ),
                projection,
            )?,
            buckets: IntGaugeVec::new(
                Opts::new("tracking_projection_buckets", "Buckets that this process holds."),
                projection,
            )?,
            watermark_blocked: Gauge::new(
                "tracking_watermark_blocked_seconds",
                "How long the watermark has stood still below positions that were drawn.",
            )?,
            dead_letters: IntGaugeVec::new(
                Opts::new("tracking_dead_letters", "Open dead letters by code."),
                &["code"],
            )?,
        };
        registry.register(Box::new(metrics.lag_events.clone()))?;
        registry.register(Box::new(metrics.lag_seconds.clone()))?;
        registry.register(Box::new(metrics.heartbeat_age.clone()))?;
        registry.register(Box::new(metrics.projected.clone()))?;
        registry.register(Box::new(metrics.buckets.clone()))?;
        registry.register(Box::new(metrics.watermark_blocked.clone()))?;
        registry.register(Box::new(metrics.dead_letters.clone()))?;
        Ok(metrics)
    }
}

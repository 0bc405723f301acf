//! `Tracking-Min-Position`: reads that wait until the read models have come as far as their caller wants to see.

use crate::problem::{Mistake, Problem};
use actix_web::HttpRequest;
use eventstore::{Database, Position};
use readmodels::{ProjectionId, as_of};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

const HEADER: &str = "Tracking-Min-Position";
/// Reads that wait at the same time; each asks the database several times a second.
const SEATS: usize = 100;
const FIRST_WAIT: Duration = Duration::from_millis(20);
const LONGEST_WAIT: Duration = Duration::from_millis(200);

/// Where reads wait. Cheap to clone; clones share the seats.
#[derive(Clone)]
pub(crate) struct WaitingRoom {
    database: Database,
    timeout: Duration,
    seats: Arc<Semaphore>,
}

impl WaitingRoom {
    /// Where a read waits for at most `timeout`.
    pub(crate) fn new(database: Database, timeout: Duration) -> Self {
        Self {
            database,
            timeout,
            seats: Arc::new(Semaphore::new(SEATS)),
        }
    }

    /// Returns when all of `projections` have passed the position in the request's header, at once when there is none.
    pub(crate) async fn wait(
        &self,
        request: &HttpRequest,
        projections: &[ProjectionId],
    ) -> Result<(), Problem> {
        let Some(value) = request.headers().get(HEADER) else {
            return Ok(());
        };
        let wanted = value
            .to_str()
            .ok()
            .and_then(|text| text.trim().parse::<Position>().ok());
        let wanted = wanted.ok_or_else(not_a_position)?;
        let _seat = self
            .seats
            .try_acquire()
            .map_err(|_| Problem::unavailable("busy", "too many reads wait for a position"))?;
        let deadline = Instant::now() + self.timeout;
        for projection in projections {
            let mut pause = FIRST_WAIT;
            loop {
                let reached = as_of(&self.database, *projection).await?;
                if wanted <= reached.position {
                    break;
                }
                if deadline <= Instant::now() + pause {
                    return Err(Problem::behind(wanted, reached));
                }
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_WAIT);
            }
        }
        Ok(())
    }
}

fn not_a_position() -> Problem {
    Problem::parameters(vec![Mistake {
        pointer: None,
        parameter: Some(HEADER.to_owned()),
        code: "invalid",
        detail: format!("the header `{HEADER}` must be a position, a decimal number"),
    }])
}

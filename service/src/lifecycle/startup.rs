//! Waiting at start for what the process cannot do without.

use std::fmt;
use std::time::Duration;

use anyhow::anyhow;
use tokio::time::{Instant, sleep, timeout_at};

use super::Process;
use crate::backoff::Backoff;

const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// How often the log repeats that the process waits.
const REMIND: Duration = Duration::from_secs(10);

/// Why an attempt at start failed.
#[derive(Debug)]
pub enum StartupError {
    /// It may be there in a moment: refused, unknown host, starting up.
    NotReady(anyhow::Error),
    /// Waiting does not help: wrong password, missing right, wrong schema.
    Permanent(anyhow::Error),
}

impl fmt::Display for StartupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotReady(error) | Self::Permanent(error) => write!(f, "{error:#}"),
        }
    }
}

/// Tries `attempt` until it succeeds, fails for good, or `limit` is over. The error names `what` is missing and the
/// `variable` that points to it. `on_wait` gets the reason of each failed attempt.
pub async fn retry_at_startup<T, F>(
    limit: Duration,
    what: &str,
    variable: &str,
    mut on_wait: impl FnMut(&str),
    mut attempt: impl FnMut() -> F,
) -> anyhow::Result<T>
where
    F: Future<Output = Result<T, StartupError>>,
{
    let deadline = Instant::now() + limit;
    let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
    let mut reason = "no answer".to_owned();
    let mut remind_at = Instant::now();
    loop {
        match timeout_at(deadline, attempt()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(StartupError::Permanent(error))) => {
                return Err(error.context(format!("{what} cannot be used, see {variable}")));
            }
            Ok(Err(StartupError::NotReady(error))) => reason = format!("{error:#}"),
            Err(_) => {}
        }
        let wait = backoff.wait();
        if Instant::now() + wait >= deadline {
            let seconds = limit.as_secs_f64();
            return Err(anyhow!(
                "{what} is not available after {seconds} s, check {variable}: {reason}"
            ));
        }
        on_wait(&reason);
        if Instant::now() >= remind_at {
            tracing::warn!(what, variable, reason, "not available yet, trying again");
            remind_at = Instant::now() + REMIND;
        }
        sleep(wait).await;
    }
}

impl Process {
    /// [`retry_at_startup`] for `STARTUP_TIMEOUT_SECONDS`, with `what` as a condition of readiness: not ready while it
    /// waits, ready when it succeeds.
    pub async fn retry_at_startup<T, F>(
        &self,
        what: &'static str,
        variable: &str,
        attempt: impl FnMut() -> F,
    ) -> anyhow::Result<T>
    where
        F: Future<Output = Result<T, StartupError>>,
    {
        let condition = self.health.condition(what);
        let on_wait = |reason: &str| condition.not_ready(format!("unavailable: {reason}"));
        let value = retry_at_startup(self.limits.startup_timeout, what, variable, on_wait, attempt).await?;
        condition.ready();
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::exit::{self, ExitError};
    use crate::settings::Lifecycle;

    const LIMIT: Duration = Duration::from_mins(1);

    async fn retried(
        attempt: impl AsyncFn(u32) -> Result<u32, StartupError>,
    ) -> (anyhow::Result<u32>, u32, Duration) {
        let begin = Instant::now();
        let attempts = Cell::new(0);
        let result = retry_at_startup(
            LIMIT,
            "database",
            "DATABASE_URL",
            |_| {},
            || {
                attempts.set(attempts.get() + 1);
                attempt(attempts.get())
            },
        )
        .await;
        (result, attempts.get(), begin.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_in_time_is_waited_for() {
        let (result, _, waited) = retried(async |attempt| match attempt {
            5 => Ok(7),
            _ => Err(StartupError::NotReady(anyhow!("connection refused"))),
        })
        .await;
        assert_eq!(result.unwrap(), 7);
        assert!(waited < Duration::from_secs(5), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_come_ends_with_1_and_names_the_variable() {
        let (result, attempts, waited) =
            retried(async |_| Err(StartupError::NotReady(anyhow!("connection refused")))).await;
        let error = result.unwrap_err();
        assert_eq!(exit::code_of(&error), exit::FAILED);
        assert_eq!(
            format!("{error:#}"),
            "database is not available after 60 s, check DATABASE_URL: connection refused"
        );
        assert!(
            attempts > 25 && waited <= LIMIT,
            "{attempts} attempts, {waited:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_that_hangs_is_cut_at_the_limit() {
        let (result, attempts, waited) = retried(async |_| std::future::pending().await).await;
        assert!(format!("{:#}", result.unwrap_err()).contains("DATABASE_URL: no answer"));
        assert_eq!(attempts, 1);
        assert!(waited <= LIMIT + Duration::from_secs(1), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_fails_for_good_ends_at_once_with_its_own_code() {
        let (result, attempts, waited) = retried(async |_| {
            Err(StartupError::Permanent(
                ExitError::usage("wrong schema version").into(),
            ))
        })
        .await;
        let error = result.unwrap_err();
        assert_eq!((attempts, waited), (1, Duration::ZERO));
        assert_eq!(exit::code_of(&error), exit::USAGE);
        assert_eq!(
            format!("{error:#}"),
            "database cannot be used, see DATABASE_URL: wrong schema version"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_process_is_not_ready_while_it_waits() {
        let process = Process::new(Lifecycle::default());
        let (seen, attempts) = (std::cell::RefCell::new(Vec::new()), Cell::new(0));
        let result = process
            .retry_at_startup("database", "DATABASE_URL", || {
                attempts.set(attempts.get() + 1);
                seen.borrow_mut().push(process.health.reasons());
                let ready = attempts.get() == 2;
                async move {
                    if ready {
                        Ok(())
                    } else {
                        Err(StartupError::NotReady(anyhow!("refused")))
                    }
                }
            })
            .await;
        assert!(result.is_ok());
        assert_eq!(
            seen.into_inner(),
            [["database: starting"], ["database: unavailable: refused"]]
        );
        assert!(process.health.is_ready());
    }
}

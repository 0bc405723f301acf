//! Waiting for what happens soon, without sleeping for a guess.

use std::panic::Location;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

/// Often enough not to slow tests down, seldom enough not to load what is watched.
const PAUSE: Duration = Duration::from_millis(20);

/// Polls until `check` gives a value; panics at the caller's line when `within` has passed, also when a single
/// `check` hangs that long.
#[track_caller]
pub fn eventually<T, F, Fut>(within: Duration, mut check: F) -> impl Future<Output = T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    let caller = Location::caller();
    async move {
        let deadline = Instant::now() + within;
        loop {
            match timeout_at(deadline, check()).await {
                Ok(Some(value)) => return value,
                Ok(None) if Instant::now() < deadline => sleep(PAUSE).await,
                Ok(None) | Err(_) => panic!("at {caller}: did not come true within {within:?}"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    #[tokio::test]
    async fn gives_the_first_value() {
        let mut attempts = 0;
        let value = eventually(Duration::from_secs(5), || {
            attempts += 1;
            let attempt = attempts;
            async move { (attempt == 3).then_some(attempt) }
        })
        .await;
        assert_eq!(value, 3);
    }

    #[tokio::test(start_paused = true)]
    #[should_panic(expected = "eventually.rs")]
    async fn panics_with_the_callers_line_when_it_never_comes_true() {
        eventually(Duration::from_secs(1), async || None::<()>).await;
    }

    #[tokio::test(start_paused = true)]
    #[should_panic(expected = "within 1s")]
    async fn panics_when_the_check_itself_hangs() {
        eventually(Duration::from_secs(1), pending::<Option<()>>).await;
    }
}

//! The ways a process ends, with injected signals.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use anyhow::anyhow;
use prometheus::Encoder as _;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::sleep;

use super::*;

const SOON: Duration = Duration::from_millis(50);

/// Runs a service with a grace of `grace`; `start` gets the sender of its signals.
fn service<S, F>(grace: Duration, start: S) -> (u8, String, Duration)
where
    S: FnOnce(Process, UnboundedSender<Signal>) -> F + Send + 'static,
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let limits = Lifecycle {
        shutdown_grace: grace,
        ..Lifecycle::default()
    };
    let (sender, receiver) = unbounded_channel();
    let begin = std::time::Instant::now();
    let keep = sender.clone();
    let supervisor = supervisor_runtime().unwrap();
    let ended = run_service(&supervisor, limits, stream(receiver), move |process| {
        start(process, sender)
    })
    .flatten();
    drop(keep);
    let (code, message) = ended.map_or_else(
        |error| (error.code, error.message),
        |()| (exit::DONE, String::new()),
    );
    (code, message, begin.elapsed())
}

fn stream(mut receiver: UnboundedReceiver<Signal>) -> impl Stream<Item = Signal> + Unpin {
    futures::stream::poll_fn(move |context| receiver.poll_recv(context))
}

fn gauge(process: &Process, line: &str) -> bool {
    let mut text = Vec::new();
    prometheus::TextEncoder::new()
        .encode(&process.registry.gather(), &mut text)
        .unwrap();
    String::from_utf8(text)
        .unwrap()
        .lines()
        .any(|found| found == line)
}

/// A component that ends when it is told to.
async fn obedient(process: Process) -> anyhow::Result<()> {
    process.stopping.cancelled().await;
    Ok(())
}

#[test]
fn a_signal_drains_and_ends_with_0() {
    let finished = Arc::new(AtomicBool::new(false));
    let done = Arc::clone(&finished);
    let (code, _, _) = service(Duration::from_secs(20), move |process, signals| async move {
        let component = process.clone();
        process.spawn("loop", async move {
            component.stopping.cancelled().await;
            assert_eq!(component.health.reasons(), ["draining"]);
            sleep(SOON).await;
            done.store(true, Ordering::SeqCst);
            Ok(())
        });
        signals.send(Signal::Terminate)?;
        Ok(())
    });
    assert_eq!(code, exit::DONE);
    assert!(finished.load(Ordering::SeqCst), "the drain was cut short");
}

#[test]
fn a_second_signal_ends_with_70_at_once() {
    let (code, message, took) = service(Duration::from_secs(20), |process, signals| async move {
        process.spawn("stubborn", std::future::pending());
        signals.send(Signal::Interrupt)?;
        signals.send(Signal::Interrupt)?;
        Ok(())
    });
    assert_eq!(code, exit::ABORTED);
    assert!(message.contains("second signal"), "{message}");
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[test]
fn a_spent_grace_ends_with_70() {
    let aborting = Arc::new(Mutex::new(None));
    let seen = Arc::clone(&aborting);
    let (code, message, took) = service(Duration::from_millis(300), move |process, signals| async move {
        *seen.lock().unwrap() = Some(process.aborting.clone());
        process.spawn("stubborn", std::future::pending());
        signals.send(Signal::Terminate)?;
        Ok(())
    });
    assert_eq!(code, exit::ABORTED);
    assert!(message.contains("SHUTDOWN_GRACE_SECONDS"), "{message}");
    assert!(
        took >= Duration::from_millis(300) && took < Duration::from_secs(10),
        "{took:?}"
    );
    assert!(aborting.lock().unwrap().as_ref().unwrap().is_cancelled());
}

#[test]
fn a_component_that_blocks_every_thread_cannot_hold_the_process() {
    let (code, _, took) = service(Duration::from_millis(300), |process, signals| async move {
        for _ in 0..64 {
            process.spawn("blocking", async {
                std::thread::sleep(Duration::from_secs(5));
                Ok(())
            });
        }
        signals.send(Signal::Terminate)?;
        Ok(())
    });
    assert_eq!(code, exit::ABORTED);
    assert!(took < Duration::from_secs(4), "{took:?}");
}

#[test]
fn a_component_that_ends_early_stops_the_others_and_ends_with_1() {
    let drained = Arc::new(AtomicBool::new(false));
    let done = Arc::clone(&drained);
    let (code, message, _) = service(Duration::from_secs(20), move |process, _signals| async move {
        let other = process.clone();
        process.spawn("other", async move {
            obedient(other).await?;
            done.store(true, Ordering::SeqCst);
            Ok(())
        });
        process.spawn("loop", async { Ok(()) });
        Ok(())
    });
    assert_eq!(code, exit::FAILED);
    assert_eq!(message, "loop: ended although the process was not stopping");
    assert!(
        drained.load(Ordering::SeqCst),
        "the other component was not drained"
    );
}

#[test]
fn an_error_and_a_panic_end_with_1_and_name_the_component() {
    let (code, message, _) = service(Duration::from_secs(20), |process, _signals| async move {
        process.spawn("loop", async {
            Err(anyhow!("no such table").context("read a page"))
        });
        Ok(())
    });
    assert_eq!(
        (code, message.as_str()),
        (exit::FAILED, "loop: read a page: no such table")
    );
    let (code, message, _) = service(Duration::from_secs(20), |process, _signals| async move {
        process.spawn("loop", async { panic!("index {} out of bounds", 3) });
        Ok(())
    });
    assert_eq!(
        (code, message.as_str()),
        (exit::FAILED, "loop: panicked: index 3 out of bounds")
    );
}

#[test]
fn a_failure_during_the_drain_is_no_graceful_stop() {
    let (code, message, _) = service(Duration::from_secs(20), |process, signals| async move {
        let component = process.clone();
        process.spawn("loop", async move {
            obedient(component).await?;
            Err(anyhow!("the last batch was not recorded"))
        });
        signals.send(Signal::Terminate)?;
        Ok(())
    });
    assert_eq!(
        (code, message.as_str()),
        (exit::FAILED, "loop: the last batch was not recorded")
    );
}

#[test]
fn a_silent_component_ends_with_1_and_does_not_spend_the_grace() {
    let (code, message, took) = service(Duration::from_secs(20), |process, _signals| async move {
        let beating = process.clone();
        process.spawn_with_heartbeat("beating", Duration::from_millis(400), |heartbeat| async move {
            while !beating.stopping.is_cancelled() {
                heartbeat.beat();
                sleep(Duration::from_millis(20)).await;
            }
            Ok(())
        });
        process.spawn_with_heartbeat("silent", Duration::from_millis(400), |heartbeat| async move {
            heartbeat.beat();
            std::future::pending().await
        });
        Ok(())
    });
    assert_eq!(code, exit::FAILED);
    assert_eq!(message, "silent: no sign of life for 400ms");
    assert!(
        took >= Duration::from_millis(400) && took < Duration::from_secs(10),
        "{took:?}"
    );
}

#[test]
fn a_start_that_fails_keeps_its_exit_code() {
    let (code, message, _) = service(Duration::from_secs(20), |_, _| async {
        Err(ExitError::usage("COMMANDS_TOPIC: no").into())
    });
    assert_eq!(
        (code, message.as_str()),
        (exit::USAGE, "start: COMMANDS_TOPIC: no")
    );
    let (code, message, _) = service(Duration::from_secs(20), |_, _| async { panic!("no") });
    assert_eq!((code, message.as_str()), (exit::FAILED, "start: panicked: no"));
}

#[test]
fn a_signal_during_start_ends_with_0() {
    let (code, _, took) = service(Duration::from_secs(20), |process, signals| async move {
        assert_eq!(process.health.reasons(), ["process: starting"]);
        signals.send(Signal::Terminate)?;
        std::future::pending().await
    });
    assert_eq!(code, exit::DONE);
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[test]
fn what_outlives_the_drain_sees_all_components_ended() {
    let alive = Arc::new(AtomicU32::new(1));
    let (component_alive, seen) = (Arc::clone(&alive), Arc::new(AtomicU32::new(99)));
    let result = Arc::clone(&seen);
    let (code, _, _) = service(Duration::from_secs(20), move |process, signals| async move {
        let watched = Arc::clone(&component_alive);
        process.spawn_until_drained("ops", |drained| async move {
            drained.cancelled().await;
            seen.store(watched.load(Ordering::SeqCst), Ordering::SeqCst);
            Ok(())
        });
        let component = process.clone();
        process.spawn("loop", async move {
            obedient(component).await?;
            sleep(SOON).await;
            component_alive.store(0, Ordering::SeqCst);
            Ok(())
        });
        signals.send(Signal::Terminate)?;
        Ok(())
    });
    assert_eq!(code, exit::DONE);
    assert_eq!(result.load(Ordering::SeqCst), 0);
}

#[test]
fn the_gauge_counts_components_while_they_live() {
    let kept = Arc::new(Mutex::new(None));
    let copy = Arc::clone(&kept);
    let (code, _, _) = service(Duration::from_secs(20), move |process, signals| async move {
        *copy.lock().unwrap() = Some(process.clone());
        for _ in 0..2 {
            process.spawn("lane", obedient(process.clone()));
        }
        while !gauge(&process, r#"tracking_component_up{component="lane"} 2"#) {
            sleep(Duration::from_millis(5)).await;
        }
        signals.send(Signal::Terminate)?;
        Ok(())
    });
    assert_eq!(code, exit::DONE);
    let process = kept.lock().unwrap().take().unwrap();
    assert!(gauge(&process, r#"tracking_component_up{component="lane"} 0"#));
}

fn job<S, F>(job: S) -> anyhow::Result<()>
where
    S: FnOnce(Process, UnboundedSender<Signal>) -> F + Send + 'static,
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let (sender, receiver) = unbounded_channel();
    let keep = sender.clone();
    let supervisor = supervisor_runtime().unwrap();
    let ended = run_one_job(
        &supervisor,
        Lifecycle::default(),
        stream(receiver),
        move |process| job(process, sender),
    );
    drop(keep);
    ended
}

#[test]
fn a_job_ends_the_process_with_its_result() {
    assert!(job(|_, _| async { Ok(()) }).is_ok());
    let error =
        job(|_, _| async { Err(ExitError::new(exit::DIFFERENCES, "2 rows differ").into()) }).unwrap_err();
    assert_eq!(
        (exit::code_of(&error), error.to_string().as_str()),
        (exit::DIFFERENCES, "2 rows differ")
    );
    let error = job(|_, _| async { panic!("no") }).unwrap_err();
    assert_eq!(
        (exit::code_of(&error), format!("{error:#}").as_str()),
        (exit::FAILED, "panicked: no")
    );
}

#[test]
fn an_interrupted_job_is_not_done_unless_it_finishes_by_itself() {
    let error = job(|process, signals| async move {
        signals.send(Signal::Interrupt)?;
        process
            .interruptible(std::future::pending::<anyhow::Result<()>>())
            .await
    })
    .unwrap_err();
    assert_eq!(
        (exit::code_of(&error), error.to_string().as_str()),
        (exit::FAILED, "interrupted")
    );
    let finished = job(|process, signals| async move {
        signals.send(Signal::Interrupt)?;
        process.stopping.cancelled().await;
        Ok(())
    });
    assert!(finished.is_ok());
}

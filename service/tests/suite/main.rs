//! Real signals on a real process: this one. One test, as its signals reach every test of the process.

use std::process::{Command, ExitCode};

use service::lifecycle::run;
use service::settings::Lifecycle;

#[test]
fn sigterm_stops_gracefully_and_a_second_signal_aborts() {
    let graceful = run(Lifecycle::default(), |process| async move {
        let stopping = process.stopping.clone();
        process.spawn("loop", async move {
            stopping.cancelled().await;
            Ok(())
        });
        send("TERM");
        Ok(())
    });
    assert_is(graceful, service::exit::DONE);

    let aborted = run(Lifecycle::default(), |process| async move {
        process.spawn("stubborn", std::future::pending());
        let stopping = process.stopping.clone();
        process.spawn("impatient", async move {
            send("INT");
            // The kernel merges equal signals that are still pending.
            stopping.cancelled().await;
            send("INT");
            Ok(())
        });
        Ok(())
    });
    assert_is(aborted, service::exit::ABORTED);
}

fn send(signal: &str) {
    let process = std::process::id().to_string();
    let status = Command::new("kill")
        .args(["-s", signal, &process])
        .status()
        .expect("run kill");
    assert!(status.success());
}

fn assert_is(code: ExitCode, expected: u8) {
    assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::from(expected)));
}

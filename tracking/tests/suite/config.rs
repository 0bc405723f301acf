//! `tracking config`.

use crate::{stderr, stdout, tracking};

const URL: (&str, &str) = ("DATABASE_URL", "postgres://app:hunter2@db:5432/tracking");

#[test]
fn the_configuration_in_force_is_shown_without_secrets() {
    let variables = [URL, ("PULSAR_TOKEN", "t0ken"), ("WORKER_BATCH_SIZE", "100")];
    for arguments in [
        &["config", "--role", "worker"][..],
        &["--json", "config", "--role", "worker"][..],
    ] {
        let output = tracking(arguments, &variables);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let text = stdout(&output);
        assert!(!text.contains("hunter2") && !text.contains("t0ken"), "{text}");
        assert!(
            text.contains("postgres://app:REDACTED@db:5432/tracking"),
            "{text}"
        );
    }
    let json = stdout(&tracking(&["config", "--role", "worker", "--json"], &variables));
    let shown: serde_json::Value = serde_json::from_str(&json).expect("one JSON document");
    let lines = shown["variables"].as_array().expect("an array");
    let line = |name: &str| {
        lines
            .iter()
            .find(|line| line["name"] == name)
            .expect("the variable is shown")
            .clone()
    };
    assert_eq!(
        line("WORKER_BATCH_SIZE"),
        serde_json::json!({"name": "WORKER_BATCH_SIZE", "value": "100", "source": "env"})
    );
    assert_eq!(
        line("HTTP_ADDR"),
        serde_json::json!({"name": "HTTP_ADDR", "value": "0.0.0.0:8012", "source": "default"})
    );
    assert_eq!(shown["mistakes"], serde_json::json!([]));
}

#[test]
fn all_mistakes_are_listed_at_once_and_end_with_2() {
    let variables = [("QUEUE_TYPE", "kafka"), ("SHUTDOWN_GRACE_SECONDS", "soon")];
    let output = tracking(&["config"], &variables);
    assert_eq!(output.status.code(), Some(2));
    let text = stderr(&output);
    for variable in [
        "DATABASE_URL",
        "QUEUE_TYPE",
        "SHUTDOWN_GRACE_SECONDS",
        "AUTH_MODE",
    ] {
        assert!(
            text.contains(&format!("\n  {variable}: ")),
            "{variable} is missing in {text}"
        );
    }
    assert!(
        text.starts_with("error: 4 mistakes in the configuration\n"),
        "{text}"
    );
}

#[test]
fn the_example_file_is_printed() {
    let output = tracking(&["config", "--env-example"], &[]);
    assert_eq!(output.status.code(), Some(0));
    assert!(
        stdout(&output).contains("\n#WORKER_BATCH_LINGER_MS="),
        "{}",
        stdout(&output)
    );
}

//! The log: one JSON object a line, or lines for people.
//!
//! Services log to stdout, where container platforms look; tools print their results there and log to stderr.
//! Panics go to the log too. The pulsar crate prints whole messages at its lower levels, which are personal data:
//! it says errors, at most warnings, whatever the level.

use std::io::IsTerminal as _;

use tracing::{Level, Metadata, level_filters::LevelFilter};
use tracing_subscriber::filter::{EnvFilter, FilterExt as _, filter_fn};
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::exit::ExitError;
use crate::settings::{Log, LogFormat};

/// Where the log goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// For services.
    Stdout,
    /// For tools, whose results are on stdout.
    Stderr,
}

/// Starts the log of this process and sends panics to it. Once a process; a second call is an error.
pub fn init(log: &Log, destination: Destination) -> Result<(), ExitError> {
    let (writer, terminal) = match destination {
        Destination::Stdout => (
            BoxMakeWriter::new(std::io::stdout),
            std::io::stdout().is_terminal(),
        ),
        Destination::Stderr => (
            BoxMakeWriter::new(std::io::stderr),
            std::io::stderr().is_terminal(),
        ),
    };
    subscriber(log, writer, terminal)
        .try_init()
        .map_err(|error| ExitError::failed(format!("start the log: {error}")))?;
    std::panic::set_hook(Box::new(log_panic));
    Ok(())
}

/// Whether `directives` are a filter.
pub(crate) fn parses(directives: &str) -> bool {
    EnvFilter::builder().parse(directives).is_ok()
}

fn subscriber(
    log: &Log,
    writer: BoxMakeWriter,
    terminal: bool,
) -> impl tracing::Subscriber + Send + Sync + use<> {
    let layer = tracing_subscriber::fmt::layer().with_writer(writer);
    let layer = match log.format {
        LogFormat::Json => layer
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .boxed(),
        LogFormat::Pretty => layer.with_ansi(terminal).boxed(),
    };
    let within_cap = filter_fn(within_cap).with_max_level_hint(LevelFilter::TRACE);
    tracing_subscriber::registry().with(layer.with_filter(filter(&log.level).and(within_cap)))
}

fn filter(level: &str) -> EnvFilter {
    // Its warnings are about retries of which our own supervisor tells; who wants them asks for them.
    let of_pulsar = |directive: &str| directive.starts_with("pulsar=") || directive.starts_with("pulsar::");
    let asked = level.split(',').any(of_pulsar);
    // The migrations' library says in lines of its own what `migrate` prints as its result.
    let quiet = "refinery_core=warn";
    let directives = if asked {
        format!("{quiet},{level}")
    } else {
        format!("{quiet},{level},pulsar=error")
    };
    EnvFilter::builder().parse_lossy(directives)
}

fn within_cap(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target();
    let pulsar = target == "pulsar" || target.starts_with("pulsar::");
    !pulsar || *metadata.level() <= Level::WARN
}

fn log_panic(panic: &std::panic::PanicHookInfo<'_>) {
    let location = panic.location().map(ToString::to_string).unwrap_or_default();
    let message = panic.payload_as_str().unwrap_or("no message");
    let thread = std::thread::current().name().unwrap_or("unnamed").to_owned();
    let backtrace = std::backtrace::Backtrace::capture();
    if backtrace.status() == std::backtrace::BacktraceStatus::Captured {
        tracing::error!(panic.message = message, panic.location = location, thread, %backtrace, "panicked");
    } else {
        tracing::error!(
            panic.message = message,
            panic.location = location,
            thread,
            "panicked"
        );
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, level: &str, events: impl FnOnce()) -> String {
        let buffer = Buffer::default();
        let copy = buffer.clone();
        let log = Log {
            format,
            level: level.to_owned(),
        };
        let subscriber = subscriber(&log, BoxMakeWriter::new(move || copy.clone()), false);
        tracing::subscriber::with_default(subscriber, events);
        let bytes = buffer.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn json_is_one_flat_object_a_line() {
        let text = logged(LogFormat::Json, "info", || {
            tracing::info!(batch.size = 3, "appended\na batch");
            tracing::debug!("left out");
        });
        assert_eq!(text.lines().count(), 1, "{text}");
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["level"], "INFO");
        assert_eq!(line["message"], "appended\na batch");
        assert_eq!(line["batch.size"], 3);
        assert_eq!(line["target"], "service::telemetry::tests");
        let timestamp = line["timestamp"].as_str().unwrap();
        assert!(
            chrono::DateTime::parse_from_rfc3339(timestamp).is_ok(),
            "{timestamp}"
        );
    }

    #[test]
    fn directives_raise_one_target_alone() {
        let text = logged(LogFormat::Pretty, "warn,loud=debug", || {
            tracing::info!("left out");
            tracing::debug!(target: "loud", "kept");
        });
        assert!(text.contains("kept") && !text.contains("left out"), "{text}");
    }

    #[test]
    fn the_pulsar_crate_never_prints_payloads() {
        let events = || {
            tracing::error!(target: "pulsar::connection", "an error");
            tracing::warn!(target: "pulsar::connection", "a warning");
            tracing::debug!(target: "pulsar::connection", "a payload");
            tracing::debug!(target: "messaging::pulsar", "ours");
        };
        for level in ["trace", "info,messaging::pulsar=trace"] {
            let text = logged(LogFormat::Pretty, level, events);
            assert!(text.contains("an error") && text.contains("ours"), "{text}");
            assert!(
                !text.contains("a warning") && !text.contains("a payload"),
                "{text}"
            );
        }
        for level in ["trace,pulsar=trace", "pulsar::connection=trace,pulsar=trace"] {
            let text = logged(LogFormat::Pretty, level, events);
            assert!(
                text.contains("a warning") && !text.contains("a payload"),
                "{text}"
            );
        }
    }
}

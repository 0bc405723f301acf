//! `tracking produce`: sends commands, each with its identity and keyed by its user, and waits for every receipt.

mod input;
mod message;
mod sender;

use crate::progress::Progress;
use crate::{connect, output};
use domain::{Code, CommandId};
use input::{Input, Line};
use sender::Sender;
use serde::Serialize;
use service::env::Env;
use service::telemetry::{self, Destination};
use service::{ExitError, Process, Role, Settings, lifecycle};
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Arguments of `tracking produce`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Commands, one JSON text each. Without any, and without --file, they are read from stdin, one a line.
    commands: Vec<String>,

    /// Read commands from this file, one JSON text a line of at most 256 KiB; `-` is stdin.
    #[arg(long, short, value_name = "FILE", conflicts_with = "commands")]
    file: Option<PathBuf>,

    /// Send every line as it is, even what is sure to become a dead letter.
    #[arg(long)]
    no_validate: bool,

    /// How long a queue that takes nothing is waited for, in seconds, before giving up.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
}

/// Most refusals and ids that the result lists.
const LISTED: usize = 100;

/// What became of the input.
#[derive(Debug, Default, Serialize)]
struct Summary {
    /// Commands that the queue has, each with its receipt.
    sent: u64,
    /// Commands that were not sent because they are wrong.
    refused: u64,
    /// Commands that were sent and got no receipt: they may or may not have arrived.
    failed: u64,
    /// Whether all of the input was read.
    complete: bool,
    /// Ids of the first commands that were handed to the queue.
    ids: Vec<CommandId>,
    /// The first refusals.
    refusals: Vec<Refusal>,
}

/// A command that was not sent.
#[derive(Debug, Serialize)]
struct Refusal {
    line: u64,
    code: Code,
    pointer: String,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

pub(crate) fn run(arguments: Arguments, json: bool) -> anyhow::Result<()> {
    let settings = Settings::load(&mut Env::from_process(), Role::Produce).map_err(ExitError::from)?;
    telemetry::init(&settings.log, Destination::Stderr)?;
    let (validate, patience) = (!arguments.no_validate, Duration::from_secs(arguments.timeout));
    let input = input(arguments)?;
    lifecycle::run_job(settings.lifecycle, move |process| async move {
        let queue = connect::queue(&settings.queue);
        let opened = process
            .interruptible(async { Ok(queue.command_sink().await) })
            .await?;
        let sink = opened.map_err(|error| {
            ExitError::failed(format!(
                "{error}; see PULSAR_URL, PULSAR_ADMIN_URL and COMMANDS_TOPIC"
            ))
        })?;
        let sender = Sender::new(sink, patience, process.stopping.clone());
        let (summary, failure) = send_all(&process, input, sender, validate).await;
        show(&summary, json)?;
        match failure {
            Some(failure) => Err(ExitError::failed(format!("{failure}; {}", summary.in_words())).into()),
            None if summary.refused == 0 => Ok(()),
            None => Err(ExitError::failed(summary.in_words()).into()),
        }
    })
}

fn input(arguments: Arguments) -> Result<Input, ExitError> {
    match arguments.file {
        Some(path) if path != Path::new("-") => Ok(Input::File(path)),
        None if !arguments.commands.is_empty() => Ok(Input::Arguments(arguments.commands)),
        None if std::io::stdin().is_terminal() => Err(ExitError::usage(
            "nothing to send: give commands as arguments, by --file or on stdin",
        )),
        Some(_) | None => Ok(Input::Stdin),
    }
}

/// What happened next.
enum Step {
    Line(std::io::Result<Line>),
    Receipt((messaging::OutgoingMessage, Result<(), messaging::QueueError>)),
    InputEnds,
    Interrupted,
}

/// Sends until the input ends, the process is told to stop, or the queue fails for good; gives the reason of an early end.
async fn send_all(
    process: &Process,
    input: Input,
    mut sender: Sender,
    validate: bool,
) -> (Summary, Option<String>) {
    let unit = input.unit();
    let mut lines = input.read();
    let (mut summary, mut failure, mut reading) = (Summary::default(), None, true);
    let (mut progress, begin) = (Progress::on_stderr(), Instant::now());
    while reading || !sender.is_idle() {
        let step = tokio::select! {
            biased;
            () = process.stopping.cancelled(), if reading => Step::Interrupted,
            Some(sent) = sender.receipt() => Step::Receipt(sent),
            line = lines.recv(), if reading && sender.has_room() => line.map_or(Step::InputEnds, Step::Line),
        };
        match step {
            Step::Line(Ok(line)) => match message::prepare(line.text, validate) {
                Ok(prepared) => {
                    if summary.ids.len() < LISTED {
                        summary.ids.push(prepared.id);
                    }
                    sender.send(prepared.message).await;
                }
                Err(rejection) => summary.refuse(line.number, unit, rejection, &mut progress),
            },
            Step::Line(Err(error)) => {
                failure = Some(format!("read the commands: {error}"));
                reading = false;
            }
            Step::Receipt(sent) => {
                if let Err(error) = sender.settle(sent).await {
                    failure = Some(format!("{error}; see PULSAR_URL"));
                    reading = false;
                }
            }
            Step::InputEnds => {
                summary.complete = true;
                reading = false;
            }
            Step::Interrupted => {
                failure = Some("interrupted".to_owned());
                reading = false;
            }
        }
        progress.show(|| {
            let rate = sender.sent as f64 / begin.elapsed().as_secs_f64();
            format!("{} sent, {} refused, {rate:.0}/s", sender.sent, summary.refused)
        });
    }
    summary.sent = sender.sent;
    summary.failed = sender.failed;
    (summary, failure)
}

impl Summary {
    /// Says at once what is wrong: whoever waits for a long file wants to know.
    fn refuse(&mut self, line: u64, unit: &str, rejection: domain::Rejection, progress: &mut Progress) {
        let domain::Rejection {
            code,
            detail,
            pointer,
            hint,
            ..
        } = rejection;
        let at = if pointer.is_empty() {
            String::new()
        } else {
            format!(" at {pointer}")
        };
        let advice = hint
            .as_ref()
            .map(|hint| format!(" (hint: {hint})"))
            .unwrap_or_default();
        progress.line(&format!("{unit} {line}: {code}{at}: {detail}{advice}"));
        self.refused += 1;
        if self.refusals.len() < LISTED {
            self.refusals.push(Refusal {
                line,
                code,
                pointer,
                detail,
                hint,
            });
        }
    }

    fn in_words(&self) -> String {
        let end = if self.complete {
            ""
        } else {
            ", the rest of the input was not read"
        };
        format!(
            "{} sent, {} refused, {} failed{end}",
            self.sent, self.refused, self.failed
        )
    }
}

fn show(summary: &Summary, json: bool) -> anyhow::Result<()> {
    if json {
        return output::json(summary);
    }
    let row = [summary.sent, summary.refused, summary.failed].map(|n| n.to_string());
    output::table(&["SENT", "REFUSED", "FAILED"], [row])
}

//! `tracking deadletters`: what did not become an event, and why.

use crate::{output, tool};
use clap::ValueEnum;
use domain::{Code, Project};
use eventstore::{DeadLetter, DeadLetterFilter};
use serde::Serialize;
use service::ExitError;
use uuid::Uuid;

/// Arguments of `tracking deadletters`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List dead letters in the order in which they came.
    List(ListArguments),
    /// Show one dead letter, with its payload.
    Show(ShowArguments),
}

#[derive(Debug, clap::Args)]
struct ListArguments {
    /// Only of this reason.
    #[arg(long, value_parser = code_names())]
    code: Option<String>,

    /// Only in this state.
    #[arg(long, value_enum)]
    state: Option<State>,

    /// Only of this project.
    #[arg(long)]
    project: Option<Project>,

    /// Only of the command with this id.
    #[arg(long)]
    id: Option<Uuid>,

    /// After this sequence number; the last one of a list begins the next.
    #[arg(long, value_name = "SEQUENCE", default_value_t = 0)]
    after: i64,

    /// At most so many.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..=10_000))]
    limit: i64,
}

#[derive(Debug, clap::Args)]
struct ShowArguments {
    /// The command's id.
    id: Uuid,

    /// Of this project, where several have a command with this id.
    #[arg(long)]
    project: Option<Project>,

    /// Of this reason, where the command failed for several.
    #[arg(long, value_parser = code_names())]
    code: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum State {
    Open,
    Replayed,
    Discarded,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Replayed => "replayed",
            Self::Discarded => "discarded",
        }
    }
}

fn code_names() -> clap::builder::PossibleValuesParser {
    Code::ALL.map(Code::as_str).into()
}

pub(crate) fn run(arguments: Arguments, json: bool) -> anyhow::Result<()> {
    match arguments.command {
        Command::List(arguments) => list(arguments, json),
        Command::Show(arguments) => show(arguments, json),
    }
}

/// A dead letter in a list: with the number that a next list begins after.
#[derive(Serialize)]
struct Listed<'a> {
    sequence: String,
    #[serde(flatten)]
    letter: &'a DeadLetter,
}

/// Widest that a reason becomes in a row.
const WIDTH: usize = 80;

fn list(arguments: ListArguments, json: bool) -> anyhow::Result<()> {
    let filter = DeadLetterFilter {
        code: arguments.code,
        state: arguments.state.map(|state| state.name().to_owned()),
        project: arguments.project.map(String::from),
        id: arguments.id,
        after: arguments.after,
        limit: arguments.limit,
    };
    tool::run(move |process, store| async move {
        let read = async { Ok(store.dead_letters(&filter).await?) };
        let letters = process.interruptible(read).await?;
        if json {
            let sequence = |letter: &DeadLetter| letter.sequence.to_string();
            return output::json(
                &letters
                    .iter()
                    .map(|letter| Listed {
                        sequence: sequence(letter),
                        letter,
                    })
                    .collect::<Vec<_>>(),
            );
        }
        let rows = letters.iter().map(|letter| {
            [
                letter.sequence.to_string(),
                letter.id.to_string(),
                letter.project.clone(),
                letter.code.clone(),
                letter.state.clone(),
                time(letter.failed_at),
                output::shortened(&letter.detail, WIDTH),
            ]
        });
        let heading = ["SEQUENCE", "ID", "PROJECT", "CODE", "STATE", "FAILED", "DETAIL"];
        output::table(&heading, rows)
    })
}

fn show(arguments: ShowArguments, json: bool) -> anyhow::Result<()> {
    let id = arguments.id;
    let filter = DeadLetterFilter {
        code: arguments.code,
        project: arguments.project.map(String::from),
        id: Some(id),
        // Two of them are too many already; the others are named.
        limit: 100,
        ..DeadLetterFilter::default()
    };
    tool::run(move |process, store| async move {
        let read = async { Ok(store.dead_letters(&filter).await?) };
        match process.interruptible(read).await?.as_slice() {
            [] => Err(ExitError::failed(format!("there is no such dead letter: {id}")).into()),
            [letter] if json => output::json(letter),
            [letter] => output::text(&for_people(letter)),
            several => {
                let named: Vec<String> = several
                    .iter()
                    .map(|letter| format!("--project {} --code {}", letter.project, letter.code))
                    .collect();
                let text = format!(
                    "{id} names several dead letters, choose one:\n  {}",
                    named.join("\n  ")
                );
                Err(ExitError::usage(text).into())
            }
        }
    })
}

/// The fields, then the payload.
fn for_people(letter: &DeadLetter) -> String {
    let mut fields = vec![
        ("id", letter.id.to_string()),
        ("project", letter.project.clone()),
        ("code", letter.code.clone()),
        ("detail", letter.detail.clone()),
    ];
    if !letter.pointer.is_empty() {
        fields.push(("pointer", letter.pointer.clone()));
    }
    fields.extend(letter.hint.clone().map(|hint| ("hint", hint)));
    fields.push(("state", letter.state.clone()));
    fields.push(("source", letter.source.clone()));
    fields.extend(letter.key.clone().map(|key| ("key", key)));
    for (name, value) in &letter.properties {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        fields.push(("property", format!("{name}={value}")));
    }
    fields.push(("attempts", letter.attempts.to_string()));
    fields.push(("first seen", time(letter.first_seen)));
    fields.push(("failed", time(letter.failed_at)));
    let encoding = letter.payload_encoding;
    fields.push(("payload", format!("{} bytes, {encoding}", letter.raw.len())));
    let lines = fields
        .iter()
        .map(|(name, value)| format!("{name:12}{}\n", output::printable(value)));
    format!(
        "{}\n{}\n",
        lines.collect::<String>(),
        output::printable(&letter.payload)
    )
}

fn time(at: chrono::DateTime<chrono::Utc>) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

//! `tracking events`: the log, for people and scripts.

mod list;
mod shown;
mod tail;
mod watermark;

use domain::{Project, UserId};
use eventstore::{EventFilter, Position};

/// Arguments of `tracking events`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List events in the order of the log.
    List(ListArguments),
    /// Follow the log: print events as they are recorded, until interrupted.
    Tail(TailArguments),
    /// Say up to where the log is settled, and which sessions hold that back.
    ExplainWatermark,
}

#[derive(Debug, clap::Args)]
struct ListArguments {
    /// After this position; the last one of a list begins the next.
    #[arg(long, value_name = "POSITION", default_value = "0")]
    after: Position,

    /// At most so many events.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    limit: u16,

    #[command(flatten)]
    filter: FilterArguments,
}

#[derive(Debug, clap::Args)]
struct TailArguments {
    /// Begin after this position.
    #[arg(long, value_name = "POSITION", conflicts_with = "from_now")]
    after: Option<Position>,

    /// Begin with what is recorded from now on, as it does without --after.
    #[arg(long)]
    from_now: bool,

    #[command(flatten)]
    filter: FilterArguments,
}

#[derive(Debug, clap::Args)]
struct FilterArguments {
    /// Only events of this project.
    #[arg(long)]
    project: Option<Project>,

    /// Only events of this user; much quicker together with --project.
    #[arg(long, value_name = "USER")]
    user_id: Option<UserId>,
}

impl From<FilterArguments> for EventFilter {
    fn from(arguments: FilterArguments) -> Self {
        Self {
            project: arguments.project,
            user: arguments.user_id,
        }
    }
}

pub(crate) fn run(arguments: Arguments, json: bool) -> anyhow::Result<()> {
    match arguments.command {
        Command::List(arguments) => list::run(arguments, json),
        Command::Tail(arguments) => tail::run(arguments, json),
        Command::ExplainWatermark => watermark::run(json),
    }
}

//! The subcommands, one file each.

mod api;
pub(crate) mod config;
pub(crate) mod deadletters;
pub(crate) mod events;
pub(crate) mod migrate;
pub(crate) mod produce;
mod projector;
pub(crate) mod verify;
mod worker;

use std::process::ExitCode;

use crate::cli::{Cli, Command};

/// Runs what the command line asks for.
pub(crate) fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command {
        Command::Api => return api::run(),
        Command::Worker => return worker::run(),
        Command::Projector => return projector::run(),
        Command::Migrate(arguments) => migrate::run(&arguments, cli.json)?,
        Command::Produce(arguments) => produce::run(arguments, cli.json)?,
        Command::Events(arguments) => events::run(arguments, cli.json)?,
        Command::Deadletters(arguments) => deadletters::run(arguments, cli.json)?,
        Command::Verify(arguments) => verify::run(&arguments, cli.json)?,
        Command::Config(arguments) => config::run(&arguments, cli.json)?,
    }
    Ok(ExitCode::from(service::exit::DONE))
}

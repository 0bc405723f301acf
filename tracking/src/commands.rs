//! The subcommands, one file each.

pub(crate) mod config;

use std::process::ExitCode;

use crate::cli::{Cli, Command};

/// Runs what the command line asks for.
pub(crate) fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command {
        Command::Config(arguments) => config::run(&arguments, cli.json)?,
    }
    Ok(ExitCode::from(service::exit::DONE))
}

//! The `tracking` executable: subcommands only, each in its own file.
//!
//! A subcommand reads its settings, starts the log and calls a library. What it returns becomes the exit code.

mod cli;
mod commands;
mod connect;
mod output;
mod progress;
mod tool;

use std::process::ExitCode;

use clap::Parser as _;

/// A worker makes and frees some twenty small pieces a command, across threads, which the system's allocator does at
/// length (measured in docs/performance.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match commands::run(cli::Cli::parse()) {
        Ok(code) => code,
        Err(error) if output::reader_is_gone(&error) => ExitCode::from(service::exit::DONE),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(service::exit::code_of(&error))
        }
    }
}

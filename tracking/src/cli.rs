//! The command line: what there is and what it says about itself.

use clap::{Parser, Subcommand};

use crate::commands::{config, deadletters, events, migrate, produce, verify};

/// Version and commit, as `--version` prints them after the name.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("TRACKING_COMMIT"), ")");

const EXIT_CODES: &str = "\
Exit codes:
  0   done, or stopped gracefully
  1   failed
  2   wrong usage or configuration; all mistakes are listed, each with its variable
  3   verify found differences
  70  the stop was aborted: a second signal came, or the grace was spent

Configuration is by environment variables; `tracking config` shows those in force.";

/// Records every interaction of every user, for ever, and shows it within a second.
#[derive(Debug, Parser)]
#[command(name = "tracking", version = VERSION, after_help = EXIT_CODES, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// Print results as JSON: an array for lists, else an object.
    #[arg(long, global = true)]
    pub(crate) json: bool,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Take commands over HTTP and answer queries.
    Api,
    /// Take commands from the queue and record them.
    Worker,
    /// Fold the log into read models and publish it.
    Projector,
    /// Bring the schema up to date; make topics and subscriptions.
    Migrate(migrate::Arguments),
    /// Send commands to the queue: from arguments, a file or stdin.
    Produce(produce::Arguments),
    /// Look into the log: list it, follow it, explain what holds it back.
    Events(events::Arguments),
    /// Look into the dead letters: what was not accepted, and why.
    Deadletters(deadletters::Arguments),
    /// Check the log, the dedup table, the dead letters and the views against each other.
    Verify(verify::Arguments),
    /// Show the configuration in force, secrets hidden, and all mistakes in it.
    Config(config::Arguments),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_and_argument_explains_itself() {
        let mut commands = vec![Cli::command()];
        while let Some(command) = commands.pop() {
            assert!(
                command.get_about().is_some(),
                "{} has no help",
                command.get_name()
            );
            for argument in command.get_arguments() {
                assert!(
                    argument.get_help().is_some(),
                    "{} {} has no help",
                    command.get_name(),
                    argument.get_id()
                );
            }
            commands.extend(command.get_subcommands().cloned());
        }
    }
}

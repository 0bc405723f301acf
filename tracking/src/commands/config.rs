//! `tracking config`: the configuration in force.

use clap::{Args, ValueEnum};
use serde::Serialize;
use service::env::{Effective, Env, Mistake, Source};
use service::{Role, Settings};

use crate::output;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Whose configuration: defaults and required variables differ by role.
    #[arg(long, value_enum, default_value = "api")]
    role: RoleName,

    /// Print the text of .env.example instead: every variable and its default.
    #[arg(long, conflicts_with = "role")]
    env_example: bool,
}

/// [`Role`] on the command line.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum RoleName {
    Api,
    Worker,
    Projector,
    Migrate,
    Produce,
    /// The operators' commands: events, deadletters, verify.
    Tool,
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::Api => Self::Api,
            RoleName::Worker => Self::Worker,
            RoleName::Projector => Self::Projector,
            RoleName::Migrate => Self::Migrate,
            RoleName::Produce => Self::Produce,
            RoleName::Tool => Self::Tool,
        }
    }
}

#[derive(Serialize)]
struct Shown<'a> {
    role: &'static str,
    variables: &'a [Effective],
    mistakes: &'a [Mistake],
}

/// Prints the configuration even when it has mistakes, then fails with them.
pub(crate) fn run(arguments: &Arguments, json: bool) -> anyhow::Result<()> {
    if arguments.env_example {
        return output::text(&service::settings::env_example());
    }
    let role = Role::from(arguments.role);
    let mut env = Env::from_process();
    let loaded = Settings::load(&mut env, role);
    if json {
        let mistakes = loaded.as_ref().err().map_or(&[][..], |error| &error.0);
        output::json(&Shown {
            role: role.name(),
            variables: env.effective(),
            mistakes,
        })?;
    } else {
        output::table(&["VARIABLE", "VALUE", "SOURCE"], env.effective().iter().map(row))?;
    }
    loaded.map_err(service::ExitError::from)?;
    Ok(())
}

fn row(line: &Effective) -> [String; 3] {
    let source = match line.source {
        Source::Env => "env",
        Source::File => "file",
        Source::Default => "default",
    };
    [
        line.name.to_owned(),
        line.value.clone().unwrap_or_else(|| "-".to_owned()),
        source.to_owned(),
    ]
}

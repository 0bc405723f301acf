//! The executable as its users meet it: arguments and variables in, output and exit code out.

mod command_line;
mod config;
mod lifecycle;
mod operators;
mod senders;
mod system;
mod trouble;
mod under_fire;

use std::process::{Command, Output};

/// Runs `tracking` with nothing in its environment but `variables`.
fn tracking(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tracking"))
        .args(arguments)
        .env_clear()
        .envs(variables.iter().copied())
        .output()
        .expect("run the executable")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("stdout is UTF-8")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("stderr is UTF-8")
}

//! Exit codes, and how one travels through an error to `main`.

use std::fmt;

/// Done, or stopped gracefully.
pub const DONE: u8 = 0;
/// Failed.
pub const FAILED: u8 = 1;
/// Wrong usage or configuration.
pub const USAGE: u8 = 2;
/// `verify` found differences.
pub const DIFFERENCES: u8 = 3;
/// The stop was aborted: a second signal came, or the grace was spent.
pub const ABORTED: u8 = 70;

/// An error that says with which code the process ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExitError {
    /// The exit code.
    pub code: u8,
    /// What happened and what to do about it, for a person.
    pub message: String,
}

impl ExitError {
    /// An error that ends the process with `code`.
    pub fn new(code: u8, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    /// Something failed: exit code 1.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(FAILED, message)
    }

    /// Wrong usage or configuration: exit code 2.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(USAGE, message)
    }
}

impl fmt::Display for ExitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ExitError {}

/// The exit code that `error` carries anywhere in its chain of causes; 1 when it carries none.
pub fn code_of(error: &anyhow::Error) -> u8 {
    // Contexts first: anyhow looks through those by itself, the chain shows them as their text only.
    error
        .downcast_ref::<ExitError>()
        .or_else(|| error.chain().find_map(|cause| cause.downcast_ref::<ExitError>()))
        .map_or(FAILED, |exit| exit.code)
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn the_code_is_found_under_and_over_context() {
        let cause = || anyhow::Error::new(std::io::Error::other("refused"));
        assert_eq!(code_of(&cause()), FAILED);
        assert_eq!(
            code_of(&anyhow::Error::new(ExitError::usage("x")).context("read the settings")),
            USAGE
        );
        let over: anyhow::Error = Err::<(), _>(cause())
            .context(ExitError::new(ABORTED, "stop"))
            .unwrap_err();
        assert_eq!(code_of(&over), ABORTED);
    }
}

//! Trouble with PostgreSQL, classified once (invariant 6).

use std::error::Error as _;
use tokio_postgres::error::SqlState;

/// What to do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Hold and try the same again: the server is away, busy, demoted, or two transactions stood in each other's way.
    Transient,
    /// Some row cannot be stored: find it and put it aside.
    Data,
    /// Rights, tables or settings are not as they should be: stop taking and say so; never the command's fault.
    Configuration,
}

/// An error of the store.
#[derive(Debug, thiserror::Error)]
#[error("{action}: {message}")]
pub struct StoreError {
    /// What was being done, as a verb phrase.
    pub action: &'static str,
    /// What to do about it.
    pub trouble: Trouble,
    /// The SQLSTATE, where the server gave one.
    pub sqlstate: Option<String>,
    /// What happened, with its causes; never row data.
    pub message: String,
    /// Whether the connection may be used again.
    pub connection_lost: bool,
}

impl StoreError {
    /// Classifies an error of the driver.
    #[must_use]
    #[expect(
        clippy::needless_pass_by_value,
        reason = "is given to map_err, which hands the error over"
    )]
    pub fn of(action: &'static str, error: tokio_postgres::Error) -> Self {
        let trouble = classify(&error);
        let sqlstate = error.code().map(|code| code.code().to_owned());
        let message = match error.as_db_error() {
            // The `detail` of the server may hold row data: left out.
            Some(db) => format!("{} (SQLSTATE {})", db.message(), db.code().code()),
            None => chain(&error),
        };
        let connection_lost = error.is_closed()
            || error.code().is_none_or(|code| {
                let class = &code.code()[..2];
                class == "08" || class == "57" || class == "25" || class == "58" || class == "XX"
            });
        Self {
            action,
            trouble,
            sqlstate,
            message,
            connection_lost,
        }
    }

    /// Trouble that is not the driver's.
    #[must_use]
    pub fn new(action: &'static str, trouble: Trouble, message: impl Into<String>) -> Self {
        Self {
            action,
            trouble,
            sqlstate: None,
            message: message.into(),
            connection_lost: true,
        }
    }

    /// Whether the same may succeed later.
    pub fn is_transient(&self) -> bool {
        self.trouble == Trouble::Transient
    }
}

fn chain(error: &tokio_postgres::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    text
}

fn classify(error: &tokio_postgres::Error) -> Trouble {
    let Some(code) = error.code() else {
        // Connection, I/O or protocol; a value that the driver could not convert is our own mistake.
        return if error.is_closed()
            || error
                .source()
                .is_some_and(<dyn std::error::Error>::is::<std::io::Error>)
        {
            Trouble::Transient
        } else if error.to_string().contains("serializing parameter") {
            Trouble::Data
        } else {
            Trouble::Transient
        };
    };
    classify_sqlstate(code)
}

/// SQLSTATE classes of PostgreSQL's appendix A. No constraint of the log depends on what a command says: a violation
/// (23) means that the schema, or a sequence behind the log, is broken.
fn classify_sqlstate(code: &SqlState) -> Trouble {
    match &code.code()[..2] {
        "22" | "54" | "21" | "44" => Trouble::Data,
        "23" | "42" | "28" | "3D" | "3F" | "0A" | "0L" | "0P" => Trouble::Configuration,
        _ => Trouble::Transient,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_told_apart() {
        for (code, expected) in [
            ("40P01", Trouble::Transient),
            ("40001", Trouble::Transient),
            ("57P01", Trouble::Transient),
            ("57014", Trouble::Transient),
            ("53300", Trouble::Transient),
            ("25006", Trouble::Transient),
            ("08006", Trouble::Transient),
            ("55P03", Trouble::Transient),
            ("22P05", Trouble::Data),
            ("22003", Trouble::Data),
            ("23505", Trouble::Configuration),
            ("54000", Trouble::Data),
            ("42P01", Trouble::Configuration),
            ("42501", Trouble::Configuration),
            ("28P01", Trouble::Configuration),
            ("3D000", Trouble::Configuration),
        ] {
            assert_eq!(classify_sqlstate(&SqlState::from_code(code)), expected, "{code}");
        }
    }
}

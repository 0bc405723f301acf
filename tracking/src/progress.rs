//! A line on the terminal that says how far a long command has come; nothing when stderr is no terminal.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

/// Often enough to look alive, seldom enough to cost nothing.
const EVERY: Duration = Duration::from_millis(200);

/// The line. Gone when the value is.
#[derive(Debug)]
pub(crate) struct Progress {
    terminal: bool,
    shown: Option<Instant>,
}

impl Progress {
    /// A line on stderr, if that is a terminal.
    pub(crate) fn on_stderr() -> Self {
        Self {
            terminal: std::io::stderr().is_terminal(),
            shown: None,
        }
    }

    /// Shows what `text` gives in place of what was shown, a few times a second at most.
    pub(crate) fn show(&mut self, text: impl FnOnce() -> String) {
        if !self.terminal || self.shown.is_some_and(|at| at.elapsed() < EVERY) {
            return;
        }
        // A terminal that is gone is no reason to stop.
        let _ = write!(std::io::stderr(), "\r\u{1b}[K{}", text());
        self.shown = Some(Instant::now());
    }

    /// Prints a line that stays, above the progress.
    pub(crate) fn line(&mut self, text: &str) {
        self.clear();
        let _ = writeln!(std::io::stderr(), "{text}");
    }

    fn clear(&mut self) {
        if self.shown.take().is_some() {
            let _ = write!(std::io::stderr(), "\r\u{1b}[K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

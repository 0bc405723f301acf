//! Results on stdout: JSON for programs, tables for people. The log is on stderr.

use std::fmt::Write as _;
use std::io::{ErrorKind, Write as _};

use anyhow::Context as _;
use serde::Serialize;

/// Prints `value` as one JSON document on one line.
pub(crate) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    let mut line = serde_json::to_string(value).context("encode the result")?;
    line.push('\n');
    text(&line)
}

/// Prints rows under a heading, columns aligned.
pub(crate) fn table<const N: usize>(
    heading: &[&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> anyhow::Result<()> {
    text(&aligned(heading, &rows.into_iter().collect::<Vec<_>>()))
}

/// Prints `text` as it is.
pub(crate) fn text(text: &str) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .context("write the result")
}

/// `text` on one line of at most `width` characters, printable.
pub(crate) fn shortened(text: &str, width: usize) -> String {
    let text = printable(text).replace(['\n', '\t'], " ");
    if text.chars().count() <= width {
        return text;
    }
    text.chars().take(width - 1).chain(['…']).collect()
}

/// `text` without what would move the cursor or change the terminal: whoever sent it is not to be trusted.
pub(crate) fn printable(text: &str) -> String {
    let shown = |c: char| {
        if c.is_control() && c != '\n' && c != '\t' {
            '\u{fffd}'
        } else {
            c
        }
    };
    text.chars().map(shown).collect()
}

/// Whether `error` only says that nobody reads the output any more, as in `tracking … | head -1`.
pub(crate) fn reader_is_gone(error: &anyhow::Error) -> bool {
    let io = error
        .chain()
        .find_map(|cause| cause.downcast_ref::<std::io::Error>());
    io.is_some_and(|io| io.kind() == ErrorKind::BrokenPipe) && error.to_string() == "write the result"
}

fn aligned<const N: usize>(heading: &[&str; N], rows: &[[String; N]]) -> String {
    let mut widths = heading.map(|cell| cell.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    let heading = heading.map(str::to_owned);
    for row in std::iter::once(&heading).chain(rows) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            let _ = write!(line, "{cell:width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [
            ["a".to_owned(), "1".to_owned()],
            ["übung".to_owned(), "2".to_owned()],
        ];
        assert_eq!(aligned(&["NAME", "N"], &rows), "NAME   N\na      1\nübung  2\n");
    }

    #[test]
    fn what_a_sender_wrote_does_not_steer_the_terminal() {
        assert_eq!(printable("a\u{1b}[2J\r\nb"), "a\u{fffd}[2J\u{fffd}\nb");
        assert_eq!(shortened("ab\ncdéf", 5), "ab c…");
        assert_eq!(shortened("ab\ncd", 5), "ab cd");
    }

    #[test]
    fn only_a_closed_output_counts_as_done() {
        let broken = || std::io::Error::from(ErrorKind::BrokenPipe);
        assert!(reader_is_gone(
            &anyhow::Error::new(broken()).context("write the result")
        ));
        assert!(!reader_is_gone(
            &anyhow::Error::new(broken()).context("read from the database")
        ));
    }
}

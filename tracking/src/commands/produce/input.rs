//! Where commands come from: arguments, a file or stdin, one JSON text a line. Never more than a line in memory.

use domain::command::MAX_PAYLOAD;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::PathBuf;
use tokio::sync::mpsc;

/// Lines that are read ahead of the sender.
const AHEAD: usize = 64;

/// Where to read.
#[derive(Debug)]
pub(super) enum Input {
    Arguments(Vec<String>),
    File(PathBuf),
    Stdin,
}

/// One command.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Counted from 1, blank lines too.
    pub(super) number: u64,
    /// Without the end of the line; `None` when it is longer than a command may be.
    pub(super) text: Option<Vec<u8>>,
}

impl Input {
    /// What a line is called in messages.
    pub(super) fn unit(&self) -> &'static str {
        match self {
            Self::Arguments(_) => "argument",
            Self::File(_) | Self::Stdin => "line",
        }
    }

    /// Reads on a thread that may block, as stdin does; ends when the receiver is dropped, or is left behind with the
    /// process.
    pub(super) fn read(self) -> mpsc::Receiver<io::Result<Line>> {
        let (lines, receiver) = mpsc::channel(AHEAD);
        tokio::task::spawn_blocking(move || {
            let read = match self {
                Self::Arguments(arguments) => arguments
                    .iter()
                    .zip(1..)
                    .try_for_each(|(text, number)| send_all(&mut text.as_bytes(), Some(number), &lines)),
                Self::File(path) => File::open(&path)
                    .and_then(|file| send_all(&mut BufReader::new(file), None, &lines))
                    .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display()))),
                Self::Stdin => send_all(&mut io::stdin().lock(), None, &lines),
            };
            if let Err(error) = read {
                // Nobody listens any more when this fails.
                let _ = lines.blocking_send(Err(error));
            }
        });
        receiver
    }
}

/// Sends every line that is not blank. An argument is one command, whatever white space it has in it.
fn send_all(
    reader: &mut impl BufRead,
    argument: Option<u64>,
    lines: &mpsc::Sender<io::Result<Line>>,
) -> io::Result<()> {
    let ends_at = argument.is_none().then_some(b'\n');
    for number in argument.unwrap_or(1).. {
        let Some(line) = next(reader, number, ends_at)? else {
            return Ok(());
        };
        let blank = line
            .text
            .as_ref()
            .is_some_and(|text| text.trim_ascii().is_empty());
        if (!blank || argument.is_some()) && lines.blocking_send(Ok(line)).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// The next line, `None` at the end. What is too long is passed over, not kept.
fn next(reader: &mut impl BufRead, number: u64, ends_at: Option<u8>) -> io::Result<Option<Line>> {
    let mut text = Vec::new();
    let (mut any, mut too_long) = (false, false);
    loop {
        let buffer = match reader.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            buffer => buffer?,
        };
        if buffer.is_empty() {
            break;
        }
        any = true;
        let end = ends_at.and_then(|end| buffer.iter().position(|byte| *byte == end));
        let piece = &buffer[..end.unwrap_or(buffer.len())];
        // One more for the carriage return of a Windows file.
        too_long |= MAX_PAYLOAD + 1 < text.len() + piece.len();
        if !too_long {
            text.extend_from_slice(piece);
        }
        let used = piece.len() + usize::from(end.is_some());
        reader.consume(used);
        if end.is_some() {
            if text.last() == Some(&b'\r') {
                text.pop();
            }
            break;
        }
    }
    too_long |= MAX_PAYLOAD < text.len();
    Ok(any.then_some(Line {
        number,
        text: (!too_long).then_some(text),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(text: &[u8]) -> Vec<(u64, Option<usize>)> {
        let (lines, mut receiver) = mpsc::channel(AHEAD);
        let text = text.to_vec();
        let reading = tokio::task::spawn_blocking(move || {
            // A small buffer, so that lines come in pieces.
            send_all(&mut BufReader::with_capacity(7, &text[..]), None, &lines)
        });
        let mut read = Vec::new();
        while let Some(line) = receiver.recv().await {
            let line = line.unwrap();
            read.push((line.number, line.text.map(|text| text.len())));
        }
        reading.await.unwrap().unwrap();
        read
    }

    #[tokio::test]
    async fn lines_are_numbered_with_the_blank_ones_and_the_last_needs_no_end() {
        assert_eq!(
            read(b"{\"a\": 1}\r\n\n  \n{}\nlast").await,
            [(1, Some(8)), (4, Some(2)), (5, Some(4))]
        );
        assert_eq!(read(b"").await, []);
    }

    #[tokio::test]
    async fn a_line_that_is_too_long_is_passed_over() {
        let mut text = vec![b'x'; MAX_PAYLOAD];
        text.extend_from_slice(b"\r\n");
        text.extend(vec![b'x'; 3 * MAX_PAYLOAD]);
        text.extend_from_slice(b"\n{}\n");
        assert_eq!(
            read(&text).await,
            [(1, Some(MAX_PAYLOAD)), (2, None), (3, Some(2))]
        );
    }

    #[tokio::test]
    async fn an_argument_is_one_command() {
        let mut lines = Input::Arguments(vec!["{\n}".to_owned(), "x".to_owned()]).read();
        let mut read = Vec::new();
        while let Some(line) = lines.recv().await {
            read.push(line.unwrap());
        }
        assert_eq!(
            read.iter().map(|line| line.number).collect::<Vec<_>>(),
            [1, 2],
            "{read:?}"
        );
        assert_eq!(read[0].text.as_deref(), Some(&b"{\n}"[..]));
    }
}

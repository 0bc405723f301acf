//! Frames of Pulsar's binary protocol: cutting them out of a byte stream, and writing commands.
//!
//! A frame is `total size, command size, command` and, for a message, `magic, checksum, metadata size,
//! metadata, payload`. The message part is handed on unopened, so that an entry that cannot be opened
//! still has its id and its bytes.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message as _;
use pulsar::message::proto::BaseCommand;
use pulsar::message::proto::base_command::Type;

/// One frame as it came in.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) command: BaseCommand,
    /// What follows the command: of a message its checksum, metadata and payload; else empty.
    pub(super) body: Bytes,
}

/// The next complete frame, cut off the front of `inbox`; `None` until all of it has arrived.
///
/// `Err` when the bytes are no frames: the stream cannot be read any further.
pub(super) fn take_frame(inbox: &mut BytesMut, limit: usize) -> Result<Option<Frame>, String> {
    let Some(total) = peek_total(inbox) else {
        return Ok(None);
    };
    if total > limit {
        return Err(format!("a frame of {total} bytes is above the limit of {limit}"));
    }
    if inbox.len() < total {
        return Ok(None);
    }
    let mut frame = inbox.split_to(total).freeze();
    frame.advance(4);
    if frame.len() < 4 {
        return Err("a frame without a command".into());
    }
    let command_len = frame.get_u32() as usize;
    if frame.len() < command_len {
        return Err("a command longer than its frame".into());
    }
    let command = BaseCommand::decode(frame.split_to(command_len))
        .map_err(|error| format!("a command that cannot be decoded: {error}"))?;
    Ok(Some(Frame { command, body: frame }))
}

/// How many bytes the frame at the front still lacks; 0 when unknown or complete.
pub(super) fn missing(inbox: &BytesMut) -> usize {
    peek_total(inbox).map_or(0, |total| total.saturating_sub(inbox.len()))
}

/// Length of the frame at the front, its own length field included.
fn peek_total(inbox: &BytesMut) -> Option<usize> {
    inbox.get(..4).map(|mut head| head.get_u32() as usize + 4)
}

/// Appends a command's frame to `outbox`. `fill` sets the field that belongs to the type.
pub(super) fn put_command(outbox: &mut BytesMut, kind: Type, fill: impl FnOnce(&mut BaseCommand)) {
    let mut command = BaseCommand {
        r#type: kind as i32,
        ..BaseCommand::default()
    };
    fill(&mut command);
    let length = command.encoded_len();
    let length_field = u32::try_from(length).expect("a command of ours is far below 4 GiB");
    outbox.reserve(length + 8);
    outbox.put_u32(length_field + 4);
    outbox.put_u32(length_field);
    command.encode(outbox).expect("the buffer was reserved for it");
}

#[cfg(test)]
mod tests {
    use super::*;
    use pulsar::message::proto::CommandPing;

    fn ping() -> BytesMut {
        let mut bytes = BytesMut::new();
        put_command(&mut bytes, Type::Ping, |command| {
            command.ping = Some(CommandPing {});
        });
        bytes
    }

    #[test]
    fn frames_are_cut_wherever_the_stream_is_split() {
        let mut stream = ping();
        stream.extend_from_slice(&ping());
        for cut in 0..stream.len() {
            let mut inbox = BytesMut::from(&stream[..cut]);
            let mut seen = 0;
            while take_frame(&mut inbox, 1024).unwrap().is_some() {
                seen += 1;
            }
            inbox.extend_from_slice(&stream[cut..]);
            while let Some(frame) = take_frame(&mut inbox, 1024).unwrap() {
                assert!(frame.command.ping.is_some());
                seen += 1;
            }
            assert_eq!((seen, inbox.len()), (2, 0), "cut at {cut}");
        }
    }

    #[test]
    fn bytes_that_are_no_frames_are_refused() {
        assert!(take_frame(&mut BytesMut::from(&b"HTTP/1.1 400 Bad Request"[..]), 1024).is_err());
        assert!(take_frame(&mut BytesMut::from(&[0, 0, 0, 4, 0, 0, 0, 9][..]), 1024).is_err());
        assert!(take_frame(&mut BytesMut::from(&[0, 0, 0, 0][..]), 1024).is_err());
    }
}

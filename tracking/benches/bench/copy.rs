//! The limit of recording: `COPY` of the same rows into the same tables, positions known beforehand. It finds no
//! repeats, keeps no order and holds no watermark.

use bytes::{BufMut as _, Bytes, BytesMut};
use chrono::{DateTime, Utc};
use domain::derive_event_id;
use eventstore::{Content, Database, Item};
use futures::SinkExt as _;
use std::pin::pin;

const COMMANDS: &str =
    "copy eventstore.commands (position, command_id, fingerprint, project) from stdin binary";
const EVENTS: &str = "\
copy eventstore.events (position, occurred_at, event_id, command_id, ledger, entry, partition, batch_index, bucket,
schema_version, project, stream, type, message_key, producer, data, metadata) from stdin binary";

/// Bytes handed to the connection at once.
const CHUNK: usize = 256 * 1024;

/// Copies a batch in one transaction; its rows get the positions from `first` on.
pub(crate) async fn batch(db: &Database, items: &[Item], first: i64) -> anyhow::Result<()> {
    let client = db.client().await?;
    let commands = client.prepare_cached(COMMANDS).await?;
    let events = client.prepare_cached(EVENTS).await?;
    client.batch_execute("begin").await?;
    for (statement, row) in [
        (commands, command as fn(&mut BytesMut, &Item, i64)),
        (events, event),
    ] {
        let sink = client.copy_in(&statement).await?;
        let mut sink = pin!(sink);
        let mut buffer = BytesMut::with_capacity(CHUNK + 4096);
        // Signature, no flags, no extension.
        buffer.put_slice(b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0");
        for (position, item) in (first..).zip(items) {
            row(&mut buffer, item, position);
            if CHUNK <= buffer.len() {
                let full = std::mem::replace(&mut buffer, BytesMut::with_capacity(CHUNK + 4096));
                sink.send(full.freeze()).await?;
            }
        }
        buffer.put_i16(-1);
        let last: Bytes = buffer.freeze();
        sink.send(last).await?;
        sink.as_mut().finish().await?;
    }
    Ok(client.batch_execute("commit").await?)
}

fn command(out: &mut BytesMut, item: &Item, position: i64) {
    out.put_i16(4);
    field(out, &position.to_be_bytes());
    field(out, item.command_id.0.as_bytes());
    field(out, &item.fingerprint);
    field(out, item.project.as_str().as_bytes());
}

fn event(out: &mut BytesMut, item: &Item, position: i64) {
    let Content::Event {
        bucket,
        stream,
        occurred_at,
        encoded,
    } = &item.content
    else {
        unreachable!("all commands of the benchmarks are valid")
    };
    let origin = &item.origin;
    out.put_i16(17);
    field(out, &position.to_be_bytes());
    field(out, &since_2000(*occurred_at).to_be_bytes());
    field(out, derive_event_id(&item.project, item.command_id).0.as_bytes());
    field(out, item.command_id.0.as_bytes());
    field(out, &origin.ledger.to_be_bytes());
    field(out, &origin.entry.to_be_bytes());
    field(out, &origin.partition.to_be_bytes());
    field(out, &origin.batch_index.to_be_bytes());
    field(out, &bucket.to_be_bytes());
    field(out, &encoded.schema_version.to_be_bytes());
    field(out, item.project.as_str().as_bytes());
    field(out, stream.as_bytes());
    field(out, encoded.event_type.as_bytes());
    field(out, origin.key.as_deref().unwrap_or_default().as_bytes());
    field(out, origin.producer.as_bytes());
    field(out, encoded.data.as_bytes());
    // No metadata: null.
    out.put_i32(-1);
}

fn field(out: &mut BytesMut, bytes: &[u8]) {
    out.put_i32(i32::try_from(bytes.len()).expect("below 2 GiB"));
    out.put_slice(bytes);
}

/// Microseconds since 2000, PostgreSQL's epoch.
fn since_2000(time: DateTime<Utc>) -> i64 {
    time.timestamp_micros() - 946_684_800_000_000
}

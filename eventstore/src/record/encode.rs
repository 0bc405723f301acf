//! Rows in PostgreSQL's binary COPY format, made whole before the first byte is sent: a writer that stops in the middle
//! of a COPY holds the watermark back, and no timeout of the server ends it while it waits for data.

use crate::{StoreError, Trouble};
use bytes::{BufMut as _, Bytes, BytesMut};
use tokio_postgres::types::{IsNull, ToSql, Type};

/// Signature, no flags, no extension.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// Rows, one after the other.
pub(super) struct Rows<'t> {
    types: &'t [Type],
    out: BytesMut,
}

impl<'t> Rows<'t> {
    pub(super) fn new(types: &'t [Type], expected: usize) -> Self {
        let mut out = BytesMut::with_capacity(HEADER.len() + expected);
        out.put_slice(HEADER);
        Self { types, out }
    }

    /// Adds a row; the values go in step with the types.
    pub(super) fn push(&mut self, values: &[&(dyn ToSql + Sync)]) -> Result<(), StoreError> {
        let columns = i16::try_from(values.len()).expect("a table has at most 1,600 columns");
        self.out.put_i16(columns);
        for (value, ty) in values.iter().zip(self.types) {
            let length_at = self.out.len();
            self.out.put_i32(-1);
            let written = value
                .to_sql_checked(ty, &mut self.out)
                .map_err(|e| unencodable(&e.to_string()))?;
            if let IsNull::No = written {
                let length = self.out.len() - length_at - 4;
                let length = i32::try_from(length).map_err(|_| unencodable("a value of more than 2 GiB"))?;
                self.out[length_at..length_at + 4].copy_from_slice(&length.to_be_bytes());
            }
        }
        Ok(())
    }

    /// All of it, with the trailer.
    pub(super) fn finish(mut self) -> Bytes {
        self.out.put_i16(-1);
        self.out.freeze()
    }
}

fn unencodable(reason: &str) -> StoreError {
    StoreError {
        connection_lost: false,
        ..StoreError::new("encode events", Trouble::Data, reason)
    }
}

//! Inflating payloads, up to a limit.

use flate2::{FlushDecompress, Status};
use pulsar::message::proto::CompressionType;
use std::io::Read;

/// The largest payload that is inflated: a small frame must not become all of the memory (invariant 9).
///
/// A broker's default message limit is 5 MiB; what inflates to more than this is kept as it is, unopened.
pub(super) const MAX_INFLATED: usize = 16 * 1024 * 1024;

/// How a snappy frame stream begins; other senders write one bare block.
const SNAPPY_STREAM: &[u8] = b"\xff\x06\x00\x00sNaPpY";

/// The payload as its sender had it. `declared` is the size that the sender names.
///
/// `Err` says in words why it cannot be had.
pub(super) fn inflate(codec: CompressionType, data: &[u8], declared: u32) -> Result<Vec<u8>, String> {
    let declared = declared as usize;
    if declared > MAX_INFLATED {
        return Err(format!(
            "inflates to {declared} bytes, above the limit of {MAX_INFLATED}"
        ));
    }
    let named = |error: &dyn std::fmt::Display| format!("{}: {error}", codec.as_str_name().to_lowercase());
    match codec {
        CompressionType::None => Ok(data.to_vec()),
        CompressionType::Lz4 => {
            let size = i32::try_from(declared).expect("the limit is below 2 GiB");
            lz4::block::decompress(data, Some(size)).map_err(|error| named(&error))
        }
        CompressionType::Zlib => inflate_zlib(data, declared).map_err(|error| named(&error)),
        CompressionType::Zstd => zstd::stream::read::Decoder::new(data)
            .and_then(|decoder| read_all(decoder, declared))
            .map_err(|error| named(&error)),
        CompressionType::Snappy if data.starts_with(SNAPPY_STREAM) => {
            read_all(snap::read::FrameDecoder::new(data), declared).map_err(|error| named(&error))
        }
        CompressionType::Snappy => match snap::raw::decompress_len(data) {
            Ok(size) if size > MAX_INFLATED => Err(format!(
                "inflates to {size} bytes, above the limit of {MAX_INFLATED}"
            )),
            Ok(_) => snap::raw::Decoder::new()
                .decompress_vec(data)
                .map_err(|error| named(&error)),
            Err(error) => Err(named(&error)),
        },
    }
}

/// Up to the declared size, as Java's clients do: they flush the stream and do not end it.
fn inflate_zlib(data: &[u8], declared: usize) -> std::io::Result<Vec<u8>> {
    let mut stream = flate2::Decompress::new(true);
    // One byte more than is due, to see whether there is more.
    let mut out = vec![0; declared + 1];
    loop {
        let (read, written) = (total(stream.total_in()), total(stream.total_out()));
        let status = stream.decompress(&data[read..], &mut out[written..], FlushDecompress::Sync)?;
        let stuck = (read, written) == (total(stream.total_in()), total(stream.total_out()));
        if stuck || status == Status::StreamEnd {
            break;
        }
    }
    match total(stream.total_out()) {
        inflated if inflated == declared => {
            out.truncate(declared);
            Ok(out)
        }
        inflated if inflated < declared => Err(std::io::Error::other(format!(
            "{inflated} bytes where {declared} were declared"
        ))),
        _ => Err(std::io::Error::other(format!(
            "more than the {declared} bytes declared"
        ))),
    }
}

fn total(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// Reads to the end, but not past the limit, whatever the sender declared.
fn read_all(reader: impl Read, declared: usize) -> std::io::Result<Vec<u8>> {
    let mut out = Vec::with_capacity(declared);
    let read = reader.take(MAX_INFLATED as u64 + 1).read_to_end(&mut out)?;
    if read > MAX_INFLATED {
        return Err(std::io::Error::other(format!(
            "inflates to more than {MAX_INFLATED} bytes"
        )));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    const TEXT: &[u8] = b"like like like like like like like like like like like like";

    fn size() -> u32 {
        u32::try_from(TEXT.len()).unwrap()
    }

    fn zlib(data: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn every_codec_gives_back_what_went_in() {
        let mut stream = snap::write::FrameEncoder::new(Vec::new());
        stream.write_all(TEXT).unwrap();
        let packed = [
            (CompressionType::None, TEXT.to_vec()),
            (
                CompressionType::Lz4,
                lz4::block::compress(TEXT, None, false).unwrap(),
            ),
            (CompressionType::Zlib, zlib(TEXT)),
            (CompressionType::Zstd, zstd::encode_all(TEXT, 1).unwrap()),
            (
                CompressionType::Snappy,
                snap::raw::Encoder::new().compress_vec(TEXT).unwrap(),
            ),
            (CompressionType::Snappy, stream.into_inner().unwrap()),
        ];
        for (codec, data) in packed {
            assert_eq!(inflate(codec, &data, size()).as_deref(), Ok(TEXT), "{codec:?}");
        }
    }

    /// What Java's clients write: flushed, not ended.
    #[test]
    fn a_zlib_stream_without_an_end_is_read() {
        let mut stream = flate2::Compress::new(flate2::Compression::default(), true);
        let mut packed = Vec::with_capacity(1000);
        stream
            .compress_vec(TEXT, &mut packed, flate2::FlushCompress::Sync)
            .unwrap();
        assert_eq!(
            inflate(CompressionType::Zlib, &packed, size()).as_deref(),
            Ok(TEXT)
        );
        assert!(
            inflate(CompressionType::Zlib, &packed, size() + 1).is_err(),
            "less than declared"
        );
        assert!(
            inflate(CompressionType::Zlib, &packed, size() - 1).is_err(),
            "more than declared"
        );
        assert!(
            inflate(CompressionType::Zlib, &packed[..packed.len() / 2], size()).is_err(),
            "cut short"
        );
    }

    #[test]
    fn what_is_not_compressed_as_it_says_is_refused_by_name() {
        for codec in [
            CompressionType::Lz4,
            CompressionType::Zlib,
            CompressionType::Zstd,
            CompressionType::Snappy,
        ] {
            let refused = inflate(codec, b"\xffnot compressed at all", size()).unwrap_err();
            assert!(
                refused.starts_with(&codec.as_str_name().to_lowercase()),
                "{codec:?}: {refused}"
            );
        }
    }

    #[test]
    fn a_small_frame_does_not_become_all_of_the_memory() {
        let huge = vec![0_u8; MAX_INFLATED + 1];
        let declared = u32::try_from(huge.len()).unwrap();
        // Whether the sender tells the truth about the size or not.
        for named in [declared, 10] {
            for (codec, data) in [
                (CompressionType::Zlib, zlib(&huge)),
                (CompressionType::Zstd, zstd::encode_all(&huge[..], 1).unwrap()),
                (
                    CompressionType::Snappy,
                    snap::raw::Encoder::new().compress_vec(&huge).unwrap(),
                ),
                (
                    CompressionType::Lz4,
                    lz4::block::compress(&huge, None, false).unwrap(),
                ),
            ] {
                assert!(
                    inflate(codec, &data, named).is_err(),
                    "{codec:?} declared as {named}"
                );
            }
        }
    }
}

//! Frames as bytes of the replication stream.
//!
//! ```text
//! length: 4 bytes, big endian, of all that follows | flag: 0 raw, 1 zstd | body
//! ```
//!
//! The body, unpacked, is the strict form of one [`Frame`]. Compression is of one frame alone: a single zstd frame.

use std::io::{self, Read as _};

use aiemp_keys::CborError;
use aiemp_protocol::{frame::Frame, limits::FRAME_BYTES_MAX};
use thiserror::Error;
use zstd::{bulk::Compressor, stream::read::Decoder};

/// Longest block: the flag and a frame that is not compressed.
pub(super) const BLOCK_BYTES_MAX: usize = 1 + FRAME_BYTES_MAX;

const RAW: u8 = 0;
const ZSTD: u8 = 1;
/// Below this compression costs more time than the bytes it saves.
const COMPRESSED_BYTES_MIN: usize = 1024;
/// The fastest level: most of the gain.
const ZSTD_LEVEL: i32 = 1;
/// Memory that a compressed frame may ask of its reader, as a power of two: the frame's own bound.
const WINDOW_LOG_MAX: u32 = FRAME_BYTES_MAX.ilog2();

/// Why a block is no frame.
#[derive(Debug, Error)]
pub(super) enum FrameError {
    /// It has no bytes.
    #[error("an empty block")]
    Empty,
    /// Its first byte.
    #[error("unknown flag {0}")]
    Flag(u8),
    /// More than a frame may have, on the wire or unpacked.
    #[error("a frame longer than {FRAME_BYTES_MAX} bytes")]
    TooLong,
    /// Not one zstd frame with a window within bounds.
    #[error("bad compression: {0}")]
    Compression(#[from] io::Error),
    /// Bytes after the zstd frame.
    #[error("bytes after the compressed frame")]
    Trailing,
    /// Not the strict form.
    #[error(transparent)]
    Form(#[from] CborError),
}

/// Writes frames as blocks.
pub(super) struct Encoder(Compressor<'static>);

impl Encoder {
    /// Fails when memory is short.
    pub(super) fn new() -> io::Result<Self> {
        Compressor::new(ZSTD_LEVEL).map(Self)
    }

    /// Appends the block of a frame.
    pub(super) fn encode(&mut self, frame: &Frame, wire: &mut Vec<u8>) -> Result<(), FrameError> {
        let bytes = frame.to_bytes();
        if bytes.len() > FRAME_BYTES_MAX {
            return Err(FrameError::TooLong);
        }
        let compressed = if bytes.len() > COMPRESSED_BYTES_MIN { self.0.compress(&bytes)? } else { Vec::new() };
        let (flag, body) = match compressed.len() {
            1.. if compressed.len() < bytes.len() => (ZSTD, compressed),
            _ => (RAW, bytes),
        };
        let length = u32::try_from(1 + body.len()).expect("a block is shorter than 4 GiB");
        wire.extend_from_slice(&length.to_be_bytes());
        wire.push(flag);
        wire.extend_from_slice(&body);
        Ok(())
    }
}

/// Reads the block of a frame, its length taken off.
pub(super) fn decode(block: &[u8]) -> Result<Frame, FrameError> {
    match block.split_first() {
        None => Err(FrameError::Empty),
        Some((&RAW, body)) if body.len() > FRAME_BYTES_MAX => Err(FrameError::TooLong),
        Some((&RAW, body)) => Ok(Frame::from_bytes(body)?),
        Some((&ZSTD, body)) => Ok(Frame::from_bytes(&unpack(body)?)?),
        Some((&flag, _)) => Err(FrameError::Flag(flag)),
    }
}

fn unpack(body: &[u8]) -> Result<Vec<u8>, FrameError> {
    let mut decoder = Decoder::with_buffer(body)?.single_frame();
    decoder.window_log_max(WINDOW_LOG_MAX)?;
    let mut bytes = Vec::new();
    decoder.by_ref().take(FRAME_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > FRAME_BYTES_MAX {
        return Err(FrameError::TooLong);
    }
    if decoder.finish().is_empty() { Ok(bytes) } else { Err(FrameError::Trailing) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::network::tests::{noise, roster};

    fn block(flag: u8, body: &[u8]) -> Vec<u8> {
        [&[flag], body].concat()
    }

    fn packed(bytes: &[u8]) -> Vec<u8> {
        zstd::bulk::compress(bytes, ZSTD_LEVEL).expect("compresses")
    }

    #[test]
    fn frames_of_any_size_read_back() {
        let mut encoder = Encoder::new().expect("memory");
        for length in [0, 1, 1000, 1024, 5000, 1 << 20, FRAME_BYTES_MAX - 16] {
            for frame in [roster(length), noise(length)] {
                let mut wire = Vec::new();
                encoder.encode(&frame, &mut wire).expect("encodes");
                assert!(wire.len() - 4 <= BLOCK_BYTES_MAX);
                assert_eq!(wire[..4], u32::try_from(wire.len() - 4).expect("fits").to_be_bytes());
                assert_eq!(decode(&wire[4..]).expect("reads"), frame);
            }
        }
    }

    #[test]
    fn only_frames_worth_it_are_compressed() {
        let mut encoder = Encoder::new().expect("memory");
        let mut flag = |length| {
            let mut wire = Vec::new();
            encoder.encode(&roster(length), &mut wire).expect("encodes");
            wire[4]
        };
        assert_eq!((flag(900), flag(2000)), (RAW, ZSTD));
    }

    #[test]
    fn a_frame_above_the_bound_is_not_written() {
        let frame = roster(FRAME_BYTES_MAX);
        let refused = Encoder::new().expect("memory").encode(&frame, &mut Vec::new());
        assert!(matches!(refused, Err(FrameError::TooLong)));
    }

    #[test]
    fn a_bomb_is_stopped_at_the_bound() {
        let bomb = packed(&vec![0; 256 << 20]);
        assert!(bomb.len() < 64 << 10);
        assert!(matches!(decode(&block(ZSTD, &bomb)), Err(FrameError::TooLong | FrameError::Compression(_))));
        let small_window = zstd::stream::encode_all(io::repeat(0).take(256 << 20), ZSTD_LEVEL).expect("compresses");
        assert!(matches!(decode(&block(ZSTD, &small_window)), Err(FrameError::TooLong)));
    }

    #[test]
    fn a_window_above_the_bound_is_refused() {
        let mut encoder = zstd::stream::Encoder::new(Vec::new(), ZSTD_LEVEL).expect("encoder");
        encoder.window_log(WINDOW_LOG_MAX + 1).expect("sets");
        io::copy(&mut io::repeat(0).take(100), &mut encoder).expect("writes");
        let body = encoder.finish().expect("finishes");
        assert!(matches!(decode(&block(ZSTD, &body)), Err(FrameError::Compression(_))));
    }

    #[test]
    fn what_is_not_exactly_one_frame_is_refused() {
        let bytes = roster(10).to_bytes();
        assert!(decode(&block(RAW, &bytes)).is_ok());
        assert!(decode(&block(ZSTD, &packed(&bytes))).is_ok());
        assert!(matches!(decode(&[]), Err(FrameError::Empty)));
        assert!(matches!(decode(&block(2, &bytes)), Err(FrameError::Flag(2))));
        assert!(matches!(decode(&block(RAW, &bytes[..5])), Err(FrameError::Form(_))));
        assert!(matches!(decode(&block(ZSTD, &bytes)), Err(FrameError::Compression(_))));
        let cut = packed(&bytes);
        assert!(matches!(decode(&block(ZSTD, &cut[..cut.len() - 1])), Err(FrameError::Compression(_))));
        let twice = [packed(&bytes), packed(&bytes)].concat();
        assert!(matches!(decode(&block(ZSTD, &twice)), Err(FrameError::Trailing)));
    }
}

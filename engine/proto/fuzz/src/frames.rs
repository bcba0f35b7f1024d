//! The frame decoder, on any bytes.
//!
//! What parses must be written again byte for byte: no two encodings of one frame, and nothing
//! that is silently ignored. Chance never finds a checksum, so each input is tried twice: as it
//! is, and with the checksum of its header made right.

use ringway_proto::HEADER_BYTES;
use ringway_proto::testing::{Frame, FrameError};

/// Where the checksum of a header stands (W-2.1).
const CHECKSUM_AT: usize = 36;

/// No control frame is larger, header included.
const CONTROL_MAX: usize = HEADER_BYTES + 16_384;

pub fn run(data: &[u8]) {
    parse_all(data);
    let mut repaired = data.to_vec();
    repair(&mut repaired);
    parse_all(&repaired);
}

/// Makes the checksum of the header in front right.
pub fn repair(bytes: &mut [u8]) {
    if let Some(header) = bytes.first_chunk_mut::<HEADER_BYTES>() {
        let checksum = crc32c::crc32c(&header[..CHECKSUM_AT]);
        header[CHECKSUM_AT..].copy_from_slice(&checksum.to_le_bytes());
    }
}

fn parse_all(mut bytes: &[u8]) {
    loop {
        match Frame::parse(bytes) {
            Ok((frame, size)) => {
                assert!((HEADER_BYTES..=CONTROL_MAX).contains(&size));
                let mut again = Vec::new();
                frame.emit(&mut again);
                assert_eq!(again, bytes[..size], "{frame:?} is written otherwise");
                bytes = &bytes[size..];
            }
            Err(FrameError::Incomplete(missing)) => {
                let whole = bytes.len() + missing;
                assert!(missing > 0 && whole <= CONTROL_MAX, "{missing} are missing");
                return;
            }
            Err(FrameError::Violation(violation)) => {
                assert!(violation.to_string().contains("W-"), "{violation}");
                return;
            }
        }
    }
}

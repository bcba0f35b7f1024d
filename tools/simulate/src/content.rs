//! What streams and files hold: each byte a function of a key and its offset.

use std::sync::OnceLock;

/// Prime, so that no shift by a buffer's or frame's size goes unnoticed.
const PERIOD: usize = 1_000_003;

/// Longest piece that is asked for at once.
const PIECE_BYTES_MAX: usize = 8 << 20;

fn table() -> &'static [u8] {
    static TABLE: OnceLock<Vec<u8>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 24) as u8
        };
        let once: Vec<u8> = (0..PERIOD).map(|_| next()).collect();
        let mut all = once.clone();
        while all.len() < PERIOD + PIECE_BYTES_MAX {
            all.extend_from_slice(&once);
        }
        all
    })
}

/// `length` bytes at `offset` of the content named `key`.
pub fn content(key: u64, offset: u64, length: usize) -> &'static [u8] {
    let start = (key.wrapping_mul(77_377).wrapping_add(offset) % PERIOD as u64) as usize;
    &table()[start..start + length]
}

/// Fails, saying where, unless `bytes` are those at `offset` of the content named `key`.
#[track_caller]
pub fn assert_content(key: u64, offset: u64, bytes: &[u8]) {
    let expected = content(key, offset, bytes.len());
    if bytes == expected {
        return;
    }
    let at = bytes.iter().zip(expected).position(|(a, b)| a != b);
    let at = at.unwrap_or(0);
    let end = bytes.len().min(at + 16);
    let shown = &bytes[at..end];
    let shift = (0..PERIOD as u64).find(|&from| content(key, from, shown.len()) == shown);
    panic!(
        "wrong bytes of content {key} at {}: {shown:02x?} (these are at {shift:?})",
        offset + at as u64,
    );
}

//! What happened, as a running hash and, on request, as text.
//!
//! Two runs with one seed must agree in every line; the hash says whether they do, the text
//! where they part.

use std::fmt::{self, Write};

/// FNV-1a, 64 bit: stable for ever and short enough to read.
const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

/// The running record of a world.
#[derive(Debug)]
pub(crate) struct Trace {
    hash: u64,
    text: Option<String>,
}

impl Trace {
    pub(crate) fn new(keep_text: bool) -> Self {
        Self {
            hash: FNV_OFFSET,
            text: keep_text.then(String::new),
        }
    }

    /// Adds one line.
    pub(crate) fn record(&mut self, now_ns: u64, line: fmt::Arguments<'_>) {
        // Writing into a hash or a string cannot fail.
        let _ = writeln!(self, "{now_ns} {line}");
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) fn text(&self) -> &str {
        self.text.as_deref().unwrap_or_default()
    }
}

impl Write for Trace {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.hash = hash_bytes(self.hash, text.as_bytes());
        if let Some(kept) = &mut self.text {
            kept.push_str(text);
        }
        Ok(())
    }
}

/// The hash of some content, to put into a line instead of the content.
pub(crate) fn digest(bytes: &[u8]) -> u64 {
    // Eight bytes at a time: the trace of a large transfer must not cost more than the transfer.
    let mut hash = FNV_OFFSET ^ bytes.len() as u64;
    let mut words = bytes.chunks_exact(8);
    for word in &mut words {
        let word = u64::from_le_bytes(word.try_into().expect("chunks of eight"));
        hash = (hash ^ word).wrapping_mul(FNV_PRIME).rotate_left(23);
    }
    hash_bytes(hash, words.remainder())
}

fn hash_bytes(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME)
    })
}

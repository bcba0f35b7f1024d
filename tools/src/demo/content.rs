//! The file that is sent: generated from a seed, or the user's own; and its digest.
//!
//! All of it runs in the parent process and outside of the timing, so that neither the sender's
//! nor the receiver's account carries it.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use xxhash_rust::xxh3::Xxh3;

use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::progress::Progress;

/// Written and read in pieces of this size: large enough for the disk, small enough for the L2
/// cache and for a quick answer to a signal.
const PIECE_BYTES: usize = 1 << 20;

/// A small fast generator (SplitMix64, Steele et al. 2014). Its output passes as incompressible.
#[derive(Clone, Debug)]
pub(super) struct Generator(u64);

impl Generator {
    /// The same numbers for the same seed.
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn fill(&mut self, piece: &mut [u8]) {
        for word in piece.chunks_mut(8) {
            let number = self.next().to_le_bytes();
            word.copy_from_slice(&number[..word.len()]);
        }
    }
}

/// What stays of a watched pass over a file.
pub(super) struct Watch<'a> {
    /// Is moved.
    pub(super) progress: &'a Progress,
    /// Ends it early.
    pub(super) interrupt: &'a Interrupt,
}

impl Watch<'_> {
    fn step(&self, bytes: u64) -> Result<(), Failure> {
        self.progress.set(bytes);
        self.interrupt.check()
    }
}

/// Writes `bytes` incompressible bytes to a new file and returns their digest (XXH3-128).
pub(super) fn generate(
    path: &Path,
    bytes: u64,
    seed: u64,
    watch: &Watch<'_>,
) -> Result<u128, Failure> {
    let fail = |error| Failure::file("write", path, &error);
    let mut file = File::create_new(path).map_err(fail)?;
    let (mut generator, mut digest) = (Generator::new(seed), Xxh3::new());
    let mut piece = vec![0; PIECE_BYTES];
    let mut written = 0;
    while written < bytes {
        let length = usize::try_from(bytes - written).map_or(PIECE_BYTES, |n| n.min(PIECE_BYTES));
        let piece = &mut piece[..length];
        generator.fill(piece);
        digest.update(piece);
        file.write_all(piece).map_err(fail)?;
        written += length as u64;
        watch.step(written)?;
    }
    Ok(digest.digest128())
}

/// Reads a file and returns its length and digest (XXH3-128).
pub(super) fn digest(path: &Path, watch: &Watch<'_>) -> Result<(u64, u128), Failure> {
    let fail = |error| Failure::file("read", path, &error);
    let mut file = File::open(path).map_err(fail)?;
    let mut digest = Xxh3::new();
    let mut piece = vec![0; PIECE_BYTES];
    let mut bytes = 0;
    loop {
        match file.read(&mut piece).map_err(fail)? {
            0 => return Ok((bytes, digest.digest128())),
            length => {
                digest.update(&piece[..length]);
                bytes += length as u64;
            }
        }
        watch.step(bytes)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Output;

    #[test]
    fn a_seed_gives_one_file_and_its_digest_is_that_of_what_was_written() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let progress = Progress::bytes(&Output::guessed(&[]), None, "test");
        let interrupt = Interrupt::default();
        let watch = Watch {
            progress: &progress,
            interrupt: &interrupt,
        };
        let path = directory.path().join("a");
        let bytes = PIECE_BYTES as u64 + 13;
        let first = generate(&path, bytes, 1, &watch).expect("written");
        assert_eq!(digest(&path, &watch).expect("read"), (bytes, first));
        let other = generate(&directory.path().join("b"), bytes, 2, &watch).expect("written");
        assert_ne!(first, other);
        interrupt.request();
        assert!(digest(&path, &watch).is_err());
    }

    #[test]
    fn an_empty_file_has_a_digest_too() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let progress = Progress::bytes(&Output::guessed(&[]), None, "test");
        let watch = Watch {
            progress: &progress,
            interrupt: &Interrupt::default(),
        };
        let path = directory.path().join("empty");
        let written = generate(&path, 0, 1, &watch).expect("written");
        assert_eq!(digest(&path, &watch).expect("read"), (0, written));
    }
}

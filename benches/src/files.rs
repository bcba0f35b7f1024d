//! The file that is sent and the file that is written into.
//!
//! Neither has a name: whatever becomes of this process, they are gone with it. The processes
//! of a run open them through `/proc`.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use nix::sys::statvfs::statvfs;

use crate::Result;

/// Left free beside both files, bytes.
const SPARE_BYTES: u64 = 1 << 30;

/// Places of the sink that are looked at after a run.
const SPOTS: u64 = 257;

/// Bytes looked at in each of them.
const SPOT_BYTES: usize = 4096;

/// Source and sink of every run.
pub struct Files {
    file_bytes: u64,
    source: File,
    sink: File,
}

impl Files {
    /// Makes both of `file_bytes`, rounded down to whole MiB, and in the page cache.
    ///
    /// # Errors
    /// Too little space, with both numbers; what the file system says.
    pub fn make(directory: &Path, file_bytes: u64) -> Result<Self> {
        let file_bytes = (file_bytes >> 20).max(1) << 20;
        let space = statvfs(directory)?;
        let free_bytes = space.blocks_available() * space.fragment_size();
        let needed_bytes = 2 * file_bytes + SPARE_BYTES;
        if free_bytes < needed_bytes {
            let place = directory.display();
            return Err(format!(
                "{place} has {free_bytes} bytes free, {needed_bytes} are needed: name another \
                 place with --directory"
            )
            .into());
        }
        let mut source = tempfile::tempfile_in(directory)?;
        let mut sink = tempfile::tempfile_in(directory)?;
        let mut state = 0x9E37_79B9_7F4A_7C15;
        let mut block = vec![0; 1 << 20];
        for _ in 0..file_bytes >> 20 {
            scramble(&mut state, &mut block);
            source.write_all(&block)?;
            sink.write_all(&block)?;
        }
        // Else the disk is at work during the first runs.
        source.sync_all()?;
        sink.sync_all()?;
        Ok(Self {
            file_bytes,
            source,
            sink,
        })
    }

    /// Bytes of each.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.file_bytes
    }

    /// Where other processes of this user find the source.
    #[must_use]
    pub fn source_path(&self) -> PathBuf {
        path_of(&self.source)
    }

    /// Where other processes of this user find the sink.
    #[must_use]
    pub fn sink_path(&self) -> PathBuf {
        path_of(&self.sink)
    }

    /// Makes the sink differ from the source where it will be looked at.
    ///
    /// # Errors
    /// What the file system says.
    pub fn blot(&self) -> io::Result<()> {
        for at in self.spots() {
            self.sink.write_all_at(&[0; SPOT_BYTES], at)?;
        }
        Ok(())
    }

    /// Writes both to the disk and takes them out of the page cache (posix_fadvise(2)).
    ///
    /// # Errors
    /// What the file system says.
    pub fn cool(&self) -> io::Result<()> {
        for file in [&self.source, &self.sink] {
            file.sync_all()?;
            posix_fadvise(file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)?;
        }
        Ok(())
    }

    /// Compares the sink with the source there.
    ///
    /// # Errors
    /// Where they differ; what the file system says.
    pub fn check(&self) -> Result<()> {
        let (mut ours, mut theirs) = ([0; SPOT_BYTES], [0; SPOT_BYTES]);
        for at in self.spots() {
            self.source.read_exact_at(&mut ours, at)?;
            self.sink.read_exact_at(&mut theirs, at)?;
            if ours != theirs {
                return Err(format!("the received file differs at {at}").into());
            }
        }
        Ok(())
    }

    /// Spread over the file, first and last bytes included.
    fn spots(&self) -> impl Iterator<Item = u64> + use<> {
        let last = self.file_bytes - SPOT_BYTES as u64;
        (0..SPOTS).map(move |index| last / (SPOTS - 1) * index)
    }
}

fn path_of(file: &File) -> PathBuf {
    let (process, descriptor) = (std::process::id(), file.as_raw_fd());
    PathBuf::from(format!("/proc/{process}/fd/{descriptor}"))
}

/// Content that differs in every block (xorshift64).
fn scramble(state: &mut u64, block: &mut [u8]) {
    for word in block.chunks_exact_mut(8) {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        word.copy_from_slice(&state.to_le_bytes());
    }
}

//! Whether the demonstration's files fit, before the first byte is written.

use std::path::Path;

use nix::sys::statvfs::statvfs;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::size::Size;

/// What the directories, the key file and the sidecar take, generously, bytes.
const OVERHEAD_BYTES: u64 = 1 << 20;

/// Checks that `bytes` more fit into the file system of `directory`.
pub(super) fn check(directory: &Path, bytes: u64) -> Result<(), Failure> {
    let status =
        statvfs(directory).map_err(|errno| Failure::file("look at", directory, &errno.into()))?;
    let available = status
        .blocks_available()
        .saturating_mul(status.fragment_size());
    refuse(directory, bytes.saturating_add(OVERHEAD_BYTES), available)
}

fn refuse(directory: &Path, needed: u64, available: u64) -> Result<(), Failure> {
    if needed <= available {
        return Ok(());
    }
    let (directory, size) = (directory.display(), Size(needed));
    let message = format_args!(
        "{directory} has {available} bytes free, the demonstration needs {needed} ({size}): name a \
         smaller --size, or a directory with more room in TMPDIR"
    );
    Err(Failure::coded(Exit::File, "no_space", message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_little_space_is_refused_with_both_numbers_and_the_remedy() {
        let error = refuse(Path::new("/tmp"), 2000, 1999).expect_err("too little");
        assert_eq!((error.exit, error.code.as_str()), (Exit::File, "no_space"));
        for part in ["2000", "1999", "TMPDIR", "--size"] {
            assert!(error.message.contains(part), "{}", error.message);
        }
        assert_eq!(refuse(Path::new("/tmp"), 2000, 2000), Ok(()));
    }
}

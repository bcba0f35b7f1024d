//! A directory of small files, and whether all of them arrived.

use std::fs;
use std::path::{Path, PathBuf};

use ringway_benches::Result;
use tempfile::TempDir;

/// Of each.
const FILE_BYTES: usize = 16 << 10;
/// In each directory, so that none is large.
const FILES_PER_DIRECTORY: u32 = 100;

/// See the module; removed with this value.
pub struct SmallFiles {
    root: TempDir,
    count: u32,
}

impl SmallFiles {
    /// Makes `count` of them, each with content of its own, in the page cache and on the disk.
    pub fn make(directory: &Path, count: u32) -> Result<Self> {
        let root = tempfile::tempdir_in(directory)?;
        for index in 0..count {
            let path = root.path().join(name(index));
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::write(&path, content(index))?;
        }
        // Else the disk is at work during the first runs.
        nix::unistd::syncfs(fs::File::open(root.path())?)?;
        Ok(Self { root, count })
    }

    /// Where they are.
    pub fn path(&self) -> &Path {
        self.root.path()
    }

    /// All together.
    pub fn bytes(&self) -> u64 {
        u64::from(self.count) * FILE_BYTES as u64
    }

    /// Looks at every file that arrived somewhere below `place`, and compares some of them.
    pub fn check(&self, place: &Path) -> Result<()> {
        let root = find_root(place)?;
        for index in 0..self.count {
            let path = root.join(name(index));
            let bytes = fs::metadata(&path)
                .map_err(|error| format!("{} did not arrive: {error}", path.display()))?
                .len();
            let is_right = match index % 97 {
                0 => fs::read(&path)? == content(index),
                _ => bytes == FILE_BYTES as u64,
            };
            if !is_right {
                return Err(format!("{} is not what was sent", path.display()).into());
            }
        }
        Ok(())
    }
}

fn name(index: u32) -> PathBuf {
    format!("{:04}/{index:06}", index / FILES_PER_DIRECTORY).into()
}

/// Differs from file to file.
fn content(index: u32) -> Vec<u8> {
    let word = |at: usize| u64::from(index) << 32 | at as u64;
    let words = (0..FILE_BYTES / 8).map(|at| word(at).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    words.flat_map(u64::to_le_bytes).collect()
}

/// The directory with the first file in it: `put -r` may keep the source's own name.
fn find_root(place: &Path) -> Result<PathBuf> {
    let mut waiting = vec![place.to_owned()];
    while let Some(directory) = waiting.pop() {
        if directory.join(name(0)).exists() {
            return Ok(directory);
        }
        for entry in fs::read_dir(&directory)? {
            let path = entry?.path();
            if path.is_dir() {
                waiting.push(path);
            }
        }
    }
    Err(format!("nothing arrived in {}", place.display()).into())
}

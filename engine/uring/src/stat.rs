//! statx(2)'s answer in the seam's form.

use ringway_io::{FileKind, FileStat};

/// Converts.
pub(crate) fn file_stat(stat: &libc::statx) -> FileStat {
    let mode = u32::from(stat.stx_mode);
    FileStat {
        kind: match mode & libc::S_IFMT {
            libc::S_IFREG => FileKind::Regular,
            libc::S_IFDIR => FileKind::Directory,
            libc::S_IFLNK => FileKind::Symlink,
            _ => FileKind::Special,
        },
        mode: mode & 0o7777,
        size: stat.stx_size,
        modified_ns: ns(&stat.stx_mtime),
        changed_ns: ns(&stat.stx_ctime),
        inode: stat.stx_ino,
        device: libc::makedev(stat.stx_dev_major, stat.stx_dev_minor),
    }
}

fn ns(time: &libc::statx_timestamp) -> i128 {
    i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec)
}

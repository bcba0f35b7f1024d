//! Whether reading a range of a file would touch the disk.
//!
//! cachestat(2) counts pages (6.5); else mincore(2) looks at a mapping made for the question. Both
//! answer only about files that we may write or own; mincore pretends for the others that all is
//! there, so it is not asked.

use std::os::fd::OwnedFd;

use nix::sys::stat::{FileStat, fstat};
use nix::sys::statfs::{TMPFS_MAGIC, fstatfs};
use nix::unistd::Uid;
use ringway_io::Residency;

use crate::sys::file::cachestat;
use crate::sys::mapping::{Mapping, page_bytes};

/// Longest range for which a mapping is made.
const MAPPED_BYTES_MAX: u64 = 1 << 20;

/// How to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    /// cachestat(2).
    CacheStat,
    /// mincore(2).
    Mincore,
}

/// Asks about `length` bytes from `offset`. What lies beyond the end of the file counts as there:
/// reading it reads nothing.
pub(crate) fn residency(file: &OwnedFd, offset: u64, length: u32, question: Question) -> Residency {
    match question {
        Question::CacheStat => by_cachestat(file, offset, length.into()),
        Question::Mincore => by_mincore(file, offset, length.into()),
    }
}

fn by_cachestat(file: &OwnedFd, offset: u64, length: u64) -> Residency {
    if length == 0 {
        return Residency::Resident;
    }
    let Ok(found) = cachestat(file, offset, length) else {
        return Residency::Unknown;
    };
    if found.cached >= pages(offset, length) {
        return Residency::Resident;
    }
    // Fewer pages than asked for: the file may end before, or be one that has no disk.
    let Some(stat) = regular(file) else {
        return Residency::Unknown;
    };
    let size = u64::try_from(stat.st_size).unwrap_or(0);
    let inside = size.saturating_sub(offset).min(length);
    if found.cached >= pages(offset, inside) {
        return Residency::Resident;
    }
    // A hole of a tmpfs or memfd has no page and needs no disk; what was swapped out does.
    let is_memory = fstatfs(file).is_ok_and(|system| system.filesystem_type() == TMPFS_MAGIC);
    if is_memory && found.evicted == 0 {
        return Residency::Resident;
    }
    Residency::Absent
}

fn by_mincore(file: &OwnedFd, offset: u64, length: u64) -> Residency {
    let Some(stat) = regular(file) else {
        return Residency::Unknown;
    };
    let caller = Uid::effective();
    if !caller.is_root() && caller.as_raw() != stat.st_uid {
        return Residency::Unknown;
    }
    let size = u64::try_from(stat.st_size).unwrap_or(0);
    let inside = size.saturating_sub(offset).min(length);
    if inside == 0 {
        return Residency::Resident;
    }
    let page = page_bytes() as u64;
    let start = offset - offset % page;
    let span = offset + inside - start;
    if span > MAPPED_BYTES_MAX + page {
        return Residency::Unknown;
    }
    let is_there = |byte: &u8| byte & 1 == 1;
    let view = i64::try_from(start)
        .ok()
        .and_then(|start| Mapping::view(file, start, usize::try_from(span).ok()?).ok());
    match view.map(|view| view.pages_in_memory()) {
        Some(Ok(pages)) if pages.iter().all(is_there) => Residency::Resident,
        Some(Ok(_)) => Residency::Absent,
        _ => Residency::Unknown,
    }
}

/// Nothing else has an end and pages.
fn regular(file: &OwnedFd) -> Option<FileStat> {
    let stat = fstat(file).ok()?;
    (stat.st_mode & libc::S_IFMT == libc::S_IFREG).then_some(stat)
}

/// Pages that a range touches.
fn pages(offset: u64, length: u64) -> u64 {
    if length == 0 {
        return 0;
    }
    let page = page_bytes() as u64;
    offset.saturating_add(length - 1) / page - offset / page + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_counts_every_page_it_touches() {
        let page = page_bytes() as u64;
        assert_eq!(pages(0, page), 1);
        assert_eq!(pages(page - 1, 2), 2);
        assert_eq!(pages(page, 0), 0);
        assert_eq!(pages(10, 3 * page), 4);
    }
}

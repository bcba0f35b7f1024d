//! Memory from mmap(2), unmapped when the last owner drops it.
//!
//! Invariants:
//! 1. `base..base + length` was mapped here, readable and writable but for `view`, of which only
//!    the address is used; nobody else unmaps or remaps any of it.
//! 2. It stays mapped until `Drop`, which runs once.
//! 3. `length` is a multiple of the page size and not 0.
#![allow(unsafe_code)]

use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::ptr::NonNull;

use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap, mmap_anonymous, munmap};
use ringway_io::Errno;

/// Alignment of shared mappings: kernels 6.12–6.15 mishandled fixed buffers that began inside of
/// a huge page.
pub(crate) const HUGE_PAGE_BYTES: usize = 2 << 20;

/// A private or shared mapping.
pub(crate) struct Mapping {
    base: NonNull<u8>,
    length: usize,
}

// SAFETY: a mapping belongs to the process, not to a thread (1, 2); access goes through raw
// pointers whose users answer for their own exclusion.
unsafe impl Send for Mapping {}
// SAFETY: as above; `&Mapping` gives out only an address and a length.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Zeroed private memory, not inherited by children.
    pub(crate) fn anonymous(length: usize) -> Result<Self, Errno> {
        let length = page_multiple(length)?;
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: no address is given, so no existing mapping is replaced.
        let base = unsafe { mmap_anonymous(None, length, protection, MapFlags::MAP_PRIVATE) };
        let mapping = Self {
            base: base.map_err(errno)?.cast(),
            length: length.get(),
        };
        mapping.advise(MmapAdvise::MADV_DONTFORK)?;
        Ok(mapping)
    }

    /// A file's pages, shared, aligned to [`HUGE_PAGE_BYTES`], not inherited by children.
    pub(crate) fn shared(file: &OwnedFd, length: usize) -> Result<Self, Errno> {
        let length = page_multiple(length)?;
        // Reserve more than is needed, place the file at the aligned address inside, and give the
        // margins back by letting the reservation be cut down to the file's part.
        let reserve = Self::reserve(length.get() + HUGE_PAGE_BYTES)?;
        let start = reserve.base.as_ptr() as usize;
        let aligned = start.next_multiple_of(HUGE_PAGE_BYTES);
        let address = NonZeroUsize::new(aligned).ok_or(Errno::ENOMEM)?;
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        let flags = MapFlags::MAP_SHARED | MapFlags::MAP_FIXED;
        // SAFETY: `aligned..aligned + length` lies inside of `reserve`, which is ours alone (1)
        // and holds no object.
        let base = unsafe { mmap(Some(address), length, protection, flags, file, 0) };
        let mapping = Self {
            base: base.map_err(errno)?.cast(),
            length: length.get(),
        };
        reserve.cut_down_to(aligned, length.get());
        mapping.advise(MmapAdvise::MADV_DONTFORK)?;
        Ok(mapping)
    }

    /// A read-only view of part of a file, for asking about its pages only.
    pub(crate) fn view(file: &OwnedFd, offset: i64, length: usize) -> Result<Self, Errno> {
        let length = page_multiple(length)?;
        // SAFETY: no address is given, so no existing mapping is replaced. Nobody reads through
        // it, so truncation of the file cannot raise SIGBUS.
        let base = unsafe {
            mmap(
                None,
                length,
                ProtFlags::PROT_NONE,
                MapFlags::MAP_SHARED,
                file,
                offset,
            )
        };
        Ok(Self {
            base: base.map_err(errno)?.cast(),
            length: length.get(),
        })
    }

    fn reserve(length: usize) -> Result<Self, Errno> {
        let length = page_multiple(length)?;
        // SAFETY: no address is given, so no existing mapping is replaced.
        let base =
            unsafe { mmap_anonymous(None, length, ProtFlags::PROT_NONE, MapFlags::MAP_PRIVATE) };
        Ok(Self {
            base: base.map_err(errno)?.cast(),
            length: length.get(),
        })
    }

    /// Gives back all of a reservation but `kept` bytes from address `from`, which now belong to
    /// another `Mapping`.
    fn cut_down_to(self, from: usize, kept: usize) {
        let start = self.base.as_ptr() as usize;
        let (end, before) = (start + self.length, from - start);
        let after = end - (from + kept);
        let tail = self.base.as_ptr().wrapping_add(before + kept);
        let base = self.base;
        std::mem::forget(self);
        if before > 0 {
            // SAFETY: the head of the reservation, ours (1), forgotten above, so unmapped once.
            let _ = unsafe { munmap(base.cast(), before) };
        }
        if let Some(tail) = NonNull::new(tail).filter(|_| after > 0) {
            // SAFETY: the tail of the reservation, ours (1), forgotten above, so unmapped once.
            let _ = unsafe { munmap(tail.cast(), after) };
        }
    }

    /// First byte.
    pub(crate) fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// Bytes mapped.
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    /// Tells the kernel how the memory will be used.
    pub(crate) fn advise(&self, advice: MmapAdvise) -> Result<(), Errno> {
        // SAFETY: the whole range is ours (1); only advice that keeps contents is given.
        unsafe { madvise(self.base.cast(), self.length, advice) }.map_err(errno)
    }

    /// One byte per page: odd where the page is in memory (mincore(2)).
    pub(crate) fn pages_in_memory(&self) -> Result<Vec<u8>, Errno> {
        let mut pages = vec![0_u8; self.length.div_ceil(page_bytes())];
        // SAFETY: the range is mapped (1, 2) and `pages` has one byte for each of its pages.
        let result =
            unsafe { libc::mincore(self.base.as_ptr().cast(), self.length, pages.as_mut_ptr()) };
        match result {
            0 => Ok(pages),
            _ => Err(Errno::of(&std::io::Error::last_os_error())),
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: ours (1), once (2).
        let _ = unsafe { munmap(self.base.cast(), self.length) };
    }
}

/// Size of a page, bytes.
pub(crate) fn page_bytes() -> usize {
    let size = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE);
    size.ok()
        .flatten()
        .and_then(|bytes| usize::try_from(bytes).ok())
        .unwrap_or(4096)
}

fn page_multiple(length: usize) -> Result<NonZeroUsize, Errno> {
    let rounded = length.checked_next_multiple_of(page_bytes());
    rounded.and_then(NonZeroUsize::new).ok_or(Errno::EINVAL)
}

fn errno(error: nix::errno::Errno) -> Errno {
    Errno(error as i32)
}

//! The calls that helper threads run.

use std::ffi::OsStr;
use std::net::ToSocketAddrs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use nix::dir::{Dir, Type};
use nix::fcntl::{FallocateFlags, FcntlArg, FlockArg, OFlag, fallocate, fcntl, open};
use nix::sys::stat::{Mode, fchmod, futimens};
use nix::sys::time::TimeSpec;
use ringway_io::{BlockingCall, Descriptor, DirectoryEntry, Errno, FileKind, Payload};

/// More entries than the caller bounded its answer to (errno(3)).
const EOVERFLOW: Errno = Errno(libc::EOVERFLOW);

const NS_PER_S: i128 = 1_000_000_000;

/// Runs one call.
pub(crate) fn run(call: BlockingCall) -> Result<(u32, Payload), Errno> {
    match call {
        BlockingCall::Resolve { host, port } => resolve(&host, port),
        BlockingCall::ReadDirectory {
            directory,
            entries_max,
        } => read_directory(os(&directory)?, entries_max),
        BlockingCall::SetAttributes {
            file,
            mode,
            modified_ns,
        } => set_attributes(os(&file)?, mode, modified_ns),
        BlockingCall::Truncate { file, length } => {
            let length = i64::try_from(length).map_err(|_| Errno::EINVAL)?;
            done(nix::unistd::ftruncate(os(&file)?, length))
        }
        BlockingCall::Allocate { file, length } => {
            let length = i64::try_from(length).map_err(|_| Errno::EINVAL)?;
            let flags = FallocateFlags::FALLOC_FL_KEEP_SIZE;
            done(fallocate(os(&file)?, flags, 0, length))
        }
        BlockingCall::OpenDirect { file } => open_direct(os(&file)?),
        BlockingCall::SyncFileSystem { file } => done(nix::unistd::syncfs(os(&file)?)),
        BlockingCall::Lock { file } => lock(os(&file)?),
    }
}

fn os(descriptor: &Descriptor) -> Result<&OwnedFd, Errno> {
    descriptor.os().ok_or(Errno::EBADF)
}

/// An open file description of its own: the flag of the other one is whoever's holds it.
fn open_direct(file: &OwnedFd) -> Result<(u32, Payload), Errno> {
    let errno = |error| Errno(error as i32);
    let flags = fcntl(file, FcntlArg::F_GETFL).map_err(errno)?;
    let access = OFlag::from_bits_truncate(flags) & OFlag::O_ACCMODE;
    // Through /proc, so that it also finds a file that has no name any more (open(2)).
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let opened = open(
        path.as_str(),
        access | OFlag::O_DIRECT | OFlag::O_CLOEXEC,
        Mode::empty(),
    );
    let opened = Descriptor::from_os(opened.map_err(errno)?);
    Ok((0, Payload::Descriptor(opened)))
}

fn done(result: nix::Result<()>) -> Result<(u32, Payload), Errno> {
    result
        .map(|()| (0, Payload::None))
        .map_err(|error| Errno(error as i32))
}

fn resolve(host: &str, port: u16) -> Result<(u32, Payload), Errno> {
    // The resolver's own errors carry no error number: a name that cannot be found is ENOENT.
    let found = (host, port).to_socket_addrs();
    let found = found.map_err(|error| error.raw_os_error().map_or(Errno::ENOENT, Errno))?;
    let mut addresses = Vec::new();
    for address in found {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    match addresses.len() {
        0 => Err(Errno::ENOENT),
        count => Ok((count as u32, Payload::Addresses(addresses))),
    }
}

fn read_directory(directory: &OwnedFd, entries_max: usize) -> Result<(u32, Payload), Errno> {
    // A descriptor of its own: reading moves the position, which the caller's shares.
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let own = Dir::openat(directory, c".", flags, Mode::empty());
    let mut entries = Vec::new();
    for entry in own.map_err(|error| Errno(error as i32))?.iter() {
        let entry = entry.map_err(|error| Errno(error as i32))?;
        let name = entry.file_name().to_bytes();
        if name == b"." || name == b".." {
            continue;
        }
        if entries.len() >= entries_max {
            return Err(EOVERFLOW);
        }
        entries.push(DirectoryEntry {
            name: OsStr::from_bytes(name).to_os_string(),
            kind: kind(entry.file_type()),
        });
    }
    let count = u32::try_from(entries.len()).unwrap_or(u32::MAX);
    Ok((count, Payload::Entries(entries)))
}

fn kind(found: Option<Type>) -> FileKind {
    match found {
        Some(Type::File) => FileKind::Regular,
        Some(Type::Directory) => FileKind::Directory,
        Some(Type::Symlink) => FileKind::Symlink,
        _ => FileKind::Special,
    }
}

fn set_attributes(
    file: &OwnedFd,
    mode: Option<u32>,
    modified_ns: Option<i128>,
) -> Result<(u32, Payload), Errno> {
    if let Some(mode) = mode {
        done(fchmod(file, Mode::from_bits_truncate(mode)))?;
    }
    if let Some(ns) = modified_ns {
        let seconds = i64::try_from(ns.div_euclid(NS_PER_S)).map_err(|_| Errno::EINVAL)?;
        let rest = i64::try_from(ns.rem_euclid(NS_PER_S)).map_err(|_| Errno::EINVAL)?;
        done(futimens(
            file,
            &TimeSpec::UTIME_OMIT,
            &TimeSpec::new(seconds, rest),
        ))?;
    }
    Ok((0, Payload::None))
}

#[expect(
    deprecated,
    reason = "nix's replacement owns the file; the lock belongs to a shared descriptor here"
)]
fn lock(file: &OwnedFd) -> Result<(u32, Payload), Errno> {
    done(nix::fcntl::flock(
        file.as_raw_fd(),
        FlockArg::LockExclusiveNonblock,
    ))
}

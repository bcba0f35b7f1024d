//! From an op of the seam to what the ring is asked for, given what this kernel can.
//!
//! | without | becomes |
//! |---|---|
//! | `AcceptMultishot` | a single accept, `more` unset after each |
//! | `ReceiveMultishot` | a single receive into a provided buffer, `more` unset after each |
//! | any provided buffer | `EOPNOTSUPP` for a multishot receive |
//! | `RegisteredBuffers` | plain read and write; zero-copy send from unregistered memory |
//! | `SendZeroCopy` | `EOPNOTSUPP` at once: the caller has its own copying path |
//! | `ZeroCopyReport` | notifications that do not say whether the kernel copied |
//! | `Splice` | `EOPNOTSUPP` at once |

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use ringway_io::{
    BlockingCall, BufferMut, Capabilities, Capability, Descriptor, Directory, Errno, Op, OpenHow,
    Payload,
};

use crate::arena::Arena;
use crate::request::{Memory, OpenFlags, OpenPurpose, Request, SocketAddress};
use crate::socket::is_unix;
use crate::sys::held::VECTORS_MAX;

/// Splices stop at what one pipe can hold, and offsets are signed in the kernel.
const OFFSET_MAX: u64 = i64::MAX as u64;

/// Where an op goes.
pub(crate) enum Plan {
    Ring(Request),
    Helper(BlockingCall),
}

/// An op that is answered without asking anybody.
pub(crate) struct Refused {
    pub errno: Errno,
    pub payload: Payload,
}

/// What the answers depend on.
pub(crate) struct Means<'a> {
    pub capabilities: Capabilities,
    pub arena: Option<&'a Arena>,
    pub has_provided: bool,
    pub now_ns: u64,
}

impl From<Errno> for Refused {
    fn from(errno: Errno) -> Self {
        Self {
            errno,
            payload: Payload::None,
        }
    }
}

/// Chooses the ring's form of an op.
pub(crate) fn lower(op: Op, means: &Means<'_>) -> Result<Plan, Refused> {
    match op {
        Op::Blocking(call) => Ok(Plan::Helper(call)),
        Op::Accept { .. }
        | Op::Connect { .. }
        | Op::Receive { .. }
        | Op::ReceiveMultishot { .. }
        | Op::Send { .. }
        | Op::SendZeroCopy { .. }
        | Op::SendVectored { .. } => lower_socket(op, means),
        Op::Poll {
            descriptor,
            readiness,
        } => Ok(Plan::Ring(Request::Poll {
            descriptor,
            readiness,
        })),
        Op::Timeout { at_ns } => Ok(Plan::Ring(Request::Timeout {
            after_ns: at_ns.saturating_sub(means.now_ns),
        })),
        Op::Read { .. }
        | Op::Write { .. }
        | Op::Sync { .. }
        | Op::SpliceFromFile { .. }
        | Op::SpliceToFile { .. } => lower_file(op, means),
        other => lower_path(other).map(Plan::Ring).map_err(Refused::from),
    }
}

fn lower_socket(op: Op, means: &Means<'_>) -> Result<Plan, Refused> {
    let has = |capability| means.capabilities.has(capability);
    let request = match op {
        Op::Accept { listener } => Request::Accept {
            listener,
            multishot: has(Capability::AcceptMultishot),
        },
        Op::Connect { socket, address } => Request::Connect {
            address: SocketAddress::of(&address)?,
            socket,
        },
        Op::Receive {
            socket,
            buffer,
            exact,
        } => Request::Receive {
            socket,
            buffer: checked(buffer)?,
            exact,
        },
        Op::ReceiveMultishot { .. } if !means.has_provided => {
            return Err(Errno::EOPNOTSUPP.into());
        }
        Op::ReceiveMultishot { socket } => Request::ReceiveProvided {
            multishot: has(Capability::ReceiveMultishot) && !is_unix_socket(&socket),
            socket,
        },
        Op::Send {
            socket,
            buffer,
            more_follows,
        } => Request::Send {
            socket,
            buffer,
            more_follows,
        },
        Op::SendZeroCopy { .. } if !has(Capability::SendZeroCopy) => {
            return Err(Errno::EOPNOTSUPP.into());
        }
        Op::SendZeroCopy {
            socket,
            lease,
            more_follows,
        } => Request::SendZeroCopy {
            memory: memory(means, &lease),
            report_usage: has(Capability::ZeroCopyReport),
            socket,
            lease,
            more_follows,
        },
        Op::SendVectored {
            socket,
            buffers,
            more_follows,
        } if buffers.len() <= VECTORS_MAX => Request::SendVectored {
            socket,
            buffers,
            more_follows,
        },
        _ => return Err(Errno::EINVAL.into()),
    };
    Ok(Plan::Ring(request))
}

/// Multishot receive on a Unix socket may lose the end of the stream (a race, on kernels before
/// April 2026): such sockets receive one by one.
fn is_unix_socket(socket: &Descriptor) -> bool {
    socket.os().is_some_and(is_unix)
}

fn lower_file(op: Op, means: &Means<'_>) -> Result<Plan, Refused> {
    let request = match op {
        Op::Read {
            file,
            offset,
            buffer,
        } => {
            let buffer = checked(buffer)?;
            Request::Read {
                memory: memory(means, buffer.as_slice()),
                file,
                offset,
                buffer,
            }
        }
        Op::Write {
            file,
            offset,
            buffer,
        } => Request::Write {
            memory: memory(means, buffer.as_slice()),
            file,
            offset,
            buffer,
        },
        Op::Sync { file, data_only } => Request::Sync { file, data_only },
        _ if !means.capabilities.has(Capability::Splice) => return Err(Errno::EOPNOTSUPP.into()),
        Op::SpliceFromFile { offset, .. } | Op::SpliceToFile { offset, .. }
            if offset > OFFSET_MAX =>
        {
            return Err(Errno::EINVAL.into());
        }
        Op::SpliceFromFile {
            file,
            offset,
            pipe,
            length,
        } => Request::Splice {
            from: file,
            from_offset: Some(offset),
            to: pipe,
            to_offset: None,
            length,
        },
        Op::SpliceToFile {
            pipe,
            file,
            offset,
            length,
        } => Request::Splice {
            from: pipe,
            from_offset: None,
            to: file,
            to_offset: Some(offset),
            length,
        },
        _ => return Err(Errno::EINVAL.into()),
    };
    Ok(Plan::Ring(request))
}

fn memory(means: &Means<'_>, bytes: &[u8]) -> Memory {
    let arena = means
        .arena
        .filter(|_| means.capabilities.has(Capability::RegisteredBuffers));
    match arena {
        Some(arena) if arena.is_registered(bytes) => Memory::Registered,
        _ => Memory::Plain,
    }
}

/// The range of a buffer is the submitter's to set, so it is checked before an address is made
/// of it.
fn checked(buffer: BufferMut) -> Result<BufferMut, Refused> {
    let range = &buffer.range;
    if range.start <= range.end && range.end <= buffer.memory.len() {
        return Ok(buffer);
    }
    Err(Refused {
        errno: Errno::EINVAL,
        payload: Payload::Buffer(buffer),
    })
}

fn lower_path(op: Op) -> Result<Request, Errno> {
    match op {
        Op::Open {
            directory,
            path,
            how,
        } => Ok(Request::Open {
            how: open_flags(&directory, how),
            path: c_string(&path)?,
            directory,
            purpose: OpenPurpose::Hand,
        }),
        Op::Stat { directory, path } => lower_stat(directory, &path),
        Op::StatDescriptor { file } => Ok(Request::Stat {
            directory: Some(file),
            path: CString::default(),
        }),
        Op::Rename {
            from_directory,
            from,
            to_directory,
            to,
            no_replace,
        } => Ok(Request::Rename {
            from: component(&from_directory, &from)?,
            to: component(&to_directory, &to)?,
            from_directory,
            to_directory,
            no_replace,
        }),
        Op::Remove {
            directory,
            path,
            is_directory,
        } => Ok(Request::Remove {
            path: component(&directory, &path)?,
            directory,
            is_directory,
        }),
        Op::MakeDirectory {
            directory,
            path,
            mode,
        } => Ok(Request::MakeDirectory {
            path: component(&directory, &path)?,
            directory,
            mode: mode & 0o7777,
        }),
        _ => Err(Errno::EINVAL),
    }
}

/// statx(2) cannot be told to stay beneath a directory. One component cannot leave it; a longer
/// path is opened strictly beneath (`O_PATH`) and then told about.
fn lower_stat(directory: Directory, path: &Path) -> Result<Request, Errno> {
    let start = match &directory {
        Directory::Ambient => None,
        Directory::Beneath(descriptor) => Some(descriptor.clone()),
    };
    let is_long = component(&directory, path).is_err() && !path.as_os_str().is_empty();
    if start.is_none() || !is_long {
        return Ok(Request::Stat {
            directory: start,
            path: c_string(path)?,
        });
    }
    Ok(Request::Open {
        how: OpenFlags {
            flags: bits(libc::O_PATH | libc::O_NOFOLLOW | libc::O_CLOEXEC),
            mode: 0,
            resolve: RESOLVE_STRICTLY,
        },
        path: c_string(path)?,
        directory,
        purpose: OpenPurpose::Stat,
    })
}

/// Nothing outside, no symbolic link, no magic link (openat2(2)).
const RESOLVE_STRICTLY: u64 =
    libc::RESOLVE_BENEATH | libc::RESOLVE_NO_SYMLINKS | libc::RESOLVE_NO_MAGICLINKS;

fn open_flags(directory: &Directory, how: OpenHow) -> OpenFlags {
    let mut flags = match (how.read, how.write) {
        (true, true) => libc::O_RDWR,
        (false, true) => libc::O_WRONLY,
        (true, false) => libc::O_RDONLY,
        // Only a place in the tree: to start from, or to be told about.
        (false, false) => libc::O_PATH,
    };
    let is_path = flags == libc::O_PATH;
    let wanted = [
        (how.directory, libc::O_DIRECTORY),
        (how.no_follow, libc::O_NOFOLLOW),
        (how.create_mode.is_some() && !is_path, libc::O_CREAT),
        (
            how.exclusive && how.create_mode.is_some() && !is_path,
            libc::O_EXCL,
        ),
        (how.truncate && !is_path, libc::O_TRUNC),
        (how.direct && !is_path, libc::O_DIRECT),
        (how.non_blocking && !is_path, libc::O_NONBLOCK),
        (!is_path, libc::O_NOCTTY),
    ];
    for (_, flag) in wanted.iter().filter(|(on, _)| *on) {
        flags |= flag;
    }
    let creates = flags & libc::O_CREAT != 0;
    OpenFlags {
        flags: bits(flags | libc::O_CLOEXEC),
        mode: u64::from(how.create_mode.filter(|_| creates).unwrap_or(0) & 0o7777),
        resolve: match directory {
            Directory::Ambient => 0,
            Directory::Beneath(_) => RESOLVE_STRICTLY,
        },
    }
}

fn bits(flags: i32) -> u64 {
    u64::from(flags.cast_unsigned())
}

/// A name that cannot leave its directory; any path where the user typed it.
fn component(directory: &Directory, path: &Path) -> Result<CString, Errno> {
    let bytes = path.as_os_str().as_bytes();
    let is_one = !bytes.is_empty() && !bytes.contains(&b'/') && bytes != b"." && bytes != b"..";
    match directory {
        Directory::Beneath(_) if !is_one => Err(Errno::EINVAL),
        _ => c_string(path),
    }
}

fn c_string(path: &Path) -> Result<CString, Errno> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::EINVAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beneath() -> Directory {
        let fd = std::fs::File::open("/").expect("root directory");
        Directory::Beneath(Descriptor::from_os(fd.into()))
    }

    #[test]
    fn a_name_that_could_leave_its_directory_is_refused() {
        let directory = beneath();
        for bad in ["..", ".", "", "a/b", "/etc", "../x", "a/"] {
            assert_eq!(
                component(&directory, Path::new(bad)),
                Err(Errno::EINVAL),
                "{bad}"
            );
        }
        assert!(component(&directory, Path::new("..name")).is_ok());
        assert!(component(&Directory::Ambient, Path::new("../x")).is_ok());
        assert!(c_string(Path::new("a\0b")).is_err());
    }

    #[test]
    fn only_paths_beneath_a_directory_are_restricted() {
        let strict = open_flags(&beneath(), OpenHow::READ);
        assert_eq!(strict.resolve, RESOLVE_STRICTLY);
        let free = open_flags(&Directory::Ambient, OpenHow::READ);
        assert_eq!(free.resolve, 0);
        assert_ne!(free.flags & bits(libc::O_NONBLOCK | libc::O_CLOEXEC), 0);
    }

    #[test]
    fn a_mode_without_create_would_be_refused_by_the_kernel() {
        let how = OpenHow {
            read: false,
            create_mode: Some(0o644),
            ..OpenHow::READ
        };
        let place = open_flags(&Directory::Ambient, how);
        assert_eq!(place.mode, 0);
        assert_eq!(place.flags & bits(libc::O_CREAT | libc::O_NONBLOCK), 0);
    }
}

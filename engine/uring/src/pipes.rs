//! The pool of pipes through which spliced bytes pass.
//!
//! Bounded, because a user has 64 MiB of pipes by default (pipe(7)): beyond that new pipes hold two
//! pages and everything crawls. Pipes are made when first asked for, resized as far as the user
//! may, and kept only while known to be empty: what sits in a pipe refers to pages of a file or a
//! lease and would leave in front of the next transfer's bytes.

use nix::errno::Errno as Nix;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::pipe2;
use ringway_io::{Descriptor, Errno, Pipe, Reduction};

use crate::surroundings::{pipe_max_bytes, pipe_user_pages_soft};
use crate::sys::file::bytes_waiting;

/// Smallest pipe worth having, and what the seam promises at least: a page.
const CAPACITY_BYTES_MIN: u32 = 4096;

/// Largest pipe the seam speaks of.
const CAPACITY_BYTES_MAX: u32 = 1 << 20;

/// A bounded pool of pipes.
pub(crate) struct Pipes {
    idle: Vec<Pipe>,
    made: u32,
    made_max: u32,
    wanted_bytes: u32,
    smallest_bytes: u32,
}

impl Pipes {
    /// At most `made_max` pipes of `wanted_bytes` each.
    pub(crate) fn new(made_max: u32, wanted_bytes: u32) -> Self {
        let wanted = wanted_bytes.clamp(CAPACITY_BYTES_MIN, CAPACITY_BYTES_MAX);
        let wanted_bytes = 1 << wanted.ilog2();
        Self {
            idle: Vec::new(),
            made: 0,
            made_max,
            wanted_bytes,
            smallest_bytes: wanted_bytes,
        }
    }

    /// Lends a pipe; `None` at the bound, or when the process has no descriptors left.
    pub(crate) fn acquire(&mut self) -> Option<Pipe> {
        if let Some(pipe) = self.idle.pop() {
            return Some(pipe);
        }
        if self.made >= self.made_max {
            return None;
        }
        let pipe = make(self.wanted_bytes).ok()?;
        self.made += 1;
        self.smallest_bytes = self.smallest_bytes.min(pipe.capacity);
        Some(pipe)
    }

    /// Takes a pipe back; closes it unless it is known to be empty and nobody else holds it.
    pub(crate) fn release(&mut self, pipe: Pipe, may_pool: bool) {
        let waiting = pipe.read.os().map(bytes_waiting);
        let is_empty = matches!(waiting, Some(Ok(0)));
        debug_assert!(
            !may_pool || is_empty,
            "a pipe given back as empty holds {waiting:?}"
        );
        if may_pool && is_empty && self.idle.len() < self.made_max as usize {
            self.idle.push(pipe);
        } else {
            self.made = self.made.saturating_sub(1);
        }
    }

    /// Smallest capacity given so far, bytes.
    pub(crate) fn smallest_bytes(&self) -> u32 {
        self.smallest_bytes
    }

    /// What to tell if pipes are smaller than wanted.
    pub(crate) fn reduction(&self) -> Option<Reduction> {
        (self.smallest_bytes < self.wanted_bytes).then(|| Reduction {
            what: "pipes",
            wanted: self.wanted_bytes.into(),
            got: self.smallest_bytes.into(),
            reason: reason(),
        })
    }
}

fn reason() -> String {
    let pages = pipe_user_pages_soft().unwrap_or(0);
    let bytes = pipe_max_bytes().unwrap_or(0);
    format!(
        "this user's pipes are limited: all together to {pages} pages (sysctl \
         fs.pipe-user-pages-soft), each to {bytes} bytes (sysctl fs.pipe-max-size); raise them, \
         give the process CAP_SYS_RESOURCE, or configure fewer or smaller pipes"
    )
}

fn make(wanted_bytes: u32) -> Result<Pipe, Errno> {
    let (read, write) =
        pipe2(OFlag::O_NONBLOCK | OFlag::O_CLOEXEC).map_err(|error| Errno(error as i32))?;
    let mut size = wanted_bytes;
    let capacity = loop {
        let asked = i32::try_from(size).unwrap_or(i32::MAX);
        match fcntl(&write, FcntlArg::F_SETPIPE_SZ(asked)) {
            Ok(got) => break u32::try_from(got).unwrap_or(CAPACITY_BYTES_MIN),
            Err(Nix::EPERM | Nix::ENOMEM | Nix::EINVAL) if size > CAPACITY_BYTES_MIN => size /= 2,
            // Whatever the kernel made it with.
            Err(_) => {
                let got = fcntl(&write, FcntlArg::F_GETPIPE_SZ).unwrap_or(4096);
                break u32::try_from(got).unwrap_or(CAPACITY_BYTES_MIN);
            }
        }
    };
    Ok(Pipe {
        read: Descriptor::from_os(read),
        write: Descriptor::from_os(write),
        capacity: capacity.clamp(CAPACITY_BYTES_MIN, CAPACITY_BYTES_MAX),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pool_lends_up_to_its_bound_and_takes_empty_pipes_back() {
        let mut pipes = Pipes::new(2, 64 << 10);
        let one = pipes.acquire().expect("first");
        let two = pipes.acquire().expect("second");
        assert!(pipes.acquire().is_none());
        let number = one.read.os_number();
        pipes.release(one, true);
        let again = pipes.acquire().expect("pooled");
        assert_eq!(again.read.os_number(), number);
        pipes.release(again, false);
        assert!(pipes.acquire().is_some(), "a closed pipe makes room");
        drop(two);
    }

    #[test]
    fn a_pipe_with_bytes_in_it_is_closed() {
        let mut pipes = Pipes::new(1, 4096);
        let pipe = pipes.acquire().expect("first");
        nix::unistd::write(pipe.write.os().expect("real"), b"left over").expect("room");
        pipes.release(pipe, false);
        assert!(pipes.idle.is_empty());
        let fresh = pipes.acquire().expect("another");
        assert_eq!(bytes_waiting(fresh.read.os().expect("real")), Ok(0));
    }
}

//! The one table that picks the way a body takes to the socket.
//!
//! It looks at what the body is, how long, which way the connection's bytes go, what the kernel
//! can do and what it reported, and at what the user forced. Tests pin it; `ringway probe`
//! prints it.

use ringway_io::{Capabilities, Capability, Route};

use crate::config::PathChoice;
use crate::statistics::BodyPath;

/// Up to this many bytes a body in memory is copied behind its header: one send for both, and a
/// copy that costs less than a second operation.
pub(crate) const COALESCE_BYTES_MAX: u64 = 16 << 10;

/// From this many bytes of a file on, splicing pays for its pipe and, when cold, its worker.
const SPLICE_BYTES_MIN: u64 = 16 << 10;

/// From this many bytes a zero-copy send of registered memory beats the copy, where it is one
/// (published break-even on a 400 Gbit/s device; below 6.10 higher).
const ZERO_COPY_BYTES_MIN: u64 = 16 << 10;

/// Copied so often in a row, zero-copy is given up on a connection …
const COPIED_IN_A_ROW_MAX: u32 = 8;

/// … and tried again after so many bodies.
const RETRY_AFTER: u32 = 1000;

/// What a body is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BodySource {
    /// Heap memory.
    Bytes,
    /// Registered memory.
    Lease,
    /// A file range.
    File,
}

/// What the table looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathQuestion {
    /// What it is made of.
    pub source: BodySource,
    /// How long it is, bytes.
    pub length: u64,
    /// Which way it goes.
    pub route: Route,
    /// What the user forced.
    pub choice: PathChoice,
    /// What the kernel can do.
    pub capabilities: Capabilities,
    /// How often in a row the kernel said that it copied.
    pub copied_in_a_row: u32,
    /// Bodies sent otherwise since then.
    pub avoided: u32,
}

/// An answer with its reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathAnswer {
    /// The way.
    pub path: BodyPath,
    /// Why, in a few words.
    pub why: &'static str,
}

fn answer(path: BodyPath, why: &'static str) -> PathAnswer {
    PathAnswer { path, why }
}

/// Picks the way of a body.
#[must_use]
pub fn explain_path(question: &PathQuestion) -> PathAnswer {
    match question.source {
        BodySource::File => file_path(question),
        BodySource::Lease => lease_path(question),
        BodySource::Bytes => bytes_path(question.length),
    }
}

fn bytes_path(length: u64) -> PathAnswer {
    if length <= COALESCE_BYTES_MAX {
        return answer(BodyPath::Coalesced, "small: copied behind its header");
    }
    answer(
        BodyPath::Copy,
        "heap memory: sent from where it is, the kernel copies it once",
    )
}

fn file_path(question: &PathQuestion) -> PathAnswer {
    let can_splice = question.capabilities.has(Capability::Splice);
    match question.choice {
        PathChoice::Copy => answer(BodyPath::ReadThenSend, "copying was asked for"),
        PathChoice::Direct => answer(
            BodyPath::DirectRead,
            "past the page cache: read ahead by the device into registered memory",
        ),
        _ if !can_splice => answer(BodyPath::ReadThenSend, "this kernel does not splice here"),
        PathChoice::Auto if question.length < SPLICE_BYTES_MIN => answer(
            BodyPath::ReadThenSend,
            "small: a read costs less than a pipe",
        ),
        _ => answer(
            BodyPath::SpliceFile,
            "page cache to socket by reference: no user copy",
        ),
    }
}

fn lease_path(question: &PathQuestion) -> PathAnswer {
    let has = |capability| question.capabilities.has(capability);
    let can_zero_copy = has(Capability::SendZeroCopy) && has(Capability::RegisteredBuffers);
    let can_splice = has(Capability::Splice) && has(Capability::ArenaSplice);
    match question.choice {
        PathChoice::Copy => return bytes_path(question.length),
        PathChoice::ZeroCopy if can_zero_copy => {
            return answer(BodyPath::ZeroCopy, "zero-copy send was asked for");
        }
        PathChoice::Splice if can_splice => {
            return answer(BodyPath::SpliceArena, "splice was asked for");
        }
        _ => {}
    }
    if question.length <= COALESCE_BYTES_MAX {
        return bytes_path(question.length);
    }
    let is_promising =
        question.copied_in_a_row < COPIED_IN_A_ROW_MAX || question.avoided >= RETRY_AFTER;
    let is_device = question.route == Route::Device;
    if is_device && can_zero_copy && is_promising && question.length >= ZERO_COPY_BYTES_MIN {
        return answer(
            BodyPath::ZeroCopy,
            "a device gathers it from registered memory",
        );
    }
    if can_splice {
        let why = if is_device && !can_zero_copy {
            "no zero-copy send of registered memory here: by reference through a pipe"
        } else if is_device && is_promising {
            "below the break-even of zero-copy sends: by reference through a pipe"
        } else if is_device {
            "the kernel keeps copying zero-copy sends here: by reference through a pipe"
        } else {
            "zero-copy sends are copied on this route: by reference through a pipe"
        };
        return answer(BodyPath::SpliceArena, why);
    }
    bytes_path(question.length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(source: BodySource, length: u64, route: Route) -> PathQuestion {
        PathQuestion {
            source,
            length,
            route,
            choice: PathChoice::Auto,
            capabilities: Capabilities::all(),
            copied_in_a_row: 0,
            avoided: 0,
        }
    }

    fn path(question: PathQuestion) -> BodyPath {
        explain_path(&question).path
    }

    #[test]
    fn zero_copy_send_is_never_used_where_it_is_known_to_be_copied() {
        for route in [Route::Loopback, Route::Unix, Route::Virtual] {
            let lease = question(BodySource::Lease, 1 << 20, route);
            assert_eq!(path(lease), BodyPath::SpliceArena);
        }
        let device = question(BodySource::Lease, 1 << 20, Route::Device);
        assert_eq!(path(device), BodyPath::ZeroCopy);
    }

    #[test]
    fn a_device_that_copies_is_given_up_and_tried_again_later() {
        let mut device = question(BodySource::Lease, 1 << 20, Route::Device);
        device.copied_in_a_row = COPIED_IN_A_ROW_MAX;
        assert_eq!(path(device), BodyPath::SpliceArena);
        device.avoided = RETRY_AFTER;
        assert_eq!(path(device), BodyPath::ZeroCopy);
    }

    #[test]
    fn without_a_capability_the_next_best_way_is_taken() {
        let mut file = question(BodySource::File, 1 << 20, Route::Loopback);
        assert_eq!(path(file), BodyPath::SpliceFile);
        file.capabilities = Capabilities::NONE;
        assert_eq!(path(file), BodyPath::ReadThenSend);
        let mut lease = question(BodySource::Lease, 1 << 20, Route::Device);
        lease.capabilities = Capabilities::NONE;
        assert_eq!(path(lease), BodyPath::Copy);
    }

    #[test]
    fn small_bodies_are_copied_and_a_forced_choice_is_obeyed() {
        let small = question(BodySource::Bytes, 64, Route::Device);
        assert_eq!(path(small), BodyPath::Coalesced);
        let mut file = question(BodySource::File, 64, Route::Loopback);
        assert_eq!(path(file), BodyPath::ReadThenSend);
        file.choice = PathChoice::Splice;
        assert_eq!(path(file), BodyPath::SpliceFile);
        file = question(BodySource::File, 1 << 30, Route::Loopback);
        file.choice = PathChoice::Copy;
        assert_eq!(path(file), BodyPath::ReadThenSend);
        file.choice = PathChoice::Direct;
        assert_eq!(path(file), BodyPath::DirectRead);
    }
}

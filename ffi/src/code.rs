//! Result codes, their names, texts and classes.
//!
//! The enum is written out, because the header's generator expands no macros; a test compares the
//! table below with it.

/// What a function answers. 0 and more: done. The numbers never change their meaning; new ones
/// may come, so treat an unknown negative number as a failure.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ringway_code {
    /// Done.
    RINGWAY_OK = 0,
    /// A pointer that must not be NULL is.
    RINGWAY_E_NULL = -1,
    /// `struct_size` of a structure is too small or too large, or the part of it that this
    /// library does not know is not zero.
    RINGWAY_E_STRUCT_SIZE = -2,
    /// A number or text is not one that may be given; the detail says which and why.
    RINGWAY_E_ARGUMENT = -3,
    /// The handle was closed or freed.
    RINGWAY_E_CLOSED = -4,
    /// This never was a handle of this kind and engine.
    RINGWAY_E_HANDLE = -5,
    /// The file descriptor is negative, not open, or of the wrong kind.
    RINGWAY_E_DESCRIPTOR = -6,
    /// Only the thread that started this engine may call this (`RINGWAY_LOOP_CALLER`).
    RINGWAY_E_THREAD = -7,
    /// Not from inside of a callback.
    RINGWAY_E_REENTRANT = -8,
    /// The handle is not in the state for this: not connected yet, nothing borrowed, already
    /// answered.
    RINGWAY_E_STATE = -9,
    /// A bug of the library: it has contained the failure of one call. Please report it.
    RINGWAY_E_PANIC = -10,
    /// Not now: an event says when to try again.
    RINGWAY_E_AGAIN = -11,
    /// A limit was reached; the detail has both numbers.
    RINGWAY_E_LIMIT = -12,
    /// The kernel refused an operation; the detail has errno.
    RINGWAY_E_KERNEL = -20,
    /// io_uring is not available here; the detail says what to do.
    RINGWAY_E_UNAVAILABLE = -21,
    /// Nobody answered within the time allowed.
    RINGWAY_E_UNREACHABLE = -30,
    /// The peers do not share a key.
    RINGWAY_E_AUTHENTICATION = -31,
    /// The peer refused, and says why in the detail.
    RINGWAY_E_REFUSED = -32,
    /// The peer broke the protocol, or is no Ringway peer.
    RINGWAY_E_PROTOCOL = -33,
    /// The session has ended.
    RINGWAY_E_SESSION_ENDED = -34,
    /// Both directions of the stream have ended.
    RINGWAY_E_STREAM_ENDED = -40,
    /// The peer reset its direction of the stream.
    RINGWAY_E_RESET = -41,
    /// The peer wants no more of this stream.
    RINGWAY_E_STOPPED = -42,
    /// Our direction of the stream was finished or reset by us.
    RINGWAY_E_FINISHED = -43,
    /// The peer has finished its direction, and everything was taken.
    RINGWAY_E_EOF = -44,
    /// At the session's cap on unacked memory, and the stream was told to fail then.
    RINGWAY_E_RETENTION_FULL = -45,
    /// A record is longer than allowed.
    RINGWAY_E_RECORD_TOO_LARGE = -46,
    /// A file changed while it was sent.
    RINGWAY_E_SOURCE_CHANGED = -47,
    /// Records of a lossy stream were dropped by their sender: the detail's `offset` says where,
    /// `wanted` how many records, `allowed` how many bytes. Receiving goes on behind them.
    RINGWAY_E_GAP = -48,
    /// The engine was stopped.
    RINGWAY_E_ENGINE_STOPPED = -50,
    /// The listener was closed.
    RINGWAY_E_LISTENER_CLOSED = -51,
    /// A key file cannot be used; the detail says why.
    RINGWAY_E_KEY_FILE = -60,
    /// A file or directory, here or at the server, could not be read or written.
    RINGWAY_E_FILE = -70,
    /// The content that arrived is not that of the source.
    RINGWAY_E_CONTENT = -71,
    /// The connection was lost and could not be made again in time; what has arrived is kept.
    RINGWAY_E_GAVE_UP = -72,
    /// Some files failed while others arrived.
    RINGWAY_E_INCOMPLETE = -73,
    /// The operation was cancelled.
    RINGWAY_E_CANCELLED = -74,
}

/// Whose fault it is, which is what most programs want to know.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ringway_class {
    /// Nothing failed.
    RINGWAY_CLASS_OK = 0,
    /// The call was wrong: fix the program.
    RINGWAY_CLASS_USAGE = 1,
    /// Try again later: an event says when.
    RINGWAY_CLASS_AGAIN = 2,
    /// No connection, or it was lost for good.
    RINGWAY_CLASS_CONNECT = 3,
    /// The peers do not share a key.
    RINGWAY_CLASS_AUTHENTICATION = 4,
    /// A peer broke the protocol, or the versions do not fit.
    RINGWAY_CLASS_PROTOCOL = 5,
    /// A file or directory could not be read or written.
    RINGWAY_CLASS_FILE = 6,
    /// A digest differs, or the source changed.
    RINGWAY_CLASS_CONTENT = 7,
    /// This machine's kernel cannot.
    RINGWAY_CLASS_KERNEL = 8,
    /// A limit was reached.
    RINGWAY_CLASS_LIMIT = 9,
    /// The stream, session or engine is over: ordinary ends, told as codes.
    RINGWAY_CLASS_ENDED = 10,
    /// A bug of the library, or a code that this library does not know.
    RINGWAY_CLASS_INTERNAL = 11,
}

use ringway_class as class;
use ringway_code as code;

/// A code with its name and its text, both ending with a NUL for C.
pub(crate) struct Entry {
    pub(crate) code: ringway_code,
    pub(crate) class: ringway_class,
    pub(crate) name: &'static str,
    pub(crate) text: &'static str,
}

macro_rules! entries {
    ($($code:ident, $class:ident, $text:literal;)*) => {
        [$(Entry {
            code: code::$code,
            class: class::$class,
            name: concat!(stringify!($code), "\0"),
            text: concat!($text, "\0"),
        },)*]
    };
}

/// Every code.
pub(crate) const TABLE: [Entry; 37] = entries! {
    RINGWAY_OK, RINGWAY_CLASS_OK, "done";
    RINGWAY_E_NULL, RINGWAY_CLASS_USAGE, "a pointer that must not be NULL is";
    RINGWAY_E_STRUCT_SIZE, RINGWAY_CLASS_USAGE, "a structure has a wrong struct_size, or something in the part that this library does not know";
    RINGWAY_E_ARGUMENT, RINGWAY_CLASS_USAGE, "a number or text is not one that may be given";
    RINGWAY_E_CLOSED, RINGWAY_CLASS_USAGE, "the handle was closed";
    RINGWAY_E_HANDLE, RINGWAY_CLASS_USAGE, "this is no handle of this kind and engine";
    RINGWAY_E_DESCRIPTOR, RINGWAY_CLASS_USAGE, "the file descriptor is negative, not open, or of the wrong kind";
    RINGWAY_E_THREAD, RINGWAY_CLASS_USAGE, "only the thread that started the engine may call this";
    RINGWAY_E_REENTRANT, RINGWAY_CLASS_USAGE, "this may not be called from inside of a callback";
    RINGWAY_E_STATE, RINGWAY_CLASS_USAGE, "the handle is not in the state for this";
    RINGWAY_E_PANIC, RINGWAY_CLASS_INTERNAL, "a bug of the library";
    RINGWAY_E_AGAIN, RINGWAY_CLASS_AGAIN, "not now: an event says when to try again";
    RINGWAY_E_LIMIT, RINGWAY_CLASS_LIMIT, "a limit was reached";
    RINGWAY_E_KERNEL, RINGWAY_CLASS_KERNEL, "the kernel refused an operation";
    RINGWAY_E_UNAVAILABLE, RINGWAY_CLASS_KERNEL, "io_uring is not available here";
    RINGWAY_E_UNREACHABLE, RINGWAY_CLASS_CONNECT, "nobody answered within the time allowed";
    RINGWAY_E_AUTHENTICATION, RINGWAY_CLASS_AUTHENTICATION, "the peers do not share a key";
    RINGWAY_E_REFUSED, RINGWAY_CLASS_CONNECT, "the peer refused";
    RINGWAY_E_PROTOCOL, RINGWAY_CLASS_PROTOCOL, "the peer broke the protocol, or is no Ringway peer";
    RINGWAY_E_SESSION_ENDED, RINGWAY_CLASS_ENDED, "the session has ended";
    RINGWAY_E_STREAM_ENDED, RINGWAY_CLASS_ENDED, "both directions of the stream have ended";
    RINGWAY_E_RESET, RINGWAY_CLASS_ENDED, "the peer reset its direction of the stream";
    RINGWAY_E_STOPPED, RINGWAY_CLASS_ENDED, "the peer wants no more of this stream";
    RINGWAY_E_FINISHED, RINGWAY_CLASS_USAGE, "our direction of the stream was finished or reset by us";
    RINGWAY_E_EOF, RINGWAY_CLASS_ENDED, "the peer has finished its direction, and everything was taken";
    RINGWAY_E_RETENTION_FULL, RINGWAY_CLASS_LIMIT, "the session keeps as many unacked bytes as it may";
    RINGWAY_E_RECORD_TOO_LARGE, RINGWAY_CLASS_LIMIT, "a record is longer than allowed";
    RINGWAY_E_SOURCE_CHANGED, RINGWAY_CLASS_CONTENT, "a file changed while it was sent";
    RINGWAY_E_GAP, RINGWAY_CLASS_LIMIT, "records of a lossy stream were dropped by their sender";
    RINGWAY_E_ENGINE_STOPPED, RINGWAY_CLASS_ENDED, "the engine was stopped";
    RINGWAY_E_LISTENER_CLOSED, RINGWAY_CLASS_ENDED, "the listener was closed";
    RINGWAY_E_KEY_FILE, RINGWAY_CLASS_AUTHENTICATION, "a key file cannot be used";
    RINGWAY_E_FILE, RINGWAY_CLASS_FILE, "a file or directory could not be read or written";
    RINGWAY_E_CONTENT, RINGWAY_CLASS_CONTENT, "the content that arrived is not that of the source";
    RINGWAY_E_GAVE_UP, RINGWAY_CLASS_CONNECT, "the connection was lost and could not be made again in time";
    RINGWAY_E_INCOMPLETE, RINGWAY_CLASS_FILE, "some files failed while others arrived";
    RINGWAY_E_CANCELLED, RINGWAY_CLASS_ENDED, "the operation was cancelled";
};

/// What is known about a number that C gives; positive ones are results.
pub(crate) fn entry(number: i32) -> Option<&'static Entry> {
    let number = number.min(0);
    TABLE.iter().find(|entry| entry.code as i32 == number)
}

impl ringway_code {
    /// As a return value.
    pub(crate) fn number(self) -> i32 {
        self as i32
    }

    pub(crate) fn class(self) -> ringway_class {
        entry(self.number()).map_or(class::RINGWAY_CLASS_INTERNAL, |entry| entry.class)
    }

    pub(crate) fn text(self) -> &'static str {
        entry(self.number()).map_or("", |entry| entry.text.trim_end_matches('\0'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_of_the_enum_is_in_the_table_once() {
        let source = include_str!("code.rs");
        let body = source
            .split("pub enum ringway_code {")
            .nth(1)
            .expect("the enum");
        let body = body.split("\n}").next().expect("its end");
        let declared: Vec<_> = body
            .lines()
            .filter_map(|line| line.split_once(" = "))
            .collect();
        assert_eq!(declared.len(), TABLE.len());
        for (name, value) in declared {
            let number: i32 = value.trim_end_matches(',').parse().expect("a number");
            let entry = entry(number).expect("in the table");
            assert_eq!(entry.name.trim_end_matches('\0'), name.trim());
        }
    }
}

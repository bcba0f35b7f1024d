//! The full typed detail of a failure, as C gets it.

use std::ffi::c_char;

use crate::code::{ringway_class, ringway_code};

/// Bytes of a message, its NUL included; longer ones are cut.
pub const RINGWAY_MESSAGE_BYTES: usize = 512;

/// All that is known about a failure. Set `struct_size` before it is filled; fields that do not
/// apply are 0.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ringway_error {
    /// `sizeof(ringway_error)`, set by the caller.
    pub struct_size: usize,
    /// A `ringway_code`.
    pub code: i32,
    /// A `ringway_class`.
    pub error_class: i32,
    /// What the kernel said (`errno`), if it was the kernel.
    pub system_errno: i32,
    /// Code of the status that the peer, or this side, gave as the reason.
    pub status_code: u32,
    /// The number that was too large, or the offset asked for; see the message.
    pub wanted: u64,
    /// What is allowed, or what there is.
    pub allowed: u64,
    /// Offset in the stream, bytes.
    pub offset: u64,
    /// For people: what happened, and what to do where something can be done. UTF-8, ends with NUL.
    pub message: [c_char; RINGWAY_MESSAGE_BYTES],
}

/// The same, on this side.
#[derive(Clone, Debug)]
pub(crate) struct Detail {
    pub(crate) code: ringway_code,
    pub(crate) system_errno: i32,
    pub(crate) status_code: u32,
    pub(crate) wanted: u64,
    pub(crate) allowed: u64,
    pub(crate) offset: u64,
    pub(crate) message: String,
}

impl Detail {
    pub(crate) fn new(code: ringway_code, message: impl Into<String>) -> Self {
        Self {
            code,
            system_errno: 0,
            status_code: 0,
            wanted: 0,
            allowed: 0,
            offset: 0,
            message: message.into(),
        }
    }

    pub(crate) fn errno(mut self, errno: i32) -> Self {
        self.system_errno = errno;
        self
    }

    pub(crate) fn numbers(mut self, wanted: u64, allowed: u64) -> Self {
        self.wanted = wanted;
        self.allowed = allowed;
        self
    }

    pub(crate) fn status(mut self, code: u32) -> Self {
        self.status_code = code;
        self
    }

    pub(crate) fn at(mut self, offset: u64) -> Self {
        self.offset = offset;
        self
    }

    /// As C sees it; `None`: nothing has failed.
    pub(crate) fn for_c(detail: Option<&Self>) -> ringway_error {
        let mut out = ringway_error {
            struct_size: size_of::<ringway_error>(),
            code: 0,
            error_class: ringway_class::RINGWAY_CLASS_OK as i32,
            system_errno: 0,
            status_code: 0,
            wanted: 0,
            allowed: 0,
            offset: 0,
            message: [0; RINGWAY_MESSAGE_BYTES],
        };
        if let Some(detail) = detail {
            out.code = detail.code.number();
            out.error_class = detail.code.class() as i32;
            out.system_errno = detail.system_errno;
            out.status_code = detail.status_code;
            out.wanted = detail.wanted;
            out.allowed = detail.allowed;
            out.offset = detail.offset;
            let text = cut(&detail.message, RINGWAY_MESSAGE_BYTES - 1);
            for (to, from) in out.message.iter_mut().zip(text.bytes()) {
                *to = from.cast_signed() as c_char;
            }
        }
        out
    }
}

/// At most so many bytes, cut between characters.
pub(crate) fn cut(text: &str, bytes_max: usize) -> &str {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

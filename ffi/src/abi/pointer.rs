//! Pointers of C become references of Rust here, and nowhere else but in the functions of this
//! folder, which all rest on these invariants. The header states them to the caller.
//!
//! - **P1** A pointer that is not NULL is aligned and points to what its type says, for the time
//!   of the call. Opaque pointers came from this library and were not freed. (A pointer argument
//!   of type `Option<&T>` is NULL as `None`.)
//! - **P2** A text ends with a NUL, and nobody changes it during the call.
//! - **P3** Memory given with a length has that length; it is initialised where it is read, and
//!   nobody else touches it during the call where it is written.
//! - **P4** A structure that begins with `struct_size` has that size.
//! - **P5** An output pointer points to memory of its type, initialised or not, that nobody else
//!   touches during the call.
//! - **P6** A function pointer is one of the declared type. It and its context may be used from
//!   any thread, until the documented end.
//! - **P7** Structures of options and results are made of integers, pointers to C and nothing
//!   else: any bits are a value, all zero too.
#![allow(unsafe_code)]

use std::ffi::{CStr, OsStr, c_char, c_int, c_void};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::stat::{SFlag, fstat};

use crate::code::ringway_code::{RINGWAY_E_DESCRIPTOR, RINGWAY_E_NULL, RINGWAY_E_STRUCT_SIZE};
use crate::detail::{Detail, ringway_error};
use crate::failure::{Failure, Result};
use crate::options::{
    ringway_client_options, ringway_config, ringway_connect_options, ringway_key_limits,
    ringway_listen_options, ringway_stream_options, ringway_transfer_options,
};

/// Structures larger than this are refused, whatever the caller says: a page.
const STRUCT_BYTES_MAX: usize = 4096;

/// A structure that begins with its size.
///
/// # Safety
/// P7 holds for it, it is `repr(C)`, and its first field is `struct_size: usize`.
pub(crate) unsafe trait Sizable: Copy {
    /// The size it had in the first release.
    const BYTES_MIN: usize;
}

macro_rules! sized {
    ($($name:ty: $bytes:expr,)*) => {
        $(
            // SAFETY: P7: integers and pointers only, `struct_size` first.
            unsafe impl Sizable for $name {
                const BYTES_MIN: usize = $bytes;
            }
        )*
    };
}

sized! {
    ringway_config: std::mem::offset_of!(ringway_config, bulk_connections),
    ringway_listen_options: size_of::<ringway_listen_options>(),
    ringway_key_limits: size_of::<ringway_key_limits>(),
    ringway_connect_options: size_of::<ringway_connect_options>(),
    ringway_stream_options: size_of::<ringway_stream_options>(),
    ringway_client_options: size_of::<ringway_client_options>(),
    ringway_transfer_options: size_of::<ringway_transfer_options>(),
    ringway_error: size_of::<ringway_error>(),
    super::session::ringway_session_info: size_of::<super::session::ringway_session_info>(),
    super::remains::ringway_remains: size_of::<super::remains::ringway_remains>(),
    super::remains::ringway_retained: size_of::<super::remains::ringway_retained>(),
    super::stream::ringway_offsets: size_of::<super::stream::ringway_offsets>(),
    super::transfer::ringway_transfer_info: size_of::<super::transfer::ringway_transfer_info>(),
    super::transfer::ringway_entry: size_of::<super::transfer::ringway_entry>(),
}

/// Something given by reference.
pub(super) fn given<T>(pointer: Option<T>) -> Result<T> {
    pointer.ok_or_else(|| RINGWAY_E_NULL.into())
}

/// A text.
///
/// # Safety
/// P1, P2; the text lives as long as it is used.
pub(super) unsafe fn text<'a>(what: &str, pointer: *const c_char) -> Result<&'a str> {
    // SAFETY: handed on.
    let bytes = unsafe { text_bytes(pointer) }?;
    let text = std::str::from_utf8(bytes);
    text.map_err(|_| Failure::argument(format!("{what} is not UTF-8")))
}

/// A text that may be absent.
///
/// # Safety
/// As [`text`].
pub(super) unsafe fn text_if_any<'a>(
    what: &str,
    pointer: *const c_char,
) -> Result<Option<&'a str>> {
    if pointer.is_null() {
        return Ok(None);
    }
    // SAFETY: handed on.
    unsafe { text(what, pointer) }.map(Some)
}

/// A path, which need not be UTF-8.
///
/// # Safety
/// As [`text`].
pub(super) unsafe fn path<'a>(pointer: *const c_char) -> Result<&'a OsStr> {
    // SAFETY: handed on.
    let bytes = unsafe { text_bytes(pointer) }?;
    Ok(OsStr::from_bytes(bytes))
}

/// # Safety
/// As [`text`].
unsafe fn text_bytes<'a>(pointer: *const c_char) -> Result<&'a [u8]> {
    if pointer.is_null() {
        return Err(RINGWAY_E_NULL.into());
    }
    // SAFETY: P2; not NULL.
    Ok(unsafe { CStr::from_ptr(pointer) }.to_bytes())
}

/// Memory to be read.
///
/// # Safety
/// P1, P3; it lives as long as it is used.
pub(super) unsafe fn memory<'a>(pointer: *const c_void, length: usize) -> Result<&'a [u8]> {
    match (pointer.is_null(), length) {
        (_, 0) => Ok(&[]),
        (true, _) => Err(RINGWAY_E_NULL.into()),
        (false, _) => {
            check_length(length)?;
            // SAFETY: P3; not NULL, not longer than an object can be.
            Ok(unsafe { std::slice::from_raw_parts(pointer.cast(), length) })
        }
    }
}

/// An array of items to be read.
///
/// # Safety
/// P1, P3; it lives as long as it is used.
pub(super) unsafe fn items<'a, T>(pointer: *const T, count: usize) -> Result<&'a [T]> {
    match (pointer.is_null(), count) {
        (_, 0) => Ok(&[]),
        (true, _) => Err(RINGWAY_E_NULL.into()),
        (false, _) => {
            check_length(count.saturating_mul(size_of::<T>()))?;
            // SAFETY: P3; not NULL, not longer than an object can be.
            Ok(unsafe { std::slice::from_raw_parts(pointer, count) })
        }
    }
}

/// Memory to be filled.
///
/// # Safety
/// P1, P3; it lives as long as it is used.
pub(super) unsafe fn room<'a, T>(
    pointer: *mut T,
    count: usize,
) -> Result<&'a mut [MaybeUninit<T>]> {
    match (pointer.is_null(), count) {
        (_, 0) => Ok(&mut []),
        (true, _) => Err(RINGWAY_E_NULL.into()),
        (false, _) => {
            check_length(count.saturating_mul(size_of::<T>()))?;
            // SAFETY: P3; not NULL, not longer than an object can be; contents may be anything.
            Ok(unsafe { std::slice::from_raw_parts_mut(pointer.cast(), count) })
        }
    }
}

/// No object is longer than half of the address space.
fn check_length(bytes: usize) -> Result<()> {
    match isize::try_from(bytes) {
        Ok(_) => Ok(()),
        Err(_) => Err(Failure::limit("bytes", bytes as u64, isize::MAX as u64)),
    }
}

/// Writes a text with its NUL, as snprintf(3) does: cut to what fits; answers with the length
/// that the whole text has.
///
/// # Safety
/// P1, P3.
pub(super) unsafe fn put_text(buffer: *mut c_char, size: usize, text: &str) -> Result<u64> {
    // SAFETY: handed on.
    let room = unsafe { room(buffer, size) }?;
    if let Some(places) = room.len().checked_sub(1) {
        let cut = crate::detail::cut(text, places);
        let with_end = cut.bytes().chain([0]);
        for (place, byte) in room.iter_mut().zip(with_end) {
            place.write(byte.cast_signed() as c_char);
        }
    }
    Ok(text.len() as u64)
}

/// What a caller that gives no options has: all zero.
pub(crate) fn default_options<T: Sizable>() -> T {
    // SAFETY: P7: all zero is a value.
    unsafe { MaybeUninit::<T>::zeroed().assume_init() }
}

/// Reads options: those that this library knows, of whatever size the caller's are. NULL: all
/// defaults.
///
/// # Safety
/// P1, P4.
pub(super) unsafe fn options<T: Sizable>(pointer: *const T) -> Result<T> {
    let mut options = default_options();
    if pointer.is_null() {
        return Ok(options);
    }
    // SAFETY: handed on.
    let bytes = unsafe { checked_size(pointer) }?;
    // SAFETY: P4: as long as it says, checked to be of a sane size.
    let given = unsafe { std::slice::from_raw_parts(pointer.cast::<u8>(), bytes) };
    let known = bytes.min(size_of::<T>());
    if given[known..].iter().any(|&byte| byte != 0) {
        let text = format!("something is set behind the {known} bytes that this library knows");
        return Err(wrong_size(text, bytes, size_of::<T>()));
    }
    let target = std::ptr::from_mut(&mut options).cast::<u8>();
    // SAFETY: `known` is within both; they cannot overlap, the target is ours; P7: any bits are a
    // value.
    unsafe { target.copy_from(given.as_ptr(), known) };
    Ok(options)
}

/// # Safety
/// P1, P4; not NULL.
unsafe fn checked_size<T: Sizable>(pointer: *const T) -> Result<usize> {
    // SAFETY: P1: the first field is the size.
    let bytes = unsafe { pointer.cast::<usize>().read() };
    if bytes < T::BYTES_MIN || bytes > STRUCT_BYTES_MAX {
        let text = format!("struct_size is {bytes}: set it to sizeof the structure");
        return Err(wrong_size(text, bytes, T::BYTES_MIN));
    }
    Ok(bytes)
}

fn wrong_size(text: String, given: usize, known: usize) -> Failure {
    Detail::new(RINGWAY_E_STRUCT_SIZE, text)
        .numbers(given as u64, known as u64)
        .into()
}

/// Whether a result of this type can be written there; to be asked before anything is done.
///
/// # Safety
/// P1, P4.
pub(super) unsafe fn check_result<T: Sizable>(pointer: *mut T) -> Result<()> {
    if pointer.is_null() {
        return Err(RINGWAY_E_NULL.into());
    }
    // SAFETY: handed on; not NULL.
    unsafe { checked_size(pointer) }.map(drop)
}

/// Writes a result: as much of it as the caller's structure has room for. `struct_size` stays.
///
/// # Safety
/// P1, P4, P5; [`check_result`] has succeeded.
pub(super) unsafe fn put_result<T: Sizable>(pointer: *mut T, value: &T) {
    // SAFETY: P1: the first field is the size.
    let bytes = unsafe { pointer.cast::<usize>().read() };
    let from = size_of::<usize>();
    let count = bytes.min(size_of::<T>()) - from;
    let source = std::ptr::from_ref(value).cast::<u8>().wrapping_add(from);
    let target = pointer.cast::<u8>().wrapping_add(from);
    // SAFETY: both have at least `from + count` bytes, and `value` is ours.
    unsafe { target.copy_from(source, count) };
}

/// A descriptor of C, duplicated: ours to close.
///
/// # Safety
/// None but that a number which is an open descriptor is one that the caller may give.
pub(super) unsafe fn duplicate(number: c_int, kinds: &[SFlag]) -> Result<OwnedFd> {
    if number < 0 {
        let text = format!("{number} is no descriptor");
        return Err(Detail::new(RINGWAY_E_DESCRIPTOR, text).into());
    }
    // SAFETY: not negative, and used only for calls that answer EBADF when it is not open.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    let stat = fstat(borrowed).map_err(|errno| not_open(number, errno))?;
    let kind = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT;
    if !kinds.contains(&kind) {
        let text = format!("descriptor {number} is of the wrong kind ({kind:?})");
        return Err(Detail::new(RINGWAY_E_DESCRIPTOR, text).into());
    }
    let copied = fcntl(borrowed, FcntlArg::F_DUPFD_CLOEXEC(3));
    let copied = copied.map_err(|errno| not_open(number, errno))?;
    // SAFETY: fcntl has just made it for us.
    Ok(unsafe { std::os::fd::FromRawFd::from_raw_fd(copied) })
}

fn not_open(number: c_int, errno: Errno) -> Failure {
    Detail::new(
        RINGWAY_E_DESCRIPTOR,
        format!("descriptor {number}: {errno}"),
    )
    .errno(errno as i32)
    .into()
}

//! Files at `ringway serve`: clients and transfers.
#![allow(unsafe_code)]

use std::ffi::{OsString, c_char, c_int};
use std::mem::MaybeUninit;
use std::path::PathBuf;

use ringway_files::EntryKind;

use super::engine::ringway_engine;
use super::keys::keys_of;
use super::pointer::{
    check_result, given, items, options, path, put_result, put_text, text, text_if_any,
};
use crate::failure::{Failure, Result};
use crate::guard;
use crate::instance::Instance;
use crate::options::{ringway_client_options, ringway_connect_options, ringway_transfer_options};
use crate::slot::Slot;
use crate::transfer::{Job, Numbers};

/// A handle of a client; 0 is none.
pub type ringway_client = u64;
/// A handle of a put, get or list; 0 is none.
pub type ringway_transfer = u64;

/// Sources of one put or get.
const SOURCES_MAX: usize = 1 << 16;

/// What is known about a put or get. Set `struct_size` before it is filled.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ringway_transfer_info {
    /// `sizeof(ringway_transfer_info)`, set by the caller.
    pub struct_size: usize,
    /// Files to move.
    pub files: u64,
    /// Files that have arrived.
    pub files_done: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// Bytes that are at their destination, those of earlier runs included.
    pub bytes_done: u64,
    /// Bytes that earlier runs had moved.
    pub resumed_bytes: u64,
    /// Body bytes that travelled in this run, without what was replayed.
    pub body_bytes_sent: u64,
    /// Things that were left out.
    pub skipped: u64,
    /// Files that failed.
    pub failed: u64,
    /// Sessions used: 1 unless the server was restarted or a resume window passed.
    pub sessions: u64,
    /// 1 when it is done.
    pub is_done: u32,
    /// 0.
    pub reserved: u32,
}

/// Kinds of entries.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ringway_entry_kind {
    /// A regular file.
    RINGWAY_ENTRY_FILE = 0,
    /// A directory.
    RINGWAY_ENTRY_DIRECTORY = 1,
    /// A symbolic link, never followed.
    RINGWAY_ENTRY_SYMLINK = 2,
    /// A FIFO, socket or device.
    RINGWAY_ENTRY_SPECIAL = 3,
}

/// One file or directory of a listing. Set `struct_size` before it is filled.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ringway_entry {
    /// `sizeof(ringway_entry)`, set by the caller.
    pub struct_size: usize,
    /// A `ringway_entry_kind`.
    pub kind: u32,
    /// Permission bits.
    pub mode: u32,
    /// Bytes.
    pub size: u64,
    /// Modification time: whole seconds since 1970, negative before.
    pub modified_seconds: i64,
    /// And the nanoseconds to add.
    pub modified_nanoseconds: u32,
    /// 0.
    pub reserved: u32,
}

/// A client of `ringway serve` at `address`. It connects with its first transfer and keeps the
/// session for the next ones. `connecting` as for `ringway_connect`, without own dialer or
/// descriptor; `settings` may be NULL. Any thread.
///
/// Errors: `RINGWAY_E_NULL`, `RINGWAY_E_STRUCT_SIZE`, `RINGWAY_E_ARGUMENT`, `RINGWAY_E_LIMIT`,
/// `RINGWAY_E_ENGINE_STOPPED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_client_open(
    engine: Option<&ringway_engine>,
    address: *const c_char,
    connecting: *const ringway_connect_options,
    settings: *const ringway_client_options,
    client: Option<&mut MaybeUninit<ringway_client>>,
) -> c_int {
    guard::done(|| {
        let place = given(client)?;
        let instance = &given(engine)?.instance;
        let open = || {
            // SAFETY: P2.
            let address = unsafe { text("address", address) }?;
            // SAFETY: P1, P4.
            let given = unsafe { options(connecting) }?;
            // SAFETY: P1, P4.
            let settings = unsafe { options(settings) }?;
            if given.own_dialer != 0 || given.has_descriptor != 0 {
                let text = "a client dials by itself: no own dialer, no descriptor";
                return Err(Failure::argument(text));
            }
            // SAFETY: P1.
            let keys = unsafe { keys_of(given.keys) };
            // SAFETY: P2.
            let control = unsafe { text_if_any("congestion_control", given.congestion_control) }?;
            let connect = given.settings(keys.as_ref(), control)?;
            instance.open_client(address, connect, settings.settings(), settings.user_data)
        };
        place.write(instance.noted(open())?);
        Ok(())
    })
}

/// Frees a client; its session ends after the transfers that are under way. Any thread.
///
/// Errors: `RINGWAY_E_NULL`, `RINGWAY_E_CLOSED`, `RINGWAY_E_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn ringway_client_close(
    engine: Option<&ringway_engine>,
    client: ringway_client,
) -> c_int {
    guard::done(|| given(engine)?.instance.close_client(client))
}

fn begin(
    instance: &Instance,
    client: ringway_client,
    user_data: u64,
    job: impl FnOnce(&Slot) -> Result<Job>,
) -> Result<u64> {
    instance.at(client, |slot| {
        let client = slot.client()?.client.clone();
        instance.begin_transfer(&client, job(slot)?, user_data)
    })
}

/// # Safety
/// P1, P2, P3.
unsafe fn paths(pointer: *const *const c_char, count: usize) -> Result<Vec<OsString>> {
    if count == 0 {
        return Err(Failure::argument("no sources"));
    }
    if count > SOURCES_MAX {
        return Err(Failure::limit("sources", count as u64, SOURCES_MAX as u64));
    }
    // SAFETY: P1, P3.
    let pointers = unsafe { items(pointer, count) }?;
    let mut paths = Vec::with_capacity(count);
    for &pointer in pointers {
        // SAFETY: P2.
        paths.push(unsafe { path(pointer) }?.to_owned());
    }
    Ok(paths)
}

/// Copies local files, and with `recursive` directories, to `destination` below the server's
/// root: into it, if it is a directory there or ends with a slash; else that is the new name.
/// Interrupted runs go on where they stopped when repeated. Returns at once with the handle;
/// `RINGWAY_EVENT_TRANSFER_PROGRESS` and `…_DONE` tell. `settings` may be NULL. Any thread.
///
/// Errors: `RINGWAY_E_NULL`, `RINGWAY_E_STRUCT_SIZE`, `RINGWAY_E_ARGUMENT`, `RINGWAY_E_CLOSED`,
/// `RINGWAY_E_HANDLE`, `RINGWAY_E_LIMIT`, `RINGWAY_E_ENGINE_STOPPED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_put(
    engine: Option<&ringway_engine>,
    client: ringway_client,
    sources: *const *const c_char,
    source_count: usize,
    destination: *const c_char,
    settings: *const ringway_transfer_options,
    transfer: Option<&mut MaybeUninit<ringway_transfer>>,
) -> c_int {
    guard::done(|| {
        let place = given(transfer)?;
        let instance = &given(engine)?.instance;
        // SAFETY: P1, P4.
        let settings = unsafe { options(settings) }?;
        let begun = begin(instance, client, settings.user_data, |_| {
            // SAFETY: P1, P2, P3.
            let sources = unsafe { paths(sources, source_count) }?;
            // SAFETY: P2.
            let destination = unsafe { path(destination) }?.to_owned();
            Ok(Job::Put {
                sources: sources.into_iter().map(PathBuf::from).collect(),
                destination,
                options: settings.put()?,
            })
        })?;
        place.write(begun);
        Ok(())
    })
}

/// Copies files, and with `recursive` directories, from below the server's root to the local
/// `destination`, by the same rules as `ringway_put`.
///
/// Errors: as `ringway_put`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_get(
    engine: Option<&ringway_engine>,
    client: ringway_client,
    sources: *const *const c_char,
    source_count: usize,
    destination: *const c_char,
    settings: *const ringway_transfer_options,
    transfer: Option<&mut MaybeUninit<ringway_transfer>>,
) -> c_int {
    guard::done(|| {
        let place = given(transfer)?;
        let instance = &given(engine)?.instance;
        // SAFETY: P1, P4.
        let settings = unsafe { options(settings) }?;
        let begun = begin(instance, client, settings.user_data, |_| {
            // SAFETY: P1, P2, P3.
            let sources = unsafe { paths(sources, source_count) }?;
            // SAFETY: P2.
            let destination = unsafe { path(destination) }?;
            Ok(Job::Get {
                sources,
                destination: destination.into(),
                options: settings.get()?,
            })
        })?;
        place.write(begun);
        Ok(())
    })
}

/// Lists what is at `directory` below the server's root: the entries of a directory, or the one
/// entry of a file. `RINGWAY_EVENT_TRANSFER_DONE` tells how many; then `ringway_list_entry` gives
/// them. `settings` may be NULL. Any thread.
///
/// Errors: as `ringway_put`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_list(
    engine: Option<&ringway_engine>,
    client: ringway_client,
    directory: *const c_char,
    settings: *const ringway_transfer_options,
    transfer: Option<&mut MaybeUninit<ringway_transfer>>,
) -> c_int {
    guard::done(|| {
        let place = given(transfer)?;
        let instance = &given(engine)?.instance;
        // SAFETY: P1, P4.
        let settings = unsafe { options(settings) }?;
        let begun = begin(instance, client, settings.user_data, |_| {
            // SAFETY: P2.
            let directory = unsafe { path(directory) }?;
            Ok(Job::List {
                path: directory.to_owned(),
                options: settings.list()?,
            })
        })?;
        place.write(begun);
        Ok(())
    })
}

/// One entry of a finished listing, from 0; its path, relative to what was listed, is written as
/// `ringway_probe_json` does (bytes that are not UTF-8 are replaced). Returns the length of the
/// path. Any thread.
///
/// Errors: `RINGWAY_E_NULL`, `RINGWAY_E_STRUCT_SIZE`, `RINGWAY_E_CLOSED`, `RINGWAY_E_HANDLE`;
/// `RINGWAY_E_AGAIN` while it runs; why it failed; `RINGWAY_E_LIMIT` beyond the last;
/// `RINGWAY_E_ARGUMENT` when it is no listing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_list_entry(
    engine: Option<&ringway_engine>,
    transfer: ringway_transfer,
    index: u64,
    entry: *mut ringway_entry,
    buffer: *mut c_char,
    size: usize,
) -> i64 {
    guard::wide(|| {
        // SAFETY: P1, P4, P5.
        unsafe { check_result(entry) }?;
        let instance = &given(engine)?.instance;
        let found = instance.at(transfer, |slot| slot.transfer()?.entry(index))?;
        let path = found.path.as_path().to_string_lossy().into_owned();
        // SAFETY: P1, P3.
        let length = unsafe { put_text(buffer, size, &path) }?;
        let known = ringway_entry {
            struct_size: size_of::<ringway_entry>(),
            kind: kind_of(found.kind) as u32,
            mode: found.mode,
            size: found.size,
            modified_seconds: found.modified_seconds,
            modified_nanoseconds: found.modified_nanoseconds,
            reserved: 0,
        };
        // SAFETY: P1, P4, P5; checked above.
        unsafe { put_result(entry, &known) };
        Ok(length)
    })
}

fn kind_of(kind: EntryKind) -> ringway_entry_kind {
    match kind {
        EntryKind::File => ringway_entry_kind::RINGWAY_ENTRY_FILE,
        EntryKind::Directory => ringway_entry_kind::RINGWAY_ENTRY_DIRECTORY,
        EntryKind::Symlink => ringway_entry_kind::RINGWAY_ENTRY_SYMLINK,
        EntryKind::Special => ringway_entry_kind::RINGWAY_ENTRY_SPECIAL,
    }
}

/// What is known about a put or get, while it runs and after. Any thread.
///
/// Errors: `RINGWAY_E_NULL`, `RINGWAY_E_STRUCT_SIZE`, `RINGWAY_E_CLOSED`, `RINGWAY_E_HANDLE`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_transfer_query(
    engine: Option<&ringway_engine>,
    transfer: ringway_transfer,
    info: *mut ringway_transfer_info,
) -> c_int {
    guard::done(|| {
        // SAFETY: P1, P4, P5.
        unsafe { check_result(info) }?;
        let instance = &given(engine)?.instance;
        let numbers = instance.at(transfer, |slot| Ok(slot.transfer()?.numbers()))?;
        // SAFETY: P1, P4, P5; checked above.
        unsafe { put_result(info, &info_of(&numbers)) };
        Ok(())
    })
}

fn info_of(numbers: &Numbers) -> ringway_transfer_info {
    ringway_transfer_info {
        struct_size: size_of::<ringway_transfer_info>(),
        files: numbers.files,
        files_done: numbers.files_done,
        bytes: numbers.bytes,
        bytes_done: numbers.bytes_done,
        resumed_bytes: numbers.resumed_bytes,
        body_bytes_sent: numbers.body_bytes_sent,
        skipped: numbers.skipped,
        failed: numbers.failed,
        sessions: numbers.sessions,
        is_done: u32::from(numbers.is_done),
        reserved: 0,
    }
}

/// Ends a transfer early; what has arrived is kept, and the same again goes on from there.
/// `RINGWAY_EVENT_TRANSFER_DONE` tells `RINGWAY_E_CANCELLED`. Any thread.
///
/// Errors: `RINGWAY_E_NULL`, `RINGWAY_E_CLOSED`, `RINGWAY_E_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn ringway_transfer_cancel(
    engine: Option<&ringway_engine>,
    transfer: ringway_transfer,
) -> c_int {
    guard::done(|| {
        given(engine)?.instance.at(transfer, |slot| {
            slot.transfer()?.cancel();
            Ok(())
        })
    })
}

/// Frees the handle; a transfer that still runs is cancelled. Any thread.
///
/// Errors: `RINGWAY_E_NULL`, `RINGWAY_E_CLOSED`, `RINGWAY_E_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn ringway_transfer_free(
    engine: Option<&ringway_engine>,
    transfer: ringway_transfer,
) -> c_int {
    guard::done(|| {
        let instance = &given(engine)?.instance;
        instance.at(transfer, |slot| slot.transfer().map(drop))?;
        instance.free(transfer)?.transfer()?.cancel();
        Ok(())
    })
}

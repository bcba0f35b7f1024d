//! The file service: put, get and list over Ringway sessions, with resume after the death of
//! either process.
//!
//! A [`Server`] serves one directory; a [`Client`] moves files and trees to and from it.
//! `docs/FILES.md` specifies the messages, the sidecar and the rules, which the code cites as
//! `F-n`. Everything here is ordinary async code over the public API of `ringway`: time and I/O
//! come from the engine, so the same code runs under the simulator.
//!
//! ```no_run
//! # async fn example(engine: ringway::Engine) -> Result<(), Box<dyn std::error::Error>> {
//! use ringway::{ConnectOptions, Keys};
//! use ringway_files::{Client, ClientOptions, PutOptions, Silent};
//!
//! let connect = ConnectOptions::keyed(Keys::of_user()?.own());
//! let client = Client::new(&engine, "node-b:7400", connect, ClientOptions::default());
//! let options = PutOptions { recursive: true, ..PutOptions::default() };
//! let report = client.put(&["photos".into()], "backup/", options, Silent::observer()).await?;
//! println!("{} files, {} bytes", report.files.len(), report.bytes);
//! # Ok(())
//! # }
//! ```
//!
//! Where to start reading: `put` and `get` are the client's runs, `service` answers requests,
//! `partial` is the file beside the target that both sides write to, `sidecar` its memory.
#![forbid(unsafe_code)]

mod batch;
mod boot;
mod client;
mod destination;
mod digest;
mod error;
mod failure;
mod folder;
mod get;
mod get_file;
mod identity;
mod inflow;
mod limits;
mod link;
mod list;
mod list_run;
mod message;
mod names;
mod observer;
mod overwrite;
mod page_cache;
mod partial;
mod path;
mod plan;
mod put;
mod put_file;
mod remote_task;
mod report;
mod root;
mod run;
mod serve_directories;
mod serve_get;
mod serve_list;
mod serve_put;
mod server;
mod service;
mod sidecar;
mod signal;
mod source;
mod tree;
mod window;
mod writers;

pub use client::{Client, ClientOptions};
pub use error::{ErrorClass, FilesError, Side, UsageError};
pub use failure::{Failure, Fault};
pub use get::GetOptions;
pub use list::{Entry, EntryKind, ListOptions, Listing};
pub use observer::{Observer, Silent, SkipReason};
pub use overwrite::Overwrite;
pub use page_cache::PageCache;
pub use path::{PathError, RemotePath};
pub use put::PutOptions;
pub use report::{FailedFile, FileReport, SkippedFile, TransferReport};
pub use server::{DrainReport, ServeOptions, Server};

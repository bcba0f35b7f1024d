//! Listing: the client's run.

use std::sync::Arc;

use ringway::{Engine, Session, Status, StreamOptions};

use crate::FilesError;
use crate::error::Side;
use crate::failure::{Failure, Fault, Halt};
use crate::link::Link;
use crate::list::{Entry, EntryKind, ListOptions, Listing};
use crate::message::{Reply, Request, ask, try_receive_reply, unexpected};
use crate::observer::{Observer, Silent};
use crate::path::RemotePath;
use crate::put::look;
use crate::remote_task::run_on;

/// One call of [`crate::Client::list`], on the shard that owns the session.
pub(crate) async fn run(
    engine: &Engine,
    link: &Arc<Link>,
    path: RemotePath,
    options: ListOptions,
) -> Result<Listing, FilesError> {
    let observer = Silent::observer();
    let shard = link.session(&observer).await?.session.shard();
    let link = Arc::clone(link);
    let work = move || async move {
        let Some(object) = look(&link, &observer, &path).await? else {
            let failure = Failure::new(Fault::NotFound, path.as_path());
            return Err(FilesError::File {
                side: Side::Remote,
                failure,
            });
        };
        let entries = match object.kind {
            EntryKind::Directory => entries(&link, &observer, &path, options).await?,
            _ => Vec::new(),
        };
        Ok(Listing { object, entries })
    };
    run_on(engine, shard, work).await?
}

/// What is in a directory below the server's root.
pub(crate) async fn entries(
    link: &Link,
    observer: &Arc<dyn Observer>,
    path: &RemotePath,
    options: ListOptions,
) -> Result<Vec<Entry>, FilesError> {
    let attempt = async |session| attempt(&session, path, options).await;
    let entries = link.persist(observer, Side::Local, attempt).await?;
    entries.ok_or(FilesError::Limit {
        what: "entries in one listing",
        wanted: options.entries_max as u64 + 1,
        allowed: options.entries_max as u64,
    })
}

/// `None` above the limit.
async fn attempt(
    session: &Session,
    path: &RemotePath,
    options: ListOptions,
) -> Result<Option<Vec<Entry>>, Halt> {
    let stream = session.open(StreamOptions::default()).await?;
    let (path, recursive) = (path.clone(), options.recursive);
    ask(&stream, Request::List { path, recursive }).await?;
    stream.finish(Status::ok()).await?;
    let mut all = Vec::new();
    while let Some(reply) = try_receive_reply(&stream).await? {
        let Reply::Page { entries } = reply else {
            return Err(unexpected(&reply));
        };
        all.extend(entries);
        if all.len() > options.entries_max {
            return Ok(None);
        }
    }
    match stream.peer_status().await? == Status::ok() {
        true => Ok(Some(all)),
        false => Err(Halt::broken("F-3", "the listing ended early")),
    }
}

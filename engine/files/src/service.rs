//! Serving one session: takes its streams, reads the request of each, answers.
//!
//! Each request is a task of its own on the session's shard. What each request does is in
//! `serve_put`, `serve_get`, `serve_list` and `serve_directories`.

use std::rc::Rc;
use std::sync::Arc;

use ringway::{Session, Status, Stream};
use serde::Deserialize;

use crate::batch::Committer;
use crate::failure::{Failure, Fault, Halt};
use crate::limits::{RECORD_BYTES_MAX, SMALL_MEMORY_KIB_MAX};
use crate::list::Entry;
use crate::message::{self, Envelope, Reply, Request, decode, encode, status};
use crate::root::Root;
use crate::server::Shared;
use crate::signal::{Counter, Permits};
use crate::window::{Either, race};

/// What the requests of one session share.
pub(crate) struct Service {
    pub(crate) shared: Arc<Shared>,
    pub(crate) session: Session,
    /// The served directory, opened on this session's shard.
    pub(crate) root: Root,
    pub(crate) committer: Committer,
    /// Transfers that may have a file open.
    pub(crate) transfers: Permits,
    /// KiB of small files that may be in memory.
    pub(crate) memory: Permits,
    requests: Counter,
}

#[derive(Deserialize)]
struct VersionOnly {
    version: u32,
}

impl Service {
    /// Serves a session to its end.
    pub(crate) async fn run(shared: Arc<Shared>, session: Session) {
        let _counted = shared.sessions.enter();
        tracing::debug!(session = %session.id(), "serving a session");
        // Should the root be gone, the requests say so: each checks it.
        let root = shared
            .root
            .reopen()
            .await
            .unwrap_or_else(|_| shared.root.clone());
        let transfers = Permits::new(shared.options.transfers_per_session_max);
        let service = Rc::new(Self {
            root,
            committer: Committer::default(),
            transfers,
            memory: Permits::new(SMALL_MEMORY_KIB_MAX),
            requests: Counter::default(),
            shared,
            session: session.clone(),
        });
        let closing = service.shared.closing.clone();
        loop {
            match race(session.accept(), closing.wait()).await {
                Either::First(Ok(stream)) => {
                    ringway::spawn_local(Rc::clone(&service).serve(stream));
                }
                Either::First(Err(error)) => {
                    tracing::debug!(session = %session.id(), %error, "a session is over");
                    return;
                }
                Either::Second(()) => {
                    let _ = session.drain().await;
                    return;
                }
            }
        }
    }

    async fn serve(self: Rc<Self>, stream: Stream) {
        let _counted = (self.shared.requests.enter(), self.requests.enter());
        let outcome = match self.admit() {
            Ok(()) => self.answer(&stream).await,
            Err(failure) => Err(failure.into()),
        };
        let outcome = match outcome {
            // Missing, because the whole root is?
            Err(Halt::Failed(failure)) if failure.fault == Fault::NotFound => {
                self.root.check().await.and(Err(Halt::Failed(failure)))
            }
            other => other,
        };
        if let Err(halt) = outcome {
            refuse(&stream, halt).await;
        }
    }

    fn admit(&self) -> Result<(), Failure> {
        if self.shared.draining.is_set() {
            return Err(Failure::new(Fault::Draining, ""));
        }
        let (wanted, allowed) = (
            self.requests.value(),
            self.shared.options.requests_per_session_max,
        );
        if wanted <= allowed as u64 {
            return Ok(());
        }
        let (what, allowed) = (
            "requests under way in one session".to_owned(),
            allowed as u64,
        );
        Err(Failure::new(
            Fault::Limit {
                what,
                wanted,
                allowed,
            },
            "",
        ))
    }

    async fn answer(&self, stream: &Stream) -> Result<(), Halt> {
        let Some(record) = stream.receive_record(RECORD_BYTES_MAX).await? else {
            return Err(Halt::broken("F-1", "a stream without a request"));
        };
        let VersionOnly { version } = decode(&record)?;
        if version != message::VERSION {
            let (oldest, newest) = (message::VERSION, message::VERSION);
            let fault = Fault::Version {
                wanted: version,
                oldest,
                newest,
            };
            return Err(Failure::new(fault, "").into());
        }
        let Envelope { request, .. } = decode(&record)?;
        match request {
            Request::Look { path } => self.look(stream, path).await,
            Request::List { path, recursive } => self.list(stream, &path, recursive).await,
            Request::MakeDirectories { paths } => self.make_directories(stream, &paths).await,
            Request::SetDirectories { directories } => {
                self.set_directories(stream, &directories).await
            }
            Request::Put(put) => self.put(stream, &put).await,
            Request::Get(get) => self.get(stream, &get).await,
        }
    }

    async fn look(&self, stream: &Stream, path: crate::RemotePath) -> Result<(), Halt> {
        let stat = self.root.look(&path).await?;
        let entry = stat.map(|stat| Entry::new(crate::RemotePath::root(), &stat));
        reply(stream, &Reply::Looked { entry }).await
    }

    /// Fails on a server that only serves to read.
    pub(crate) fn check_writable(&self, path: &crate::RemotePath) -> Result<(), Halt> {
        match self.shared.options.read_only {
            true => Err(Failure::new(Fault::ReadOnly, path.as_path()).into()),
            false => Ok(()),
        }
    }
}

/// Sends the last reply of a stream.
pub(crate) async fn reply(stream: &Stream, reply: &Reply) -> Result<(), Halt> {
    stream.send_record(encode(reply)).await?;
    stream.finish(Status::ok()).await?;
    Ok(())
}

/// Tells the client why not; it ceases to send within a round trip.
async fn refuse(stream: &Stream, halt: Halt) {
    let failure = match halt {
        Halt::Failed(failure) | Halt::Peer(failure) => failure,
        Halt::Broken { rule, what } => {
            let what = format!("{rule}: {what}");
            Failure::new(Fault::BadRequest { what }, "")
        }
        Halt::Session(error) => {
            tracing::debug!(%error, "a request ended with its stream");
            return;
        }
    };
    tracing::debug!(%failure, "a request was refused");
    let text = failure.to_string();
    let why = match failure.fault {
        Fault::SourceChanged => Status::source_changed(&text),
        Fault::Draining => Status::new(status::DRAINING, &text),
        _ => Status::new(status::REFUSED, &text),
    };
    stream.stop(why.clone());
    // After a body that cannot be completed no record can follow: the reset says why.
    if reply(stream, &Reply::Failed(failure)).await.is_err() {
        stream.reset(why);
    }
}

//! The client: moves files and trees to and from a server.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ringway::{ConnectOptions, Engine};

use crate::get::GetOptions;
use crate::link::Link;
use crate::list::{ListOptions, Listing};
use crate::observer::Observer;
use crate::put::PutOptions;
use crate::report::TransferReport;
use crate::{FilesError, RemotePath, get, list_run, put};

/// How a client deals with sessions that end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientOptions {
    /// After the session has ended (the server was restarted, or drains), new sessions are tried
    /// for so long. A run without any progress over several sessions ends earlier. So does one
    /// whose server was out of reach for the whole resume window of the engine
    /// ([`ringway::SessionConfig::resume_window`]).
    pub give_up_after: Duration,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            give_up_after: Duration::from_secs(60),
        }
    }
}

/// Puts to, gets from and lists one server; cheap to clone.
///
/// It connects with the first call and keeps the session for the next ones. Calls may run side by
/// side and share the session. Dropping a call's future ends its transfers; what has arrived is
/// kept at the receiving side, and the same call again goes on from there.
#[derive(Clone, Debug)]
pub struct Client {
    engine: Engine,
    link: Arc<Link>,
}

impl Client {
    /// Takes note of where to connect; nothing happens before the first call.
    #[must_use]
    pub fn new(
        engine: &Engine,
        target: &str,
        connect: ConnectOptions,
        options: ClientOptions,
    ) -> Self {
        let link = Link::new(engine.clone(), target.to_owned(), connect, options);
        Self {
            engine: engine.clone(),
            link: Arc::new(link),
        }
    }

    /// Copies local files, and with `recursive` directories, to `destination` below the server's
    /// root, by scp's rules (F-31): an existing directory, or several sources, mean *into* it;
    /// else `destination` is the new name. A trailing slash insists on a directory.
    ///
    /// # Errors
    /// [`FilesError`]. A failure that concerns one file of several leaves the others alone and is
    /// reported as [`FilesError::Incomplete`] at the end.
    pub async fn put(
        &self,
        sources: &[PathBuf],
        destination: impl AsRef<OsStr>,
        options: PutOptions,
        observer: Arc<dyn Observer>,
    ) -> Result<TransferReport, FilesError> {
        let run = put::PutRun::new(&self.engine, &self.link, options, observer);
        run.run(sources.to_vec(), destination.as_ref().to_owned())
            .await
    }

    /// Copies files, and with `recursive` directories, from below the server's root to the local
    /// `destination`, by the same rules as [`put`](Self::put).
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub async fn get(
        &self,
        sources: &[impl AsRef<OsStr>],
        destination: impl AsRef<Path>,
        options: GetOptions,
        observer: Arc<dyn Observer>,
    ) -> Result<TransferReport, FilesError> {
        let sources = sources
            .iter()
            .map(|source| source.as_ref().to_owned())
            .collect();
        let run = get::GetRun::new(&self.engine, &self.link, options, observer);
        run.run(sources, destination.as_ref().to_owned()).await
    }

    /// Tells what is at `path` below the server's root: the entries of a directory, or the one
    /// entry of a file.
    ///
    /// # Errors
    /// [`FilesError`].
    pub async fn list(
        &self,
        path: impl AsRef<OsStr>,
        options: ListOptions,
    ) -> Result<Listing, FilesError> {
        let path = RemotePath::parse(path).map_err(crate::UsageError::Path)?;
        list_run::run(&self.engine, &self.link, path, options).await
    }

    /// Ends the session, if there is one, after what is under way. Later calls connect again.
    pub async fn close(&self) {
        self.link.close().await;
    }
}

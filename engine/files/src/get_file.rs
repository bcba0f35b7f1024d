//! Getting one file, in as many attempts as sessions last (F-43).

use ringway::{OpenHow, Session, Status, Stream, StreamOptions};

use crate::FilesError;
use crate::batch::{Committer, SmallFile};
use crate::digest::digest_of;
use crate::error::Side;
use crate::failure::{At, Failure, Fault, Halt};
use crate::get::GetOptions;
use crate::identity::{SourceIdentity, Timestamp};
use crate::inflow::Inflow;
use crate::limits::{PROGRESS_STEP_BYTES, SMALL_FILE_BYTES_MAX, small_kib};
use crate::message::{Digest, Get, Reply, Request, ask, receive_reply, unexpected};
use crate::overwrite::Overwrite;
use crate::partial::{Attributes, Held, Partial};
use crate::path::RemotePath;
use crate::plan::PlannedFile;
use crate::root::{Root, Target};
use crate::run::{Arrival, FileJob, Progress, Run};
use crate::sidecar::BootId;
use crate::signal::{Permits, Signal};

/// Gets the files of one run.
pub(crate) struct GetFile<'a> {
    pub(crate) run: &'a Run,
    pub(crate) options: &'a GetOptions,
    /// The local directory that targets are below.
    pub(crate) root: &'a Root,
    pub(crate) boot: BootId,
    pub(crate) committer: Committer,
    /// KiB of small files that may be in memory.
    pub(crate) memory: Permits,
}

/// What one successful attempt brought.
enum Outcome {
    Kept,
    Placed {
        bytes: u64,
        digests: Option<(u128, u128)>,
    },
}

/// What the server says about the file it sends.
struct Head {
    source: SourceIdentity,
    mode: u32,
    offset: u64,
}

impl Head {
    fn attributes(&self) -> Attributes {
        Attributes {
            mode: self.mode,
            modified: self.source.modified,
        }
    }
}

impl FileJob for GetFile<'_> {
    async fn transfer(
        &self,
        file: &PlannedFile,
        progress: &Progress<'_>,
    ) -> Result<Arrival, FilesError> {
        let Run { link, observer, .. } = self.run;
        let path = RemotePath::parse(&file.source).map_err(crate::UsageError::Path)?;
        let attempt = async |session| self.attempt(&session, &path, file, progress).await;
        let got = link.persist(observer, Side::Local, attempt).await?;
        let Outcome::Placed { bytes, digests } = got else {
            return Ok(Arrival::Kept);
        };
        if let Some((source_digest, target)) = digests
            && source_digest != target
        {
            let path = file.source.clone();
            return Err(FilesError::Digest {
                path,
                source_digest,
                target,
            });
        }
        let digest = digests.map(|(digest, _)| digest);
        Ok(Arrival::Placed(progress.report(
            bytes,
            self.root.show(&file.target),
            digest,
        )))
    }
}

impl GetFile<'_> {
    async fn attempt(
        &self,
        session: &Session,
        path: &RemotePath,
        file: &PlannedFile,
        progress: &Progress<'_>,
    ) -> Result<Outcome, Halt> {
        let target = self.root.target(&file.target).await?;
        let there = target.look().await?;
        match self
            .options
            .overwrite
            .replaces(there.as_ref(), &planned(file))
        {
            Ok(true) => {}
            Ok(false) => return Ok(Outcome::Kept),
            Err(fault) => return Err(target.fail(fault)),
        }
        let stream = session.open(StreamOptions::default()).await?;
        let placed = self.place(&stream, path, target.clone(), progress).await;
        let (bytes, digest) = match placed {
            Err(halt) if is_kept(&halt) => return Ok(Outcome::Kept),
            other => other?,
        };
        let digests = match digest {
            None => None,
            Some(digest) => Some((digest.into(), own_digest(&target).await?)),
        };
        Ok(Outcome::Placed { bytes, digests })
    }

    /// Asks with what is here already, takes what is sent, puts it in its place.
    async fn place(
        &self,
        stream: &Stream,
        path: &RemotePath,
        target: Target,
        progress: &Progress<'_>,
    ) -> Result<(u64, Option<Digest>), Halt> {
        let restart = self.options.restart && progress.is_first_attempt();
        let held = Held::hold(target.clone(), self.boot).await?;
        let get = Get {
            path: path.clone(),
            resume: held.resume().filter(|_| !restart),
            digest: self.options.verify,
        };
        ask(stream, Request::Get(get)).await?;
        let head = match receive_reply(stream).await {
            Ok(Reply::Body {
                source,
                mode,
                offset,
            }) => Head {
                source,
                mode,
                offset,
            },
            Ok(other) => return Err(unexpected(&other)),
            // The server compares, but the partial file of another source is here.
            Err(Halt::Peer(failure)) if failure.fault == Fault::OtherSource => {
                return Err(target.fail(Fault::OtherSource));
            }
            Err(halt) => return Err(halt),
        };
        progress.begin(head.offset);
        let bytes = head.source.size;
        let digest = match bytes < SMALL_FILE_BYTES_MAX {
            true => {
                drop(held);
                self.place_small(stream, target, &head, restart, progress)
                    .await?
            }
            false => {
                let partial = held.begin(head.source, restart).await?;
                self.place_large(stream, partial, &head, progress).await?
            }
        };
        Ok((bytes, digest))
    }

    async fn place_small(
        &self,
        stream: &Stream,
        target: Target,
        head: &Head,
        restart: bool,
        progress: &Progress<'_>,
    ) -> Result<Option<Digest>, Halt> {
        let _memory = self.memory.acquire(small_kib(head.source.size)).await;
        let content = stream.receive_record(SMALL_FILE_BYTES_MAX).await;
        let content = content.at(&target.shown)?;
        let content = content.ok_or_else(|| Halt::broken("F-40", "a body is missing"))?;
        if content.len() as u64 != head.source.size {
            let (bytes, size) = (content.len(), head.source.size);
            return Err(Halt::broken(
                "F-41",
                format_args!("{bytes} bytes arrived of {size}"),
            ));
        }
        stream.finish(Status::ok()).await?;
        let digest = self.digest(stream).await?;
        if stream.peer_status().await.at(&target.shown)? != Status::ok() {
            return Err(target.fail(Fault::SourceChanged));
        }
        progress.advance(head.source.size - head.offset);
        let small = SmallFile {
            target,
            source: head.source,
            attributes: head.attributes(),
            content,
            restart,
            no_replace: self.options.overwrite == Overwrite::Never,
        };
        self.committer.place(small, self.boot).await?;
        Ok(digest)
    }

    async fn place_large(
        &self,
        stream: &Stream,
        partial: Partial,
        head: &Head,
        progress: &Progress<'_>,
    ) -> Result<Option<Digest>, Halt> {
        let digest = match self.receive(stream, &partial, head, progress).await {
            Ok(digest) => digest,
            Err(halt) => {
                stream.stop(Status::new(
                    crate::message::status::REFUSED,
                    "the client stopped",
                ));
                match halt.fault() {
                    Some(Fault::SourceChanged) => partial.discard().await?,
                    _ => partial.keep().await,
                }
                return Err(halt);
            }
        };
        let no_replace = self.options.overwrite == Overwrite::Never;
        partial.finish(head.attributes(), no_replace).await?;
        Ok(digest)
    }

    async fn receive(
        &self,
        stream: &Stream,
        partial: &Partial,
        head: &Head,
        progress: &Progress<'_>,
    ) -> Result<Option<Digest>, Halt> {
        if partial.offset() != head.offset {
            return Err(Halt::broken(
                "F-43",
                "the offset is not the one that was asked for",
            ));
        }
        let never = Signal::default();
        let file = self.options.cache.opened(partial.file()).await;
        let inflow = Inflow {
            stream,
            partial,
            file: &file,
            fenced: &never,
            interrupted: &never,
            step: PROGRESS_STEP_BYTES,
        };
        inflow.run(&|bytes| progress.advance(bytes)).await?;
        let digest = self.digest(stream).await?;
        inflow.confirm().await?;
        stream.finish(Status::ok()).await?;
        Ok(digest)
    }

    /// The digest of the source, if it was asked for.
    async fn digest(&self, stream: &Stream) -> Result<Option<Digest>, Halt> {
        if !self.options.verify {
            return Ok(None);
        }
        match receive_reply(stream).await? {
            Reply::Digest(digest) => Ok(Some(digest)),
            other => Err(unexpected(&other)),
        }
    }
}

/// What the plan knows of a source: enough for the overwrite policy.
fn planned(file: &PlannedFile) -> SourceIdentity {
    SourceIdentity {
        size: file.size,
        modified: file.modified,
        changed: Timestamp::default(),
        inode: 0,
    }
}

/// Somebody else made the target meanwhile, and it is to be kept.
fn is_kept(halt: &Halt) -> bool {
    matches!(
        halt,
        Halt::Failed(Failure {
            fault: Fault::Exists,
            ..
        })
    )
}

async fn own_digest(target: &Target) -> Result<u128, Halt> {
    let how = OpenHow {
        no_follow: true,
        ..OpenHow::READ
    };
    let file = target
        .directory
        .open(&target.name, how)
        .await
        .at(&target.shown)?;
    digest_of(&file).await.at(&target.shown)
}

//! Putting one file, in as many attempts as sessions last (F-40).

use ringway::{Error, Session, Status, Stream, StreamOptions};

use crate::FilesError;
use crate::digest::digest_of;
use crate::error::Side;
use crate::failure::{At, Fault, Halt};
use crate::limits::{PROGRESS_STEP_BYTES, SMALL_FILE_BYTES_MAX, small_kib};
use crate::message::{Digest, Put, Reply, Request, ask, receive_reply, unexpected};
use crate::overwrite::Overwrite;
use crate::plan::PlannedFile;
use crate::put::PutOptions;
use crate::run::{Arrival, FileJob, Progress, Run};
use crate::signal::Permits;
use crate::source::Source;
use crate::window::{Either, race};

/// Puts the files of one run.
pub(crate) struct PutFile<'a> {
    pub(crate) run: &'a Run,
    pub(crate) options: &'a PutOptions,
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

impl FileJob for PutFile<'_> {
    async fn transfer(
        &self,
        file: &PlannedFile,
        progress: &Progress<'_>,
    ) -> Result<Arrival, FilesError> {
        let Run { link, observer, .. } = self.run;
        let attempt = async |session| self.attempt(&session, file, progress).await;
        let put = link.persist(observer, Side::Local, attempt).await?;
        let (bytes, digests) = match put {
            Outcome::Kept => return Ok(Arrival::Kept),
            Outcome::Placed { bytes, digests } => (bytes, digests),
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
            file.target.to_path_buf(),
            digest,
        )))
    }
}

impl PutFile<'_> {
    async fn attempt(
        &self,
        session: &Session,
        file: &PlannedFile,
        progress: &Progress<'_>,
    ) -> Result<Outcome, Halt> {
        let ambient = self.run.engine.ambient();
        let source = Source::open(&ambient, &file.source, &file.source).await?;
        let stream = session.open(StreamOptions::default()).await?;
        let put = match source.size() < SMALL_FILE_BYTES_MAX {
            true => self.put_small(&stream, &source, file, progress).await?,
            false => self.put_large(&stream, &source, file, progress).await?,
        };
        let Some(target) = put else {
            return Ok(Outcome::Kept);
        };
        let digests = match (self.options.verify, target) {
            (true, Some(target)) => {
                let own = digest_of(&source.file).await.at(&file.source)?;
                Some((own, target.into()))
            }
            (true, None) => return Err(Halt::broken("F-42", "a digest was asked for")),
            (false, _) => None,
        };
        let bytes = source.size();
        Ok(Outcome::Placed { bytes, digests })
    }

    fn request(&self, source: &Source, file: &PlannedFile, progress: &Progress<'_>) -> Put {
        Put {
            path: file.target.clone(),
            source: source.identity,
            mode: source.mode,
            overwrite: self.options.overwrite,
            // A second attempt goes on from what the first one brought.
            restart: self.options.restart && progress.is_first_attempt(),
            ask: source.size() >= SMALL_FILE_BYTES_MAX
                || self.options.overwrite != Overwrite::Replace,
            digest: self.options.verify,
        }
    }

    /// Returns the digest if it was asked for; `None` when the target was kept.
    async fn put_small(
        &self,
        stream: &Stream,
        source: &Source,
        file: &PlannedFile,
        progress: &Progress<'_>,
    ) -> Result<Option<Option<Digest>>, Halt> {
        let memory = self.memory.acquire(small_kib(source.size())).await;
        let content = source.content().await?;
        let put = self.request(source, file, progress);
        let must_ask = put.ask;
        ask(stream, Request::Put(put)).await?;
        if must_ask && offset_or_kept(receive_reply(stream).await?)?.is_none() {
            return Ok(None);
        }
        progress.begin(0);
        let sent = async {
            stream.send_record(content).await?;
            stream.finish(Status::ok()).await
        };
        or_reason(stream, source, sent.await).await?;
        drop(memory);
        let placed = placed_or_kept(receive_reply(stream).await?)?;
        progress.advance(source.size());
        Ok(placed)
    }

    async fn put_large(
        &self,
        stream: &Stream,
        source: &Source,
        file: &PlannedFile,
        progress: &Progress<'_>,
    ) -> Result<Option<Option<Digest>>, Halt> {
        ask(stream, Request::Put(self.request(source, file, progress))).await?;
        let Some(offset) = offset_or_kept(receive_reply(stream).await?)? else {
            return Ok(None);
        };
        if offset > source.size() {
            return Err(Halt::broken(
                "F-40",
                "the offset is beyond the end of the source",
            ));
        }
        progress.begin(offset);
        let sent = self.send_range(stream, source, offset, progress);
        match race(sent, receive_reply(stream)).await {
            Either::First(sent) => self.settle(stream, source, sent).await?,
            Either::Second(reply) => return Err(unexpected(&reply?)),
        }
        placed_or_kept(receive_reply(stream).await?)
    }

    /// The body, moved by the kernel; resolves when the server has all of it.
    async fn send_range(
        &self,
        stream: &Stream,
        source: &Source,
        offset: u64,
        progress: &Progress<'_>,
    ) -> Result<(), Error> {
        let length = source.size() - offset;
        if length == 0 {
            return Ok(());
        }
        let body = self.options.cache.opened(&source.file).await;
        let end = stream.send(body.range(offset, length)).await?;
        let (start, mut at) = (end - length, end - length);
        let outcome = loop {
            if at == end {
                break Ok(());
            }
            let next = (at + PROGRESS_STEP_BYTES).min(end);
            if let Err(error) = stream.acked(next).await {
                break Err(error);
            }
            progress.advance(next - at);
            at = next;
        };
        // What was acked of a step that did not end has arrived as well.
        let acked = stream.acked_now().clamp(start, end);
        progress.advance(acked.saturating_sub(at));
        outcome
    }

    /// Everything has arrived, or sending failed: tells the server which, unless it knows.
    async fn settle(
        &self,
        stream: &Stream,
        source: &Source,
        sent: Result<(), Error>,
    ) -> Result<(), Halt> {
        let outcome = match or_reason(stream, source, sent).await {
            Ok(()) => source.check().await,
            Err(halt) => Err(halt),
        };
        let Err(Halt::Failed(failure)) = outcome else {
            outcome?;
            return Ok(stream.finish(Status::ok()).await?);
        };
        stream.reset(match failure.fault {
            Fault::SourceChanged => Status::source_changed(&failure.to_string()),
            _ => Status::source_failed(&failure.to_string()),
        });
        // The server answers when it has dealt with what it had.
        let _ = receive_reply(stream).await;
        Err(failure.into())
    }
}

/// When the server asked us to stop, its reply says why.
async fn or_reason<T>(stream: &Stream, source: &Source, sent: Result<T, Error>) -> Result<T, Halt> {
    match sent {
        // Stopped before or after the finish.
        Err(Error::Stopped(_) | Error::AlreadyFinished) => match receive_reply(stream).await {
            Err(halt) => Err(halt),
            Ok(_) => Err(Halt::broken("F-5", "stopped without a reason")),
        },
        sent => source.at(sent),
    }
}

fn offset_or_kept(reply: Reply) -> Result<Option<u64>, Halt> {
    match reply {
        Reply::Offset { offset } => Ok(Some(offset)),
        Reply::Kept => Ok(None),
        other => Err(unexpected(&other)),
    }
}

fn placed_or_kept(reply: Reply) -> Result<Option<Option<Digest>>, Halt> {
    match reply {
        Reply::Placed { digest } => Ok(Some(digest)),
        Reply::Kept => Ok(None),
        other => Err(unexpected(&other)),
    }
}

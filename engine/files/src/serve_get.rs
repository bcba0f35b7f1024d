//! Answering a get.

use ringway::{Status, Stream};

use crate::digest::digest_of;
use crate::failure::{Failure, Fault, Halt};
use crate::limits::{SMALL_FILE_BYTES_MAX, small_kib};
use crate::message::{Get, Reply, encode, status};
use crate::service::Service;
use crate::source::Source;
use crate::window::{Either, race};

impl Service {
    pub(crate) async fn get(&self, stream: &Stream, get: &Get) -> Result<(), Halt> {
        let _permit = self.transfers.acquire(1).await;
        let target = self.root.target(&get.path).await?;
        let source = Source::open(&target.directory, &target.name, &target.shown).await?;
        let offset = match get.resume {
            None => 0,
            Some(there) if there.source != source.identity => {
                return Err(target.fail(Fault::OtherSource));
            }
            Some(there) => there.offset.min(source.size()),
        };
        let body = Reply::Body {
            source: source.identity,
            mode: source.mode,
            offset,
        };
        if source.size() < SMALL_FILE_BYTES_MAX {
            let _memory = self.memory.acquire(small_kib(source.size())).await;
            let content = source.content().await?;
            stream.send_record(encode(&body)).await?;
            stream.send_record(content).await?;
        } else {
            stream.send_record(encode(&body)).await?;
            self.send_range(stream, &source, offset).await?;
        }
        if get.digest {
            let digest = source.at(digest_of(&source.file).await)?;
            stream
                .send_record(encode(&Reply::Digest(digest.into())))
                .await?;
        }
        let ended = match source.check().await {
            Ok(()) => Status::ok(),
            Err(_) => Status::source_changed("the source changed"),
        };
        stream.finish(ended).await?;
        // The client finishes when it has taken everything. Letting go of the stream before
        // would end it under bytes that are still on their way to a file.
        let _ = race(stream.receive(), self.shared.interrupted.wait()).await;
        Ok(())
    }

    /// Sends the rest of a large file, moved by the kernel, and waits until it has arrived: what
    /// changed meanwhile is seen by the check behind it.
    async fn send_range(&self, stream: &Stream, source: &Source, offset: u64) -> Result<(), Halt> {
        if offset == source.size() {
            return Ok(());
        }
        let body = self.shared.options.cache.opened(&source.file).await;
        let range = body.range(offset, source.size() - offset);
        let end = match source.at(stream.send(range).await) {
            // A reply would be taken for the body that was announced.
            Err(Halt::Failed(failure)) => {
                stream.reset(Status::source_failed(&failure.to_string()));
                return Err(failure.into());
            }
            sent => sent?,
        };
        match race(stream.acked(end), self.shared.interrupted.wait()).await {
            Either::First(acked) => source.at(acked),
            Either::Second(()) => {
                stream.reset(Status::new(status::DRAINING, "the server is being stopped"));
                Err(Failure::new(Fault::Draining, "").into())
            }
        }
    }
}

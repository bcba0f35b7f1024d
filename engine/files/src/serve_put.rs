//! Answering a put.

use ringway::{OpenHow, Stream};

use crate::batch::SmallFile;
use crate::digest::digest_of;
use crate::failure::{At, Fault, Halt};
use crate::inflow::Inflow;
use crate::limits::{SMALL_FILE_BYTES_MAX, SYNC_EVERY_BYTES, small_kib};
use crate::message::{Digest, Put, Reply, encode};
use crate::overwrite::Overwrite;
use crate::partial::{Attributes, Held, Partial};
use crate::root::Target;
use crate::service::{Service, reply};
use crate::writers::Claim;

/// What became of a put that did not fail.
enum Outcome {
    Placed,
    Kept,
}

impl Service {
    pub(crate) async fn put(&self, stream: &Stream, put: &Put) -> Result<(), Halt> {
        self.check_writable(&put.path)?;
        let _permit = self.transfers.acquire(1).await;
        let target = self.root.target(&put.path).await?;
        let claim = self
            .shared
            .writers
            .claim(&target, put.source, &self.session)
            .await?;
        let outcome = match self.place(stream, put, target.clone(), &claim).await {
            // Somebody else made the target meanwhile, and it is to be kept.
            Err(halt) if halt.fault() == Some(&Fault::Exists) => Ok(Outcome::Kept),
            other => other,
        };
        drop(claim);
        match outcome? {
            Outcome::Kept => reply(stream, &Reply::Kept).await,
            Outcome::Placed => {
                let digest = match put.digest {
                    true => Some(digest(&target).await?),
                    false => None,
                };
                reply(stream, &Reply::Placed { digest }).await
            }
        }
    }

    async fn place(
        &self,
        stream: &Stream,
        put: &Put,
        target: Target,
        claim: &Claim,
    ) -> Result<Outcome, Halt> {
        let there = target.look().await?;
        match put.overwrite.replaces(there.as_ref(), &put.source) {
            Ok(true) => {}
            Ok(false) => return Ok(Outcome::Kept),
            Err(fault) => return Err(target.fail(fault)),
        }
        match put.source.size < SMALL_FILE_BYTES_MAX {
            true => self.place_small(stream, put, target).await?,
            false => self.place_large(stream, put, target, claim).await?,
        }
        Ok(Outcome::Placed)
    }

    async fn place_small(&self, stream: &Stream, put: &Put, target: Target) -> Result<(), Halt> {
        if put.ask {
            stream
                .send_record(encode(&Reply::Offset { offset: 0 }))
                .await?;
        }
        let _memory = self.memory.acquire(small_kib(put.source.size)).await;
        let Some(content) = stream.receive_record(SMALL_FILE_BYTES_MAX).await? else {
            return Err(Halt::broken("F-40", "a small file without its body"));
        };
        if content.len() as u64 != put.source.size {
            let (bytes, size) = (content.len(), put.source.size);
            return Err(Halt::broken(
                "F-41",
                format_args!("{bytes} bytes arrived of {size}"),
            ));
        }
        let small = SmallFile {
            target,
            source: put.source,
            attributes: attributes(put),
            content,
            restart: put.restart,
            no_replace: put.overwrite == Overwrite::Never,
        };
        self.committer.place(small, self.shared.boot).await
    }

    async fn place_large(
        &self,
        stream: &Stream,
        put: &Put,
        target: Target,
        claim: &Claim,
    ) -> Result<(), Halt> {
        let held = Held::hold(target, self.shared.boot).await?;
        let partial = held.begin(put.source, put.restart).await?;
        match self.receive(stream, &partial, claim).await {
            Ok(()) => {
                let no_replace = put.overwrite == Overwrite::Never;
                partial.finish(attributes(put), no_replace).await
            }
            Err(halt) => {
                match halt.fault() {
                    Some(Fault::SourceChanged) => partial.discard().await?,
                    _ => partial.keep().await,
                }
                Err(halt)
            }
        }
    }

    async fn receive(&self, stream: &Stream, partial: &Partial, claim: &Claim) -> Result<(), Halt> {
        let offset = partial.offset();
        tracing::debug!(target = %partial.target().shown.display(), offset, "receiving");
        stream
            .send_record(encode(&Reply::Offset { offset }))
            .await?;
        let file = self.shared.options.cache.opened(partial.file()).await;
        let inflow = Inflow {
            stream,
            partial,
            file: &file,
            fenced: &claim.fenced,
            interrupted: &self.shared.interrupted,
            step: SYNC_EVERY_BYTES,
        };
        inflow.run(&|_| ()).await?;
        inflow.confirm().await
    }
}

fn attributes(put: &Put) -> Attributes {
    Attributes {
        mode: put.mode,
        modified: put.source.modified,
    }
}

/// Reads a placed file back.
async fn digest(target: &Target) -> Result<Digest, Halt> {
    let how = OpenHow {
        no_follow: true,
        ..OpenHow::READ
    };
    let file = target
        .directory
        .open(&target.name, how)
        .await
        .at(&target.shown)?;
    Ok(digest_of(&file).await.at(&target.shown)?.into())
}

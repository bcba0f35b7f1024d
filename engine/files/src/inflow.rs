//! A large body on its way from a stream into a partial file.
//!
//! ```text
//! receive |── 64 MiB ──|── 64 MiB ──|── …
//! sync                 |─ of the 1st ─|─ of the 2nd ─| …
//! ```
//!
//! The sync of one stretch runs while the next is received, so the receiver waits for the disk
//! only when the disk is slower than the network.

use ringway::{File, Status, Stream};

use crate::failure::{self, At, Failure, Fault, Halt};
use crate::limits::SYNC_EVERY_BYTES;
use crate::partial::Partial;
use crate::signal::Signal;
use crate::window::{Either, Window, both, race};

/// Steps asked for at once: what arrives between two would have to wait in memory for the second.
const STEPS_MAX: usize = 2;

/// What may end an inflow besides its own end, and who watches it.
pub(crate) struct Inflow<'a> {
    pub(crate) stream: &'a Stream,
    pub(crate) partial: &'a Partial,
    /// The partial file, for the body.
    pub(crate) file: &'a File,
    /// Set when a newer writer of the same source takes over.
    pub(crate) fenced: &'a Signal,
    /// Set when the server stops.
    pub(crate) interrupted: &'a Signal,
    /// Most bytes between two reports of progress.
    pub(crate) step: u64,
}

impl Inflow<'_> {
    /// Receives everything from the partial file's offset to its size. Reports progress in
    /// bytes.
    pub(crate) async fn run(&self, progress: &dyn Fn(u64)) -> Result<(), Halt> {
        let (mut at, size) = (self.partial.offset(), self.partial.size());
        let mut unsynced = false;
        while at < size {
            let stretch = SYNC_EVERY_BYTES.min(size - at);
            let previous = async {
                match unsynced {
                    true => self.partial.sync(at).await,
                    false => Ok(()),
                }
            };
            let (received, synced) = both(self.stretch(at, stretch, progress), previous).await;
            received?;
            synced?;
            at += stretch;
            unsynced = true;
        }
        Ok(())
    }

    async fn stretch(&self, from: u64, bytes: u64, progress: &dyn Fn(u64)) -> Result<(), Halt> {
        let (mut steps, mut asked) = (Window::new(), 0);
        loop {
            while steps.len() < STEPS_MAX && asked < bytes {
                let (at, wanted) = (from + asked, self.step.min(bytes - asked));
                steps.push(async move { (wanted, self.step_into_file(at, wanted).await) });
                asked += wanted;
            }
            // They end in the order in which they were asked for.
            let Some((wanted, received)) = steps.next().await else {
                return Ok(());
            };
            let received = received?;
            progress(received);
            if received < wanted {
                drop(steps);
                return Err(self.truncated().await);
            }
        }
    }

    async fn step_into_file(&self, at: u64, bytes: u64) -> Result<u64, Halt> {
        let stopped = race(self.fenced.wait(), self.interrupted.wait());
        let receive = self.stream.receive_into_file(self.file, at, bytes);
        let shown = &self.partial.target().shown;
        match race(receive, stopped).await {
            Either::First(received) => received.at(shown),
            Either::Second(Either::First(())) => Err(Failure::new(Fault::Superseded, shown).into()),
            Either::Second(Either::Second(())) => Err(Failure::new(Fault::Draining, shown).into()),
        }
    }

    /// The sender ended before the announced size: why?
    async fn truncated(&self) -> Halt {
        let status = self.stream.peer_status().await;
        match status.at(&self.partial.target().shown) {
            Ok(status) if status == Status::ok() => {
                Halt::broken("F-41", "the body is shorter than announced")
            }
            Ok(status) => ended_early(&status, self.partial),
            Err(halt) => halt,
        }
    }

    /// After the whole body: nothing may follow, and the sender confirms its source.
    pub(crate) async fn confirm(&self) -> Result<(), Halt> {
        let shown = &self.partial.target().shown;
        if self.stream.receive().await.at(shown)?.is_some() {
            return Err(Halt::broken("F-41", "the body is longer than announced"));
        }
        let status = self.stream.peer_status().await.at(shown)?;
        match status == Status::ok() {
            true => Ok(()),
            false => Err(ended_early(&status, self.partial)),
        }
    }
}

fn ended_early(ended: &Status, partial: &Partial) -> Halt {
    let shown = &partial.target().shown;
    match failure::ended_early(ended, shown) {
        Some(failure) => Halt::Peer(failure),
        None => Halt::broken("F-6", format_args!("the sender ended with {ended}")),
    }
}

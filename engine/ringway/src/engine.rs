//! An engine: its shards, and how to reach them.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use ringway_io::{Kernel, LeaseMut, Reduction, TeardownReport};
use ringway_uring::Uring;

use crate::config::{Config, ConnectOptions, ListenOptions};
use crate::cores::Claim;
use crate::error::{ConnectError, Error, StartError};
use crate::fault_kernel::FaultKernel;
use crate::listener::Listener;
use crate::mailbox::Mailbox;
use crate::message::Message;
use crate::prometheus::prometheus_text;
use crate::reply::reply;
use crate::rings::{self, Rings};
use crate::session::Session;
use crate::session_directory::SessionDirectory;
use crate::shard::Shard;
use crate::statistics::Statistics;
use crate::target::Target;
use crate::task;

/// One or more shards and what they share; cheap to clone, usable from any thread.
///
/// Sessions, streams and files keep working when the last `Engine` is dropped; the shards end
/// with [`shutdown`](Self::shutdown), or with the process.
#[derive(Clone, Debug)]
pub struct Engine(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    mailboxes: Vec<Mailbox>,
    next: AtomicUsize,
    threads: Mutex<Vec<JoinHandle<()>>>,
    reductions: Vec<Reduction>,
    cores: Vec<usize>,
}

impl Engine {
    /// Starts the shards, each on a thread of its own.
    ///
    /// Where this machine gives less than is configured, the engine runs smaller:
    /// [`reductions`](Self::reductions). Where locked memory is short, that takes up to a second.
    ///
    /// # Errors
    /// [`StartError`]: what this machine lacks, and the remedy.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a configuration is used once"
    )]
    pub fn start(config: Config) -> Result<Self, StartError> {
        let Rings {
            mut kernels,
            reductions,
            claims,
        } = rings::start(&config)?;
        let count = kernels.len();
        let shared = Arc::new(SessionDirectory::new(count, incarnation(&mut kernels)));
        let mut mailboxes = Vec::with_capacity(count);
        let mut threads = Vec::with_capacity(count);
        let cores = claims.iter().map(Claim::core).collect();
        let mut claims = claims.into_iter();
        for (index, kernel) in kernels.into_iter().enumerate() {
            let mailbox = Mailbox::new(index, kernel.doorbell());
            mailboxes.push(mailbox.clone());
            shared.add_shard(mailbox.clone());
            let start = ShardStart {
                kernel,
                mailbox,
                shared: Arc::clone(&shared),
                config: config.clone(),
                claim: claims.next(),
            };
            let thread = std::thread::Builder::new()
                .name(format!("ringway-{index}"))
                .spawn(move || start.run())
                .map_err(StartError::Thread)?;
            threads.push(thread);
        }
        Ok(Self::assembled(mailboxes, threads, reductions, cores))
    }

    /// Makes the shards and the engine without threads: whoever holds the shards steps them, a
    /// simulator or a foreign event loop.
    ///
    /// # Panics
    /// If `kernels` is empty.
    #[must_use]
    pub fn assemble<K: Kernel>(config: &Config, mut kernels: Vec<K>) -> (Self, Vec<Shard<K>>) {
        assert!(!kernels.is_empty(), "an engine has at least one shard");
        let shared = Arc::new(SessionDirectory::new(
            kernels.len(),
            incarnation(&mut kernels),
        ));
        let mut shards = Vec::with_capacity(kernels.len());
        let mut mailboxes = Vec::with_capacity(kernels.len());
        for (index, kernel) in kernels.into_iter().enumerate() {
            let mailbox = Mailbox::new(index, kernel.doorbell());
            shared.add_shard(mailbox.clone());
            mailboxes.push(mailbox.clone());
            shards.push(Shard::new(
                kernel,
                mailbox,
                Arc::clone(&shared),
                config.clone(),
            ));
        }
        let engine = Self::assembled(mailboxes, Vec::new(), Vec::new(), Vec::new());
        (engine, shards)
    }

    fn assembled(
        mailboxes: Vec<Mailbox>,
        threads: Vec<JoinHandle<()>>,
        reductions: Vec<Reduction>,
        cores: Vec<usize>,
    ) -> Self {
        Self(Arc::new(Shared {
            mailboxes,
            next: AtomicUsize::new(0),
            threads: Mutex::new(threads),
            reductions,
            cores,
        }))
    }

    /// What runs smaller than configured since the start, why, and the remedy.
    ///
    /// Pipes are made when they are needed; what was refused of them is not among it.
    #[must_use]
    pub fn reductions(&self) -> &[Reduction] {
        &self.0.reductions
    }

    /// The core that each shard is kept on, in the order of the shards; empty where they may run
    /// anywhere.
    #[must_use]
    pub fn cores(&self) -> &[usize] {
        &self.0.cores
    }

    /// How many shards.
    #[must_use]
    pub fn shards(&self) -> usize {
        self.0.mailboxes.len()
    }

    /// The shard the current task runs on if it is one of ours, else the next in turn.
    pub(crate) fn mailbox(&self) -> Mailbox {
        let current = task::current_mailbox();
        let own =
            current.filter(|mailbox| self.0.mailboxes.iter().any(|each| each.is_same(mailbox)));
        own.unwrap_or_else(|| {
            let next = self.0.next.fetch_add(1, Ordering::Relaxed);
            self.0.mailboxes[next % self.0.mailboxes.len()].clone()
        })
    }

    /// Of an engine with one shard.
    pub(crate) fn only_mailbox(&self) -> Mailbox {
        self.0.mailboxes[0].clone()
    }

    fn shard(&self, index: usize) -> Result<&Mailbox, Error> {
        self.0.mailboxes.get(index).ok_or(Error::Limit {
            what: "shard",
            wanted: index as u64,
            allowed: self.0.mailboxes.len() as u64 - 1,
        })
    }

    /// Connects, authenticates and makes a session.
    ///
    /// Tries again within [`ConnectOptions::connect_timeout`] while nobody answers; a refusal or a
    /// failed authentication is final.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn connect(
        &self,
        target: &str,
        options: ConnectOptions,
    ) -> Result<Session, ConnectError> {
        let target: Target = target.parse()?;
        let mailbox = match options.shard {
            Some(index) => self.shard(index)?.clone(),
            None => self.mailbox(),
        };
        let (reply, answer) = reply();
        let options = Box::new(options);
        mailbox.send(Message::Connect {
            target,
            options,
            reply,
        });
        answer.await?
    }

    /// Listens. Port 0 takes a free one: see [`Listener::address`].
    ///
    /// # Errors
    /// [`ConnectError::Target`] for a bad address; [`Error::Kernel`] (`EADDRINUSE`, …);
    /// [`Error::Kernel`] with `EACCES` when an insecure listener would be reachable from other
    /// machines.
    pub async fn listen(
        &self,
        target: &str,
        options: ListenOptions,
    ) -> Result<Listener, ConnectError> {
        let target: Target = target.parse()?;
        let (reply, answer) = reply();
        let options = Box::new(options);
        self.mailbox().send(Message::Listen {
            target,
            options,
            reply,
        });
        let shared = answer.await.map_err(ConnectError::Local)??;
        Ok(Listener::new(shared))
    }

    /// Starts a task on a shard. `make` runs there and may make a future that is not `Send`.
    ///
    /// # Errors
    /// [`Error::Limit`] when there is no such shard.
    pub fn spawn_on<M, F>(&self, shard: usize, make: M) -> Result<(), Error>
    where
        M: FnOnce() -> F + Send + 'static,
        F: Future<Output = ()> + 'static,
    {
        let maker = Box::new(move || -> Pin<Box<dyn Future<Output = ()>>> { Box::pin(make()) });
        self.shard(shard)?.send(Message::Spawn(maker));
        Ok(())
    }

    /// Borrows a piece of at least `bytes` of registered memory, to be filled, frozen and sent
    /// without a copy. `None` when none is free now.
    ///
    /// # Errors
    /// [`Error::EngineStopped`].
    pub async fn lease(&self, bytes: usize) -> Result<Option<LeaseMut>, Error> {
        let (reply, answer) = reply();
        self.mailbox().send(Message::Lease { bytes, reply });
        answer.await
    }

    /// The sum of what all shards count and hold. Each answers within a turn; the sum is not of
    /// one moment.
    ///
    /// # Errors
    /// [`Error::EngineStopped`].
    pub async fn statistics(&self) -> Result<Statistics, Error> {
        let mut sum = Statistics::default();
        for mailbox in &self.0.mailboxes {
            sum += ask_statistics(mailbox).await?;
        }
        Ok(sum)
    }

    /// What one shard counts and holds.
    ///
    /// # Errors
    /// [`Error::Limit`] when there is no such shard; [`Error::EngineStopped`].
    pub async fn shard_statistics(&self, shard: usize) -> Result<Statistics, Error> {
        ask_statistics(self.shard(shard)?).await
    }

    /// What all shards count and hold, as text for Prometheus (see [`crate::prometheus_text`]).
    ///
    /// # Errors
    /// [`Error::EngineStopped`].
    pub async fn prometheus(&self) -> Result<String, Error> {
        let mut shards = Vec::with_capacity(self.shards());
        for mailbox in &self.0.mailboxes {
            shards.push(ask_statistics(mailbox).await?);
        }
        Ok(prometheus_text(&shards))
    }

    /// Ends the engine: sessions are closed, operations cancelled and reaped, at the latest after
    /// `within`. Returns what had to be left to the kernel.
    pub async fn shutdown(&self, within: Duration) -> TeardownReport {
        let mut sum = TeardownReport::default();
        for mailbox in &self.0.mailboxes {
            let (reply, answer) = reply();
            mailbox.send(Message::Shutdown { within, reply });
            if let Ok(report) = answer.await {
                sum.reaped += report.reaped;
                sum.leaked += report.leaked;
            }
        }
        let mut threads = self
            .0
            .threads
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for thread in threads.drain(..) {
            // A shard that panicked has said so on stderr; its sessions end as stopped.
            let _ = thread.join();
        }
        sum
    }
}

async fn ask_statistics(mailbox: &Mailbox) -> Result<Statistics, Error> {
    let (reply, answer) = reply();
    mailbox.send(Message::Statistics(reply));
    answer.await
}

/// Everything a shard's thread starts from.
struct ShardStart {
    kernel: Uring,
    mailbox: Mailbox,
    shared: Arc<SessionDirectory>,
    config: Config,
    /// Its core, taken for as long as the thread runs.
    claim: Option<Claim>,
}

impl ShardStart {
    /// With faults the shard is another one, so that without them nothing is asked about them.
    fn run(self) {
        let is_kept = self.claim.as_ref().is_some_and(Claim::keep_thread);
        match self.config.faults.clone() {
            None => {
                let mut shard = Shard::new(self.kernel, self.mailbox, self.shared, self.config);
                shard.is_kept = is_kept;
                while shard.turn() {}
            }
            Some(faults) => {
                let kernel = FaultKernel::new(self.kernel, faults);
                let mut shard = Shard::new(kernel, self.mailbox, self.shared, self.config);
                shard.is_kept = is_kept;
                while shard.turn() {}
            }
        }
    }
}

/// Random, so that a restarted process is told from the one before.
fn incarnation<K: Kernel>(kernels: &mut [K]) -> u64 {
    let mut bytes = [0; 8];
    if let Some(kernel) = kernels.first_mut() {
        kernel.entropy(&mut bytes);
    }
    u64::from_le_bytes(bytes)
}

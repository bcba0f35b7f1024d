//! The bounded pool of threads for calls that have no ring op and may block.
//!
//! A call goes out through a bounded channel and comes back through a queue, with one ring of the
//! doorbell. A call that runs cannot be interrupted; one that only waits is answered with
//! `ECANCELED` when its turn comes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use crossbeam::channel::{Receiver, Sender, TrySendError, bounded};
use crossbeam::queue::SegQueue;
use ringway_io::{BlockingCall, Doorbell, Errno, OpId, Payload};

use crate::blocking::run;

/// Answer of a call.
pub(crate) struct Answer {
    pub op: OpId,
    pub result: Result<u32, Errno>,
    pub payload: Payload,
}

/// Threads that run blocking calls.
pub(crate) struct Helpers {
    jobs: Option<Sender<Job>>,
    answers: Arc<SegQueue<Answer>>,
    stop: Arc<AtomicBool>,
    /// Disconnected when the last thread has ended.
    alive: Receiver<()>,
}

struct Job {
    op: OpId,
    call: BlockingCall,
    cancelled: Arc<AtomicBool>,
}

struct Worker {
    jobs: Receiver<Job>,
    answers: Arc<SegQueue<Answer>>,
    stop: Arc<AtomicBool>,
    bell: Arc<dyn Doorbell>,
    _alive: Sender<()>,
}

impl Helpers {
    /// Starts `threads` threads; with 0, calls run in [`Helpers::submit`].
    pub(crate) fn start(
        threads: u32,
        queue_max: u32,
        bell: &Arc<dyn Doorbell>,
    ) -> Result<Self, Errno> {
        let (jobs, queue) = bounded(queue_max as usize);
        let (alive_sender, alive) = bounded(0);
        let answers = Arc::new(SegQueue::new());
        let stop = Arc::new(AtomicBool::new(false));
        for number in 0..threads {
            let worker = Worker {
                jobs: queue.clone(),
                answers: Arc::clone(&answers),
                stop: Arc::clone(&stop),
                bell: Arc::clone(bell),
                _alive: alive_sender.clone(),
            };
            let builder = thread::Builder::new().name(format!("ringway-help-{number}"));
            builder
                .spawn(move || worker.serve())
                .map_err(|error| Errno::of(&error))?;
        }
        Ok(Self {
            jobs: (threads > 0).then_some(jobs),
            answers,
            stop,
            alive,
        })
    }

    /// Hands a call over. Setting the flag returned cancels it unless it runs already.
    ///
    /// # Errors
    /// `ENOBUFS` when too many wait.
    pub(crate) fn submit(
        &self,
        op: OpId,
        call: BlockingCall,
    ) -> Result<Option<Arc<AtomicBool>>, Errno> {
        let Some(jobs) = &self.jobs else {
            // No threads, by configuration.
            self.answers.push(answer(op, call));
            return Ok(None);
        };
        let cancelled = Arc::new(AtomicBool::new(false));
        let job = Job {
            op,
            call,
            cancelled: Arc::clone(&cancelled),
        };
        match jobs.try_send(job) {
            Ok(()) => Ok(Some(cancelled)),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => Err(Errno::ENOBUFS),
        }
    }

    /// Takes one answer.
    pub(crate) fn next(&self) -> Option<Answer> {
        self.answers.pop()
    }

    /// Whether answers wait.
    pub(crate) fn has_answers(&self) -> bool {
        !self.answers.is_empty()
    }

    /// Lets the threads end after the call they run; what waits is answered with `ECANCELED`.
    pub(crate) fn stop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.jobs = None;
    }

    /// Waits for the threads until `deadline`, then leaves them behind: they own what they work on
    /// and end with their call.
    pub(crate) fn wait(&self, deadline: Instant) {
        // Nothing is ever sent: the wait ends when the last sender is gone, or at the deadline.
        let _ = self.alive.recv_deadline(deadline);
    }
}

impl Worker {
    fn serve(self) {
        while let Ok(job) = self.jobs.recv() {
            let is_cancelled =
                job.cancelled.load(Ordering::Relaxed) || self.stop.load(Ordering::Relaxed);
            let answer = if is_cancelled {
                Answer {
                    op: job.op,
                    result: Err(Errno::ECANCELED),
                    payload: Payload::None,
                }
            } else {
                answer(job.op, job.call)
            };
            self.answers.push(answer);
            self.bell.ring();
        }
    }
}

fn answer(op: OpId, call: BlockingCall) -> Answer {
    let (result, payload) = match run(call) {
        Ok((count, payload)) => (Ok(count), payload),
        Err(errno) => (Err(errno), Payload::None),
    };
    Answer {
        op,
        result,
        payload,
    }
}

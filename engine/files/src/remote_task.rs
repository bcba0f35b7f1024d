//! Running a future on a shard and waiting for it from anywhere.
//!
//! A transfer makes several kernel operations per file; on the shard that owns its session none
//! of them costs a thread hop.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use ringway::{Engine, Error};

struct State<T> {
    output: Option<T>,
    /// The future is gone: with its output, or with the shard.
    is_over: bool,
    /// The waiting side is gone.
    is_cancelled: bool,
    waiter: Option<Waker>,
    worker: Option<Waker>,
}

type Shared<T> = Arc<Mutex<State<T>>>;

fn lock<T>(shared: &Mutex<State<T>>) -> MutexGuard<'_, State<T>> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs the future that `make` makes on a shard. Dropping the waiting future drops that one.
///
/// # Errors
/// [`Error::EngineStopped`], [`Error::Limit`] for a shard that is not there.
pub(crate) async fn run_on<T, M, F>(engine: &Engine, shard: usize, make: M) -> Result<T, Error>
where
    T: Send + 'static,
    M: FnOnce() -> F + Send + 'static,
    F: Future<Output = T> + 'static,
{
    let shared: Shared<T> = Arc::new(Mutex::new(State {
        output: None,
        is_over: false,
        is_cancelled: false,
        waiter: None,
        worker: None,
    }));
    let worker = Worker(Arc::clone(&shared));
    engine.spawn_on(shard, move || worker.work(make))?;
    let waiter = Waiter(shared);
    poll_fn(|context| waiter.poll(context)).await
}

struct Worker<T>(Shared<T>);

impl<T> Worker<T> {
    async fn work<M, F>(self, make: M)
    where
        M: FnOnce() -> F,
        F: Future<Output = T>,
    {
        let mut future = Box::pin(make());
        let output = poll_fn(|context| self.poll(future.as_mut(), context)).await;
        drop(future);
        lock(&self.0).output = output;
    }

    fn poll<F: Future<Output = T>>(
        &self,
        future: Pin<&mut F>,
        context: &mut Context<'_>,
    ) -> Poll<Option<T>> {
        let mut state = lock(&self.0);
        if state.is_cancelled {
            return Poll::Ready(None);
        }
        state.worker = Some(context.waker().clone());
        drop(state);
        future.poll(context).map(Some)
    }
}

impl<T> Drop for Worker<T> {
    fn drop(&mut self) {
        let mut state = lock(&self.0);
        state.is_over = true;
        let waiter = state.waiter.take();
        drop(state);
        if let Some(waiter) = waiter {
            waiter.wake();
        }
    }
}

struct Waiter<T>(Shared<T>);

impl<T> Waiter<T> {
    fn poll(&self, context: &mut Context<'_>) -> Poll<Result<T, Error>> {
        let mut state = lock(&self.0);
        if state.is_over {
            return Poll::Ready(state.output.take().ok_or(Error::EngineStopped));
        }
        state.waiter = Some(context.waker().clone());
        Poll::Pending
    }
}

impl<T> Drop for Waiter<T> {
    fn drop(&mut self) {
        let mut state = lock(&self.0);
        state.is_cancelled = true;
        let worker = state.worker.take();
        drop(state);
        if let Some(worker) = worker {
            worker.wake();
        }
    }
}

//! Tasks that run on a shard's own thread.
//!
//! A shard polls its ready tasks once a turn, while no protocol object is borrowed. Wakers may
//! be used from any thread; waking from the shard itself costs a queue push and no doorbell.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};

use crossbeam::queue::SegQueue;

use crate::mailbox::Mailbox;

/// A future bound to one shard.
pub(crate) type LocalTask = Pin<Box<dyn Future<Output = ()>>>;

struct Ready {
    queue: SegQueue<u64>,
    mailbox: Mailbox,
}

struct TaskWaker {
    id: u64,
    ready: Arc<Ready>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ready.queue.push(self.id);
        // When the shard is gone, so are its tasks.
        let _ = self.ready.mailbox.wake();
    }
}

struct Slot {
    /// `None` while it is being polled.
    task: Option<LocalTask>,
    waker: Waker,
}

/// The tasks of one shard.
#[derive(Clone)]
pub(crate) struct Tasks(Rc<RefCell<State>>);

struct State {
    ready: Arc<Ready>,
    slots: BTreeMap<u64, Slot>,
    next_id: u64,
}

thread_local! {
    /// The tasks of the shard whose turn runs on this thread.
    static CURRENT: RefCell<Option<(Tasks, Mailbox)>> = const { RefCell::new(None) };
}

impl Tasks {
    pub(crate) fn new(mailbox: Mailbox) -> Self {
        let ready = Arc::new(Ready {
            queue: SegQueue::new(),
            mailbox,
        });
        Self(Rc::new(RefCell::new(State {
            ready,
            slots: BTreeMap::new(),
            next_id: 0,
        })))
    }

    pub(crate) fn spawn(&self, task: LocalTask) {
        let mut state = self.0.borrow_mut();
        let id = state.next_id;
        state.next_id += 1;
        let ready = Arc::clone(&state.ready);
        let waker = Waker::from(Arc::new(TaskWaker { id, ready }));
        let task = Some(task);
        state.slots.insert(id, Slot { task, waker });
        state.ready.queue.push(id);
    }

    pub(crate) fn has_ready(&self) -> bool {
        !self.0.borrow().ready.queue.is_empty()
    }

    pub(crate) fn count(&self) -> usize {
        self.0.borrow().slots.len()
    }

    /// Polls up to `polls_max` ready tasks; returns how many.
    pub(crate) fn run(&self, polls_max: usize) -> usize {
        let mailbox = self.0.borrow().ready.mailbox.clone();
        let previous = CURRENT.with(|current| current.replace(Some((self.clone(), mailbox))));
        let mut polls = 0;
        while polls < polls_max {
            let next = self.0.borrow().ready.queue.pop();
            let Some(id) = next else { break };
            self.poll(id);
            polls += 1;
        }
        CURRENT.with(|current| current.replace(previous));
        polls
    }

    fn poll(&self, id: u64) {
        let taken = {
            let mut state = self.0.borrow_mut();
            let slot = state.slots.get_mut(&id);
            slot.and_then(|slot| Some((slot.task.take()?, slot.waker.clone())))
        };
        let Some((mut task, waker)) = taken else {
            return;
        };
        if poll_guarded(&mut task, &waker) {
            drop(task);
            self.0.borrow_mut().slots.remove(&id);
        } else if let Some(slot) = self.0.borrow_mut().slots.get_mut(&id) {
            slot.task = Some(task);
        }
    }

    /// Drops every task, at the end of the shard.
    pub(crate) fn clear(&self) {
        let slots = std::mem::take(&mut self.0.borrow_mut().slots);
        drop(slots);
    }
}

/// Polls once; a task that panics is over, the shard and its other tasks go on.
fn poll_guarded(task: &mut LocalTask, waker: &Waker) -> bool {
    let mut context = Context::from_waker(waker);
    let polled = catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(&mut context)));
    match polled {
        Ok(poll) => poll.is_ready(),
        Err(_) => {
            tracing::error!("a task on a shard panicked; it ends, the shard goes on");
            true
        }
    }
}

/// The mailbox of the shard whose task is running on this thread, if any.
pub(crate) fn current_mailbox() -> Option<Mailbox> {
    CURRENT.with(|current| {
        current
            .borrow()
            .as_ref()
            .map(|(_, mailbox)| mailbox.clone())
    })
}

/// Starts a task on the shard that is running the current task. Its end is not reported: send
/// what it makes through a channel or a shared cell.
///
/// # Panics
/// Outside of a task of a shard: use [`crate::Engine::spawn_on`] there.
pub fn spawn_local(future: impl Future<Output = ()> + 'static) {
    let tasks = CURRENT.with(|current| current.borrow().as_ref().map(|(tasks, _)| tasks.clone()));
    tasks
        .expect("spawn_local is for tasks of a shard; use Engine::spawn_on from elsewhere")
        .spawn(Box::pin(future));
}

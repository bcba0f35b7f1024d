//! New sessions, one after the other: dial, handshake, both proofs, and the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ringway::{ConnectOptions, Engine, Status};

use super::failures;
use super::test::Task;

/// When sessions are due; callers share it.
#[derive(Debug)]
pub(super) struct Tickets {
    begun: Instant,
    next: AtomicU64,
}

impl Tickets {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            begun: Instant::now(),
            next: AtomicU64::new(0),
        })
    }

    /// When the next session is due, at a constant rate.
    fn take(&self, rate: f64) -> Instant {
        let number = self.next.fetch_add(1, Ordering::Relaxed) as f64;
        let after = Duration::try_from_secs_f64(number / rate).unwrap_or(Duration::MAX / 4);
        self.begun + after
    }
}

/// Makes sessions until the test is over; with a rate each when it is due, and counted from then.
pub(super) async fn connect(
    task: Task,
    engine: Engine,
    target: String,
    options: ConnectOptions,
    tickets: Arc<Tickets>,
) {
    let test = &task.0;
    while !test.is_over() {
        let mut due = Instant::now();
        if let Some(rate) = test.plan.rate {
            due = tickets.take(rate);
            if let Some(rest) = due.checked_duration_since(Instant::now())
                && ringway::sleep(rest).await.is_err()
            {
                return;
            }
            if test.is_over() {
                return;
            }
        }
        match engine.connect(&target, options.clone()).await {
            Ok(session) => {
                test.recorder.record(due.elapsed());
                session.close(Status::ok());
            }
            Err(error) => return test.fail(failures::of_connect(error)),
        }
    }
}

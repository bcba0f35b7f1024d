//! Calls: records that the peer echoes, on one stream, in a closed loop or at a constant rate.
//!
//! At a constant rate a latency counts from the moment the call was *due*, not from when it could
//! be sent: a stall delays every call that was due meanwhile, and all of them show it. A closed
//! loop cannot show that; its latencies are those of an otherwise idle caller.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use ringway::{Error, Status, Stream};

use super::bulk::pattern;
use super::failures::{self, Role};
use super::test::{Task, Test};

/// Keeps calls going on a stream until the test is over. `index` of `callers` shifts the moments
/// at which calls are due, so that not all streams send at once.
pub(super) async fn call(task: Task, stream: Stream, index: u32) {
    let test = &task.0;
    let length = usize::try_from(test.plan.call_bytes).unwrap_or(usize::MAX);
    let request = Bytes::from(pattern(length));
    let outcome = match test.plan.rate {
        None => closed_loop(test, &stream, &request).await,
        Some(rate) => {
            let schedule = Schedule::new(rate, index, callers(test));
            at_rate(&task, &stream, request, schedule).await
        }
    };
    if let Err(error) = outcome {
        test.fail(failures::of_stream(error, Role::Client));
    }
    stream.reset(Status::ok());
}

fn callers(test: &Test) -> u32 {
    match test.plan.mode {
        super::options::Mode::Mixed => 1,
        _ => test.plan.parallel,
    }
}

async fn closed_loop(test: &Test, stream: &Stream, request: &Bytes) -> Result<(), Error> {
    let mut sent = VecDeque::new();
    for _ in 0..test.plan.in_flight {
        sent.push_back(Instant::now());
        stream.send_record(request.clone()).await?;
    }
    while !test.is_over() {
        receive(stream, test.plan.call_bytes).await?;
        if let Some(sent) = sent.pop_front() {
            test.recorder.record(sent.elapsed());
        }
        sent.push_back(Instant::now());
        stream.send_record(request.clone()).await?;
    }
    Ok(())
}

async fn receive(stream: &Stream, bytes: u64) -> Result<(), Error> {
    match stream.receive_record(bytes).await? {
        Some(_) => Ok(()),
        None => Err(Error::StreamEnded),
    }
}

/// When calls are due.
#[derive(Clone, Copy, Debug)]
struct Schedule {
    begun: Instant,
    /// From one call of this stream to its next, s.
    distance_s: f64,
    /// Of the first, s.
    shift_s: f64,
}

impl Schedule {
    fn new(rate: f64, index: u32, callers: u32) -> Self {
        Self {
            begun: Instant::now(),
            distance_s: f64::from(callers) / rate,
            shift_s: f64::from(index) / rate,
        }
    }

    /// When call `number` is due. Computed, not added up: errors do not.
    fn due(&self, number: u64) -> Instant {
        let after_s = self.shift_s + self.distance_s * number as f64;
        self.begun + Duration::try_from_secs_f64(after_s).unwrap_or(Duration::MAX / 4)
    }
}

/// What the sending and the receiving task of a stream share.
#[derive(Default)]
struct Flight {
    /// Due times of calls that are not answered, oldest first: the echoes keep the order.
    due: VecDeque<Instant>,
    waker: Option<Waker>,
    failure: Option<Error>,
}

async fn at_rate(
    task: &Task,
    stream: &Stream,
    request: Bytes,
    schedule: Schedule,
) -> Result<(), Error> {
    let flight = Rc::new(RefCell::new(Flight::default()));
    let receiver = answers(task.0.task(), stream.clone(), Rc::clone(&flight));
    ringway::spawn_local(receiver);
    let test = &task.0;
    let mut number = 0;
    while !test.is_over() {
        let due = schedule.due(number);
        let now = Instant::now();
        if due > now {
            ringway::sleep(due - now).await?;
            continue;
        }
        room(&flight, test.plan.in_flight as usize).await?;
        flight.borrow_mut().due.push_back(due);
        stream.send_record(request.clone()).await?;
        number += 1;
    }
    Ok(())
}

/// Waits until fewer than `most` calls are under way. A call that waits here stays due.
async fn room(flight: &RefCell<Flight>, most: usize) -> Result<(), Error> {
    poll_fn(|context| {
        let mut flight = flight.borrow_mut();
        if let Some(error) = flight.failure.take() {
            return Poll::Ready(Err(error));
        }
        if flight.due.len() < most {
            return Poll::Ready(Ok(()));
        }
        flight.waker = Some(context.waker().clone());
        Poll::Pending
    })
    .await
}

async fn answers(task: Task, stream: Stream, flight: Rc<RefCell<Flight>>) {
    let test = &task.0;
    while !test.is_over() {
        let received = receive(&stream, test.plan.call_bytes).await;
        let mut flight = flight.borrow_mut();
        match received {
            Ok(()) => {
                if let Some(due) = flight.due.pop_front() {
                    test.recorder.record(due.elapsed());
                }
            }
            Err(error) => flight.failure = Some(error),
        }
        if let Some(waker) = flight.waker.take() {
            waker.wake();
        }
        if flight.failure.is_some() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_due_at_constant_distances_and_streams_take_turns() {
        let first = Schedule::new(100.0, 0, 4);
        let second = Schedule {
            begun: first.begun,
            ..Schedule::new(100.0, 1, 4)
        };
        let after = |schedule: &Schedule, number| {
            (schedule.due(number) - first.begun).as_micros() as f64 / 1e3
        };
        assert_eq!(after(&first, 0), 0.0);
        assert_eq!(after(&second, 0), 10.0);
        assert_eq!(after(&first, 1), 40.0);
        // A million calls later it is as exact as at the start.
        assert_eq!(after(&second, 1_000_000), 40_000_010.0);
    }
}

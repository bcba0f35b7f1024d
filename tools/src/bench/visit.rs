//! One session at the server: reads what each stream is for, and does it.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use ringway::{Error, Session, Status, Stream};

use super::bulk::{self, Drain, Supply};
use super::echo::echo;
use super::failures::{self, Role};
use super::limits::{OPENING_WITHIN, RECORD_BYTES_MAX};
use super::message::{
    Answer, Ask, Opening, Purpose, Refusal, RefusalCode, STATUS_LIMIT, STATUS_NO_BENCH,
    STATUS_NO_TEST, VERSION, VersionOnly, decode, encode,
};
use super::plan::Plan;
use super::server::{House, Running};
use super::snapshot::Snapshot;
use super::test::Test;
use super::within::within;
use crate::failure::Failure;

/// Serves a session to its end.
pub(super) async fn visit(house: Arc<House>, session: Session) {
    let Some(_counted) = house.enter() else {
        let text = "too many sessions at this bench server";
        return session.close(Status::new(STATUS_LIMIT, text));
    };
    while let Ok(stream) = session.accept().await {
        let visit = Visit {
            house: Arc::clone(&house),
            session: session.clone(),
            stream,
        };
        ringway::spawn_local(visit.run());
    }
}

/// One stream.
struct Visit {
    house: Arc<House>,
    session: Session,
    stream: Stream,
}

impl Visit {
    async fn run(self) {
        match self.opening().await {
            Ok(purpose) => self.serve(purpose).await,
            Err(Some(refusal)) => self.refuse(refusal).await,
            // Not a bench client: in its own terms there is nothing to say but this.
            Err(None) => {
                let status = Status::new(STATUS_NO_BENCH, "this is a bench server");
                self.stream.stop(status.clone());
                self.stream.reset(status);
            }
        }
    }

    async fn opening(&self) -> Result<Purpose, Option<Refusal>> {
        let record = self.stream.receive_record(RECORD_BYTES_MAX);
        let record = within(&self.house.engine, OPENING_WITHIN, record).await;
        let Some(Ok(Some(record))) = record else {
            return Err(None);
        };
        let VersionOnly { ringway_bench } = decode(&record).ok_or(None)?;
        if ringway_bench != VERSION {
            return Err(Some(Refusal::version(ringway_bench)));
        }
        let opening: Option<Opening> = decode(&record);
        let unread = || Refusal::new(RefusalCode::Plan, "the request cannot be read");
        Ok(opening.ok_or_else(unread)?.purpose)
    }

    async fn refuse(&self, refusal: Refusal) {
        tracing::info!(?refusal, "refused");
        // A client that is gone needs no reason.
        if self.answer(&Answer::Refused { refusal }).await.is_ok() {
            let _ = self.stream.finish(Status::ok()).await;
        }
    }

    async fn answer(&self, answer: &Answer) -> Result<(), Error> {
        self.stream.send_record(encode(answer)).await.map(drop)
    }

    async fn serve(&self, purpose: Purpose) {
        let (test, work) = match purpose {
            Purpose::Begin { plan } => return self.begin(*plan).await,
            Purpose::Up { test, index } => (test, Work::Up(index)),
            Purpose::Down { test, index } => (test, Work::Down(index)),
            Purpose::Echo { test } => (test, Work::Echo),
        };
        let Some(test) = self.house.join(&test, work.index()) else {
            let status = Status::new(STATUS_NO_TEST, "no such test is running here");
            self.stream.stop(status.clone());
            return self.stream.reset(status);
        };
        if let Err(failure) = self.work(&test, work).await {
            let status = failures::status_of(&failure);
            self.stream.stop(status.clone());
            self.stream.reset(status);
            test.fail(failure);
        }
    }

    async fn work(&self, test: &Test, work: Work) -> Result<(), Failure> {
        let (house, plan) = (&self.house, &test.plan);
        match work {
            Work::Up(index) => {
                let file = house.open_sink(plan)?;
                let sink = Drain::make(&house.engine, plan, file, (index, house.path)).await?;
                bulk::drain(test, &self.stream, &sink, Role::Server).await;
            }
            Work::Down(index) => {
                let file = house.open_source(plan)?;
                let mut supply = Supply::make(&house.engine, plan, file, house.path).await?;
                let share = plan.share(index);
                bulk::pump(test, &self.stream, &mut supply, share, Role::Server).await;
            }
            Work::Echo => echo(test, &self.stream).await,
        }
        Ok(())
    }

    async fn begin(&self, plan: Plan) {
        let id = self.session.id().to_string();
        let running = match self.house.begin(plan, id) {
            Ok(running) => running,
            Err(refusal) => return self.refuse(refusal).await,
        };
        let facts = Box::new(self.house.facts.clone());
        if self.answer(&Answer::Accepted { facts }).await.is_err() {
            return;
        }
        let limit = self.house.time_max(running.plan());
        let control = self.control(&running);
        if within(&self.house.engine, limit, control).await.is_none() {
            let text = format!(
                "the test took longer than the {} s allowed",
                limit.as_secs()
            );
            self.session.close(Status::new(STATUS_LIMIT, &text));
        }
        drop(running);
        let _ = self.stream.finish(Status::ok()).await;
        self.house.leave(&self.session).await;
    }

    /// Answers the client, until it asks for the account or is gone.
    async fn control(&self, running: &Running<'_>) {
        let mut begun = None;
        let mut gone = pin!(self.session.ended());
        loop {
            let record = self.stream.receive_record(RECORD_BYTES_MAX);
            let Some(record) = unless(record, gone.as_mut()).await else {
                return;
            };
            let Ok(Some(record)) = record else { return };
            let Some(ask) = decode::<Ask>(&record) else {
                return;
            };
            let Ok(now) = Snapshot::take(&self.house.engine).await else {
                return;
            };
            let answered = match (ask, &begun) {
                (Ask::Measure, _) | (Ask::End, None) => {
                    begun = Some(now);
                    self.answer(&Answer::Measuring).await
                }
                (Ask::End, Some(begun)) => {
                    let account = Box::new(now.since(begun));
                    running.tell(&account);
                    let _ = self.answer(&Answer::Account { account }).await;
                    return;
                }
            };
            if answered.is_err() {
                return;
            }
        }
    }
}

/// What a stream of a running test does.
enum Work {
    Up(u32),
    Down(u32),
    Echo,
}

impl Work {
    fn index(&self) -> u32 {
        match self {
            Self::Up(index) | Self::Down(index) => *index,
            Self::Echo => 0,
        }
    }
}

/// What `work` comes to, or `None` when `end` comes first.
async fn unless<T, E>(
    work: impl Future<Output = T>,
    mut end: std::pin::Pin<&mut impl Future<Output = E>>,
) -> Option<T> {
    let mut work = pin!(work);
    std::future::poll_fn(|context| {
        if let Poll::Ready(value) = work.as_mut().poll(context) {
            return Poll::Ready(Some(value));
        }
        end.as_mut().poll(context).map(|_| None)
    })
    .await
}

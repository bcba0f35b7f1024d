//! The client's end of the control stream.

use ringway::{Engine, Error, Session, Status, Stream, StreamOptions};

use super::failures::{self, Role};
use super::limits::{ANSWER_WITHIN, RECORD_BYTES_MAX};
use super::message::{Answer, Ask, Facts, Opening, Purpose, decode, encode};
use super::plan::Plan;
use super::snapshot::Account;
use super::within::within;
use crate::failure::Failure;

/// See the module.
pub(super) struct Control {
    engine: Engine,
    stream: Stream,
    address: String,
}

impl Control {
    /// Proposes the plan.
    pub(super) async fn begin(
        engine: &Engine,
        session: &Session,
        address: &str,
        plan: &Plan,
    ) -> Result<(Self, Facts), Failure> {
        let control = Self {
            engine: engine.clone(),
            stream: session.open(StreamOptions::default()).await?,
            address: address.to_owned(),
        };
        let opening = Opening::new(Purpose::Begin {
            plan: Box::new(plan.clone()),
        });
        control.say(encode(&opening)).await?;
        match control.answer().await? {
            Answer::Accepted { facts } => Ok((control, *facts)),
            Answer::Refused { refusal } => Err(failures::of_refusal(&refusal)),
            _ => Err(failures::no_bench(address)),
        }
    }

    /// Both ends count from now on.
    pub(super) async fn measure(&self) -> Result<(), Failure> {
        self.say(encode(&Ask::Measure)).await?;
        match self.answer().await? {
            Answer::Measuring => Ok(()),
            _ => Err(failures::no_bench(&self.address)),
        }
    }

    /// What the server counted; the test is over.
    pub(super) async fn end(&self) -> Result<Account, Failure> {
        self.say(encode(&Ask::End)).await?;
        match self.answer().await? {
            Answer::Account { account } => Ok(*account),
            _ => Err(failures::no_bench(&self.address)),
        }
    }

    async fn say(&self, record: Vec<u8>) -> Result<(), Failure> {
        let sent = self.stream.send_record(record).await;
        sent.map(drop).map_err(|error| self.ended(error))
    }

    async fn answer(&self) -> Result<Answer, Failure> {
        let record = self.stream.receive_record(RECORD_BYTES_MAX);
        let Some(record) = within(&self.engine, ANSWER_WITHIN, record).await else {
            return Err(failures::no_answer(ANSWER_WITHIN.as_secs()));
        };
        let record = record.map_err(|error| self.ended(error))?;
        let answer = record.and_then(|record| decode(&record));
        answer.ok_or_else(|| failures::no_bench(&self.address))
    }

    /// A stream that is refused as a stream: whoever is there knows no bench.
    fn ended(&self, error: Error) -> Failure {
        match error {
            Error::SessionEnded(_) => failures::of_stream(error, Role::Client),
            Error::RecordTooLarge { .. }
            | Error::StreamEnded
            | Error::StreamReset { .. }
            | Error::Stopped(_) => failures::no_bench(&self.address),
            error => error.into(),
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.stream.reset(Status::ok());
    }
}

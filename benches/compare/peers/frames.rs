//! tokio-util's length-delimited frames, one thread a side: everything that is there is taken, all
//! answers are fed, and flushed once.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;
use futures_util::{FutureExt, SinkExt, StreamExt};
use ringway_benches::Result;
use ringway_benches::job::Outcome;
use ringway_benches::plain_side::{accept, connect};
use tokio::net::TcpStream;
use tokio_util::codec::{Framed, LengthDelimitedCodec};

use super::ping::{histogram, outcome};
use super::{Clock, MESSAGE_BYTES, MessageJob};

type Frames = Framed<TcpStream, LengthDelimitedCodec>;

fn run<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_io().build()?.block_on(work)
}

fn framed(socket: std::net::TcpStream) -> Result<Frames> {
    socket.set_nodelay(true)?;
    socket.set_nonblocking(true)?;
    let socket = TcpStream::from_std(socket)?;
    Ok(Framed::new(socket, LengthDelimitedCodec::new()))
}

/// Sends back what comes, until nothing does.
pub fn serve() -> Result<Outcome> {
    run(async {
        let mut frames = framed(accept()?)?;
        while let Some(frame) = frames.next().await {
            frames.feed(frame?.freeze()).await?;
            while let Some(Some(frame)) = frames.next().now_or_never() {
                frames.feed(frame?.freeze()).await?;
            }
            SinkExt::<Bytes>::flush(&mut frames).await?;
        }
        Ok(Outcome::default())
    })
}

/// Many at a time: as many as come back go out again, together.
pub fn call(job: &MessageJob) -> Result<Outcome> {
    run(async {
        let mut frames = framed(connect(&job.address)?)?;
        let message = Bytes::from(vec![7; MESSAGE_BYTES]);
        let mut histogram = histogram();
        let (mut sent, mut room) = (VecDeque::new(), job.in_flight);
        let clock = Clock::start(job);
        loop {
            sent.extend(std::iter::repeat_n(Instant::now(), room));
            for _ in 0..room {
                frames.feed(message.clone()).await?;
            }
            SinkExt::<Bytes>::flush(&mut frames).await?;
            frames.next().await.ok_or("the server is gone")??;
            room = 1;
            while let Some(Some(frame)) = frames.next().now_or_never() {
                frame?;
                room += 1;
            }
            let now = Instant::now();
            for begun in sent.drain(..room) {
                if clock.counts(begun) {
                    histogram.saturating_record(u64::try_from((now - begun).as_nanos())?);
                }
            }
            if clock.is_over(now) {
                return Ok(outcome(&histogram, clock.seconds(now)));
            }
        }
    })
}

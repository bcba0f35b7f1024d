//! The bare ping-pong: two sockets, blocking or spinning, nothing else.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use hdrhistogram::Histogram;
use ringway_benches::Result;
use ringway_benches::job::Outcome;
use ringway_benches::plain_side::{accept, connect};

use super::{Clock, MESSAGE_BYTES, MessageJob};

/// How a side waits for the other's message.
#[derive(Clone, Copy)]
pub enum Wait {
    /// Asleep in recv(2).
    Blocking,
    /// Asking again and again.
    Spinning,
}

impl Wait {
    fn prepare(self, socket: &TcpStream) -> io::Result<()> {
        socket.set_nodelay(true)?;
        socket.set_nonblocking(matches!(self, Self::Spinning))
    }

    /// Fills `message`; both sockets always have room for one, so that sending needs no wait.
    fn receive(self, socket: &mut TcpStream, message: &mut [u8]) -> io::Result<()> {
        if matches!(self, Self::Blocking) {
            return socket.read_exact(message);
        }
        let mut filled = 0;
        while filled < message.len() {
            match socket.read(&mut message[filled..]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::hint::spin_loop(),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Sends back what comes, until nothing does.
pub fn serve(wait: Wait) -> Result<Outcome> {
    let mut socket = accept()?;
    wait.prepare(&socket)?;
    let mut message = [0; MESSAGE_BYTES];
    while wait.receive(&mut socket, &mut message).is_ok() {
        socket.write_all(&message)?;
    }
    Ok(Outcome::default())
}

/// One message at a time.
pub fn call(job: &MessageJob, wait: Wait) -> Result<Outcome> {
    let mut socket = connect(&job.address)?;
    wait.prepare(&socket)?;
    let mut message = [7; MESSAGE_BYTES];
    let mut histogram = histogram();
    let clock = Clock::start(job);
    loop {
        let begun = Instant::now();
        socket.write_all(&message)?;
        wait.receive(&mut socket, &mut message)?;
        let now = Instant::now();
        if clock.counts(begun) {
            histogram.saturating_record(u64::try_from((now - begun).as_nanos())?);
        }
        if clock.is_over(now) {
            return Ok(outcome(&histogram, clock.seconds(now)));
        }
    }
}

/// Of ns, up to a minute: 0.1 % of each value.
pub fn histogram() -> Histogram<u64> {
    const MOST_NS: u64 = 60_000_000_000;
    Histogram::new_with_bounds(1, MOST_NS, 3).expect("1 is below, and three digits are allowed")
}

/// What a caller tells.
#[expect(clippy::cast_precision_loss, reason = "nanoseconds of a round trip")]
pub fn outcome(histogram: &Histogram<u64>, seconds: f64) -> Outcome {
    Outcome {
        seconds,
        messages: histogram.len(),
        p50_us: histogram.value_at_quantile(0.5) as f64 / 1e3,
        ..Outcome::default()
    }
}

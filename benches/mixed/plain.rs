//! Two plain pairs, a thread for each end: the fewest system calls that do the same work.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use nix::sys::sendfile::sendfile;
use ringway_benches::Result;
use ringway_benches::job::{Outcome, say_ready};
use ringway_benches::plain_side::{PageBuffer, connect, use_congestion_control};

use crate::job::{ReceiveJob, SendJob};
use crate::pings::{MESSAGE_BYTES, Pings};

/// The one buffer that is received into, bytes: larger ones are no faster, smaller ones slower.
const BUFFER_BYTES: usize = 1 << 20;

/// Sends the file round and round, and asks until all of it was taken.
pub fn send(job: &SendJob) -> Result<Outcome> {
    let is_over = Arc::new(AtomicBool::new(false));
    let asking = match job.place.pings {
        true => Some(ask(connect(&job.address)?, Arc::clone(&is_over))),
        false => None,
    };
    let outcome = send_until(connect(&job.address)?, job);
    is_over.store(true, Ordering::Relaxed);
    let outcome = outcome?;
    match asking {
        None => Ok(outcome),
        Some(asking) => Ok(asking
            .join()
            .map_err(|_| "the asking thread failed")??
            .tell(outcome)),
    }
}

fn send_until(mut socket: TcpStream, job: &SendJob) -> Result<Outcome> {
    let source = File::open(&job.source)?;
    let length = i64::try_from(job.file_bytes)?;
    let (start, deadline) = (Instant::now(), job.deadline());
    let mut bytes = 0;
    while Instant::now() < deadline {
        let mut at = 0;
        while at < length {
            let rest = usize::try_from(length - at)?;
            if sendfile(&socket, &source, Some(&mut at), rest)? == 0 {
                return Err("the source became shorter".into());
            }
        }
        bytes += job.file_bytes;
    }
    socket.shutdown(Shutdown::Write)?;
    socket.read_exact(&mut [0])?;
    Ok(Outcome {
        seconds: start.elapsed().as_secs_f64(),
        bytes,
        ..Outcome::default()
    })
}

fn ask(mut socket: TcpStream, is_over: Arc<AtomicBool>) -> JoinHandle<Result<Pings>> {
    thread::spawn(move || {
        socket.set_nodelay(true)?;
        let mut message = [7; MESSAGE_BYTES];
        let mut pings = Pings::start();
        while !is_over.load(Ordering::Relaxed) {
            let begun = Instant::now();
            socket.write_all(&message)?;
            socket.read_exact(&mut message)?;
            pings.note(begun);
        }
        Ok(pings)
    })
}

/// Takes and drops what comes on one connection, echoes on the other, which comes first.
pub fn receive(job: &ReceiveJob) -> Result<Outcome> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    // The accepted ones take it over.
    use_congestion_control(&listener)?;
    say_ready(listener.local_addr()?)?;
    let echoing = match job.pings {
        true => Some(echo(listener.accept()?.0)),
        false => None,
    };
    let bytes = discard(listener.accept()?.0)?;
    if let Some(echoing) = echoing {
        echoing.join().map_err(|_| "the echoing thread failed")??;
    }
    Ok(Outcome {
        bytes,
        ..Outcome::default()
    })
}

fn discard(mut socket: TcpStream) -> Result<u64> {
    let mut memory = PageBuffer::new(BUFFER_BYTES);
    let buffer = memory.bytes();
    let mut received = 0;
    loop {
        match socket.read(buffer)? {
            0 => break,
            count => received += count as u64,
        }
    }
    socket.write_all(&[1])?;
    Ok(received)
}

fn echo(mut socket: TcpStream) -> JoinHandle<Result<()>> {
    thread::spawn(move || {
        socket.set_nodelay(true)?;
        let mut message = [0; MESSAGE_BYTES];
        while socket.read_exact(&mut message).is_ok() {
            socket.write_all(&message)?;
        }
        Ok(())
    })
}

//! What the engine is measured against: the fewest system calls that do the same work.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::time::Instant;

use nix::sys::sendfile::sendfile;
use nix::sys::socket::{setsockopt, sockopt};

use crate::Result;
use crate::job::{CONGESTION_CONTROL, Outcome, ReceiveJob, SendJob, say_ready};

/// The one buffer that is received into, bytes: larger ones are no faster, smaller ones slower.
const BUFFER_BYTES: usize = 1 << 20;

/// A page: some processors copy from a page to just behind one half as fast again.
const ALIGNMENT: usize = 4096;

/// Sends the file, then waits for the one byte that says that all was taken.
///
/// # Errors
/// What the kernel says.
pub fn send(job: &SendJob) -> Result<Outcome> {
    let source = File::open(&job.source)?;
    let mut socket = connect(&job.address)?;
    let start = Instant::now();
    for _ in 0..job.work.laps {
        send_file(&source, &socket, job.work.file_bytes)?;
    }
    socket.read_exact(&mut [0])?;
    Ok(Outcome {
        seconds: start.elapsed().as_secs_f64(),
        bytes: job.work.bytes(),
        ..Outcome::default()
    })
}

fn send_file(source: &File, socket: &TcpStream, length: u64) -> Result<()> {
    let (mut at, end) = (0, i64::try_from(length)?);
    while at < end {
        let rest = usize::try_from(end - at)?;
        if sendfile(socket, source, Some(&mut at), rest)? == 0 {
            return Err("the source became shorter".into());
        }
    }
    Ok(())
}

/// Receives all of it into one buffer, and writes it to the sink if there is one.
///
/// # Errors
/// What the kernel says; a sender that is gone.
pub fn receive(job: &ReceiveJob) -> Result<Outcome> {
    let sink = job.open_sink()?;
    let mut socket = accept()?;
    let mut memory = PageBuffer::new(BUFFER_BYTES);
    let buffer = memory.bytes();
    let mut received = 0;
    while received < job.work.bytes() {
        let count = socket.read(buffer)?;
        if count == 0 {
            return Err("the sender is gone".into());
        }
        if let Some(sink) = &sink {
            write_around(sink, received, job.work.file_bytes, &buffer[..count])?;
        }
        received += count as u64;
    }
    socket.write_all(&[1])?;
    Ok(Outcome {
        bytes: received,
        ..Outcome::default()
    })
}

/// Connects.
///
/// # Errors
/// What the kernel says.
pub fn connect(address: &str) -> Result<TcpStream> {
    let socket = TcpStream::connect(address)?;
    use_congestion_control(&socket)?;
    Ok(socket)
}

/// Listens, says so, and takes the one connection that comes.
///
/// # Errors
/// What the kernel says.
pub fn accept() -> Result<TcpStream> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    // The accepted one takes it over.
    use_congestion_control(&listener)?;
    say_ready(listener.local_addr()?)?;
    Ok(listener.accept()?.0)
}

/// Memory that begins on a page.
pub struct PageBuffer {
    memory: Vec<u8>,
    start: usize,
    length: usize,
}

impl PageBuffer {
    /// Of `length` bytes.
    #[must_use]
    pub fn new(length: usize) -> Self {
        let memory = vec![0; length + ALIGNMENT];
        let start = memory.as_ptr().align_offset(ALIGNMENT);
        Self {
            memory,
            start,
            length,
        }
    }

    /// All of it.
    pub fn bytes(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + self.length]
    }
}

/// Writes at `at`, starting over at the end of a lap.
fn write_around(sink: &File, at: u64, lap_bytes: u64, bytes: &[u8]) -> std::io::Result<()> {
    let offset = at % lap_bytes;
    let here = usize::try_from(lap_bytes - offset).unwrap_or(usize::MAX);
    let (first, rest) = bytes.split_at(bytes.len().min(here));
    sink.write_all_at(first, offset)?;
    sink.write_all_at(rest, 0)
}

/// Has every data socket behave alike.
///
/// # Errors
/// What the kernel says.
pub fn use_congestion_control(socket: &impl AsFd) -> nix::Result<()> {
    let name = OsString::from(CONGESTION_CONTROL);
    setsockopt(socket, sockopt::TcpCongestion, &name)
}

//! Plain sockets: loops of two system calls.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::time::Instant;

use nix::fcntl::{self, FcntlArg, OFlag, SpliceFFlags};
use nix::unistd::pipe2;
use ringway_benches::Result;
use ringway_benches::job::{Outcome, ReceiveJob, SendJob};
use ringway_benches::plain_side::{PageBuffer, accept, connect};

/// Fits the second-level cache of a core with room to spare, and makes system calls rare enough.
const LOOP_BYTES: usize = 256 << 10;
/// As the receiver of the plain pair.
const MEMORY_BYTES: usize = 1 << 20;
/// The largest pipe of an ordinary user.
const PIPE_BYTES: usize = 1 << 20;

/// Waits for the byte that says that all was taken.
fn finished(mut socket: impl Read, begun: Instant, bytes: u64) -> Result<Outcome> {
    socket.read_exact(&mut [0])?;
    Ok(Outcome {
        seconds: begun.elapsed().as_secs_f64(),
        bytes,
        ..Outcome::default()
    })
}

/// `send` from one buffer.
pub fn send_memory(job: &SendJob) -> Result<Outcome> {
    let mut socket = connect(&job.address)?;
    let mut memory = PageBuffer::new(MEMORY_BYTES);
    for (index, byte) in memory.bytes().iter_mut().enumerate() {
        *byte = (index % 251) as u8;
    }
    let (begun, mut rest) = (Instant::now(), job.work.bytes());
    while rest > 0 {
        let length = usize::try_from(rest)
            .unwrap_or(MEMORY_BYTES)
            .min(MEMORY_BYTES);
        socket.write_all(&memory.bytes()[..length])?;
        rest -= length as u64;
    }
    finished(socket, begun, job.work.bytes())
}

/// `read` from the file, `write` to the socket.
pub fn send(job: &SendJob) -> Result<Outcome> {
    let source = File::open(&job.source)?;
    let mut socket = connect(&job.address)?;
    let mut memory = PageBuffer::new(LOOP_BYTES);
    let begun = Instant::now();
    for _ in 0..job.work.laps {
        let mut at = 0;
        while at < job.work.file_bytes {
            let count = source.read_at(memory.bytes(), at)?;
            if count == 0 {
                return Err("the source became shorter".into());
            }
            socket.write_all(&memory.bytes()[..count])?;
            at += count as u64;
        }
    }
    finished(socket, begun, job.work.bytes())
}

/// When all is taken.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// In the page cache, or dropped.
    Cached,
    /// On the disk: fdatasync(2).
    OnDisk,
}

/// `read` from the socket, `write` to the file if there is one.
pub fn receive(job: &ReceiveJob, end: End) -> Result<Outcome> {
    let sink = job.open_sink()?;
    let mut socket = accept()?;
    let mut memory = PageBuffer::new(LOOP_BYTES);
    let mut received = 0;
    while received < job.work.bytes() {
        let at = received % job.work.file_bytes;
        let most = usize::try_from(job.work.file_bytes - at).unwrap_or(LOOP_BYTES);
        let count = socket.read(&mut memory.bytes()[..most.min(LOOP_BYTES)])?;
        if count == 0 {
            return Err("the sender is gone".into());
        }
        if let Some(sink) = &sink {
            sink.write_all_at(&memory.bytes()[..count], at)?;
        }
        received += count as u64;
    }
    if let (Some(sink), End::OnDisk) = (&sink, end) {
        sink.sync_data()?;
    }
    taken(socket, received)
}

/// Socket to pipe to file, nothing through user space.
fn splice_all(job: &ReceiveJob, sink: &File, socket: &std::net::TcpStream) -> Result<u64> {
    let (pipe_out, pipe_in) = pipe2(OFlag::O_CLOEXEC)?;
    fcntl::fcntl(&pipe_in, FcntlArg::F_SETPIPE_SZ(i32::try_from(PIPE_BYTES)?))?;
    let flags = SpliceFFlags::SPLICE_F_MOVE | SpliceFFlags::SPLICE_F_MORE;
    let mut received = 0;
    while received < job.work.bytes() {
        let lap_at = received % job.work.file_bytes;
        let most = usize::try_from(job.work.file_bytes - lap_at).unwrap_or(PIPE_BYTES);
        let count = fcntl::splice(socket, None, &pipe_in, None, most.min(PIPE_BYTES), flags)?;
        if count == 0 {
            return Err("the sender is gone".into());
        }
        let (mut at, mut rest) = (i64::try_from(lap_at)?, count);
        while rest > 0 {
            rest -= fcntl::splice(&pipe_out, None, sink, Some(&mut at), rest, flags)?;
        }
        received += count as u64;
    }
    Ok(received)
}

/// Receives into the file by splice.
pub fn splice(job: &ReceiveJob) -> Result<Outcome> {
    let sink = job.open_sink()?.ok_or("splice needs a file")?;
    let socket = accept()?;
    let received = splice_all(job, &sink, &socket)?;
    taken(socket, received)
}

fn taken(mut socket: impl Write, bytes: u64) -> Result<Outcome> {
    socket.write_all(&[1])?;
    Ok(Outcome {
        bytes,
        ..Outcome::default()
    })
}

//! tokio, one thread: `copy_buf` with a large buffer out of a file, a large buffer into nothing.

use std::time::Instant;

use ringway_benches::Result;
use ringway_benches::job::{Outcome, ReceiveJob, SendJob};
use ringway_benches::plain_side::{PageBuffer, accept, connect};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader, copy_buf};

/// A file is read on a thread of the blocking pool: one change of threads per so many bytes.
const FILE_BUFFER_BYTES: usize = 1 << 20;
const SOCKET_BUFFER_BYTES: usize = 1 << 20;

fn run<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_io().build()?.block_on(work)
}

fn of_std(socket: std::net::TcpStream) -> Result<tokio::net::TcpStream> {
    socket.set_nonblocking(true)?;
    Ok(tokio::net::TcpStream::from_std(socket)?)
}

/// Sends the file, then waits for the one byte that says that all was taken.
pub fn send(job: &SendJob) -> Result<Outcome> {
    run(async {
        let mut socket = of_std(connect(&job.address)?)?;
        let begun = Instant::now();
        for _ in 0..job.work.laps {
            let mut file = tokio::fs::File::open(&job.source).await?;
            file.set_max_buf_size(FILE_BUFFER_BYTES);
            let mut reader = BufReader::with_capacity(FILE_BUFFER_BYTES, file);
            copy_buf(&mut reader, &mut socket).await?;
        }
        socket.read_exact(&mut [0]).await?;
        Ok(Outcome {
            seconds: begun.elapsed().as_secs_f64(),
            bytes: job.work.bytes(),
            ..Outcome::default()
        })
    })
}

/// Receives all of it into one buffer.
pub fn receive(job: &ReceiveJob) -> Result<Outcome> {
    run(async {
        let mut socket = of_std(accept()?)?;
        let mut memory = PageBuffer::new(SOCKET_BUFFER_BYTES);
        let mut received = 0;
        while received < job.work.bytes() {
            let count = socket.read(memory.bytes()).await?;
            if count == 0 {
                return Err("the sender is gone".into());
            }
            received += count as u64;
        }
        socket.write_all(&[1]).await?;
        Ok(Outcome {
            bytes: received,
            ..Outcome::default()
        })
    })
}

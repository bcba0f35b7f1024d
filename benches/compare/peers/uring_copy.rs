//! tokio-uring: owned buffers, the next read under way while the one before is written.

use std::time::Instant;

use futures_util::future::join;
use ringway_benches::Result;
use ringway_benches::job::{Outcome, ReceiveJob, SendJob};
use ringway_benches::plain_side::{accept, connect};
use tokio_uring::buf::BoundedBuf;
use tokio_uring::fs::File;
use tokio_uring::net::TcpStream;

const PIECE_BYTES: usize = 256 << 10;
const SOCKET_BUFFER_BYTES: usize = 1 << 20;

/// Sends the file, then waits for the one byte that says that all was taken.
pub fn send(job: &SendJob) -> Result<Outcome> {
    tokio_uring::start(async {
        let source = File::open(&job.source).await?;
        let socket = TcpStream::from_std(connect(&job.address)?);
        let begun = Instant::now();
        let mut spare = vec![0; PIECE_BYTES];
        for _ in 0..job.work.laps {
            spare = send_file(&source, &socket, job.work.file_bytes, spare).await?;
        }
        let (read, _) = socket.read(vec![0]).await;
        if read? != 1 {
            return Err("the receiver is gone".into());
        }
        Ok(Outcome {
            seconds: begun.elapsed().as_secs_f64(),
            bytes: job.work.bytes(),
            ..Outcome::default()
        })
    })
}

async fn send_file(
    source: &File,
    socket: &TcpStream,
    bytes: u64,
    spare: Vec<u8>,
) -> Result<Vec<u8>> {
    let (read, mut full) = source.read_at(spare, 0).await;
    let mut count = read?;
    let (mut at, mut empty) = (count as u64, vec![0; PIECE_BYTES]);
    while count > 0 {
        if at >= bytes {
            let (written, slice) = socket.write_all(full.slice(..count)).await;
            written?;
            return Ok(slice.into_inner());
        }
        let write = socket.write_all(full.slice(..count));
        let ((written, slice), (read, filled)) = join(write, source.read_at(empty, at)).await;
        written?;
        (full, empty, count) = (filled, slice.into_inner(), read?);
        at += count as u64;
    }
    Err("the source became shorter".into())
}

/// Receives all of it into one buffer.
pub fn receive(job: &ReceiveJob) -> Result<Outcome> {
    tokio_uring::start(async {
        let socket = TcpStream::from_std(accept()?);
        let mut buffer = vec![0; SOCKET_BUFFER_BYTES];
        let mut received = 0;
        while received < job.work.bytes() {
            let (read, filled) = socket.read(buffer).await;
            buffer = filled;
            let count = read?;
            if count == 0 {
                return Err("the sender is gone".into());
            }
            received += count as u64;
        }
        socket.write_all(vec![1]).await.0?;
        Ok(Outcome {
            bytes: received,
            ..Outcome::default()
        })
    })
}

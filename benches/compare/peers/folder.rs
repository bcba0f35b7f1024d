//! Many small files: the file service, and tar through a plain pair of sockets.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use ringway::block_on;
use ringway_benches::Result;
use ringway_benches::engine_side::{connect_options, listen_options, start};
use ringway_benches::job::{Outcome, say_ready};
use ringway_benches::plain_side::{accept, connect};
use ringway_files::{Client, ClientOptions, PutOptions, ServeOptions, Server, Silent};

use super::FolderJob;

/// Name of the directory that arrives.
const ARRIVAL: &str = "arrived";

/// Serves until our standard input ends.
pub fn serve(job: &FolderJob) -> Result<Outcome> {
    let engine = start()?;
    let (server, listener) = block_on(async {
        let server = Server::new(&engine, ServeOptions::new(&job.directory)).await?;
        let listener = engine.listen("127.0.0.1:0", listen_options()).await?;
        say_ready(listener.address())?;
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>((server, listener))
    })?;
    let stop = listener.clone();
    thread::spawn(move || {
        let _ = std::io::stdin().lock().read_to_end(&mut Vec::new());
        stop.close();
    });
    // It ends by its listener being closed.
    let _ = block_on(server.serve(&listener));
    block_on(engine.shutdown(Duration::from_secs(5)));
    Ok(Outcome {
        bytes: job.bytes,
        ..Outcome::default()
    })
}

/// `put -r`: returns when everything is renamed into place and synced.
pub fn put(job: &FolderJob) -> Result<Outcome> {
    let engine = start()?;
    let client = Client::new(
        &engine,
        &job.address,
        connect_options(),
        ClientOptions::default(),
    );
    let options = PutOptions {
        recursive: true,
        ..PutOptions::default()
    };
    let put = block_on(async {
        // Connecting is outside of the timing, as it is for tar.
        client
            .list("", ringway_files::ListOptions::default())
            .await?;
        let begun = Instant::now();
        let sources = [job.directory.clone()];
        client
            .put(&sources, ARRIVAL, options, Silent::observer())
            .await?;
        Ok(Outcome {
            seconds: begun.elapsed().as_secs_f64(),
            bytes: job.bytes,
            ..Outcome::default()
        })
    });
    block_on(client.close());
    block_on(engine.shutdown(Duration::from_secs(5)));
    put
}

/// `tar -x` from the socket, `sync -f`, and a byte back.
pub fn receive_tar(job: &FolderJob) -> Result<Outcome> {
    let mut socket = accept()?;
    let into = job.directory.join(ARRIVAL);
    std::fs::create_dir(&into)?;
    let input: OwnedFd = socket.try_clone()?.into();
    let mut tar = Command::new("tar");
    tar.arg("-C").arg(&into).args(["-b", BLOCKS, "-xf", "-"]);
    ran(tar.stdin(input), "tar -x")?;
    ran(Command::new("sync").arg("-f").arg(&into), "sync -f")?;
    socket.write_all(&[1])?;
    Ok(Outcome {
        bytes: job.bytes,
        ..Outcome::default()
    })
}

/// `tar -c` into the socket, then waits for the byte.
pub fn send_tar(job: &FolderJob) -> Result<Outcome> {
    let mut socket = connect(&job.address)?;
    let begun = Instant::now();
    let output: OwnedFd = socket.try_clone()?.into();
    let mut tar = Command::new("tar");
    tar.arg("-C").arg(Path::new(&job.directory));
    tar.args(["-b", BLOCKS, "-cf", "-", "."]);
    ran(tar.stdout(output), "tar -c")?;
    socket.shutdown(Shutdown::Write)?;
    socket.read_exact(&mut [0])?;
    Ok(Outcome {
        seconds: begun.elapsed().as_secs_f64(),
        bytes: job.bytes,
        ..Outcome::default()
    })
}

/// Of 512 bytes: 1 MiB per system call instead of tar's 10 KiB.
const BLOCKS: &str = "2048";

fn ran(command: &mut Command, what: &str) -> Result<()> {
    match command.status()? {
        status if status.success() => Ok(()),
        status => Err(format!("{what}: {status}").into()),
    }
}

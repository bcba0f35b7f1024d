//! A tokio-uring program reads a file straight into the engine's memory, and the engine sends it
//! from there: nothing is copied in between.
//!
//! ```text
//! cargo run -p ringway --features tokio-uring --example tokio_uring -- FILE
//! ```

use std::error::Error;

use ringway::{
    Config, ConnectOptions, Engine, ListenOptions, Session, Status, StreamOptions, UringBuffer,
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Read at a time.
const PIECE_BYTES: usize = 1 << 20;

fn main() -> Result<()> {
    let path = std::env::args_os().nth(1);
    let path = path.unwrap_or_else(|| concat!(env!("CARGO_MANIFEST_DIR"), "/src/shard.rs").into());
    tokio_uring::start(async {
        let server = Engine::start(Config::from_environment()?)?;
        let client = Engine::start(Config::from_environment()?)?;
        let listener = server
            .listen("127.0.0.1:0", ListenOptions::insecure())
            .await?;
        let address = listener.address().to_string();
        let session = client.connect(&address, ConnectOptions::insecure()).await?;
        let receiver = tokio_uring::spawn(count(listener.accept().await?));

        let file = tokio_uring::fs::File::open(path).await?;
        let sent = send(&client, &session, &file).await?;
        file.close().await?;
        let received = receiver.await??;
        session.close(Status::ok());
        session.ended().await;
        println!("{sent} bytes sent, {received} received");
        println!("{:?}", client.statistics().await?.path_bytes);
        match sent == received {
            true => Ok(()),
            false => Err("bytes are missing".into()),
        }
    })
}

async fn send(engine: &Engine, session: &Session, file: &tokio_uring::fs::File) -> Result<u64> {
    let stream = session.open(StreamOptions::default()).await?;
    let mut at = 0;
    loop {
        // The arena is bounded: a piece is free again once the peer has acked it.
        let Some(lease) = engine.lease(PIECE_BYTES).await? else {
            stream.acked(at).await?;
            continue;
        };
        let (read, buffer) = file.read_at(UringBuffer::new(lease), at).await;
        match read? {
            0 => break,
            count => at += count as u64,
        }
        stream.send(buffer.freeze()).await?;
    }
    stream.finish(Status::ok()).await?;
    stream.finish_acked().await?;
    Ok(at)
}

async fn count(session: Session) -> std::result::Result<u64, ringway::Error> {
    let stream = session.accept().await?;
    let mut received = 0;
    while let Some(chunk) = stream.receive().await? {
        received += chunk.bytes.len() as u64;
    }
    Ok(received)
}

//! HTTP/1 by hyper over a session: requests go on while the connection below is replaced.
//!
//! ```text
//! cargo run -p ringway --features tokio --example http
//! ```

use std::error::Error;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use ringway::{
    Config, ConnectOptions, Engine, ListenOptions, Session, Status, StreamIo, StreamOptions,
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const BODY_BYTES: usize = 32 << 20;

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, run())
}

async fn run() -> Result<()> {
    let server = Engine::start(Config::from_environment()?)?;
    let client = Engine::start(Config::from_environment()?)?;
    let listener = server
        .listen("127.0.0.1:0", ListenOptions::insecure())
        .await?;
    let address = listener.address().to_string();
    let session = client.connect(&address, ConnectOptions::insecure()).await?;
    tokio::task::spawn_local(serve(listener.accept().await?));

    let stream = session.open(StreamOptions::default()).await?;
    let io = TokioIo::new(StreamIo::new(stream));
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await?;
    tokio::task::spawn_local(connection);
    for round in 1..=5 {
        // In the middle of what follows, the connection is given up and made anew.
        session.reconnect_now();
        let request = Request::get("/").body(Full::<Bytes>::default())?;
        let response = sender.send_request(request).await?;
        let body = response.into_body().collect().await?.to_bytes();
        println!("answer {round}: {} bytes", body.len());
        if body.len() != BODY_BYTES {
            return Err("the body is not whole".into());
        }
    }
    let resumes = client.statistics().await?.resumes;
    println!("connections replaced under hyper: {resumes}");
    session.close(Status::ok());
    session.ended().await;
    Ok(())
}

async fn serve(session: Session) {
    let answer = |_: Request<Incoming>| async {
        let body = Full::new(Bytes::from(vec![7; BODY_BYTES]));
        Ok::<_, hyper::Error>(Response::new(body))
    };
    while let Ok(stream) = session.accept().await {
        let io = TokioIo::new(StreamIo::new(stream));
        let service = hyper::service::service_fn(answer);
        let served = hyper::server::conn::http1::Builder::new();
        if let Err(error) = served.serve_connection(io, service).await {
            eprintln!("server: {error}");
        }
    }
}

//! Streams as tokio's readers and writers, and HTTP/1 by hyper over a session that is cut.

use std::future::Future;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use pair::{Pair, pattern};
use ringway::{Session, Status, Stream, StreamIo, StreamOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

mod pair;

fn on_tokio<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let tasks = tokio::task::LocalSet::new();
    tasks.block_on(&runtime.expect("a runtime"), work)
}

async fn both_ends(pair: &Pair) -> (Stream, Stream) {
    let near = pair
        .near
        .open(StreamOptions::default())
        .await
        .expect("opens");
    near.send(&b"!"[..]).await.expect("accepted");
    let far = pair.far.accept().await.expect("arrives");
    far.receive().await.expect("arrives");
    (near, far)
}

/// Answers with the request's body behind that of `large`.
async fn answer(
    large: Bytes,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let mut body = large.to_vec();
    body.extend_from_slice(&request.into_body().collect().await?.to_bytes());
    Ok(Response::new(Full::new(body.into())))
}

async fn serve(session: Session, large: Bytes) {
    let stream = session.accept().await.expect("arrives");
    let service = hyper::service::service_fn(|request| answer(large.clone(), request));
    let io = TokioIo::new(StreamIo::new(stream));
    let served = hyper::server::conn::http1::Builder::new()
        .serve_connection(io, service)
        .await;
    served.expect("served to the end");
}

/// Requests and answers of several MB cross while the connection below is cut again and again.
#[test]
fn http_does_not_notice_that_connections_are_cut() {
    let pair = Pair::cuttable();
    let large = Bytes::from(pattern(6 << 20));
    let resumes = on_tokio(async {
        let server = tokio::task::spawn_local(serve(pair.far.clone(), large.clone()));
        let opened = pair.near.open(StreamOptions::default()).await;
        let stream = opened.expect("opens");
        let cutter = pair.cut_each(&stream, 2 << 20, 8);
        let io = TokioIo::new(StreamIo::new(stream));
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io)
            .await
            .expect("nothing is said yet");
        let connection = tokio::task::spawn_local(connection);
        for round in 0..5_u8 {
            let sent = Bytes::from(vec![round; 4 << 20]);
            let request = Request::post("/echo").header("host", "ringway");
            let request = request.body(Full::new(sent.clone())).expect("valid");
            let response = sender.send_request(request).await.expect("answered");
            let body = response.into_body().collect().await.expect("whole");
            let body = body.to_bytes();
            assert!(body[..large.len()] == large && body[large.len()..] == sent);
        }
        drop(sender);
        connection.await.expect("runs").expect("ends cleanly");
        server.await.expect("runs");
        tokio::task::spawn_blocking(move || cutter.join().expect("the cutter ends"))
            .await
            .expect("runs");
        pair.client.statistics().await.expect("counted").resumes
    });
    assert!(resumes >= 3, "{resumes} resumes");
    pair.end();
}

#[test]
fn what_is_written_is_read_and_shutdown_is_the_end() {
    let pair = Pair::on("127.0.0.1:0");
    on_tokio(async {
        let (near, far) = both_ends(&pair).await;
        let (mut near, mut far) = (StreamIo::new(near), StreamIo::new(far));
        let content = pattern(3_000_001);
        let writing = async {
            near.write_all(&content).await.expect("accepted");
            near.shutdown().await.expect("finished");
            near.shutdown().await.expect("once more is nothing");
            assert!(near.write_all(b"late").await.is_err() || near.flush().await.is_err());
        };
        let mut received = Vec::new();
        let (read, ()) = tokio::join!(far.read_to_end(&mut received), writing);
        assert_eq!(read.expect("read"), content.len());
        assert!(received == content);
    });
    pair.end();
}

/// A sender that failed midway says so with a status: its bytes look complete only to who does not
/// ask.
#[test]
fn an_end_with_another_status_is_no_end_of_file() {
    let pair = Pair::on("127.0.0.1:0");
    on_tokio(async {
        let (near, far) = both_ends(&pair).await;
        near.send(&b"half"[..]).await.expect("accepted");
        near.finish(Status::new(1003, "the source failed"))
            .await
            .expect("finished");
        let mut received = Vec::new();
        let mut far = StreamIo::new(far);
        let error = far.read_to_end(&mut received).await.expect_err("told");
        assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
        assert!(error.to_string().contains("the source failed"), "{error}");
        assert_eq!(received, b"half");
    });
    pair.end();
}

#[test]
fn resets_stops_and_the_end_of_the_session_have_kinds_of_their_own() {
    let pair = Pair::on("127.0.0.1:0");
    on_tokio(async {
        let (near, far) = both_ends(&pair).await;
        near.reset(Status::new(1001, "no more"));
        let mut far = StreamIo::new(far);
        let error = far.read_u8().await.expect_err("reset");
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);

        let (near, far) = both_ends(&pair).await;
        far.stop(Status::new(1002, "enough"));
        let mut near = StreamIo::new(near);
        let error = loop {
            if let Err(error) = near.write_all(b"more").await {
                break error;
            }
        };
        assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);

        let (near, far) = both_ends(&pair).await;
        near.session().close(Status::ok());
        let error = StreamIo::new(far).read_u8().await.expect_err("over");
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionAborted);
    });
    pair.end();
}

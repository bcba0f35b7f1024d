//! Bytes from one endpoint to another on the real kernel.

mod pair;

use std::io::Write;

use pair::{Pair, pattern};
use ringway::{OpenHow, SessionState, Status, StreamOptions, block_on};

#[test]
fn records_arrive_whole_and_in_order_and_the_end_arrives_after_them() {
    let pair = Pair::on("127.0.0.1:0");
    block_on(async {
        let stream = pair
            .near
            .open(StreamOptions::default())
            .await
            .expect("opens");
        for size in [0, 1, 100, 1 << 10, 64 << 10, 65 << 10, 478 << 10, 1 << 20] {
            stream.send_record(pattern(size)).await.expect("accepted");
        }
        stream.finish(Status::ok()).await.expect("finished");
        let other = pair.far.accept().await.expect("arrives");
        for size in [0, 1, 100, 1 << 10, 64 << 10, 65 << 10, 478 << 10, 1 << 20] {
            let record = other.receive_record(2 << 20).await.expect("arrives");
            assert!(
                record.expect("a record") == pattern(size),
                "record of {size}"
            );
        }
        assert!(other.receive_record(1).await.expect("ends").is_none());
        assert!(other.peer_status().await.expect("ended").is_ok());
        stream.finish_acked().await.expect("acked");
    });
    pair.end();
}

fn send_file_into_file(target: &str) {
    let pair = Pair::on(target);
    let place = tempfile::tempdir().expect("temporary directory");
    let (from, to) = (place.path().join("from"), place.path().join("to"));
    let content = pattern(40 << 20);
    let mut file = std::fs::File::create(&from).expect("created");
    file.write_all(&content).expect("written");
    block_on(async {
        let source = pair.client.ambient().open(&from, OpenHow::READ).await;
        let source = source.expect("opens");
        let how = OpenHow::READ_WRITE_CREATE;
        let sink = pair.server.ambient().open(&to, how).await.expect("opens");
        let stream = pair
            .near
            .open(StreamOptions::default())
            .await
            .expect("opens");
        let end = stream.send(source.range(0, content.len() as u64)).await;
        stream.finish(Status::ok()).await.expect("finished");
        let other = pair.far.accept().await.expect("arrives");
        let written = other.receive_into_file(&sink, 0, u64::MAX).await;
        assert_eq!(written.expect("written"), content.len() as u64);
        stream.acked(end.expect("accepted")).await.expect("acked");
        assert!(std::fs::read(&to).expect("readable") == content);
    });
    pair.end();
}

#[test]
fn a_file_crosses_tcp_into_a_file() {
    send_file_into_file("127.0.0.1:0");
}

#[test]
fn a_file_crosses_a_unix_socket_into_a_file() {
    let place = tempfile::tempdir().expect("temporary directory");
    send_file_into_file(&format!("unix:{}", place.path().join("socket").display()));
}

#[test]
fn a_closed_session_says_so_at_both_ends() {
    let pair = Pair::on("127.0.0.1:0");
    assert!(matches!(pair.near.state(), SessionState::Connected { .. }));
    pair.end();
}

// C17: what a checksum costs is that every body passes through memory.
#[test]
fn with_checksums_always_every_body_is_verified_and_arrives_identical() {
    let pair = Pair::checked();
    let place = tempfile::tempdir().expect("temporary directory");
    let (from, to) = (place.path().join("from"), place.path().join("to"));
    let content = pattern(5 << 20);
    std::fs::write(&from, &content).expect("written");
    block_on(async {
        let source = pair.client.ambient().open(&from, OpenHow::READ).await;
        let stream = pair
            .near
            .open(StreamOptions::default())
            .await
            .expect("opens");
        for size in [1, 100, 20 << 10, 300 << 10, 3 << 20] {
            stream.send_record(pattern(size)).await.expect("accepted");
        }
        let range = source.expect("opens").range(0, content.len() as u64);
        stream.send(range).await.expect("accepted");
        stream.finish(Status::ok()).await.expect("finished");
        let other = pair.far.accept().await.expect("arrives");
        for size in [1, 100, 20 << 10, 300 << 10] {
            let record = other.receive_record(4 << 20).await.expect("arrives");
            assert!(
                record.expect("a record") == pattern(size),
                "record of {size}"
            );
        }
        let (buffer, filled, _) = other.receive_into(vec![0; 3 << 20]).await.expect("arrives");
        assert!(buffer[..filled] == pattern(3 << 20));
        let how = OpenHow::READ_WRITE_CREATE;
        let sink = pair.server.ambient().open(&to, how).await.expect("opens");
        let written = other.receive_into_file(&sink, 0, u64::MAX).await;
        assert_eq!(written.expect("written"), content.len() as u64);
        let statistics = pair.client.statistics().await.expect("counted");
        assert_eq!(
            statistics.path_bytes.bytes(ringway::BodyPath::SpliceFile),
            0
        );
    });
    assert!(std::fs::read(&to).expect("readable") == content);
    pair.end();
}

//! Connections that are cut on the real kernel: nothing is lost, nothing comes twice.

mod pair;

use pair::{Pair, pattern};
use ringway::{OpenHow, SessionState, Status, StreamOptions, block_on};

#[test]
fn a_file_whose_connection_is_cut_many_times_arrives_identical() {
    let pair = Pair::cuttable();
    let place = tempfile::tempdir().expect("temporary directory");
    let (from, to) = (place.path().join("from"), place.path().join("to"));
    let content = pattern(96 << 20);
    std::fs::write(&from, &content).expect("written");
    let statistics = block_on(async {
        let source = pair.client.ambient().open(&from, OpenHow::READ).await;
        let how = OpenHow::READ_WRITE_CREATE;
        let sink = pair.server.ambient().open(&to, how).await.expect("opens");
        let stream = pair
            .near
            .open(StreamOptions::default())
            .await
            .expect("opens");
        let length = content.len() as u64;
        let end = stream.send(source.expect("opens").range(0, length)).await;
        stream.finish(Status::ok()).await.expect("finished");
        let other = pair.far.accept().await.expect("arrives");
        let cutter = pair.cut_each(&stream, 8 << 20, 8);
        let written = other.receive_into_file(&sink, 0, u64::MAX).await;
        assert_eq!(written.expect("written"), length);
        stream.acked(end.expect("accepted")).await.expect("acked");
        cutter.join().expect("the cutter ends");
        pair.client.statistics().await.expect("counted")
    });
    assert!(std::fs::read(&to).expect("readable") == content);
    assert!(statistics.resumes >= 5, "{} resumes", statistics.resumes);
    pair.end();
}

#[test]
fn small_records_survive_cuts_exactly_once_and_in_order() {
    let pair = Pair::cuttable();
    block_on(async {
        let stream = pair
            .near
            .open(StreamOptions::default())
            .await
            .expect("opens");
        stream.send_record(&b"first"[..]).await.expect("accepted");
        let other = pair.far.accept().await.expect("arrives");
        for index in 0..2000_u32 {
            stream
                .send_record(index.to_le_bytes().to_vec())
                .await
                .expect("accepted");
            if index % 200 == 100 {
                pair.cut();
            }
        }
        stream
            .finish(Status::new(1000, "that was all"))
            .await
            .expect("finished");
        let first = other.receive_record(100).await.expect("arrives");
        assert_eq!(first.expect("a record"), "first");
        for index in 0..2000_u32 {
            let record = other.receive_record(100).await.expect("arrives");
            assert_eq!(record.expect("a record")[..], index.to_le_bytes());
        }
        assert!(other.receive_record(100).await.expect("ends").is_none());
        assert_eq!(other.peer_status().await.expect("ended").code, 1000);
    });
    pair.end();
}

#[test]
fn reconnect_now_while_connected_switches_over_once() {
    let pair = Pair::cuttable();
    block_on(async {
        let before = pair.near.state();
        pair.near.reconnect_now();
        let mut state = before;
        while !matches!(&state, SessionState::Connected { epoch } if epoch.0 == 2) {
            state = pair.near.state_changed(&state).await;
        }
        let stream = pair
            .near
            .open(StreamOptions::default())
            .await
            .expect("opens");
        stream.send_record(&b"over"[..]).await.expect("accepted");
        let other = pair.far.accept().await.expect("arrives");
        let record = other.receive_record(100).await.expect("arrives");
        assert_eq!(record.expect("a record"), "over");
        let statistics = pair.client.statistics().await.expect("counted");
        assert_eq!(statistics.resumes, 1);
    });
    pair.end();
}

// S31
#[test]
fn a_resume_that_arrives_at_another_shard_moves_to_the_owner() {
    for _ in 0..2 {
        let pair = Pair::cuttable();
        block_on(resume_on_either_shard(&pair));
        pair.end();
    }
}

async fn resume_on_either_shard(pair: &Pair) {
    let mut owners = std::collections::BTreeSet::new();
    // The listener's shard accepts; sessions are placed on the shards in turn.
    for _ in 0..2 {
        let other = pair.another().await;
        let stream = other.0.open(StreamOptions::default()).await.expect("opens");
        stream.send_record(&b"before"[..]).await.expect("accepted");
        let far = other.1.accept().await.expect("arrives");
        let record = far.receive_record(100).await.expect("arrives");
        assert_eq!(record.expect("a record"), "before");
        pair.cut();
        stream.send_record(&b"behind"[..]).await.expect("accepted");
        let record = far.receive_record(100).await.expect("arrives");
        assert_eq!(record.expect("a record"), "behind");
        owners.insert(other.1.shard());
    }
    assert_eq!(owners.len(), 2, "both shards own sessions");
}

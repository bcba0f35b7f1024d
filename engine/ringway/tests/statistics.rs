//! What is counted, on the real kernel: right, told at once, and kept when things end.

mod pair;

use pair::{Pair, engine, pattern};
use ringway::{Error, SessionState, Status, StreamOptions, block_on};
use std::time::Duration;

// S14
#[test]
fn an_idle_session_and_a_disconnected_one_tell_their_numbers_at_once() {
    let pair = Pair::cuttable();
    block_on(async {
        let stream = pair
            .near
            .open(StreamOptions::default())
            .await
            .expect("opens");
        let end = stream.send(&b"12345"[..]).await.expect("accepted");
        let far = pair.far.accept().await.expect("arrives");
        assert_eq!(
            &far.receive()
                .await
                .expect("arrives")
                .expect("a chunk")
                .bytes[..],
            b"12345"
        );
        stream.acked(end).await.expect("acked");
        let idle = pair.near.statistics().await.expect("told");
        assert_eq!((idle.connected, idle.streams, idle.resumes), (1, 1, 0));
        assert_eq!((idle.body_bytes_sent, idle.retained_bytes), (5, 0));
        let of_stream = far.statistics().await.expect("told");
        assert_eq!(of_stream.received_bytes, 5);
        assert_eq!((of_stream.consumed_bytes, of_stream.unread_bytes), (5, 0));
    });
    // The dialing engine is gone: nobody connects again.
    block_on(pair.client.shutdown(Duration::from_secs(5)));
    block_on(async {
        assert!(matches!(pair.near.state(), SessionState::Ended(_)));
        let last = pair.near.statistics().await.expect("kept");
        assert_eq!((last.connected, last.body_bytes_sent), (0, 5));
        let mut state = pair.far.state();
        while matches!(state, SessionState::Connected { .. }) {
            state = pair.far.state_changed(&state).await;
        }
        if matches!(state, SessionState::Disconnected { .. }) {
            let lost = pair
                .far
                .statistics()
                .await
                .expect("told without a connection");
            assert_eq!((lost.connected, lost.body_bytes_received), (0, 5));
        }
        pair.far.close(Status::ok());
        pair.far.ended().await;
        let last = pair.far.statistics().await.expect("kept");
        assert_eq!(last.body_bytes_received, 5);
    });
    block_on(pair.server.shutdown(Duration::from_secs(5)));
}

#[test]
fn a_reader_that_does_not_read_is_named_at_both_ends() {
    let pair = Pair::on("127.0.0.1:0");
    block_on(async {
        let stream = pair
            .near
            .open(StreamOptions::default())
            .await
            .expect("opens");
        let length = (20 << 20) as u64;
        stream.send(pattern(20 << 20)).await.expect("accepted");
        let far = pair.far.accept().await.expect("arrives");
        let window = (16 << 20) as u64;
        stream.acked(window).await.expect("acked");
        let sent = stream.statistics().await.expect("told");
        assert_eq!((sent.accepted_bytes, sent.sent_bytes), (length, window));
        assert_eq!((sent.send_credit_bytes, sent.unacked_bytes), (0, 0));
        let unread = far.statistics().await.expect("told");
        assert_eq!(
            (unread.unread_bytes, unread.receive_credit_bytes),
            (window, 0)
        );
        let (near, other) = (pair.near.statistics().await, pair.far.statistics().await);
        let (near, other) = (near.expect("told"), other.expect("told"));
        assert_eq!((near.streams_without_credit, other.streams_unread), (1, 1));
        let before_ns = near.send_waits_ns.of("credit");
        std::thread::sleep(Duration::from_millis(20));
        let near = pair.near.statistics().await.expect("told");
        assert!(
            near.send_waits_ns.of("credit") >= before_ns + 20_000_000,
            "its clock runs"
        );
        let other = pair.far.statistics().await.expect("told");
        assert!(other.reader_wait_ns >= 20_000_000);
        stream.finish(Status::ok()).await.expect("finished");
        let mut got = 0;
        while let Some(chunk) = far.receive().await.expect("arrives") {
            got += chunk.bytes.len() as u64;
        }
        assert_eq!(got, length);
        let near = pair.near.statistics().await.expect("told");
        assert_eq!(near.streams_without_credit, 0);
    });
    pair.end();
}

#[test]
fn each_lost_connection_is_counted_by_its_cause_and_its_gap_is_measured() {
    let pair = Pair::cuttable();
    block_on(async {
        let stream = pair
            .near
            .open(StreamOptions::default())
            .await
            .expect("opens");
        stream.send(&b"first"[..]).await.expect("accepted");
        let far = pair.far.accept().await.expect("arrives");
        far.receive().await.expect("arrives").expect("a chunk");
        for round in 0..5_u64 {
            pair.cut();
            let lost = |statistics: &ringway::SessionStatistics| {
                statistics
                    .losses
                    .iter()
                    .map(|(_, count)| count)
                    .sum::<u64>()
            };
            while lost(&pair.near.statistics().await.expect("told")) <= round {}
            stream.send(&b"more"[..]).await.expect("accepted");
            far.receive().await.expect("arrives").expect("a chunk");
        }
        let near = pair.near.statistics().await.expect("told");
        assert_eq!((near.resumes, near.resume_gaps_ns.count()), (5, 5));
        assert!(near.resume_gaps_ns.quantile_ns(0.5).expect("some") > 0);
        assert!(near.send_waits_ns.of("connection") > 0);
        let sum = pair.client.statistics().await.expect("told");
        assert_eq!(
            (sum.resume_gaps_ns, sum.losses),
            (near.resume_gaps_ns, near.losses)
        );
    });
    pair.end();
}

/// Counters that went back would look like a restart to whoever scrapes them.
#[test]
fn what_a_session_has_counted_stays_when_it_ends() {
    let pair = Pair::on("127.0.0.1:0");
    block_on(async {
        let (near, far) = pair.another().await;
        let stream = near.open(StreamOptions::default()).await.expect("opens");
        let end = stream.send(pattern(1 << 20)).await.expect("accepted");
        stream.acked(end).await.expect("acked");
        std::thread::sleep(Duration::from_millis(5));
        let before = pair.client.statistics().await.expect("told");
        near.close(Status::ok());
        near.ended().await;
        far.ended().await;
        let after = pair.client.statistics().await.expect("told");
        assert_eq!((before.sessions, after.sessions), (2, 1));
        for ((name, earlier), (_, later)) in before.counters().into_iter().zip(after.counters()) {
            assert!(later >= earlier, "{name} went from {earlier} to {later}");
        }
        for ((what, earlier), (_, later)) in
            before.send_waits_ns.iter().zip(after.send_waits_ns.iter())
        {
            assert!(later >= earlier, "waits for {what} went back");
        }
    });
    pair.end();
}

#[test]
fn the_sum_of_the_shards_is_what_the_engine_tells() {
    let engine = engine(2);
    block_on(async {
        let first = engine.shard_statistics(0).await.expect("told");
        let second = engine.shard_statistics(1).await.expect("told");
        assert!(first.messages >= 1 && second.messages >= 1);
        assert_eq!(second.messages_waiting, 0);
        let none = engine.shard_statistics(2).await;
        assert!(matches!(none, Err(Error::Limit { wanted: 2, .. })));
        let text = engine.prometheus().await.expect("told");
        assert!(text.contains("ringway_turns_total{shard=\"1\"}"));
        engine.shutdown(Duration::from_secs(5)).await;
        assert!(matches!(
            engine.prometheus().await,
            Err(Error::EngineStopped)
        ));
    });
}

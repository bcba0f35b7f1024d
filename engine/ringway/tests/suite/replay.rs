//! What is sent again, and how it gets through in the end.

use std::time::Duration;

use ringway::{Session, SessionState, Status, Stream, StreamOptions};

use crate::stage::{
    Setup, Stage, all, both, open_between, pattern, receive_pattern, send_pattern, until,
};

const LARGE_BYTES: u64 = 64 << 20;

/// Sockets of 64 KiB, and room to retain more than is to be replayed.
pub fn small_buffers() -> Setup {
    let mut setup = Setup::default();
    let session = &mut setup.config.session;
    session.stream_window_bytes = 16 << 20;
    session.retained_bytes_max = LARGE_BYTES + (1 << 20);
    setup.socket_buffer_bytes = Some(64 << 10);
    setup
}

/// 16 MB/s.
pub fn slow_link() -> Setup {
    Setup {
        bandwidth: 16 << 20,
        ..Setup::default()
    }
}

// S10: with both directions full and sockets that take next to nothing, neither end may wait for
// the other's reading before it reads itself.
pub async fn large_replays_both_ways_at_once_through_small_buffers_complete(stage: Stage) {
    let (near, far) = stage.stream().await;
    // Something of it has left, and is lost with the connection.
    let begun = both(
        near.send(pattern(1, 0, 1 << 20)),
        far.send(pattern(2, 0, 1 << 20)),
    );
    let begun = begun.await;
    assert_eq!((begun.0, begun.1), (Ok((1 << 20) + 5), Ok(1 << 20)));
    stage.ground.close();
    stage.ground.cut();
    let rest = |key| pattern(key, 1 << 20, (LARGE_BYTES - (1 << 20)) as usize);
    let kept = both(near.send(rest(1)), far.send(rest(2))).await;
    assert_eq!((kept.0, kept.1), (Ok(LARGE_BYTES + 5), Ok(LARGE_BYTES)));
    stage.ground.open();
    for stream in [&near, &far] {
        stream.finish(Status::ok()).await.expect("finished");
    }
    let got = both(receive_pattern(&far, 1, 5), receive_pattern(&near, 2, 0));
    assert_eq!(got.await, (LARGE_BYTES + 5, LARGE_BYTES));
    let acked = both(near.finish_acked(), far.finish_acked()).await;
    assert_eq!(acked, (Ok(()), Ok(())));
}

// S11
pub async fn a_link_that_dies_again_and_again_at_half_of_a_replay_still_makes_progress(
    stage: Stage,
) {
    const LENGTH: u64 = 12 << 20;
    let (near, far) = stage.stream().await;
    let cutter = async {
        loop {
            stage.sleep(Duration::from_millis(100)).await;
            stage.ground.cut();
        }
    };
    let transfer = async {
        let sent = send_pattern(&near, 1, LENGTH, 100_000);
        let ((), end) = both(sent, receive_pattern(&far, 1, 5)).await;
        assert_eq!(end, LENGTH + 5);
        near.finish_acked().await.expect("acked");
    };
    until(transfer, cutter).await.expect("the transfer ends");
    let near = stage.near_engine.statistics().await.expect("counted");
    assert!(near.resumes >= 3, "{} resumes", near.resumes);
    // Each replay began where the receiver was.
    let far = stage.far_engine.statistics().await.expect("counted");
    assert_eq!(
        far.duplicate_bytes, 0,
        "bytes that were there were sent again"
    );
}

// S15
pub async fn a_half_open_connection_is_taken_over_and_what_comes_late_on_it_is_ignored(
    stage: Stage,
) {
    const LENGTH: u64 = 4 << 20;
    let (near, far) = stage.stream().await;
    stage.ground.mute();
    let out = both(
        send_pattern(&near, 1, LENGTH, 1 << 20),
        send_pattern(&far, 2, LENGTH, 1 << 20),
    );
    out.await;
    // The far side takes the old connection for alive.
    assert!(matches!(stage.far.state(), SessionState::Connected { .. }));
    stage.near.reconnect_now();
    let mut state = stage.far.state();
    while !matches!(&state, SessionState::Connected { epoch } if epoch.0 == 2) {
        state = stage.far.state_changed(&state).await;
    }
    stage.ground.open();
    let got = both(receive_pattern(&far, 1, 5), receive_pattern(&near, 2, 0));
    assert_eq!(got.await, (LENGTH + 5, LENGTH));
    let far = stage.far_engine.statistics().await.expect("counted");
    assert_eq!(far.duplicate_bytes, 0, "bytes of the old connection came");
}

/// Room for as many streams as are opened, and one.
pub fn many_streams() -> Setup {
    let mut setup = Setup::default();
    setup.config.session.streams_max = 2 * MANY as u64;
    setup
}

const MANY: usize = 100_000;

/// Asked for together: each turn of a shard answers many.
const TOGETHER: usize = 128;

async fn open_each(session: &Session) -> Vec<Stream> {
    let mut streams = Vec::new();
    while streams.len() < MANY {
        let count = TOGETHER.min(MANY - streams.len());
        let opens = (0..count).map(|_| session.open(StreamOptions::default()));
        let opened = all(opens).await;
        streams.extend(opened.into_iter().map(|stream| stream.expect("opens")));
    }
    streams
}

/// One record of each stream.
async fn send_each(streams: &[Stream], byte: u8) {
    for some in streams.chunks(TOGETHER) {
        let sends = some.iter().map(|stream| stream.send_record(vec![byte]));
        for sent in all(sends).await {
            sent.expect("accepted");
        }
    }
}

/// What comes of each stream: one record.
async fn receive_each(streams: &[Stream], byte: u8) {
    for some in streams.chunks(TOGETHER) {
        let received = all(some.iter().map(|stream| stream.receive_record(8))).await;
        for (stream, record) in some.iter().zip(received) {
            let record = record.expect("arrives").expect("a record");
            assert_eq!(record[..], [byte], "{}", stream.id());
        }
    }
}

// S28
pub async fn a_hundred_thousand_streams_resume_while_another_session_goes_on(stage: Stage) {
    let opened = async {
        let streams = open_each(&stage.near).await;
        send_each(&streams, 1).await;
        streams
    };
    let accepted = async {
        let mut streams = Vec::new();
        for _ in 0..MANY {
            streams.push(stage.far.accept().await.expect("arrives"));
        }
        receive_each(&streams, 1).await;
        streams
    };
    let (near, far) = both(opened, accepted).await;
    stage.ground.close();
    stage.ground.cut();
    send_each(&near, 2).await;
    stage.ground.open();
    receive_each(&far, 2).await;
    // Once more, beside a session whose connection stays.
    let (other_near, other_far) = stage.another_session().await;
    let (ping, pong) = open_between(&other_near, &other_far).await;
    let epoch = |state: SessionState| match state {
        SessionState::Connected { epoch } => epoch.0,
        SessionState::Disconnected { .. } | SessionState::Ended(_) => 0,
    };
    let before = epoch(stage.near.state());
    assert!(before >= 2, "it was resumed");
    let mut calls = 0;
    stage.near.reconnect_now();
    let resumed = async {
        send_each(&near, 3).await;
        receive_each(&far, 3).await;
        assert!(epoch(stage.near.state()) > before, "it was resumed");
    };
    let calling = async {
        loop {
            ping.send_record(&b"ping"[..]).await.expect("accepted");
            let record = pong.receive_record(8).await.expect("arrives");
            assert_eq!(record.expect("a record"), "ping");
            calls += 1;
        }
    };
    until::<()>(calling, resumed).await;
    assert!(calls > 0, "the other session stood still");
    let far_engine = stage.far_engine.statistics().await.expect("counted");
    assert_eq!(far_engine.duplicate_bytes, 0, "bytes came twice");
    other_near.close(Status::ok());
    both(other_near.ended(), other_far.ended()).await;
}

//! What is kept, and what happens at the cap.

use ringway::{Error, SessionState, Status, StreamOptions, WhenFull};

use crate::stage::{
    HEARTBEAT, Setup, Stage, both, open_between, pattern, receive_pattern, send_pattern, until,
};

const CAP: u64 = 256 << 10;

/// 8 MB/s, and memory for an eighth of a second.
pub fn slow_link() -> Setup {
    let mut setup = Setup {
        bandwidth: 8 << 20,
        ..Setup::default()
    };
    setup.config.session.retained_bytes_max = 1 << 20;
    setup
}

pub fn small_cap() -> Setup {
    let mut setup = Setup::default();
    setup.config.session.retained_bytes_max = CAP;
    setup
}

// S12
pub async fn a_producer_faster_than_its_link_stays_at_the_cap_and_small_messages_pass(
    stage: Stage,
) {
    const LENGTH: u64 = 16 << 20;
    const PINGS: u64 = 10;
    let (near, far) = stage.stream().await;
    let (ping, pong) = stage.stream().await;
    let bulk = both(
        send_pattern(&near, 1, LENGTH, 50_000),
        receive_pattern(&far, 1, 5),
    );
    let pings = async {
        for index in 0..PINGS {
            ping.send_record(index.to_le_bytes().to_vec())
                .await
                .expect("accepted");
            let record = pong.receive_record(8).await.expect("arrives");
            pong.send_record(record.expect("a record"))
                .await
                .expect("accepted");
            let back = ping.receive_record(8).await.expect("arrives");
            assert_eq!(back.expect("a record")[..], index.to_le_bytes());
            let progress = near.progress().await.expect("it is open");
            let kept = progress.accepted - progress.acked;
            assert!(kept <= 1 << 20, "{kept} bytes are kept");
            assert!(progress.accepted < LENGTH, "the link is not slow");
        }
    };
    let (((), end), ()) = both(bulk, pings).await;
    assert_eq!(end, LENGTH + 5);
    let blocked = stage.near_engine.statistics().await.expect("counted");
    assert!(
        blocked.send_blocked > 0,
        "the producer never was at the cap"
    );
}

// S13
pub async fn at_the_cap_while_disconnected_a_sender_told_to_fail_fails_and_the_others_wait(
    stage: Stage,
) {
    const PIECE: usize = 50_000;
    let (waits, waits_far) = stage.stream().await;
    let fails = StreamOptions {
        when_full: WhenFull::Fail,
        ..StreamOptions::default()
    };
    let fails = stage.near.open(fails).await.expect("opens");
    fails.send_record(&b"hello"[..]).await.expect("accepted");
    let fails_far = stage.far.accept().await.expect("arrives");
    fails.acked(5).await.expect("acked");
    stage.ground.close();
    stage.ground.cut();
    let mut at = 0;
    let error = loop {
        match fails.send(pattern(1, at, PIECE)).await {
            Ok(end) => at = end - 5,
            Err(error) => break error,
        }
    };
    let Error::RetentionFull { retained, allowed } = error else {
        panic!("{error}");
    };
    assert_eq!((retained, allowed), (at, CAP));
    assert!(retained + PIECE as u64 > allowed, "there was room");
    let mut waiting = std::pin::pin!(send_pattern(&waits, 2, PIECE as u64, PIECE));
    let early = until(waiting.as_mut(), stage.sleep(HEARTBEAT)).await;
    assert!(early.is_none(), "it was accepted beyond the cap");
    stage.ground.open();
    fails.finish(Status::ok()).await.expect("finished");
    let (_, first) = fails_far_and(&fails_far).await;
    assert_eq!(first, 5);
    let got = both(
        waiting,
        both(
            receive_pattern(&fails_far, 1, 5),
            receive_pattern(&waits_far, 2, 5),
        ),
    );
    let ((), got) = got.await;
    assert_eq!(got, (at + 5, PIECE as u64 + 5));
}

/// Takes the first record of a stream that was opened by hand.
async fn fails_far_and(stream: &ringway::Stream) -> (bool, usize) {
    let record = stream.receive_record(5).await.expect("arrives");
    let record = record.expect("a record");
    (record == "hello", record.len())
}

// S14, B4: silence is not death, and nobody has to be asked for what is known here.
pub async fn an_idle_session_answers_at_once_and_keeps_its_connection(stage: Stage) {
    let (near, far) = stage.stream().await;
    stage.sleep(HEARTBEAT * 30).await;
    let before = stage.near.state();
    assert!(matches!(before, SessionState::Connected { epoch } if epoch.0 == 1));
    for engine in [&stage.near_engine, &stage.far_engine] {
        let statistics = engine.statistics().await.expect("counted");
        assert_eq!((statistics.connections_lost, statistics.resumes), (0, 0));
    }
    // The peer cannot be reached now: nothing here may wait for it.
    stage.ground.close();
    assert_eq!(stage.near.state(), before);
    let progress = near.progress().await.expect("it is open");
    assert_eq!((progress.accepted, progress.acked), (5, 5));
    let progress = far.progress().await.expect("it is open");
    assert_eq!((progress.received, progress.accepted), (5, 0));
    let statistics = stage.near_engine.statistics().await.expect("counted");
    assert_eq!(statistics.sessions_opened, 1);
    stage.ground.open();
    open_between(&stage.near, &stage.far).await;
}

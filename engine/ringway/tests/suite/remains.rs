//! What the application gets back when a session ends before its streams.

use std::time::Duration;

use bytes::Bytes;
use ringway::{
    CloseReason, Payload, RetainedPayload, SessionEnd, Status, Stream, StreamId, StreamOptions,
};

use crate::stage::{HEARTBEAT, Setup, Stage, pattern};

/// Sends what never arrives: in memory, of a file, an empty record; and finishes.
async fn send_in_vain(stage: &Stage, near: &Stream) {
    near.consumed(5).await.expect("consumed");
    stage.ground.close();
    stage.ground.cut();
    let file = stage.near_file("source", &pattern(2, 0, 9000)).await;
    near.send(pattern(1, 0, 1000)).await.expect("accepted");
    let range = file.range(3000, 500);
    near.send_record(range).await.expect("accepted");
    near.send_record(Bytes::new()).await.expect("accepted");
    let status = Status::new(1001, "that was all");
    near.finish(status).await.expect("finished");
}

fn bytes_of(payload: &Payload) -> (u64, Vec<u8>) {
    match payload {
        Payload::Bytes(bytes) => (0, bytes.to_vec()),
        Payload::File(range) => (range.length, Vec::new()),
        Payload::Lease(_) => panic!("none was sent"),
    }
}

fn assert_remains(end: &SessionEnd, id: StreamId) {
    let [stream] = &end.streams[..] else {
        panic!("{end:?}");
    };
    assert_eq!(stream.id, id);
    let progress = stream.progress;
    assert_eq!((progress.accepted, progress.acked), (1505, 5));
    assert_eq!(progress.consumed, 5);
    assert_eq!(stream.finish, Some(Status::new(1001, "that was all")));
    let seen = |kept: &RetainedPayload| (kept.offset, kept.end_of_record, bytes_of(&kept.payload));
    let kept: Vec<_> = stream.retained.iter().map(seen).collect();
    let expected = [
        (5, false, (0, pattern(1, 0, 1000))),
        (1005, true, (500, Vec::new())),
    ];
    assert_eq!(kept[..2], expected);
    assert_eq!(kept[2..], [(1505, true, (0, Vec::new()))]);
}

// S16
pub async fn what_was_not_acked_is_given_back_when_the_peer_has_restarted(stage: Stage) {
    let (near, _far) = stage.stream().await;
    send_in_vain(&stage, &near).await;
    stage.far_engine.shutdown(Duration::from_millis(100)).await;
    let far_end = stage.far.ended_with().await;
    let shut_down = CloseReason::Local(Status::shutting_down());
    assert_eq!(far_end.cause, shut_down);
    assert_eq!(far_end.streams[0].progress.received, 5);
    let spare = stage.ground.spare();
    let options = stage.listen_options.clone();
    let listener = spare.listen(&stage.listen_target, options).await;
    stage.ground.open();
    let end = stage.near.ended_with().await;
    assert!(
        matches!(end.cause, CloseReason::UnknownSession(_)),
        "{end:?}"
    );
    assert_remains(&end, near.id());
    let again = stage.near.ended_with().await;
    assert_eq!((again.cause, again.streams.len()), (end.cause, 0));
    drop(listener);
    spare.shutdown(Duration::from_secs(5)).await;
}

pub fn short_window() -> Setup {
    let mut setup = Setup::default();
    setup.config.session.resume_window = HEARTBEAT;
    setup
}

pub async fn what_was_not_acked_is_given_back_when_the_resume_window_is_over(stage: Stage) {
    let (near, _far) = stage.stream().await;
    // It has not been sent anything, and has ended nowhere: it is told of, too.
    let idle = stage.near.open(StreamOptions::default()).await;
    let idle = idle.expect("opens");
    send_in_vain(&stage, &near).await;
    let mut end = stage.near.ended_with().await;
    assert!(
        matches!(end.cause, CloseReason::ResumeWindow { .. }),
        "{end:?}"
    );
    let other = end.streams.pop().expect("two");
    assert_eq!((other.id, other.retained.len()), (idle.id(), 0));
    assert_remains(&end, near.id());
    stage.ground.open();
}

//! How sessions and directions end.

use std::time::Duration;

use ringway::{CloseReason, Error, SessionState, Status};

use crate::stage::{
    HEARTBEAT, Setup, Stage, all, both, open_between, pattern, receive_pattern, send_pattern, until,
};

/// A drain takes at most half a second, in which 4 MB pass.
pub fn short_drain() -> Setup {
    let mut setup = Setup {
        bandwidth: 8 << 20,
        ..Setup::default()
    };
    setup.config.session.drain_timeout = Duration::from_millis(500);
    setup
}

// S16
pub async fn a_restarted_peer_is_an_unknown_session_and_never_a_start_at_zero(stage: Stage) {
    let (near, far) = stage.stream().await;
    near.send(pattern(1, 0, 1000)).await.expect("accepted");
    stage.ground.close();
    stage.ground.cut();
    let within = Duration::from_millis(100);
    stage.far_engine.shutdown(within).await;
    let gone = far.receive().await;
    assert!(
        matches!(gone, Ok(Some(_)) | Err(_)),
        "it had arrived, or not"
    );
    let options = stage.listen_options.clone();
    let spare = stage.ground.spare();
    let listening = spare.listen(&stage.listen_target, options);
    let listener = listening.await.expect("listens");
    stage.ground.open();
    let reason = stage.near.ended().await;
    assert!(matches!(reason, CloseReason::UnknownSession(_)), "{reason}");
    let late = near.send(&b"more"[..]).await;
    assert_eq!(late, Err(Error::SessionEnded(reason.clone())));
    let pending = until(listener.accept(), stage.sleep(HEARTBEAT)).await;
    assert!(pending.is_none(), "the old session began again");
    let options = stage.connect_options.clone();
    let again = stage.near_engine.connect(&stage.connect_target, options);
    let again = again.await.expect("connects");
    let accepted = listener.accept().await.expect("accepts");
    assert_ne!(again.id(), stage.near.id());
    open_between(&again, &accepted).await;
    again.close(Status::ok());
    accepted.ended().await;
    let report = spare.shutdown(Duration::from_secs(5)).await;
    assert_eq!(report.leaked, 0);
}

// B12
pub async fn concurrent_closes_are_one_close_and_all_return(stage: Stage) {
    let (near, far) = stage.stream().await;
    let close = |session: ringway::Session, code| async move {
        session.close(Status::new(code, "closed"));
        session.ended().await
    };
    let sessions = [&stage.near, &stage.near, &stage.far, &stage.far];
    let closes = sessions.into_iter().zip(1001..);
    let closes = all(closes.map(|(session, code)| close(session.clone(), code)));
    let drains = all([&stage.near, &stage.far].map(ringway::Session::drain));
    let (reasons, drained) = both(closes, drains).await;
    assert_eq!(reasons[0], reasons[1]);
    assert_eq!(reasons[2], reasons[3]);
    assert_eq!(drained, [Ok(()), Ok(())]);
    for (stream, reason) in [(near, &reasons[0]), (far, &reasons[2])] {
        let sent = stream.send(&b"late"[..]).await;
        assert_eq!(sent, Err(Error::SessionEnded(reason.clone())));
    }
    for engine in [&stage.near_engine, &stage.far_engine] {
        let statistics = engine.statistics().await.expect("counted");
        assert_eq!(statistics.sessions_ended, 1);
    }
}

// B12
pub async fn a_drain_of_a_session_that_is_over_returns_at_once(stage: Stage) {
    stage.near.close(Status::ok());
    stage.near.ended().await;
    // Its last words are still on their way: the session is over, and still there.
    assert_eq!(stage.near.drain().await, Ok(()));
    stage.far.ended().await;
    assert_eq!(stage.far.drain().await, Ok(()));
}

/// Nothing connects any more, and the session knows that it is cut.
async fn cut_off(stage: &Stage) {
    stage.ground.close();
    stage.ground.cut();
    let mut state = stage.near.state();
    while matches!(state, SessionState::Connected { .. }) {
        state = stage.near.state_changed(&state).await;
    }
}

// S9
pub async fn a_close_while_cut_is_told_to_the_peer_at_the_next_connection(stage: Stage) {
    let (near, _far) = stage.stream().await;
    cut_off(&stage).await;
    let said = Status::new(1234, "enough");
    stage.near.close(said.clone());
    let reason = stage.near.ended().await;
    assert_eq!(
        reason,
        CloseReason::Local(said.clone()),
        "it waits for nobody"
    );
    drop(near);
    stage.ground.open();
    // Not the resume window, which would say so.
    assert_eq!(stage.far.ended().await, CloseReason::Peer(said));
}

// S9
pub async fn a_close_while_nobody_answers_the_redial_returns(stage: Stage) {
    let (near, _far) = stage.stream().await;
    cut_off(&stage).await;
    // The attempt is under way, and nobody answers it.
    stage.sleep(HEARTBEAT).await;
    stage.near.close(Status::ok());
    let reason = stage.near.ended().await;
    assert!(matches!(reason, CloseReason::Local(_)), "{reason}");
    let sent = near.send(&b"late"[..]).await;
    assert_eq!(sent, Err(Error::SessionEnded(reason)));
    // Whether or not the news reaches the other side, it may close as well.
    stage.far.close(Status::ok());
    stage.far.ended().await;
    stage.ground.open();
}

// B7
pub async fn a_peer_that_keeps_sending_cannot_hold_up_a_drain(stage: Stage) {
    let (near, far) = stage.stream().await;
    let flood = async {
        let mut at = 0;
        loop {
            match far.send(pattern(1, at, 10_000)).await {
                Ok(end) => at = end,
                Err(error) => return error,
            }
        }
    };
    let reader = async { while let Ok(Some(_)) = near.receive().await {} };
    let drained = both(stage.near.drain(), both(flood, reader));
    let (drained, (error, ())) = drained.await;
    assert_eq!(drained, Ok(()));
    assert!(
        matches!(error, Error::SessionEnded(CloseReason::Peer(_))),
        "{error}"
    );
    assert!(matches!(stage.near.ended().await, CloseReason::Local(_)));
}

// B6
pub async fn a_half_close_lets_everything_of_the_other_way_arrive(stage: Stage) {
    const LENGTH: u64 = 64 << 20;
    let (near, far) = stage.stream().await;
    near.finish(Status::new(1000, "the question"))
        .await
        .expect("finished");
    near.finish_acked().await.expect("acked");
    assert!(far.receive().await.expect("ends").is_none());
    let answer = both(
        send_pattern(&far, 1, LENGTH, 1 << 20),
        receive_pattern(&near, 1, 0),
    );
    let ((), end) = answer.await;
    assert_eq!(end, LENGTH);
    assert_eq!(far.peer_status().await.expect("ended").code, 1000);
    assert!(near.peer_status().await.expect("ended").is_ok());
}

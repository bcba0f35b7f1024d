//! One connection takes the place of another: once, and for good.

use ringway::{Epoch, Error, Session, SessionState, Status, Stream, StreamOptions};

use crate::stage::{HEARTBEAT, Stage, all, both, pattern};

async fn reached(session: &Session, wanted: u64) {
    let mut state = session.state();
    while !matches!(&state, SessionState::Connected { epoch } if epoch.0 >= wanted) {
        state = session.state_changed(&state).await;
    }
}

/// A few small messages each way at once.
async fn chat(near: &Stream, far: &Stream) {
    for index in 0..20 {
        let message = pattern(index, 0, 500);
        let out = both(
            near.send_record(message.clone()),
            far.send_record(message.clone()),
        );
        let out = out.await;
        assert!(out.0.is_ok() && out.1.is_ok(), "{out:?}");
        let got = both(near.receive_record(500), far.receive_record(500)).await;
        for record in [got.0, got.1] {
            assert!(record.expect("arrives").expect("a record") == message);
        }
    }
}

/// The second connection stands, and nobody ever tried a third.
async fn assert_replaced_once(stage: &Stage) {
    // Whatever else would come of it has come by then.
    stage.sleep(HEARTBEAT * 3).await;
    for session in [&stage.near, &stage.far] {
        let state = session.state();
        assert!(
            matches!(&state, SessionState::Connected { epoch } if epoch.0 == 2),
            "{state:?}"
        );
    }
    for engine in [&stage.near_engine, &stage.far_engine] {
        let statistics = engine.statistics().await.expect("counted");
        assert_eq!((statistics.connections_lost, statistics.resumes), (1, 1));
    }
    let near = stage.near_engine.statistics().await.expect("counted");
    assert_eq!((near.connections_dialled, near.dials_failed), (2, 0));
}

// S8
pub async fn three_wishes_to_reconnect_are_one_attempt(stage: Stage) {
    let (near, far) = stage.stream().await;
    // The first attempt cannot be over before the last wish.
    stage.ground.close();
    for session in [stage.near.clone(), stage.near.clone(), stage.near.clone()] {
        session.reconnect_now();
    }
    stage.ground.open();
    reached(&stage.near, 2).await;
    chat(&near, &far).await;
    assert_replaced_once(&stage).await;
}

// S8
pub async fn wishes_that_wait_share_one_attempt_and_its_result(stage: Stage) {
    let (near, far) = stage.stream().await;
    stage.ground.close();
    let wishes = all([&stage.near, &stage.near, &stage.near].map(ringway::Session::reconnect));
    let opened = async {
        // All three have been asked for, and hang.
        stage.sleep(HEARTBEAT / 4).await;
        let statistics = stage.near_engine.statistics().await.expect("counted");
        assert_eq!(statistics.connections_dialled, 2, "one more than the first");
        stage.ground.open();
    };
    let (epochs, ()) = both(wishes, opened).await;
    assert_eq!(epochs, [Ok(Epoch(2)), Ok(Epoch(2)), Ok(Epoch(2))]);
    assert_eq!(stage.near.connected().await, Ok(Epoch(2)));
    assert_eq!(stage.far.reconnect().await, Err(Error::NotDialer));
    chat(&near, &far).await;
    assert_replaced_once(&stage).await;
}

/// An attempt that hangs where the way is gone does not keep the next wish waiting.
pub async fn a_wish_does_not_wait_for_an_attempt_that_hangs(stage: Stage) {
    let (near, far) = stage.stream().await;
    stage.ground.close();
    stage.ground.cut();
    while matches!(stage.near.state(), SessionState::Connected { .. }) {
        stage.sleep(HEARTBEAT / 8).await;
    }
    stage.sleep(HEARTBEAT / 4).await;
    let dialled = || async {
        let statistics = stage.near_engine.statistics().await;
        statistics.expect("counted").connections_dialled
    };
    let before = dialled().await;
    let asked = async {
        stage.sleep(HEARTBEAT / 4).await;
        assert!(dialled().await > before, "a new attempt");
        stage.ground.open();
    };
    let (epoch, ()) = both(stage.near.reconnect(), asked).await;
    assert_eq!(epoch, stage.near.connected().await);
    chat(&near, &far).await;
    stage.near.close(Status::ok());
    // Also once the shard has forgotten it.
    stage.near.ended().await;
    stage.far.ended().await;
    stage.sleep(HEARTBEAT).await;
    let late = stage.near.reconnect().await;
    assert!(matches!(late, Err(Error::SessionEnded(_))), "{late:?}");
    let late = stage.near.open(StreamOptions::default()).await;
    assert!(matches!(late, Err(Error::SessionEnded(_))), "{late:?}");
    assert_eq!(stage.near.drain().await, Ok(()));
}

// S6: it is being read and written when it breaks, so both fail.
pub async fn a_broken_connection_is_replaced_once(stage: Stage) {
    let (near, far) = stage.stream().await;
    let (near_too, far_too) = stage.stream().await;
    let cut = async {
        chat(&near_too, &far_too).await;
        stage.ground.cut();
        chat(&near_too, &far_too).await;
    };
    both(chat(&near, &far), cut).await;
    reached(&stage.near, 2).await;
    chat(&near, &far).await;
    assert_replaced_once(&stage).await;
}

// S7
pub async fn an_error_of_an_older_connection_does_not_touch_the_newer_one(stage: Stage) {
    let (near, far) = stage.stream().await;
    stage.ground.mute();
    near.send_record(&b"lost on the old one"[..])
        .await
        .expect("accepted");
    stage.near.reconnect_now();
    reached(&stage.far, 2).await;
    stage.ground.cut_muted();
    let record = far.receive_record(100).await.expect("arrives");
    assert_eq!(record.expect("a record"), "lost on the old one");
    chat(&near, &far).await;
    assert_replaced_once(&stage).await;
}

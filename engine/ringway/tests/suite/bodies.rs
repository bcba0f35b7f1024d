//! Bodies whose source, sink or reader does not want to go on.

use ringway::{Errno, Error, OpenHow, Status, StreamOptions};

use crate::stage::{End, Stage, both, open_between, pattern};

// B2
pub async fn a_sink_that_cannot_take_more_stops_the_sender_with_its_cause(stage: Stage) {
    let path = stage.ground.full(End::Far, "full");
    let directory = stage.far_engine.ambient();
    let opened = directory.open(&path, OpenHow::READ_WRITE_CREATE);
    let sink = opened.await.expect("opens");
    let source = stage.near_file("source", &pattern(1, 0, 8 << 20)).await;
    let (near, far) = stage.stream().await;
    let end = near.send(source.range(0, 8 << 20)).await.expect("accepted");
    let (written, acked) = both(far.receive_into_file(&sink, 0, u64::MAX), near.acked(end)).await;
    let Err(Error::Kernel { errno, .. }) = written else {
        panic!("{written:?}");
    };
    assert_eq!(errno, Errno::ENOSPC);
    let Err(Error::Stopped(status)) = acked else {
        panic!("{acked:?}");
    };
    assert_eq!(status.code, 3, "{status}");
    assert!(near.acked_now() < end);
    open_between(&stage.near, &stage.far).await;
}

// B3
pub async fn a_refusal_in_the_middle_of_a_gibibyte_reaches_the_sender_as_it_was_said(stage: Stage) {
    const LENGTH: u64 = 1 << 30;
    let path = stage.ground.plant_zeros(End::Near, "large", LENGTH);
    let directory = stage.near_engine.ambient();
    let opened = directory.open(&path, OpenHow::READ);
    let source = opened.await.expect("opens");
    let near = stage
        .near
        .open(StreamOptions::default())
        .await
        .expect("opens");
    let end = near.send(source.range(0, LENGTH)).await.expect("accepted");
    near.finish(Status::ok()).await.expect("finished");
    let far = stage.far.accept().await.expect("arrives");
    let mut got = 0;
    while got < 1 << 20 {
        let chunk = far.receive().await.expect("arrives").expect("more to come");
        got += chunk.bytes.len() as u64;
    }
    let said = Status::new(4711, "the quota of \u{201e}k\u{f6}nig\u{201c} is used up");
    far.finish(said.clone()).await.expect("finished");
    far.stop(said.clone());
    let (acked, heard) = both(near.acked(end), near.peer_status()).await;
    assert_eq!(acked, Err(Error::Stopped(said.clone())));
    assert_eq!(heard, Ok(said));
    let statistics = stage.near_engine.statistics().await.expect("counted");
    let sent = statistics.body_bytes_sent;
    assert!(sent < LENGTH / 2, "{sent} bytes were sent all the same");
    open_between(&stage.near, &stage.far).await;
}

// B9
pub async fn a_record_above_the_readers_limit_is_refused_with_both_numbers_and_kept(stage: Stage) {
    const LENGTH: usize = 300_000;
    const LIMIT: u64 = 64 << 10;
    let (near, far) = stage.stream().await;
    let record = pattern(1, 0, LENGTH);
    near.send_record(record.clone()).await.expect("accepted");
    near.send_record(&b"behind"[..]).await.expect("accepted");
    let refused = far.receive_record(LIMIT).await;
    let Err(Error::RecordTooLarge { received, allowed }) = refused else {
        panic!("{refused:?}");
    };
    assert!(
        allowed == LIMIT && received > LIMIT,
        "{received} of {allowed}"
    );
    let mut got = Vec::new();
    loop {
        let chunk = far.receive().await.expect("arrives").expect("more to come");
        got.extend_from_slice(&chunk.bytes);
        if chunk.end_of_record {
            break;
        }
    }
    assert!(got == record);
    let next = far.receive_record(LIMIT).await.expect("arrives");
    assert_eq!(next.expect("a record"), "behind");
}

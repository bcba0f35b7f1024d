//! Records in batches: as one by one, whatever happens in the middle of a batch.

use bytes::Bytes;
use ringway::{Error, Status, Stream, StreamOptions, WhenFull};

use crate::stage::{HEARTBEAT, Stage, both, pattern, until};

/// As many as are more than three times the cap of [`small_cap`](crate::memory::small_cap), of all
/// sizes up to some that are not small any more, empty ones included.
const COUNT: u64 = 3000;

/// The cap.
const CAP: u64 = 256 << 10;

pub use crate::memory::small_cap;

fn record(index: u64) -> Bytes {
    let length = usize::try_from(index % 607).expect("small");
    pattern(index, 0, length).into()
}

/// Of the first `count` records together.
fn bytes_of(count: u64) -> u64 {
    (0..count).map(|index| record(index).len() as u64).sum()
}

/// Takes records in batches and compares them; how many, until the end.
async fn compare(stream: &Stream, count_max: usize) -> u64 {
    let (mut records, mut index) = (Vec::new(), 0);
    loop {
        let taken = stream.receive_records(&mut records, count_max, 1 << 10);
        match taken.await.expect("arrives") {
            0 => return index,
            count => assert!(count == records.len() && count <= count_max),
        }
        for taken in records.drain(..) {
            assert_eq!(taken, record(index), "record {index}");
            index += 1;
        }
    }
}

pub async fn batches_beyond_the_cap_arrive_whole_and_in_order_although_connections_are_cut(
    stage: Stage,
) {
    let (near, far) = stage.stream().await;
    let send = async {
        let first = near.send_records((0..COUNT).map(record));
        let second = near.send_records((COUNT..2 * COUNT).map(record));
        let (first, second) = both(first, second).await;
        assert_eq!(first, Ok(bytes_of(COUNT) + 5));
        assert_eq!(second, Ok(bytes_of(2 * COUNT) + 5));
        near.finish(Status::ok()).await.expect("finishes");
    };
    let cut = async {
        for _ in 0..3 {
            stage.ground.cut();
            stage.sleep(HEARTBEAT / 10).await;
        }
    };
    let ((), (taken, ())) = both(send, both(compare(&far, 100), cut)).await;
    assert_eq!(taken, 2 * COUNT);
}

/// The way is open again: what was accepted arrives, and nothing else.
async fn arrives_whole(stage: &Stage, near: &Stream, far: &Stream, accepted: u64) {
    stage.ground.open();
    near.finish(Status::ok()).await.expect("finishes");
    let taken = compare(far, usize::MAX).await;
    assert_eq!(bytes_of(taken), accepted);
}

pub async fn of_a_batch_that_is_refused_at_the_cap_only_the_beginning_arrives(stage: Stage) {
    let options = StreamOptions {
        when_full: WhenFull::Fail,
        ..StreamOptions::default()
    };
    let near = stage.near.open(options).await.expect("opens");
    near.send_records([record(0)]).await.expect("accepted");
    let far = stage.far.accept().await.expect("arrives");
    stage.ground.close();
    stage.ground.cut();
    let refused = near.send_records((1..COUNT).map(record)).await;
    let Err(Error::RetentionFull { retained, allowed }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(allowed, CAP);
    assert!(retained + 607 > CAP, "there was room: {retained}");
    // Later ones are small enough for what is left, but the one before them is missing.
    let accepted = near.progress().await.expect("it is open").accepted;
    assert!(accepted <= retained && accepted > CAP / 2, "{accepted}");
    arrives_whole(&stage, &near, &far, accepted).await;
}

pub async fn a_batch_that_is_given_up_while_it_waits_leaves_what_was_accepted(stage: Stage) {
    let near = stage.near.open(StreamOptions::default()).await;
    let near = near.expect("opens");
    near.send_records([record(0)]).await.expect("accepted");
    let far = stage.far.accept().await.expect("arrives");
    stage.ground.close();
    stage.ground.cut();
    let batch = near.send_records((1..COUNT).map(record));
    let given_up = until(batch, stage.sleep(HEARTBEAT)).await;
    assert!(given_up.is_none(), "it was accepted beyond the cap");
    let accepted = near.progress().await.expect("it is open").accepted;
    assert!(accepted <= CAP && accepted > CAP / 2, "{accepted}");
    arrives_whole(&stage, &near, &far, accepted).await;
}

//! A process that has no file descriptor left. Alone in its program: the limit is the process's.

mod pair;

use std::fs::File;
use std::os::fd::AsRawFd;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use pair::{Pair, both, engine_of};
use ringway::{Config, Errno, Error, OpenHow, Status, StreamOptions, block_on};

/// Lets this process open `count` files more. What is open stays so.
fn leave(count: u64) {
    let free: Vec<_> = (0..count)
        .map(|_| File::open("/dev/null").expect("opens"))
        .collect();
    // New ones get the lowest numbers that are free.
    let highest = free.iter().map(AsRawFd::as_raw_fd).max();
    limit(highest.map_or(3, |number| number as u64 + 1));
}

fn limit(count: u64) {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("readable");
    setrlimit(Resource::RLIMIT_NOFILE, count, hard).expect("within the hard limit");
}

fn one_shard() -> Config {
    let mut config = Config::from_environment().expect("known capabilities");
    config.shards = 1;
    config
}

// S19: EMFILE on accept, on dial, on open and for pipes. The listener accepts what waited, the
// session goes on and comes back after a cut.
#[test]
fn without_a_free_descriptor_sessions_and_listeners_survive() {
    let place = tempfile::tempdir().expect("temporary directory");
    let path = place.path().join("file");
    std::fs::write(&path, vec![7; 1 << 20]).expect("written");
    let (before, _) = getrlimit(Resource::RLIMIT_NOFILE).expect("readable");
    let pair = Pair::cuttable_between(
        engine_of(one_shard()),
        engine_of(one_shard()),
        "127.0.0.1:0",
    );
    block_on(async {
        let stream = pair.near.open(StreamOptions::default()).await;
        let stream = stream.expect("opens");
        stream.send(&b"hello"[..]).await.expect("accepted");
        let other = pair.far.accept().await.expect("arrives");
        let opened = pair.client.ambient().open(&path, OpenHow::READ).await;
        let source = opened.expect("opens");

        leave(0);
        let refused = pair.client.ambient().open(&path, OpenHow::READ).await;
        let errno = match refused.expect_err("no descriptor is free") {
            Error::Kernel { errno, .. } => errno,
            error => panic!("{error}"),
        };
        assert_eq!(errno, Errno(24));
        // What is open works, without pipes if need be.
        stream
            .send(source.range(0, 1 << 20))
            .await
            .expect("accepted");
        let (buffer, filled, _) = other.receive_into(vec![0; 5]).await.expect("arrives");
        assert_eq!(&buffer[..filled], b"hello");
        let (buffer, filled, _) = other.receive_into(vec![0; 1 << 20]).await.expect("arrives");
        assert!(filled == 1 << 20 && buffer.iter().all(|byte| *byte == 7));

        // One for who dials, none for who is to accept.
        limit(before);
        leave(1);
        let target = pair.address().to_string();
        let releasing = async {
            let pause = pair.client.sleep(Duration::from_millis(300));
            pause.await.expect("it lives");
            limit(before);
        };
        let ((near, far), ()) = both(pair.another_at(&target), releasing).await;
        near.close(Status::ok());
        far.ended().await;

        // Cut: every redial fails, and the session does not.
        leave(0);
        pair.cut();
        let failed = async || {
            pair.client
                .statistics()
                .await
                .expect("counted")
                .dials_failed
        };
        while failed().await < 3 {
            let pause = pair.client.sleep(Duration::from_millis(20));
            pause.await.expect("it lives");
        }
        limit(before);
        stream.send(&b"behind"[..]).await.expect("accepted");
        let chunk = other.receive().await.expect("arrives");
        assert_eq!(chunk.expect("a chunk").bytes, "behind");
    });
    pair.end();
}

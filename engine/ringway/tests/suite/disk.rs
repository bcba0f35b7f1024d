//! Files past the page cache.

use ringway::{BodyPath, File, OpenHow, PathChoice, Status};

use crate::stage::{End, Setup, Stage, both, pattern};

/// Neither begins nor ends where direct I/O could.
const START: u64 = 1000;
const LENGTH: u64 = (12 << 20) + 321;
const SINK_OFFSET: u64 = 500;

pub fn past_the_cache() -> Setup {
    let mut setup = Setup::default();
    setup.config.path = PathChoice::Direct;
    setup
}

async fn far_file(stage: &Stage) -> File {
    let path = stage.ground.plant(End::Far, "target", b"");
    let directory = stage.far_engine.ambient();
    let opened = directory.open(&path, OpenHow::READ_WRITE_CREATE);
    opened.await.expect("opens")
}

async fn content_of(file: &File, offset: u64) -> Vec<u8> {
    let memory = vec![0; LENGTH as usize + 1];
    let (mut content, count) = file.read_at(offset, memory).await.expect("readable");
    content.truncate(count);
    content
}

pub async fn a_file_that_passes_no_page_cache_arrives_identical_over_cuts(stage: Stage) {
    let content = pattern(1, 0, (START + LENGTH) as usize);
    let source = stage.near_file("source", &content).await;
    let source = source.direct().await.expect("direct I/O is possible");
    let target = far_file(&stage).await;
    let sink = target.direct().await.expect("direct I/O is possible");
    assert!(source.is_direct() && !target.is_direct());
    let (near, far) = stage.stream().await;
    let begin = near.acked_now();
    let send = async {
        near.send(source.range(START, LENGTH))
            .await
            .expect("accepted");
        near.finish(Status::ok()).await.expect("finished");
        for cut in 1..=3 {
            near.acked(begin + cut * (3 << 20)).await.expect("acked");
            stage.ground.cut();
        }
        near.finish_acked().await.expect("acked");
    };
    let receive = far.receive_into_file(&sink, SINK_OFFSET, u64::MAX);
    let ((), written) = both(send, receive).await;
    assert_eq!(written, Ok(LENGTH));
    let arrived = content_of(&target, SINK_OFFSET).await;
    assert!(arrived == content[START as usize..], "altered on its way");
    let (near, far) = (&stage.near_engine, &stage.far_engine);
    let (near, far) = both(near.statistics(), far.statistics()).await;
    let (near, far) = (near.expect("counted"), far.expect("counted"));
    assert!(near.resumes >= 1, "not cut");
    assert!(near.path_bytes.bytes(BodyPath::DirectRead) >= LENGTH);
    assert_eq!(near.path_bytes.bytes(BodyPath::SpliceFile), 0);
    let direct = far.direct_written_bytes;
    assert!(direct > LENGTH / 2, "{direct} of {LENGTH} bytes");
}

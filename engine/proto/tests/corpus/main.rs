//! What fuzzing has found worth keeping, run again: each file under `fuzz/corpus` is an input that
//! once reached something new, or broke something.

#[path = "../../fuzz/src/frames.rs"]
mod frames;
#[path = "../../fuzz/src/handshake.rs"]
mod handshake;
#[path = "../../fuzz/src/session.rs"]
mod session;

use std::path::Path;

/// Runs every file of a target's corpus; a failure names the file.
fn replay(target: &str, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let files = std::fs::read_dir(&folder).expect("the corpus is committed");
    let mut count = 0;
    for file in files {
        let path = file.expect("readable").path();
        count += 1;
        // Miri takes a second for what takes a millisecond.
        if cfg!(miri) && count % 10 > 0 {
            continue;
        }
        let data = std::fs::read(&path).expect("readable");
        let outcome = std::panic::catch_unwind(|| run(&data));
        assert!(outcome.is_ok(), "{} fails", path.display());
    }
    assert!(count >= 10, "{count} files are no corpus");
}

#[test]
fn frames_of_the_corpus_are_decoded_or_refused() {
    replay("frames", frames::run);
}

#[test]
fn handshakes_of_the_corpus_let_no_stranger_in() {
    replay("handshake", handshake::run);
}

#[test]
fn frames_and_calls_of_the_corpus_break_no_session() {
    replay("session", session::run);
}

//! `cargo bench -p ringway-benches --bench micro`: what the small steps cost that every transfer
//! and every message is made of.
#![forbid(unsafe_code)]

mod codec;
mod lease;
mod mailbox;
mod seam;

use std::time::Duration;

use criterion::Criterion;

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(50)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    codec::measure(&mut criterion);
    seam::measure(&mut criterion);
    lease::measure(&mut criterion);
    mailbox::measure(&mut criterion);
    criterion.final_summary();
}

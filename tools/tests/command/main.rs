//! The `ringway` command as people and scripts use it: the built binary, real sockets, real files.
//!
//! Nothing here waits for time to pass: where a transfer has to be caught in the middle, it goes
//! through a relay ([`relay`]) that stops it there.

mod bench;
mod confined;
mod demo;
mod faults;
mod metrics;
mod output;
mod refusals;
mod relay;
mod resume;
mod round_trip;
mod support;

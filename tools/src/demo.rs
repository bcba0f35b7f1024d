//! `ringway demo`: a file crosses a connection that is cut again and again.
//!
//! ```text
//!                    parent: makes the file, cuts, accounts, verifies
//!             stdin = socket │ duplicates of          ▲ stdout: events as JSON lines
//!             pair           │ every connection       │
//!   demo-send (core B) ──────┴── TCP on loopback ── demo-serve (core A)
//!     ordinary put, its own dialer                    ordinary serve
//! ```
//!
//! The session layer knows nothing of the cuts: the parent, a third party, holds a duplicate of
//! each connection's descriptor, watches how many bytes were acknowledged on it, and dissolves it.
//! [`run`] is the parent; [`serve`] and [`send`] are the two hidden commands it starts.

mod child;
mod content;
mod cutter;
mod gaps;
mod plan;
mod report;
pub(crate) mod send;
pub(crate) mod serve;
mod space;
mod stage;

use std::time::Duration;

use serde_json::json;

use self::child::{Child, Ended};
use self::cutter::Cutter;
use self::report::Report;
use self::stage::Stage;
use crate::cli::{Demo, Global};
use crate::cores;
use crate::environment;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::output::Output;
use crate::progress::{EVENT_INTERVAL, Progress};

/// How long the parent sleeps between two looks while cuts are to come: at 4 GB/s a megabyte.
const LOOK_INTERVAL: Duration = Duration::from_micros(250);

/// And when all of them are done.
const IDLE_INTERVAL: Duration = Duration::from_millis(10);

/// Makes the file, has it sent, cuts, verifies, tells.
pub(crate) fn run(options: &Demo, global: &Global, output: &Output) -> Result<(), Failure> {
    let interrupt = Interrupt::install()?;
    let environment = environment::look()?;
    let stage = Stage::set(options, output, &interrupt)?;
    let transfer = transfer(&stage, options, global, output, &interrupt)?;
    let digest_ok = stage.verify(output, &interrupt)?;
    let report = Report::new(&stage, &transfer, digest_ok, environment);
    drop(stage);
    report.tell(output);
    if digest_ok {
        return Ok(());
    }
    let message = "the file that arrived is not the file that was sent: please report this";
    Err(Failure::coded(Exit::Checksum, "digest", message))
}

/// What the transfer came to.
struct Transfer {
    cutter: Cutter,
    sender: Ended,
    receiver: Ended,
}

fn transfer(
    stage: &Stage,
    options: &Demo,
    global: &Global,
    output: &Output,
    interrupt: &Interrupt,
) -> Result<Transfer, Failure> {
    let cores = cores::pair();
    let mut receiver = Child::serve(stage, cores.map(|pair| pair.0), global)?;
    let address = receiver.wait_for_address(interrupt)?;
    let (mut cutter, control) = Cutter::new(plan::cuts(stage.bytes, options.cuts, stage.seed))?;
    let core = cores.map(|pair| pair.1);
    let choice = options.body_path.choice;
    let mut sender = Child::send(stage, &address, control, core, choice, global)?;
    let progress = Progress::bytes(output, Some(stage.bytes), "sending");
    watch(
        &mut sender,
        &mut receiver,
        &mut cutter,
        &progress,
        output,
        interrupt,
    )?;
    progress.clear();
    let sender = sender.end()?;
    let receiver = receiver.end()?;
    Ok(Transfer {
        cutter,
        sender,
        receiver,
    })
}

/// Cuts and looks on until the sender has said its last word.
fn watch(
    sender: &mut Child,
    receiver: &mut Child,
    cutter: &mut Cutter,
    progress: &Progress,
    output: &Output,
    interrupt: &Interrupt,
) -> Result<(), Failure> {
    let mut told = std::time::Instant::now();
    while !sender.has_ended()? {
        receiver.check()?;
        interrupt.check()?;
        let interval = if cutter.is_done() {
            IDLE_INTERVAL
        } else {
            LOOK_INTERVAL
        };
        if let Some(cut) = cutter.look(interval)? {
            output.event("cut", json!({ "offset": cut.offset, "number": cut.number }));
            progress.set_message(&format!("sending, cut {} times", cut.number));
        }
        if told.elapsed() >= EVENT_INTERVAL {
            told = std::time::Instant::now();
            progress.set(cutter.bytes_acked());
            output.event("progress", json!({ "bytes_acked": cutter.bytes_acked() }));
        }
    }
    cutter.catch_up()
}

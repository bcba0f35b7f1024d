//! Runs one seed from its circumstances to its outcome.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use ringway_sim::World;

use crate::draw::Draw;
use crate::outcome::Outcome;
use crate::{files, lossy, streams, witness};

/// Which kind of work a seed does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    /// Streams with drawn traffic, over one or several sessions.
    Streams,
    /// Lossy streams, at memory caps that make them lose.
    Lossy,
    /// Trees of files that are put, got and listed.
    Files,
}

impl Workload {
    /// Its name in reports and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Streams => "streams",
            Self::Lossy => "lossy",
            Self::Files => "files",
        }
    }
}

/// How to run seeds.
#[derive(Clone, Copy, Debug, Default)]
pub struct RunOptions {
    /// Keep the trace as text.
    pub trace: bool,
    /// Only this kind of work; else it is drawn.
    pub workload: Option<Workload>,
}

/// What a run leaves behind for its outcome, also when it panics.
#[derive(Clone, Debug, Default)]
pub struct Context {
    /// Keep the trace as text.
    pub trace: bool,
    world: Rc<RefCell<Option<World>>>,
    /// What happened besides the world's faults.
    counts: Rc<RefCell<BTreeMap<&'static str, u64>>>,
}

impl Context {
    /// Something happened so many times.
    pub(crate) fn count(&self, what: &'static str, times: u64) {
        if times > 0 {
            *self.counts.borrow_mut().entry(what).or_default() += times;
        }
    }

    /// This is the world that the run is about.
    pub(crate) fn adopt(&self, world: &World) {
        *self.world.borrow_mut() = Some(world.clone());
    }
}

/// Runs one seed. A violation is in the outcome; this does not panic.
#[must_use]
pub fn run_seed(seed: u64, options: RunOptions) -> Outcome {
    let mut draw = Draw::new(seed, 11);
    let drawn = match draw.below(100) {
        0..10 => Workload::Lossy,
        10..25 => Workload::Files,
        _ => Workload::Streams,
    };
    let workload = options.workload.unwrap_or(drawn);
    let context = Context {
        trace: options.trace,
        ..Context::default()
    };
    let (_, panics) = witness::watch(|| match workload {
        Workload::Streams => streams::run(seed, &context),
        Workload::Lossy => lossy::run(seed, &context),
        Workload::Files => files::run(seed, &context),
    });
    let violation = (!panics.is_empty()).then(|| panics.join("\n"));
    outcome(seed, workload, &context, violation)
}

fn outcome(seed: u64, workload: Workload, context: &Context, violation: Option<String>) -> Outcome {
    let world = context.world.borrow();
    let world = world.as_ref();
    let mut faults = world.map(World::faults).unwrap_or_default();
    faults.extend(context.counts.borrow().iter());
    Outcome {
        seed,
        workload: workload.name(),
        trace_hash: world.map_or(0, World::trace_hash),
        faults,
        bytes_moved: world.map_or(0, World::bytes_moved),
        virtual_ns: world.map_or(0, World::now_ns),
        violation,
        trace: world.map(World::trace_text).unwrap_or_default(),
    }
}

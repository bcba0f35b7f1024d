//! Starting a ring: the set-up ladder, the memory, what of it the kernel registers.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use ringway_io::{Capabilities, Capability, Doorbell, Errno, Limits, Reduction};

use crate::arena::{Arena, huge_bytes};
use crate::config::UringConfig;
use crate::doorbell::Bell;
use crate::foreign_loop::Signals;
use crate::helpers::Helpers;
use crate::ladder::{QueueSizes, queue_sizes, rungs};
use crate::locked_memory::{ARENA_PATIENCE, RING_PATIENCE, patiently, remedy, share_bytes};
use crate::naming::Naming;
use crate::pipes::Pipes;
use crate::probe::Finding;
use crate::provided::{ENTRIES_MAX, GROUP, Provided};
use crate::slots::Slots;
use crate::splice;
use crate::surroundings::{look, memlock_limit_bytes};
use crate::sys::mapping::HUGE_PAGE_BYTES;
use crate::sys::ring::Ring;
use crate::trial;
use crate::unavailable::{UringUnavailable, diagnose};
use crate::uring::{Phase, Uring};

impl Uring {
    /// Sets a ring up, with as much as this machine gives of what is configured.
    ///
    /// What runs smaller stands in [`Limits::reductions`]. The thread that first enters becomes the
    /// ring's owner, not the one that starts it.
    ///
    /// # Errors
    /// [`UringUnavailable`], with the reason and the exact remedy, when there can be no ring at
    /// all.
    pub fn start(config: UringConfig) -> Result<Self, UringUnavailable> {
        Self::try_start(config).map_err(|errno| diagnose(&look(errno)))
    }

    fn try_start(config: UringConfig) -> Result<Self, Errno> {
        let provided_count = provided_count(&config);
        let wanted = queue_sizes(
            config.submission_entries,
            config.ops_max,
            provided_count,
            config.accept_window,
        );
        // Before the ring: what the trials lock comes back, what the ring locks does not.
        let mut findings = trial::findings();
        let (mut ring, sizes) = climb(&config, wanted)?;
        findings.extend(features(&config, &ring));
        let mut reductions = queue_reductions(&config, wanted, sizes);
        let arena = start_arena(&config, &mut ring, &mut findings, &mut reductions);
        let provided = start_provided(&config, sizes, &mut ring, &mut reductions);
        if provided.is_none() {
            absent(
                &mut findings,
                Capability::ReceiveMultishot,
                "no provided buffers",
            );
        }
        let capabilities = settle(&mut findings, config.masked);
        ring.set_no_iowait(capabilities.has(Capability::NoIoWait));
        let has_splice = capabilities.has(Capability::Splice);
        let pipes_max = if has_splice { config.pipes_max } else { 0 };
        let bell = Arc::new(Bell::new()?);
        let shared_bell = Arc::clone(&bell) as Arc<dyn Doorbell>;
        let limits = Limits {
            submission_entries: ring.parameters().sq_entries(),
            completion_entries: ring.parameters().cq_entries(),
            ops_max: sizes.ops_max,
            arena_bytes: arena.as_ref().map_or(0, Arena::bytes),
            lease_sizes: arena
                .as_ref()
                .map_or_else(Vec::new, |_| Arena::lease_sizes()),
            provided_count: provided.as_ref().map_or(0, Provided::count),
            provided_bytes: provided.as_ref().map_or(0, |_| config.provided_bytes),
            pipes_max,
            pipe_bytes: 0,
            reductions,
        };
        let mut uring = Self {
            ring,
            phase: Phase::Started,
            slots: Slots::new(),
            naming: Naming::default(),
            ready: VecDeque::new(),
            stash: VecDeque::new(),
            arena,
            provided,
            pipes: Pipes::new(pipes_max, config.pipe_bytes),
            bell_descriptor: bell.descriptor()?,
            bell_op: None,
            signals: Signals::default(),
            helpers: Helpers::start(config.helper_threads, config.helper_queue_max, &shared_bell)?,
            bell,
            capabilities,
            findings,
            limits,
            config,
            is_ending: false,
            has_queued_in_reap: false,
        };
        uring.first_pipe();
        uring.arm_bell();
        Ok(uring)
    }

    /// Makes one pipe now, so that the limits tell what pipes really hold.
    fn first_pipe(&mut self) {
        if let Some(pipe) = self.pipes.acquire() {
            self.note_pipes();
            self.pipes.release(pipe, true);
        }
    }
}

/// Tries the wanted sizes, then this ring's share of the locked memory (since 6.14 the queues count
/// against the limit), for a while, then less and less.
fn climb(config: &UringConfig, wanted: QueueSizes) -> Result<(Ring, QueueSizes), Errno> {
    let share_bytes = share_bytes(memlock_limit_bytes(), config.rings);
    let mut made = try_rungs(config, wanted).map(|ring| (ring, wanted));
    let mut next = wanted.fitting(share_bytes);
    let mut patience = RING_PATIENCE;
    while let (Err(Errno::ENOMEM), Some(sizes)) = (&made, next) {
        made = patiently(patience, || try_rungs(config, sizes)).map(|ring| (ring, sizes));
        next = sizes.halved();
        patience = Duration::ZERO;
    }
    made
}

/// Tries the flag sets from the best one down.
fn try_rungs(config: &UringConfig, sizes: QueueSizes) -> Result<Ring, Errno> {
    let no_sqarray = !config.masked.has(Capability::NoSqArray);
    let completion = config.completion_entries.unwrap_or(sizes.completion);
    let mut last = Errno::EINVAL;
    for flags in rungs(no_sqarray) {
        match Ring::new(flags, sizes.submission, completion) {
            Err(Errno::EINVAL) => last = Errno::EINVAL,
            other => return other,
        }
    }
    Err(last)
}

/// What the ring itself tells.
fn features(config: &UringConfig, ring: &Ring) -> [Finding; 3] {
    let parameters = ring.parameters();
    let told = |is_there: bool, how: &str| match is_there {
        true => Ok(how.to_string()),
        false => Err(how.to_string()),
    };
    let no_sqarray = match config.masked.has(Capability::NoSqArray) {
        true => Err("not tried".to_string()),
        false => told(ring.flags().no_sqarray, "flag IORING_SETUP_NO_SQARRAY"),
    };
    [
        Finding::new(Capability::NoSqArray, no_sqarray),
        Finding::new(
            Capability::MinTimeout,
            told(
                parameters.is_feature_min_timeout(),
                "feature bit IORING_FEAT_MIN_TIMEOUT",
            ),
        ),
        Finding::new(
            Capability::NoIoWait,
            told(
                parameters.is_feature_no_iowait(),
                "feature bit IORING_FEAT_NO_IOWAIT",
            ),
        ),
    ]
}

fn provided_count(config: &UringConfig) -> u32 {
    config.provided_count.min(ENTRIES_MAX).next_power_of_two()
}

fn queue_reductions(config: &UringConfig, wanted: QueueSizes, got: QueueSizes) -> Vec<Reduction> {
    let reason = match got == wanted {
        true => "the kernel's largest completion queue has 65536 entries; use more shards".into(),
        false => format!("the ring's queues are locked memory; {}", remedy()),
    };
    let ops = ("ops", config.ops_max, got.ops_max);
    let provided = (
        "provided buffers",
        wanted.provided_count,
        got.provided_count,
    );
    let smaller = [ops, provided]
        .into_iter()
        .filter(|(_, wanted, got)| got < wanted);
    let reductions = smaller.map(|(what, wanted, got)| Reduction {
        what,
        wanted: wanted.into(),
        got: got.into(),
        reason: reason.clone(),
    });
    reductions.collect()
}

fn start_arena(
    config: &UringConfig,
    ring: &mut Ring,
    findings: &mut Vec<Finding>,
    reductions: &mut Vec<Reduction>,
) -> Option<Arena> {
    if config.arena_bytes == 0 {
        no_arena(findings, "none is configured");
        return None;
    }
    let mut arena = match Arena::new(config.arena_bytes, config.poison_returned) {
        Ok(arena) => arena,
        Err(errno) => {
            reductions.push(Reduction {
                what: "arena",
                wanted: config.arena_bytes,
                got: 0,
                reason: format!("memfd_create(2) or mmap(2): {errno}"),
            });
            no_arena(findings, "it could not be mapped");
            return None;
        }
    };
    let registered = match config.masked.has(Capability::RegisteredBuffers) {
        true => Err(Errno::EOPNOTSUPP),
        false => register(config, ring, &arena, reductions),
    };
    arena.set_registered(registered.unwrap_or(0));
    let registered = registered
        .map(|bytes| format!("{bytes} bytes registered"))
        .map_err(|errno| errno.to_string());
    findings.push(Finding::new(Capability::RegisteredBuffers, registered));
    findings.push(Finding::new(
        Capability::ArenaSplice,
        try_arena_splice(&mut arena).map_err(|errno| errno.to_string()),
    ));
    findings.push(Finding::new(Capability::HugePages, look_for_huge(&arena)));
    Some(arena)
}

fn no_arena(findings: &mut Vec<Finding>, why: &str) {
    let of_the_arena = [
        Capability::RegisteredBuffers,
        Capability::ArenaSplice,
        Capability::HugePages,
    ];
    let none = of_the_arena.map(|each| Finding::new(each, Err(format!("no arena: {why}"))));
    findings.extend(none);
}

/// Registers as much of the arena as the locked-memory limit allows, from its start, in whole
/// 2 MiB. Its share of the limit is worth waiting for, should it come back late.
fn register(
    config: &UringConfig,
    ring: &mut Ring,
    arena: &Arena,
    reductions: &mut Vec<Reduction>,
) -> Result<usize, Errno> {
    let wanted = arena.memory().mapping().len();
    let share_bytes = share_bytes(memlock_limit_bytes(), config.rings);
    let mut bytes = wanted;
    let result = loop {
        let patience = match bytes as u64 <= share_bytes {
            true => ARENA_PATIENCE,
            false => Duration::ZERO,
        };
        match patiently(patience, || ring.register_arena(arena.memory(), bytes)) {
            Ok(()) => break Ok(bytes),
            Err(Errno::ENOMEM | Errno::EPERM) if bytes > HUGE_PAGE_BYTES => {
                bytes = (bytes / 2).next_multiple_of(HUGE_PAGE_BYTES);
            }
            Err(errno) => break Err(errno),
        }
    };
    if result != Ok(wanted) {
        reductions.push(Reduction {
            what: "registered arena",
            wanted: wanted as u64,
            got: result.unwrap_or(0) as u64,
            reason: format!(
                "registered buffers are locked memory; {}; the rest of the arena works unregistered",
                remedy()
            ),
        });
    }
    result
}

/// Splices a page of the arena into a pipe and compares.
fn try_arena_splice(arena: &mut Arena) -> Result<String, Errno> {
    let mut piece = arena.lend(1).ok_or(Errno::ENOMEM)?;
    piece[..8].copy_from_slice(b"by-refer");
    let lease = piece.freeze(8);
    let (read, write) =
        nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).map_err(|error| Errno(error as i32))?;
    let offset = arena.memory().offset_of(&lease).ok_or(Errno::EINVAL)?;
    splice::from_file(arena.memory().memfd(), offset as u64, &write, 8)?;
    let mut got = [0; 8];
    let count = nix::unistd::read(&read, &mut got).map_err(|error| Errno(error as i32))?;
    match got[..count] == lease[..] {
        true => Ok("a page of the arena passed through a pipe, bytes compared".into()),
        false => Err(Errno::EIO),
    }
}

fn look_for_huge(arena: &Arena) -> Result<String, String> {
    let huge = huge_bytes(arena.memory());
    let all = arena.memory().mapping().len() as u64;
    let text = format!("{huge} of {all} bytes are mapped by huge pages");
    if huge >= all { Ok(text) } else { Err(text) }
}

fn start_provided(
    config: &UringConfig,
    sizes: QueueSizes,
    ring: &mut Ring,
    reductions: &mut Vec<Reduction>,
) -> Option<Provided> {
    if config.provided_count == 0 {
        return None;
    }
    let made = Provided::new(sizes.provided_count, config.provided_bytes).and_then(|provided| {
        patiently(RING_PATIENCE, || {
            ring.register_provided(provided.memory(), GROUP)
        })
        .map(|()| provided)
    });
    made.map_err(|errno| {
        reductions.push(Reduction {
            what: "provided buffers",
            wanted: config.provided_count.into(),
            got: 0,
            reason: format!("they cannot be mapped or registered: {errno}"),
        });
    })
    .ok()
}

/// What was tried works, but this ring has not what it takes.
fn absent(findings: &mut [Finding], capability: Capability, why: &str) {
    let found = findings
        .iter_mut()
        .find(|each| each.capability == capability);
    if let Some(finding) = found {
        finding.is_present = false;
        finding.how = why.to_string();
    }
}

/// Marks what is masked, sorts, and returns what is left.
fn settle(findings: &mut [Finding], masked: Capabilities) -> Capabilities {
    for finding in findings.iter_mut() {
        finding.is_masked = masked.has(finding.capability);
    }
    findings.sort_by_key(|finding| finding.capability);
    findings
        .iter()
        .filter(|finding| finding.is_present && !finding.is_masked)
        .map(|finding| finding.capability)
        .collect()
}

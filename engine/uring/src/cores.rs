//! Processor cores: which ones this thread may use, and keeping it on one.

use std::fs;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use ringway_io::Errno;

use crate::socket::errno;

/// A core as the kernel numbers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Core {
    /// Its number.
    pub number: usize,
    /// Names the physical core: hyperthreads of one have the same text.
    pub physical: String,
}

/// As sched_setaffinity(2) reads 0.
fn calling_thread() -> Pid {
    Pid::from_raw(0)
}

/// Cores that the calling thread may use: its affinity mask, which the process' cpuset bounds.
///
/// # Errors
/// What sched_getaffinity(2) says; `EINVAL` on machines with more than 1024 cores.
pub fn allowed_cores() -> Result<Vec<Core>, Errno> {
    let numbers = allowed_to(calling_thread())?;
    let core = |number| Core {
        number,
        physical: siblings(number),
    };
    Ok(numbers.into_iter().map(core).collect())
}

fn allowed_to(thread: Pid) -> Result<Vec<usize>, Errno> {
    let set = sched_getaffinity(thread).map_err(errno)?;
    let numbers = 0..CpuSet::count();
    Ok(numbers
        .filter(|&number| set.is_set(number).unwrap_or(false))
        .collect())
}

fn siblings(number: usize) -> String {
    let path = format!("/sys/devices/system/cpu/cpu{number}/topology/thread_siblings_list");
    fs::read_to_string(path).map_or_else(|_| number.to_string(), |text| text.trim().to_owned())
}

/// Keeps the calling thread, and threads it starts from now on, on one core. Kernel workers that a
/// ring has already do not follow: [`UringConfig::worker_core`](crate::UringConfig::worker_core).
///
/// # Errors
/// What sched_setaffinity(2) says: `EINVAL` for a core that the cpuset does not have.
pub fn keep_thread_on(core: usize) -> Result<(), Errno> {
    let mut set = CpuSet::new();
    let kept = set.set(core);
    kept.and_then(|()| sched_setaffinity(calling_thread(), &set))
        .map_err(errno)
}

/// Threads that end a moment after the ring they belong to; whoever started it knows their cores.
const KNOWN_BY_OTHERS: [&str; 2] = ["iou-", "ringway-"];

/// Cores to which threads of this process are kept: those of threads that may run on one core only.
/// Kernel workers and the engine's own threads are left out.
#[must_use]
pub fn cores_of_single_threads() -> Vec<usize> {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten();
    let threads = tasks.flatten().filter_map(|entry| {
        let number = entry.file_name().to_str()?.parse().ok()?;
        let name = fs::read_to_string(entry.path().join("comm")).ok()?;
        let is_known = KNOWN_BY_OTHERS.iter().any(|known| name.starts_with(known));
        (!is_known).then_some(())?;
        allowed_to(Pid::from_raw(number)).ok()
    });
    let mut cores: Vec<_> = threads
        .filter_map(|cores| match cores[..] {
            [core] => Some(core),
            _ => None,
        })
        .collect();
    cores.sort_unstable();
    cores.dedup();
    cores
}

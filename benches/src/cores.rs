//! Which core a process runs on.

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// As sched_setaffinity(2) reads 0: the calling thread.
const THIS_THREAD: Pid = Pid::from_raw(0);

/// The cores this process may use, ascending.
///
/// # Errors
/// What sched_getaffinity(2) says.
pub fn allowed() -> nix::Result<Vec<usize>> {
    let set = sched_getaffinity(THIS_THREAD)?;
    let cores = (0..CpuSet::count()).filter(|&core| set.is_set(core) == Ok(true));
    Ok(cores.collect())
}

/// Keeps the calling thread on one core, and every thread it starts afterwards, kernel workers
/// of its rings included.
///
/// # Errors
/// `EINVAL` for a core that this process may not use.
pub fn pin(core: usize) -> nix::Result<()> {
    let mut set = CpuSet::new();
    set.set(core)?;
    sched_setaffinity(THIS_THREAD, &set)
}

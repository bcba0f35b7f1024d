//! Which core each side runs on.

use std::fs;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use crate::failure::Failure;

/// Two cores that this process may use, on different physical cores if possible; `None` where
/// there is only one, and then nothing is pinned.
pub(crate) fn pair() -> Option<(usize, usize)> {
    let allowed = sched_getaffinity(this_process()).ok()?;
    let cores: Vec<_> = (0..CpuSet::count())
        .filter(|core| allowed.is_set(*core).unwrap_or(false))
        .map(|core| (core, siblings(core)))
        .collect();
    choose(&cores)
}

fn choose(cores: &[(usize, String)]) -> Option<(usize, usize)> {
    let (first, rest) = cores.split_first()?;
    let apart = rest.iter().find(|core| core.1 != first.1);
    let second = apart.or_else(|| rest.first())?;
    Some((first.0, second.0))
}

/// Names the physical core: hyperthreads of one give the same text.
fn siblings(core: usize) -> String {
    let path = format!("/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list");
    fs::read_to_string(path).unwrap_or_else(|_| core.to_string())
}

/// Pins this process, and every thread it starts from now on.
pub(crate) fn pin(core: Option<usize>) -> Result<(), Failure> {
    let Some(core) = core else {
        return Ok(());
    };
    let mut set = CpuSet::new();
    set.set(core)
        .and_then(|()| sched_setaffinity(this_process(), &set))
        .map_err(|errno| Failure::io("pin to a core", &errno.into()))
}

/// As sched_setaffinity(2) reads 0: the calling thread, which is still the only one.
fn this_process() -> Pid {
    Pid::from_raw(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn physical_cores_are_preferred_to_hyperthreads() {
        let core = |number, siblings: &str| (number, siblings.to_owned());
        let hyper = [core(0, "0-1"), core(1, "0-1"), core(2, "2-3")];
        assert_eq!(choose(&hyper), Some((0, 2)));
        assert_eq!(choose(&hyper[..2]), Some((0, 1)));
        assert_eq!(choose(&hyper[..1]), None);
    }
}

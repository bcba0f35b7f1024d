//! Which core each shard is kept on, and which cores are taken.
//!
//! ```text
//!   this thread's mask ─▶ less what is taken ─▶ one per shard ─▶ claimed until the shard ends
//!                         (claims of engines of this process,
//!                          threads of it that are kept on one core)
//! ```
//!
//! Two shards that are kept on one core wait for each other, and neither can be moved away: so a
//! core is never given twice unless the caller lists it twice. What other processes do is not
//! known here: give each process cores of its own (taskset(1), a cpuset).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ringway_io::Errno;
use ringway_uring::{Core, allowed_cores, cores_of_single_threads, keep_thread_on};

use crate::error::StartError;

/// Which cores the shards run on, their kernel workers with them.
///
/// Written as `any`, `own`, or a list: `2,4-7`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Cores {
    /// Wherever the scheduler puts them.
    #[default]
    Any,
    /// Each shard is kept on a core of its own, of those that this thread may use and nobody in this
    /// process has taken: no shard of another engine, no thread that is kept on one core. Other
    /// physical cores come before hyperthreads of taken ones. With [`Config::shards`] 0 there is a
    /// shard for each such core; more shards than that are refused.
    ///
    /// [`Config::shards`]: crate::Config::shards
    Own,
    /// The first shard is kept on the first of these, and so on, whoever else is there; more shards
    /// than cores begin at the first again, and share. With [`Config::shards`] 0 there is a shard for
    /// each entry.
    ///
    /// [`Config::shards`]: crate::Config::shards
    These(Vec<usize>),
}

/// Above this, numbers are no cores: what sched_setaffinity(2) takes here.
const CORES_MAX: usize = 1024;

impl FromStr for Cores {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "any" => return Ok(Self::Any),
            "own" => return Ok(Self::Own),
            _ => {}
        }
        let wrong =
            || format!("`{text}` is none of any, own, or a list of cores such as 2,4-7 below 1024");
        let number = |text: &str| -> Option<usize> {
            let core = text.trim().parse().ok();
            core.filter(|core| *core < CORES_MAX)
        };
        let mut cores = Vec::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            match (number(first), number(last)) {
                (Some(first), Some(last)) if first <= last => cores.extend(first..=last),
                _ => return Err(wrong()),
            }
            if cores.len() > CORES_MAX {
                return Err(wrong());
            }
        }
        Ok(Self::These(cores))
    }
}

impl fmt::Display for Cores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::Own => f.write_str("own"),
            Self::These(cores) => {
                let cores: Vec<_> = cores.iter().map(usize::to_string).collect();
                f.write_str(&cores.join(","))
            }
        }
    }
}

/// How many shards are kept on each core, over all engines of this process.
static CLAIMS: Mutex<BTreeMap<usize, usize>> = Mutex::new(BTreeMap::new());

fn claims() -> MutexGuard<'static, BTreeMap<usize, usize>> {
    CLAIMS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A shard's core, until it is dropped.
#[derive(Debug)]
pub(crate) struct Claim(usize);

impl Claim {
    fn of(claims: &mut BTreeMap<usize, usize>, core: usize) -> Self {
        *claims.entry(core).or_default() += 1;
        Self(core)
    }

    /// Its number.
    pub(crate) fn core(&self) -> usize {
        self.0
    }

    /// Keeps the calling thread there; whether that could be done.
    pub(crate) fn keep_thread(&self) -> bool {
        let kept = keep_thread_on(self.0);
        if let Err(errno) = kept {
            tracing::warn!(core = self.0, %errno, "the shard is not kept on its core");
        }
        kept.is_ok()
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut claims = claims();
        if let Some(count) = claims.get_mut(&self.0) {
            *count -= 1;
            if *count == 0 {
                claims.remove(&self.0);
            }
        }
    }
}

/// The shards of one engine to be: how many, and the core of each unless it may be any.
#[derive(Debug)]
pub(crate) enum Placement {
    /// So many as the engine sees fit, or as are asked for.
    Any,
    /// One shard for each.
    Kept(Vec<Claim>),
}

/// Chooses and claims; `shards` 0 leaves the number to the choice.
pub(crate) fn place(cores: &Cores, shards: usize) -> Result<Placement, StartError> {
    let chosen = match cores {
        Cores::Any => return Ok(Placement::Any),
        Cores::These(list) => {
            let mut claims = claims();
            let chosen = go_round(list, shards, &allowed()?)?;
            claim(&mut claims, &chosen)
        }
        Cores::Own => {
            let mut claims = claims();
            let allowed = allowed()?;
            let taken = taken(&claims, &allowed);
            let chosen = choose(&allowed, &taken, shards)?;
            claim(&mut claims, &chosen)
        }
    };
    try_each(&chosen)?;
    Ok(Placement::Kept(chosen))
}

fn claim(claims: &mut BTreeMap<usize, usize>, cores: &[usize]) -> Vec<Claim> {
    let each = cores.iter().map(|&core| Claim::of(claims, core));
    each.collect()
}

/// What an engine with cores of its own could have here now.
///
/// # Errors
/// [`StartError::Core`] when the kernel does not tell which cores this thread may use.
pub fn free_cores() -> Result<Vec<usize>, StartError> {
    let allowed = allowed()?;
    let taken = taken(&claims(), &allowed);
    Ok(choose(&allowed, &taken, 0).unwrap_or_default())
}

fn allowed() -> Result<Vec<Core>, StartError> {
    allowed_cores().map_err(|errno| StartError::Core { core: None, errno })
}

/// A thread on the only core there is has not chosen it.
fn taken(claims: &BTreeMap<usize, usize>, allowed: &[Core]) -> BTreeSet<usize> {
    let mut taken: BTreeSet<_> = claims.keys().copied().collect();
    if allowed.len() > 1 {
        taken.extend(cores_of_single_threads());
    }
    taken
}

/// Free cores for `wanted` shards; all of them for 0. Those of physical cores with the fewest taken
/// hyperthreads come first, by number.
fn choose(
    allowed: &[Core],
    taken: &BTreeSet<usize>,
    wanted: usize,
) -> Result<Vec<usize>, StartError> {
    let mut busy: BTreeMap<&str, usize> = BTreeMap::new();
    for core in allowed.iter().filter(|core| taken.contains(&core.number)) {
        *busy.entry(&core.physical).or_default() += 1;
    }
    let mut free: Vec<_> = allowed
        .iter()
        .filter(|core| !taken.contains(&core.number))
        .collect();
    let count = match wanted {
        0 => free.len(),
        wanted => wanted,
    };
    if count == 0 || count > free.len() {
        return Err(StartError::Cores {
            wanted: count.max(1),
            free: free.len(),
            allowed: allowed.len(),
        });
    }
    let mut chosen = Vec::with_capacity(count);
    while chosen.len() < count {
        let load = |core: &&Core| busy.get(&*core.physical).copied().unwrap_or(0);
        let next = (0..free.len()).min_by_key(|&index| (load(&free[index]), free[index].number));
        let core = free.remove(next.unwrap_or(0));
        *busy.entry(&core.physical).or_default() += 1;
        chosen.push(core.number);
    }
    Ok(chosen)
}

fn go_round(list: &[usize], shards: usize, allowed: &[Core]) -> Result<Vec<usize>, StartError> {
    let is_allowed = |wanted: usize| allowed.iter().any(|core| core.number == wanted);
    if let Some(&core) = list.iter().find(|&&core| !is_allowed(core)) {
        let errno = Errno::EINVAL;
        let core = Some(core);
        return Err(StartError::Core { core, errno });
    }
    if list.is_empty() {
        return Err(StartError::Configuration {
            what: "cores in the list",
            wanted: 0,
            allowed: "1 or more",
        });
    }
    let count = match shards {
        0 => list.len(),
        shards => shards,
    };
    Ok(list.iter().copied().cycle().take(count).collect())
}

/// Before any shard is there, on a thread that ends: a core may be allowed by the mask and still be
/// refused.
fn try_each(chosen: &[Claim]) -> Result<(), StartError> {
    let attempt = || {
        let refused = chosen.iter().find_map(|claim| {
            let core = Some(claim.core());
            let refused = keep_thread_on(claim.core()).err();
            refused.map(|errno| StartError::Core { core, errno })
        });
        refused.map_or(Ok(()), Err)
    };
    std::thread::scope(|scope| scope.spawn(attempt).join()).unwrap_or(Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cores(physical: &[&str]) -> Vec<Core> {
        let core = |(number, physical): (usize, &&str)| Core {
            number,
            physical: (*physical).into(),
        };
        physical.iter().enumerate().map(core).collect()
    }

    #[test]
    fn physical_cores_come_before_hyperthreads_of_taken_ones() {
        let hyper = cores(&["0-1", "0-1", "2-3", "2-3"]);
        let none = BTreeSet::new();
        assert_eq!(choose(&hyper, &none, 2).expect("free"), [0, 2]);
        assert_eq!(choose(&hyper, &none, 3).expect("free"), [0, 2, 1]);
        assert_eq!(choose(&hyper, &[0].into(), 1).expect("free"), [2]);
        assert_eq!(choose(&hyper, &[0, 2].into(), 0).expect("free"), [1, 3]);
    }

    #[test]
    fn a_taken_core_is_never_given_again() {
        let four = cores(&["0", "1", "2", "3"]);
        let taken = [1, 2, 9].into();
        assert_eq!(choose(&four, &taken, 0).expect("free"), [0, 3]);
        let refused = choose(&four, &taken, 3).expect_err("two are free");
        let text = refused.to_string();
        assert!(text.contains('3') && text.contains("2 of 4"), "{text}");
        let all = [0, 1, 2, 3].into();
        assert!(choose(&four, &all, 0).is_err(), "none is free");
    }

    #[test]
    fn listed_cores_are_shared_only_when_shards_are_more() {
        let allowed = cores(&["0", "1", "2"]);
        assert_eq!(go_round(&[2, 0], 0, &allowed).expect("allowed"), [2, 0]);
        assert_eq!(go_round(&[2, 0], 3, &allowed).expect("allowed"), [2, 0, 2]);
        let refused = go_round(&[1, 3], 0, &allowed).expect_err("3 is not allowed");
        assert!(matches!(refused, StartError::Core { core: Some(3), .. }));
        assert!(go_round(&[], 1, &allowed).is_err());
    }

    #[test]
    fn cores_are_said_in_three_ways() {
        assert_eq!("any".parse(), Ok(Cores::Any));
        assert_eq!("own".parse(), Ok(Cores::Own));
        assert_eq!("2,4-6".parse(), Ok(Cores::These(vec![2, 4, 5, 6])));
        for wrong in ["", "two", "3-1", "-1", "1,", "1024", "0-1023,5"] {
            assert!(wrong.parse::<Cores>().is_err(), "{wrong}");
        }
        for text in ["any", "own", "2,4"] {
            let cores: Cores = text.parse().expect("known");
            assert_eq!(cores.to_string(), text);
        }
    }

    #[test]
    fn a_claim_ends_with_its_shard() {
        let core = CORES_MAX + 7;
        let (one, other) = {
            let mut claims = claims();
            (Claim::of(&mut claims, core), Claim::of(&mut claims, core))
        };
        drop(one);
        assert_eq!(claims().get(&core), Some(&1));
        drop(other);
        assert_eq!(claims().get(&core), None);
    }
}

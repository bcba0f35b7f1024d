//! How an idle shard waits: asleep in the kernel, after a peek, or spinning.
//!
//! ```text
//!   work ─▶ nothing left ──looks again?──yes──▶ a turn without a wait ─▶ …
//!                              │ no
//!                              ▼
//!                          sleep in the kernel
//! ```
//!
//! To fall asleep and be woken costs both ends: the sleeper a change of context, whoever wakes it
//! an interrupt of another core, and on a virtual machine an exit each. A shard whose waits have
//! been shorter than that looks again before it sleeps. How long it looks is learned as
//! kvm's `halt_poll_ns` is: it doubles while waits end within the bound, and is 0 as soon as one
//! does not. So a shard that waits long does not look at all. Looks that end in sleep all the same,
//! again and again, are a sign that whoever is waited for needs this core: then it rests from looking.

use std::time::Duration;

use crate::error::StartError;

/// How a shard waits when it has nothing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitMode {
    /// It sleeps in the kernel.
    Sleep {
        /// Before, it looks for so long at most, and only while its waits are no longer than this.
        /// 0: it sleeps at once. At most 1 ms.
        peek_max: Duration,
    },
    /// It looks again and again, on a core of its own, and sleeps only when nothing has come for
    /// so long. For latency: there should be a core for each shard and one for everything else.
    Spin {
        /// Without work for so long it sleeps until there is some; `Duration::MAX`: never.
        idle_max: Duration,
    },
}

/// Longest peek that can be asked for: above, it is spinning.
const PEEK_MAX: Duration = Duration::from_millis(1);

/// The first peek after none, ns: about what it costs to sleep and to be woken.
const PEEK_FIRST_NS: u64 = 4_000;

impl Default for WaitMode {
    fn default() -> Self {
        Self::Sleep {
            peek_max: Duration::from_micros(50),
        }
    }
}

impl WaitMode {
    /// Refuses what makes no sense.
    pub(crate) fn check(self) -> Result<(), StartError> {
        match self {
            Self::Sleep { peek_max } if peek_max > PEEK_MAX => Err(StartError::Configuration {
                what: "wait: peek_max, ns",
                wanted: nanoseconds(peek_max),
                allowed: "0 to 1000000; spin for more",
            }),
            Self::Sleep { .. } | Self::Spin { .. } => Ok(()),
        }
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// So many looks in vain in a row: the peek has doubled up to its bound by then, and once more …
const VAIN_MAX: u32 = 8;

/// … and so many waits without a look follow.
const REST_WAITS: u32 = 100;

/// What one shard knows of its waits.
#[derive(Debug)]
pub(crate) struct Vigil {
    mode: WaitMode,
    /// Since when there is nothing to do.
    idle_since_ns: Option<u64>,
    /// How long it looks before it sleeps, as learned.
    peek_ns: u64,
    /// Looks in a row that ended in sleep.
    vain: u32,
    /// Waits still to come without a look.
    rest: u32,
}

impl Vigil {
    pub(crate) fn new(mode: WaitMode) -> Self {
        Self {
            mode,
            idle_since_ns: None,
            peek_ns: 0,
            vain: 0,
            rest: 0,
        }
    }

    /// There was something to do.
    pub(crate) fn end_wait(&mut self, now_ns: u64) {
        let Some(since_ns) = self.idle_since_ns.take() else {
            return;
        };
        if let WaitMode::Sleep { peek_max } = self.mode {
            self.learn(now_ns.saturating_sub(since_ns), nanoseconds(peek_max));
        }
    }

    fn learn(&mut self, waited_ns: u64, most_ns: u64) {
        if self.peek_ns > 0 && waited_ns <= self.peek_ns {
            self.vain = 0;
            return;
        }
        self.vain += u32::from(self.peek_ns > 0);
        self.rest = self.rest.saturating_sub(1);
        if self.vain >= VAIN_MAX {
            (self.vain, self.rest) = (0, REST_WAITS);
        }
        let is_short = waited_ns <= most_ns && self.rest == 0;
        let longer_ns = self.peek_ns.saturating_mul(2).max(PEEK_FIRST_NS);
        self.peek_ns = if is_short { longer_ns.min(most_ns) } else { 0 };
    }

    /// There is nothing to do: whether to look again, rather than sleep. A peek wants a kernel that
    /// can be looked at without a turn.
    pub(crate) fn looks_again(&mut self, now_ns: u64, can_peek: bool) -> bool {
        let since_ns = *self.idle_since_ns.get_or_insert(now_ns);
        let for_ns = match self.mode {
            WaitMode::Sleep { .. } if can_peek => self.peek_ns,
            WaitMode::Sleep { .. } => 0,
            WaitMode::Spin { idle_max } => nanoseconds(idle_max),
        };
        now_ns.saturating_sub(since_ns) < for_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(vigil: &mut Vigil, now_ns: &mut u64, wait_ns: u64) -> u64 {
        let begun_ns = *now_ns;
        let mut looked_ns = 0;
        while *now_ns < begun_ns + wait_ns {
            if !vigil.looks_again(*now_ns, true) {
                *now_ns = begun_ns + wait_ns;
                break;
            }
            *now_ns += 100;
            looked_ns += 100;
        }
        vigil.end_wait(*now_ns);
        looked_ns
    }

    #[test]
    fn short_waits_are_looked_through_and_one_long_wait_ends_that() {
        let peek_max = Duration::from_micros(20);
        let mut vigil = Vigil::new(WaitMode::Sleep { peek_max });
        let mut now_ns = 1_000_000;
        assert_eq!(
            waits(&mut vigil, &mut now_ns, 15_000),
            0,
            "the first sleeps"
        );
        for _ in 0..3 {
            waits(&mut vigil, &mut now_ns, 15_000);
        }
        assert_eq!(waits(&mut vigil, &mut now_ns, 15_000), 15_000);
        assert!(waits(&mut vigil, &mut now_ns, 1_000_000) <= 20_000);
        assert_eq!(waits(&mut vigil, &mut now_ns, 1_000_000), 0);
        assert_eq!(waits(&mut vigil, &mut now_ns, 1_000_000), 0);
    }

    #[test]
    fn without_a_peek_every_wait_sleeps() {
        let peek_max = Duration::ZERO;
        let mut vigil = Vigil::new(WaitMode::Sleep { peek_max });
        let mut now_ns = 0;
        for _ in 0..10 {
            assert_eq!(waits(&mut vigil, &mut now_ns, 1_000), 0);
        }
    }

    /// Whoever is waited for runs on the same core: nothing comes before the sleep.
    #[test]
    fn looks_in_vain_are_few() {
        let peek_max = Duration::from_micros(50);
        let mut vigil = Vigil::new(WaitMode::Sleep { peek_max });
        let (mut now_ns, mut looked_ns) = (0, 0);
        for _ in 0..10_000 {
            while vigil.looks_again(now_ns, true) {
                now_ns += 100;
                looked_ns += 100;
            }
            now_ns += 10_000;
            vigil.end_wait(now_ns);
        }
        assert!(looked_ns > 0, "it has not tried");
        assert!(
            looked_ns / 10_000 <= 2_500,
            "{} ns a wait",
            looked_ns / 10_000
        );
    }

    #[test]
    fn spinning_ends_when_nothing_comes_for_so_long() {
        let idle_max = Duration::from_micros(50);
        let mut vigil = Vigil::new(WaitMode::Spin { idle_max });
        let mut now_ns = 7;
        assert_eq!(waits(&mut vigil, &mut now_ns, 30_000), 30_000);
        assert_eq!(waits(&mut vigil, &mut now_ns, 900_000), 50_000);
        let mut vigil = Vigil::new(WaitMode::Spin {
            idle_max: Duration::MAX,
        });
        assert_eq!(waits(&mut vigil, &mut now_ns, 900_000), 900_000);
    }

    #[test]
    fn a_peek_that_is_spinning_is_refused() {
        let peek_max = Duration::from_secs(1);
        assert!(WaitMode::Sleep { peek_max }.check().is_err());
        assert!(WaitMode::default().check().is_ok());
    }
}

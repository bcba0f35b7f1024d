//! Which ops name an object, so that all of them can be cancelled without looking at the others.
//!
//! An op names at most two objects (a splice, a rename). Each naming is a link of a doubly linked
//! list that hangs on the object's descriptor number:
//!
//! ```text
//!   heads[fd] ─▶ link 2·slot+side ⇄ link … ⇄ link
//! ```
//!
//! A number stands for one object for as long as an op holds it, because the op's own clone keeps
//! it open.

use std::os::fd::RawFd;

use ringway_io::OpId;

const NONE: u32 = u32::MAX;

/// Lists of ops by descriptor number.
#[derive(Default)]
pub(crate) struct Naming {
    heads: Vec<u32>,
    links: Vec<Link>,
}

#[derive(Clone, Copy)]
struct Link {
    op: OpId,
    fd: RawFd,
    before: u32,
    after: u32,
}

const UNUSED: Link = Link {
    op: OpId(0),
    fd: -1,
    before: NONE,
    after: NONE,
};

impl Naming {
    /// Remembers that `op` names these objects; negative numbers are none.
    pub(crate) fn add(&mut self, op: OpId, fds: [RawFd; 2]) {
        let first = base(op);
        if self.links.len() < first as usize + 2 {
            self.links.resize(first as usize + 2, UNUSED);
        }
        for (side, fd) in (first..).zip(fds) {
            if let Ok(number) = usize::try_from(fd) {
                self.push(side, number, Link { op, fd, ..UNUSED });
            }
        }
    }

    fn push(&mut self, at: u32, number: usize, mut link: Link) {
        if self.heads.len() <= number {
            self.heads.resize(number + 1, NONE);
        }
        link.after = std::mem::replace(&mut self.heads[number], at);
        if link.after != NONE {
            self.links[link.after as usize].before = at;
        }
        self.links[at as usize] = link;
    }

    /// Forgets an op.
    pub(crate) fn remove(&mut self, op: OpId) {
        let first = base(op);
        for side in first..first + 2 {
            let Some(link) = self.links.get(side as usize).copied() else {
                return;
            };
            if link.fd >= 0 && link.op == op {
                self.unlink(side, link);
            }
        }
    }

    fn unlink(&mut self, at: u32, link: Link) {
        match link.before {
            NONE => self.heads[link.fd.cast_unsigned() as usize] = link.after,
            before => self.links[before as usize].after = link.after,
        }
        if link.after != NONE {
            self.links[link.after as usize].before = link.before;
        }
        self.links[at as usize] = UNUSED;
    }

    /// The ops that name `fd`; one that names it twice comes twice.
    pub(crate) fn ops_on(&self, fd: RawFd) -> impl Iterator<Item = OpId> {
        let head = usize::try_from(fd)
            .ok()
            .and_then(|number| self.heads.get(number));
        let mut at = head.copied().unwrap_or(NONE);
        std::iter::from_fn(move || {
            let link = self.links.get(at as usize)?;
            at = link.after;
            Some(link.op)
        })
    }
}

fn base(op: OpId) -> u32 {
    (op.0 as u32).checked_mul(2).expect("fewer than 2^31 slots")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slots::Slots;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        // An op that is missed here survives its connection and writes where another now receives.
        #[test]
        fn the_lists_hold_exactly_the_living_ops(steps in prop::collection::vec((any::<bool>(), -1..6_i32, -1..6_i32, any::<prop::sample::Index>()), 1..300)) {
            let (mut slots, mut naming) = (Slots::new(), Naming::default());
            let mut living: Vec<OpId> = Vec::new();
            for (add, one, two, pick) in steps {
                if add || living.is_empty() {
                    let op = slots.insert([one, two]);
                    naming.add(op, [one, two]);
                    living.push(op);
                } else {
                    let op = living.swap_remove(pick.index(living.len()));
                    slots.remove(op);
                    naming.remove(op);
                }
                for fd in 0..6 {
                    let expected: BTreeSet<_> = living.iter().filter(|op| slots.get(**op).is_some_and(|fds| fds.contains(&fd))).copied().collect();
                    prop_assert_eq!(naming.ops_on(fd).collect::<BTreeSet<_>>(), expected);
                }
            }
        }
    }
}

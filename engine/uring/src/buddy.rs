//! Where pieces of the arena lie: a buddy allocator that touches no memory.
//!
//! ```text
//!   order 8  [             1 MiB             ]
//!   order 7  [    512 KiB    |    512 KiB    ]
//!   …
//!   order 0  [4K|4K|…                        ]
//! ```
//!
//! A block of order `n` is `2^n` units long and lies at a multiple of its length. A request takes
//! the lowest free block of the smallest order that has one, split as far as needed; a freed block
//! joins its buddy while that one is free too. Lowest first keeps the high end whole for large
//! requests, and the low end, which is registered first when memory is short, in use.

/// Free blocks of one order, a bit each.
struct Order {
    free: Vec<u64>,
    count: usize,
    /// No word below this one has a free block.
    lowest: usize,
}

/// A buddy allocator over `units` units.
pub(crate) struct Buddy {
    orders: Vec<Order>,
}

impl Buddy {
    /// All of `units` free, in blocks of at most `2^order_max` units. A rest that fills no
    /// largest block is given out in smaller ones.
    pub(crate) fn new(units: usize, order_max: u32) -> Self {
        let orders = (0..=order_max).map(|order| Order::new(units >> order));
        let mut buddy = Self {
            orders: orders.collect(),
        };
        let mut at = 0;
        while at < units {
            let fits = |order: &u32| at % (1 << order) == 0 && at + (1 << order) <= units;
            let order = (0..=order_max).rev().find(fits).unwrap_or(0);
            buddy.orders[order as usize].set(at >> order);
            at += 1 << order;
        }
        buddy
    }

    /// Takes a block of `2^order` units; returns its first unit.
    pub(crate) fn allocate(&mut self, order: u32) -> Option<usize> {
        let sizes = order as usize..self.orders.len();
        let mut from = sizes.into_iter().find(|&at| self.orders[at].count > 0)?;
        let mut block = self.orders[from].take_lowest()?;
        while from > order as usize {
            from -= 1;
            block *= 2;
            self.orders[from].set(block + 1);
        }
        Some(block << order)
    }

    /// Gives a block back.
    ///
    /// # Panics
    /// If it is free already.
    pub(crate) fn free(&mut self, unit: usize, order: u32) {
        let mut block = unit >> order;
        for at in order as usize..self.orders.len() {
            assert!(!self.orders[at].has(block), "block freed twice");
            let is_last = at + 1 == self.orders.len();
            if is_last || !self.orders[at].has(block ^ 1) {
                self.orders[at].set(block);
                return;
            }
            self.orders[at].clear(block ^ 1);
            block /= 2;
        }
    }

    /// Units that are free, whatever their blocks.
    #[cfg(test)]
    fn free_units(&self) -> usize {
        let orders = self.orders.iter().enumerate();
        orders.map(|(at, order)| order.count << at).sum()
    }
}

impl Order {
    fn new(blocks: usize) -> Self {
        let words = blocks.div_ceil(64).max(1);
        Self {
            free: vec![0; words],
            count: 0,
            lowest: words,
        }
    }

    fn has(&self, block: usize) -> bool {
        let word = self.free.get(block / 64);
        word.is_some_and(|word| word & 1 << (block % 64) != 0)
    }

    fn set(&mut self, block: usize) {
        self.free[block / 64] |= 1 << (block % 64);
        self.lowest = self.lowest.min(block / 64);
        self.count += 1;
    }

    fn clear(&mut self, block: usize) {
        self.free[block / 64] &= !(1 << (block % 64));
        self.count -= 1;
    }

    fn take_lowest(&mut self) -> Option<usize> {
        let words = self.free.iter().enumerate().skip(self.lowest);
        let (at, word) = words.into_iter().find(|(_, word)| **word != 0)?;
        let block = at * 64 + word.trailing_zeros() as usize;
        self.lowest = at;
        self.clear(block);
        Some(block)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn everything_given_back_is_whole_again() {
        let mut buddy = Buddy::new(64, 4);
        let small: Vec<_> = (0..64).map(|_| buddy.allocate(0).expect("free")).collect();
        assert_eq!(small, (0..64).collect::<Vec<_>>());
        assert_eq!(buddy.allocate(0), None);
        for unit in small.into_iter().rev() {
            buddy.free(unit, 0);
        }
        let large: Vec<_> = (0..4).map(|_| buddy.allocate(4).expect("joined")).collect();
        assert_eq!(large, [0, 16, 32, 48]);
    }

    #[test]
    fn a_rest_that_fills_no_largest_block_is_used_in_smaller_ones() {
        let mut buddy = Buddy::new(23, 4);
        assert_eq!(buddy.allocate(4), Some(0));
        assert_eq!(buddy.allocate(4), None);
        assert_eq!(buddy.allocate(2), Some(16));
        assert_eq!(buddy.allocate(1), Some(20));
        assert_eq!(buddy.allocate(0), Some(22));
        assert_eq!(buddy.allocate(0), None);
    }

    proptest! {
        // Two pieces that overlap are two streams that write into each other.
        #[test]
        fn pieces_never_overlap_and_none_is_lost(
            units in 1..200_usize,
            steps in prop::collection::vec((0..5_u32, any::<bool>(), any::<prop::sample::Index>()), 1..300),
        ) {
            let mut buddy = Buddy::new(units, 4);
            let mut owner = vec![false; units];
            let mut lent: Vec<(usize, u32)> = Vec::new();
            for (order, allocate, pick) in steps {
                if allocate || lent.is_empty() {
                    let Some(unit) = buddy.allocate(order) else { continue };
                    let block = unit..unit + (1 << order);
                    prop_assert!(unit % (1 << order) == 0 && block.end <= units);
                    for each in block {
                        prop_assert!(!std::mem::replace(&mut owner[each], true));
                    }
                    lent.push((unit, order));
                } else {
                    let (unit, order) = lent.swap_remove(pick.index(lent.len()));
                    buddy.free(unit, order);
                    owner[unit..unit + (1 << order)].fill(false);
                }
                let free = owner.iter().filter(|taken| !**taken).count();
                prop_assert_eq!(buddy.free_units(), free);
            }
            for (unit, order) in lent {
                buddy.free(unit, order);
            }
            let mut fresh = Buddy::new(units, 4);
            for order in (0..5).rev() {
                while let Some(unit) = fresh.allocate(order) {
                    prop_assert_eq!(buddy.allocate(order), Some(unit));
                }
            }
        }
    }
}

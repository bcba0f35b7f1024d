//! Numbers drawn from a seed, for the work and the circumstances; the world draws its own.

/// Numbers drawn from a seed (`SplitMix64`).
#[derive(Clone, Debug)]
pub struct Draw(u64);

impl Draw {
    /// The stream number `salt` of a seed.
    #[must_use]
    pub fn new(seed: u64, salt: u64) -> Self {
        let mut draw = Self(seed ^ salt.wrapping_mul(0xa076_1d64_78bd_642f));
        draw.next_u64();
        draw
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next_u64() % bound.max(1)
    }

    /// With so many chances of a hundred.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of these, each as likely.
    ///
    /// # Panics
    /// If there is none.
    pub fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize].clone()
    }

    /// A size, small ones as likely as large ones, at most `max`.
    pub fn size(&mut self, max: u64) -> u64 {
        let bits = self.below(u64::from(max.ilog2()) + 1);
        self.below((1 << bits) + 1).min(max)
    }

    /// A stream of its own, so that what follows here does not depend on what is drawn there.
    #[must_use]
    pub fn fork(&mut self) -> Self {
        Self::new(self.next_u64(), 1)
    }
}

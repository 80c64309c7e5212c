//! Chance that a seed decides.

/// A generator (splitmix64): small, fast, and the same on every machine.
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// Everything that follows is decided by the seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(0x1234_5678_9ABC_DEF1))
    }

    /// Any number.
    pub fn any(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 if that is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.any() % bound }
    }

    /// A number from `low` to `high`, both included; each order of magnitude is about as likely as the next.
    pub fn spread(&mut self, low: u64, high: u64) -> u64 {
        let low = low.max(1);
        let (bottom, top) = (low.ilog2(), high.max(low).ilog2());
        let magnitude = bottom + u32::try_from(self.below(u64::from(top - bottom + 1))).unwrap_or(0);
        let first = 1u64 << magnitude;
        (first + self.below(first)).clamp(low, high)
    }

    /// Whether something happens that happens so many times in a thousand.
    pub fn per_mille(&mut self, rate: u64) -> bool {
        self.below(1_000) < rate
    }

    /// One of these.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        let at = usize::try_from(self.below(u64::try_from(from.len()).ok()?)).ok()?;
        from.get(at)
    }
}

//! Chance that is the same every time.

/// `SplitMix64` (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014): a small generator that draws the same samples
/// on every machine, and with every version of other libraries.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn of(seed: &str) -> Self {
        let mut random = Self(0);
        for byte in seed.bytes() {
            random.0 = random.next() ^ u64::from(byte);
        }
        random
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let value = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }

    /// A number below the other; zero if there is none.
    pub(super) fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.next() % end).unwrap_or(0)
    }
}

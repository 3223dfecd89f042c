//! What unit tests share.

/// Numbers that are the same in each run: SplitMix64.
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % end as u64).unwrap_or(0)
    }

    /// One to `most` characters of the alphabet.
    pub(crate) fn text(&mut self, alphabet: &[char], most: usize) -> String {
        (0..=self.below(most)).map(|_| alphabet[self.below(alphabet.len())]).collect()
    }
}

//! What unit tests share.

use std::path::Path;
use std::sync::Arc;

use crate::domain::clock::{SystemClock, SystemRandom};
use crate::domain::id::Ids;
use crate::store::{MasterKey, Store};

/// A new store with its database at `path`.
pub(crate) async fn store(path: &Path) -> Arc<Store> {
    let ids = Ids::new(Arc::new(SystemClock), Arc::new(SystemRandom));
    Store::open(path, MasterKey::generate(&SystemRandom), ids, true).await.expect("a store")
}

/// A folder that its user alone may read, as a data folder must be.
pub(crate) fn folder() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt as _;
    tempfile::Builder::new().permissions(std::fs::Permissions::from_mode(0o700)).tempdir().expect("a folder")
}

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

    /// One to `max` characters of the alphabet.
    pub(crate) fn text(&mut self, alphabet: &[char], max: usize) -> String {
        (0..=self.below(max)).map(|_| alphabet[self.below(alphabet.len())]).collect()
    }
}

//! What a change of rows is.

use super::error::Result;
use super::tx::{ScopedTx, SystemTx};

/// A change of one tenant's rows.
///
/// It may be run more than once (each earlier run was rolled back), so it takes `&self` and has no effect but through
/// the transaction.
pub trait Write: Send + 'static {
    type Out: Send + 'static;

    /// Whether it changes where a campaign stands.
    const CHANGES_CAMPAIGN: bool = false;

    /// About how many rows it touches; bounds what one commit takes.
    fn weight(&self) -> usize {
        1
    }

    /// Runs on the writer's thread, for which everybody waits.
    fn run(&self, tx: &mut ScopedTx<'_>) -> Result<Self::Out>;
}

/// A change that crosses tenants: claims, leases, purging. In the files alone that a test names.
pub(super) trait SystemWrite: Send + 'static {
    type Out: Send + 'static;

    fn run(&self, tx: &mut SystemTx<'_>) -> Result<Self::Out>;
}

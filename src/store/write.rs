//! What a change of rows is.

use super::error::Result;
use super::request_id::RequestId;
use super::tx::{ScopedTx, SystemTx};

/// The ids of what was touched that are named; the rest is counted.
pub(super) const MAX_IDS: usize = 20;

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

/// A write that Herald makes by itself. What it does is told by the campaign's events, and not by the audit log.
pub trait OwnWrite: Write {}

/// A write that a caller asks for. The audit log has a row of it if it changes anything.
pub trait CallWrite: Write {
    /// What it has touched.
    fn touched(&self, out: &Self::Out) -> Touched;

    /// The name that the caller has given the request.
    fn request_id(&self) -> Option<&RequestId> {
        None
    }
}

/// What a write has touched, without any of the values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Touched {
    /// How many things.
    pub count: u64,
    /// The ids of the first of them, where they have any. An address is none: it is a person's.
    pub ids: Vec<String>,
    /// The paths of the fields that were changed, where not all were.
    pub fields: Vec<&'static str>,
    /// Further writes of the same call are to come.
    pub unfinished: bool,
}

/// A change that crosses tenants: claims, leases, purging. In the files alone that a test names.
pub(super) trait SystemWrite: Send + 'static {
    type Out: Send + 'static;

    fn run(&self, tx: &mut SystemTx<'_>) -> Result<Self::Out>;
}

// === impl Touched ===

impl Touched {
    /// So many things that have no id.
    pub fn count(count: u64) -> Self {
        Self { count, ..Self::default() }
    }

    pub fn ids<T: ToString>(ids: impl IntoIterator<Item = T>) -> Self {
        let mut touched = Self::default();
        for id in ids {
            if touched.ids.len() < MAX_IDS {
                touched.ids.push(id.to_string());
            }
            touched.count += 1;
        }
        touched
    }

    pub fn with_fields(self, fields: impl IntoIterator<Item = &'static str>) -> Self {
        Self { fields: fields.into_iter().collect(), ..self }
    }
}

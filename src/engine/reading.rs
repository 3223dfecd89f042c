//! Who reads websites at the same time.
//!
//! What strangers' pages are made of is bounded, but a page that kills the process all the same would kill it again after
//! each start, since its campaign is claimed again. So the claim itself notes which campaigns are about to read; those that
//! were when the process died are suspects, and read alone: nobody else's page is read beside theirs, and that they read is
//! noted before and after. If the process dies again, it was of that one, and nobody else is blamed. After three such deaths
//! the campaign has failed (`store::MAX_DEATHS`).

use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard, Semaphore, SemaphorePermit};

use crate::budget;

/// Pages are read two at a time, each taking much of a processor; a suspect's alone.
pub(super) struct Reading {
    alone: RwLock<()>,
    permits: Semaphore,
}

/// The right to read.
pub(super) enum Right<'a> {
    Beside { _others: RwLockReadGuard<'a, ()>, _permit: Option<SemaphorePermit<'a>> },
    Alone { _guard: RwLockWriteGuard<'a, ()> },
}

impl Default for Reading {
    fn default() -> Self {
        Self { alone: RwLock::default(), permits: Semaphore::new(budget::PAGES_READ_AT_ONCE) }
    }
}

impl Reading {
    pub(super) async fn right(&self, alone: bool) -> Right<'_> {
        if alone {
            return Right::Alone { _guard: self.alone.write().await };
        }
        // The permit first: whoever waits for one must keep no suspect from reading.
        let permit = self.permits.acquire().await.ok();
        Right::Beside { _others: self.alone.read().await, _permit: permit }
    }
}

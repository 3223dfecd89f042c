//! One writer at a time for each tenant's copies: what is removed must not be put back by a copy that was begun before.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{Mutex as Turn, OwnedMutexGuard, Semaphore};

use crate::tenant::TenantId;

/// One tenant's.
struct Lock {
    turn: Arc<Turn<()>>,
    /// The places of those who may wait but need not.
    waiting: Semaphore,
}

/// How many of those who need not wait may do so at once.
const WAITING: usize = 1;

/// A lock for each tenant that somebody holds or waits for.
#[derive(Default)]
pub(super) struct Locks {
    held: Mutex<HashMap<TenantId, Weak<Lock>>>,
}

/// A turn; over when it is dropped.
pub struct Held {
    _turn: OwnedMutexGuard<()>,
    _lock: Arc<Lock>,
}

// === impl Locks ===

impl Locks {
    /// Waits for its turn, however many others do.
    pub(super) async fn of(&self, tenant: &TenantId) -> Held {
        let lock = self.lock(tenant);
        Held { _turn: lock.turn.clone().lock_owned().await, _lock: lock }
    }

    /// Waits for its turn, unless another does so that need not either: None then.
    pub(super) async fn of_few(&self, tenant: &TenantId) -> Option<Held> {
        let lock = self.lock(tenant);
        let turn = match lock.turn.clone().try_lock_owned() {
            Ok(turn) => turn,
            Err(_) => {
                let _place = lock.waiting.try_acquire().ok()?;
                lock.turn.clone().lock_owned().await
            }
        };
        Some(Held { _turn: turn, _lock: lock })
    }

    fn lock(&self, tenant: &TenantId) -> Arc<Lock> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lock) = held.get(tenant).and_then(Weak::upgrade) {
            return lock;
        }
        held.retain(|_, lock| lock.strong_count() > 0);
        let lock = Arc::new(Lock { turn: Arc::default(), waiting: Semaphore::new(WAITING) });
        held.insert(tenant.clone(), Arc::downgrade(&lock));
        lock
    }
}

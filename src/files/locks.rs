//! One writer at a time for each tenant's copies: what is removed must not be put back by a copy that was begun before.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::OwnedMutexGuard;

use crate::tenant::TenantId;

type Lock = tokio::sync::Mutex<()>;

/// A lock for each tenant that somebody holds or waits for.
#[derive(Default)]
pub(super) struct Locks {
    held: Mutex<HashMap<TenantId, Weak<Lock>>>,
}

impl Locks {
    pub(super) async fn of(&self, tenant: &TenantId) -> OwnedMutexGuard<()> {
        let lock = {
            let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            match held.get(tenant).and_then(Weak::upgrade) {
                Some(lock) => lock,
                None => {
                    held.retain(|_, lock| lock.strong_count() > 0);
                    let lock = Arc::new(Lock::default());
                    held.insert(tenant.clone(), Arc::downgrade(&lock));
                    lock
                }
            }
        };
        lock.lock_owned().await
    }
}

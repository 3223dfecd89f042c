//! Whose campaigns have changed since somebody last looked; each tenant once, however often it was.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use crate::tenant::{Scope, TenantId};

#[derive(Default)]
pub(super) struct Changes {
    waiting: Mutex<HashMap<TenantId, Scope>>,
    arrived: Notify,
}

impl Changes {
    pub(super) fn note(&self, scope: &Scope) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.insert(scope.tenant().clone(), scope.clone()).is_none() {
            self.arrived.notify_one();
        }
    }

    /// Waits until there are some.
    pub(super) async fn next(&self) -> Vec<Scope> {
        loop {
            let waiting = self.take();
            if !waiting.is_empty() {
                return waiting;
            }
            self.arrived.notified().await;
        }
    }

    /// Those that there are.
    pub(super) fn take(&self) -> Vec<Scope> {
        let waiting = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        waiting.into_values().collect()
    }
}

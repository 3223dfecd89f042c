//! What a turn works with.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;

use super::holds::Holds;
use super::reading::Reading;
use crate::config;
use crate::connect::Connectors;
use crate::domain::link::PublicUrl;
use crate::store::{AuditRetention, Store};
use crate::turns::Turns;

/// The store, the connectors, and what all turns share.
pub(super) struct Resources {
    pub(super) store: Arc<Store>,
    pub(super) connectors: Connectors,
    pub(super) settings: Settings,
    pub(super) holds: Holds,
    pub(super) workers: Arc<Semaphore>,
    pub(super) external_calls: Arc<Turns>,
    /// Something may be there to claim, or room to claim it.
    pub(super) due: Notify,
    /// More was due at the last claim than there was room for.
    pub(super) others_wait: AtomicBool,
    /// The turns that are at an external call, or wait for one.
    pub(super) in_external_calls: AtomicUsize,
    pub(super) reading: Reading,
    pub(super) stop: CancellationToken,
}

/// What the engine goes by.
#[derive(Debug, Clone)]
pub struct Settings {
    pub workers: usize,
    pub max_external_calls: usize,
    pub max_external_calls_per_tenant: usize,
    pub lease: Duration,
    pub tries: u32,
    pub retry: Duration,
    pub max_pages: usize,
    /// Letters may go into the outbox folder.
    pub outbox: bool,
    /// They do so without a mailbox, from an address that is made up: nobody gets them.
    pub default_outbox: bool,
    pub audit: AuditRetention,
    /// Where readers of letters unsubscribe; None: by mail alone.
    pub public_url: Option<PublicUrl>,
}

// === impl Resources ===

impl Resources {
    pub(super) fn new(store: Arc<Store>, connectors: Connectors, settings: Settings) -> Self {
        Self {
            workers: Arc::new(Semaphore::new(settings.workers)),
            external_calls: Turns::new(settings.max_external_calls, settings.max_external_calls_per_tenant, true),
            due: Notify::new(),
            others_wait: AtomicBool::new(false),
            in_external_calls: AtomicUsize::new(0),
            reading: Reading::default(),
            holds: Holds::default(),
            stop: CancellationToken::new(),
            store,
            connectors,
            settings,
        }
    }
}

impl Resources {
    /// Whoever waits for room may claim.
    pub(super) fn room_came(&self) {
        if self.others_wait.load(Ordering::Relaxed) {
            self.due.notify_one();
        }
    }
}

// === impl Settings ===

impl Settings {
    pub fn new(
        engine: &config::Engine,
        fetch: &config::Fetch,
        retention: &config::Retention,
        outbox: bool,
        dev: bool,
        public_url: Option<PublicUrl>,
    ) -> Self {
        Self {
            workers: engine.workers,
            max_external_calls: engine.max_outside_calls,
            max_external_calls_per_tenant: engine.max_outside_calls_per_tenant,
            lease: Duration::from_secs(engine.lease_seconds),
            tries: engine.tries,
            retry: Duration::from_millis(engine.retry_millis),
            max_pages: fetch.max_pages,
            outbox,
            default_outbox: dev,
            audit: AuditRetention { days: retention.audit_days, rows: retention.audit_rows },
            public_url,
        }
    }
}

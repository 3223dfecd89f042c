//! What a turn works with.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::holds::Holds;
use super::reading::Reading;
use crate::config;
use crate::connect::Connectors;
use crate::store::Store;
use crate::turns::Turns;

/// The store, the connectors, and what all turns share.
pub(super) struct Resources {
    pub(super) store: Arc<Store>,
    pub(super) connectors: Connectors,
    pub(super) settings: Settings,
    pub(super) holds: Holds,
    pub(super) workers: Arc<Semaphore>,
    pub(super) external_calls: Arc<Turns>,
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
    /// Letters that nobody gets may be from an address that was made up.
    pub invents_sender: bool,
}

// === impl Resources ===

impl Resources {
    pub(super) fn new(store: Arc<Store>, connectors: Connectors, settings: Settings) -> Self {
        Self {
            workers: Arc::new(Semaphore::new(settings.workers)),
            external_calls: Turns::new(settings.max_external_calls, settings.max_external_calls_per_tenant, true),
            reading: Reading::default(),
            holds: Holds::default(),
            stop: CancellationToken::new(),
            store,
            connectors,
            settings,
        }
    }
}

// === impl Settings ===

impl Settings {
    pub fn new(engine: &config::Engine, fetch: &config::Fetch, dev: bool) -> Self {
        Self {
            workers: engine.workers,
            max_external_calls: engine.max_outside_calls,
            max_external_calls_per_tenant: engine.max_outside_calls_per_tenant,
            lease: Duration::from_secs(engine.lease_seconds),
            tries: engine.tries,
            retry: Duration::from_millis(engine.retry_millis),
            max_pages: fetch.max_pages,
            invents_sender: dev,
        }
    }
}

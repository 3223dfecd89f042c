//! Holds back calls until the application is ready, and those of a tenant that holds as much as it may.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tonic::service::Routes;

use super::limits::{Kind, Limits};
use super::measure::is_stream;
use crate::call::{Request, Response, served};
use crate::config::Fairness;
use crate::read_cache::ReadCache;
use crate::status;
use crate::tenant::Caller;

/// Opened once, when the store is ready.
#[derive(Clone)]
pub struct Gate {
    limits: Limits,
    refusals: Arc<AtomicU64>,
    inside: Arc<OnceLock<Inside>>,
}

struct Inside {
    services: Routes,
    reads: Option<ReadCache>,
}

/// A refusal takes this many milliseconds, so that whoever asks again at once keeps nobody busy with refusing; each another
/// number of them, so that they do not all ask again at the same moment.
const REFUSED_AFTER: u64 = 100;
const SPREAD: u64 = 100;
/// Has no divisor in common with the spread, so that the numbers come evenly.
const STEP: u64 = 61;

// === impl Gate ===

impl Gate {
    pub fn new(settings: &Fairness) -> Self {
        Self { limits: Limits::new(settings), refusals: Arc::default(), inside: Arc::default() }
    }

    /// Lets calls through to the services, past the answers that are kept.
    pub fn open(&self, services: Routes, reads: Option<ReadCache>) {
        // A second opening would change nothing that was promised.
        let _ = self.inside.set(Inside { services, reads });
    }

    pub(super) async fn call(&self, request: Request) -> Response {
        let Some(inside) = self.inside.get() else { return status::starting().into_http() };
        let Some(caller) = request.extensions().get::<Caller>() else { return inside.call(request).await };
        let kind = if is_stream(request.uri().path()) { Kind::Stream } else { Kind::Call };
        match (self.limits.hold(caller.tenant(), kind), kind) {
            (Err(status), _) => {
                let nth = self.refusals.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(REFUSED_AFTER + nth.wrapping_mul(STEP) % SPREAD)).await;
                status.into_http()
            }
            (Ok(Some(held)), Kind::Stream) => held.until_the_end_of(inside.call(request).await),
            (Ok(_held), _) => inside.call(request).await,
        }
    }
}

// === impl Inside ===

impl Inside {
    async fn call(&self, request: Request) -> Response {
        match &self.reads {
            Some(reads) => reads.call(request, &self.services).await,
            None => served(&self.services, request).await,
        }
    }
}

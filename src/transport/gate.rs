//! Holds back calls until the application is ready.

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use tower::ServiceExt as _;

use crate::read_cache::ReadCache;
use crate::status;

/// Opened once, when the store is ready.
#[derive(Clone, Default)]
pub struct Gate {
    inside: Arc<OnceLock<Inside>>,
}

struct Inside {
    services: Router,
    reads: Option<ReadCache>,
}

// === impl Gate ===

impl Gate {
    /// Lets calls through to the services, past the answers that are kept.
    pub fn open(&self, services: Router, reads: Option<ReadCache>) {
        // A second opening would change nothing that was promised.
        let _ = self.inside.set(Inside { services, reads });
    }

    pub(super) async fn call(&self, request: Request) -> Response {
        let Some(Inside { services, reads }) = self.inside.get() else { return status::starting().into_http() };
        let services = services.clone();
        match reads {
            Some(reads) => reads.call(request, services).await,
            None => match services.oneshot(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            },
        }
    }
}

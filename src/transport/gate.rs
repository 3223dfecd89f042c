//! Holds back calls until the application is ready.

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use tower::ServiceExt as _;

use crate::status;

/// Opened once, when the store is ready.
#[derive(Clone, Default)]
pub struct Gate {
    services: Arc<OnceLock<Router>>,
}

// === impl Gate ===

impl Gate {
    /// Lets calls through to the services.
    pub fn open(&self, services: Router) {
        // A second opening would change nothing that was promised.
        let _ = self.services.set(services);
    }

    pub(super) async fn call(&self, request: Request) -> Response {
        match self.services.get() {
            Some(services) => match services.clone().oneshot(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            },
            None => status::starting().into_http(),
        }
    }
}

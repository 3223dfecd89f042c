//! For other Rust backends that call Herald: an interceptor that stamps their calls with credentials, and with the trace
//! that they are part of (W3C Trace Context), where the caller uses `tracing-opentelemetry` and has set a global
//! `TraceContextPropagator`.
//!
//! ```no_run
//! use herald::client::Credentials;
//! use herald::pb::tenant_service_client::TenantServiceClient;
//!
//! # async fn f() -> Result<(), Box<dyn std::error::Error>> {
//! let channel = tonic::transport::Endpoint::from_static("http://127.0.0.1:50051").connect().await?;
//! let credentials = Credentials::bearer("eyJ…")?;
//! let mut client = TenantServiceClient::with_interceptor(channel, credentials);
//! let caller = client.get_caller(herald::pb::GetCallerRequest {}).await?;
//! # Ok(()) }
//! ```

use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use tonic::service::Interceptor;
use tonic::{Request, Status};

use crate::auth::USER_HEADER;
use crate::telemetry;

/// Stamps each outgoing call with a bearer token or, for a development server, a user id. Cheap to clone.
#[derive(Clone)]
pub struct Credentials {
    stamp: Option<(&'static str, MetadataValue<Ascii>)>,
}

/// A token or user id that no header can carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a token or user id must be printable ASCII")]
pub struct CredentialsError;

// === impl Credentials ===

impl Credentials {
    /// No credentials: a development server takes the call as the tenant `anonymous`.
    pub fn none() -> Self {
        Self { stamp: None }
    }

    /// `authorization: Bearer <token>`.
    pub fn bearer(token: &str) -> Result<Self, CredentialsError> {
        let mut value: MetadataValue<Ascii> = format!("Bearer {token}").parse().map_err(|_| CredentialsError)?;
        value.set_sensitive(true);
        Ok(Self { stamp: Some(("authorization", value)) })
    }

    /// `x-user-id: <user>`, which development servers take.
    pub fn user(user: &str) -> Result<Self, CredentialsError> {
        let value = user.parse().map_err(|_| CredentialsError)?;
        Ok(Self { stamp: Some((USER_HEADER, value)) })
    }
}

impl Interceptor for Credentials {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some((name, value)) = &self.stamp {
            request.metadata_mut().insert(*name, value.clone());
        }
        let mut headers = std::mem::take(request.metadata_mut()).into_headers();
        telemetry::pass_on(&mut headers);
        *request.metadata_mut() = MetadataMap::from_headers(headers);
        Ok(request)
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Credentials").field(&self.stamp.as_ref().map(|(name, _)| *name)).finish()
    }
}

//! The services, one file each. Each method converts in, acts on the store or the engine through the caller's scope,
//! and converts back; rules with a decision in them live in `domain`.

mod agent;
mod convert;
mod tenant;
mod watch;
mod workflow;

use tonic::{Request, Status};

pub use agent::Agent;
pub use tenant::Tenant;
pub use workflow::Workflow;

use crate::status;
use crate::tenant::Caller;

/// The caller that the auth layer has verified. Without that layer nobody is.
fn caller<T>(request: &Request<T>) -> Result<Caller, Status> {
    request.extensions().get::<Caller>().cloned().ok_or_else(status::credentials_missing)
}

//! The services, one file each. Each method converts in, acts on the store or the engine through the caller's scope,
//! and converts back; rules with a decision in them live in `domain`.

mod agent;
mod answers;
mod cache;
mod convert;
mod mailbox;
mod pages;
mod recipients;
mod snapshot;
mod templates;
mod tenant;
mod watch;
mod workflow;

use prost::Message;
use tonic::{Request, Status};

pub use agent::Agent;
pub use answers::Answers;
pub use cache::Cache;
pub use convert::json::value_in as json_value;
pub use convert::prospect::faults as prospect_faults;
pub use mailbox::Mailboxes;
pub use snapshot::{SnapshotError, write_snapshot, write_snapshot_of_end};
pub use tenant::Tenant;
pub use watch::Streams;
pub use workflow::{StartLimits, Workflow};

use crate::call::Call;
use crate::domain::campaign::Campaign;
use crate::pb;
use crate::status;
use crate::store::Actor;
use crate::tenant::Caller;

/// The campaign as the API shows it; `hold` is why it stands still, where that could not be written down.
pub fn campaign_message(campaign: Campaign, hold: Option<String>) -> pb::Campaign {
    convert::campaign::out(campaign, hold)
}

/// About what a row takes in an answer: itself, its field's number and its length.
fn sized(row: &impl Message) -> usize {
    row.encoded_len() + 6
}

/// The caller that the auth layer has verified. Without that layer nobody is.
fn caller<T>(request: &Request<T>) -> Result<Caller, Status> {
    call(request).map(|call| call.caller.clone())
}

/// Who changes something, and by which call: for [`crate::store::Store::by`].
fn actor<T>(request: &Request<T>) -> Result<Actor, Status> {
    let Call { caller, id, uri } = call(request)?;
    let method = uri.path().rsplit('/').next().unwrap_or_default();
    Ok(Actor { caller: caller.clone(), method: method.to_owned(), call_id: id.to_string() })
}

fn call<T>(request: &Request<T>) -> Result<&Call, Status> {
    request.extensions().get().ok_or_else(status::credentials_missing)
}

//! Tells other backends where each tenant's newest campaign stands: under the cache key `workflow_state`, as they had it
//! from the old server; and when a campaign has ended, writes the tenant's files.
//!
//! The value is `herald.v1.Campaign` in protobuf's JSON. It may be half a second behind, and is missing while the cache is
//! down; who needs more calls GetWorkflow.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::cache::TenantCache;
use crate::domain::campaign::Campaign;
use crate::engine::Engine;
use crate::files::Files;
use crate::pb;
use crate::rpc::{campaign_message, write_snapshot};
use crate::store::{CampaignRef, Store};
use crate::tenant::Scope;

/// Where what is told comes from, and where it goes.
#[derive(Clone)]
pub struct Places {
    pub store: Arc<Store>,
    pub engine: Arc<Engine>,
    pub cache: Arc<TenantCache>,
    pub files: Arc<Files>,
}

/// The cache key.
pub const WORKFLOW_STATE: &str = "workflow_state";

/// The time between two values of one tenant, in which changes gather.
const PAUSE: Duration = Duration::from_millis(500);

/// Publishes what changes until `stop` is cancelled, and then what has changed by then.
pub async fn publish_states(places: Places, stop: CancellationToken) {
    loop {
        let last = stop.is_cancelled();
        let changed = tokio::select! {
            changed = places.store.changed_campaigns() => changed,
            () = stop.cancelled(), if !last => continue,
            () = std::future::ready(()), if last => return,
        };
        for scope in &changed {
            places.publish(scope).await;
        }
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = stop.cancelled() => {}
        }
    }
}

/// Publishes what has changed by now. For tests in which nothing happens by itself.
pub async fn publish_changes(places: &Places) {
    for scope in places.store.take_changed_campaigns() {
        places.publish(&scope).await;
    }
}

// === impl Places ===

impl Places {
    async fn publish(&self, scope: &Scope) {
        let Some(campaign) = self.newest(scope).await else { return };
        let ended = campaign.end_time.is_some();
        let hold = self.engine.hold(scope.tenant(), &campaign.id).unwrap_or_default();
        let message = campaign_message(campaign, hold);
        if let Some(state) = pb::json("herald.v1.Campaign", &message) {
            // The cache tells the log itself when it cannot be reached.
            let _ = self.cache.scope(scope).set(WORKFLOW_STATE, &state, None).await;
        }
        if ended && let Err(error) = write_snapshot(&self.store, &self.files, scope).await {
            tracing::warn!(tenant = %scope.tenant(), %error, "the files of a tenant were not written");
        }
    }

    async fn newest(&self, scope: &Scope) -> Option<Campaign> {
        match self.store.scope(scope).campaign(&CampaignRef::Newest).await {
            Ok(campaign) => campaign,
            Err(error) => {
                tracing::warn!(tenant = %scope.tenant(), %error, "a campaign's state cannot be read");
                None
            }
        }
    }
}

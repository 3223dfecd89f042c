//! Tells other backends where each tenant's newest campaign stands: under the cache key `workflow_state`, as they had it
//! from the old server.
//!
//! The value is `herald.v1.Campaign` in protobuf's JSON. It may be half a second behind, and is missing while the cache is
//! down; who needs more calls GetWorkflow.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::cache::TenantCache;
use crate::engine::Engine;
use crate::pb;
use crate::rpc::campaign_message;
use crate::store::{CampaignRef, Store};
use crate::tenant::Scope;

/// The cache key.
pub const WORKFLOW_STATE: &str = "workflow_state";

/// The time between two values of one tenant, in which changes gather.
const PAUSE: Duration = Duration::from_millis(500);

/// Publishes what changes until `stop` is cancelled, and then what has changed by then.
pub async fn publish_states(store: Arc<Store>, engine: Arc<Engine>, cache: Arc<TenantCache>, stop: CancellationToken) {
    loop {
        let last = stop.is_cancelled();
        let changed = tokio::select! {
            changed = store.changed_campaigns() => changed,
            () = stop.cancelled(), if !last => continue,
            () = std::future::ready(()), if last => return,
        };
        for scope in &changed {
            publish(&store, &engine, &cache, scope).await;
        }
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = stop.cancelled() => {}
        }
    }
}

/// Publishes what has changed by now. For tests in which nothing happens by itself.
pub async fn publish_changes(store: &Store, engine: &Engine, cache: &TenantCache) {
    for scope in store.take_changed_campaigns() {
        publish(store, engine, cache, &scope).await;
    }
}

async fn publish(store: &Store, engine: &Engine, cache: &TenantCache, scope: &Scope) {
    let campaign = match store.scope(scope).campaign(&CampaignRef::Newest).await {
        Ok(Some(campaign)) => campaign,
        Ok(None) => return,
        Err(error) => return tracing::warn!(tenant = %scope.tenant(), %error, "a campaign's state cannot be read"),
    };
    let hold = engine.hold(scope.tenant(), &campaign.id).unwrap_or_default();
    let message = campaign_message(campaign, hold);
    let Some(state) = pb::json("herald.v1.Campaign", &message) else { return };
    // The cache tells the log itself when it cannot be reached.
    let _ = cache.scope(scope).set(WORKFLOW_STATE, &state, None).await;
}

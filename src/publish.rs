//! Tells other backends where each tenant's newest campaign stands: under the cache key `workflow_state`, as they had it
//! from the old server; and when a campaign has ended, writes the tenant's files.
//!
//! The value is `herald.v1.Campaign` in protobuf's JSON. It may be half a second behind, and while the cache is away it stays
//! as it was; what was missed is told when the cache is back. Who needs more calls GetWorkflow. Files are written beside it, a
//! few tenants' at a time: one that has many rows, or a store that is slow, holds up nobody's state.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::cache::{CacheError, TenantCache};
use crate::domain::campaign::Campaign;
use crate::domain::id::CampaignId;
use crate::engine::Engine;
use crate::files::Files;
use crate::pb;
use crate::rpc::{campaign_message, write_snapshot_of_end};
use crate::store::Store;
use crate::tenant::{Scope, TenantId};

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
/// The refused states that are tried again in one turn.
const AGAIN: usize = 64;
/// The tenants whose files are written at once.
const AT_ONCE: usize = 2;
/// How long files may take to be written when the server stops; then they stay as they were.
const STOP: Duration = Duration::from_secs(5);
/// The ended campaigns that are remembered to have been written.
const REMEMBERED: usize = 10_000;

/// Which campaigns' ends have been written to files.
#[derive(Default)]
struct Written {
    last: HashMap<TenantId, CampaignId>,
    waiting: HashSet<TenantId>,
}

/// The tenants whose state the cache was not told, each once, in the order in which they are tried again.
#[derive(Default)]
struct Missed {
    order: VecDeque<Scope>,
    tenants: HashSet<TenantId>,
}

/// What the cache made of a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    /// It has it, or never will.
    Done,
    /// It refuses this one now.
    Refused,
    /// It is away, for everybody.
    Away,
}

/// What came of publishing a state.
struct Published {
    told: Told,
    /// The newest campaign, if it has ended.
    ended: Option<CampaignId>,
}

/// Publishes what changes until `stop` is cancelled, and then what has changed by then.
pub async fn publish_states(places: Places, stop: CancellationToken) {
    let (written, turns, tasks) =
        (Arc::<Mutex<Written>>::default(), Arc::new(Semaphore::new(AT_ONCE)), TaskTracker::new());
    let mut missed = Missed::default();
    loop {
        let last = stop.is_cancelled();
        let changed = if last {
            places.store.take_changed_campaigns()
        } else {
            tokio::select! {
                changed = places.store.changed_campaigns() => changed,
                () = tokio::time::sleep(PAUSE), if !missed.order.is_empty() => Vec::new(),
                () = stop.cancelled() => continue,
            }
        };
        missed.publish(&places).await;
        for scope in changed {
            let Published { told, ended } = places.publish_state(&scope).await;
            if told != Told::Done {
                missed.note(scope.clone());
            }
            let Some(ended) = ended else { continue };
            if lock(&written).is_new(scope.tenant(), &ended) {
                let (places, written, turns) = (places.clone(), written.clone(), turns.clone());
                tasks.spawn(async move {
                    let _turn = turns.acquire_owned().await;
                    lock(&written).waiting.remove(scope.tenant());
                    places.write_files(&scope, ended).await;
                });
            }
        }
        if last {
            break;
        }
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = stop.cancelled() => {}
        }
    }
    tasks.close();
    if tokio::time::timeout(STOP, tasks.wait()).await.is_err() {
        tracing::warn!("files were not written when the server's time to stop was up; WriteSnapshot writes them");
    }
}

/// Publishes what has changed by now. For tests in which nothing happens by itself.
pub async fn publish_changes(places: &Places) {
    for scope in places.store.take_changed_campaigns() {
        if let Some(ended) = places.publish_state(&scope).await.ended {
            places.write_files(&scope, ended).await;
        }
    }
}

fn lock(written: &Mutex<Written>) -> std::sync::MutexGuard<'_, Written> {
    written.lock().unwrap_or_else(PoisonError::into_inner)
}

// === impl Written ===

impl Written {
    /// Whether the end of that campaign is neither written nor waits to be; notes that it is.
    fn is_new(&mut self, tenant: &TenantId, ended: &CampaignId) -> bool {
        if self.last.get(tenant) == Some(ended) {
            return false;
        }
        if self.last.len() >= REMEMBERED {
            // At worst some files are written once more.
            self.last.clear();
        }
        self.last.insert(tenant.clone(), ended.clone());
        self.waiting.insert(tenant.clone())
    }
}

// === impl Missed ===

impl Missed {
    fn note(&mut self, scope: Scope) {
        if self.tenants.insert(scope.tenant().clone()) {
            self.order.push_back(scope);
        }
    }

    /// Tries some again. Each that is refused goes behind the others, so that one that always is keeps nobody from being told.
    /// While the cache is away, no more than one is tried.
    async fn publish(&mut self, places: &Places) {
        for _ in 0..AGAIN.min(self.order.len()) {
            let Some(scope) = self.order.pop_front() else { return };
            match places.publish_state(&scope).await.told {
                Told::Done => {
                    self.tenants.remove(scope.tenant());
                }
                Told::Refused => self.order.push_back(scope),
                Told::Away => return self.order.push_front(scope),
            }
        }
    }
}

// === impl Told ===

impl Told {
    fn of<T>(answer: &Result<T, CacheError>) -> Self {
        match answer {
            Err(CacheError::Unavailable) => Self::Away,
            Err(CacheError::Full | CacheError::Refused(_)) => Self::Refused,
            _ => Self::Done,
        }
    }
}

// === impl Places ===

impl Places {
    /// Publishes where the tenant's newest campaign stands.
    async fn publish_state(&self, scope: &Scope) -> Published {
        let cache = self.cache.scope(scope);
        let Some(campaign) = self.newest(scope).await else { return Published { told: Told::Done, ended: None } };
        let Some(campaign) = campaign else {
            // A reset has removed it.
            let told = Told::of(&cache.delete(WORKFLOW_STATE).await);
            return Published { told, ended: None };
        };
        let ended = campaign.end_time.map(|_| campaign.id.clone());
        let hold = self.engine.hold(scope.tenant(), &campaign.id);
        let message = campaign_message(campaign, hold);
        let Some(state) = pb::json("herald.v1.Campaign", &message) else {
            return Published { told: Told::Done, ended };
        };
        // The cache tells the log itself when it cannot be reached, or refuses.
        let told = Told::of(&cache.set(WORKFLOW_STATE, &state, None).await);
        Published { told, ended }
    }

    async fn write_files(&self, scope: &Scope, ended: CampaignId) {
        if let Err(error) = write_snapshot_of_end(&self.store, &self.files, scope, ended).await {
            tracing::warn!(tenant = %scope.tenant(), %error, "the files of a tenant were not written");
        }
    }

    async fn newest(&self, scope: &Scope) -> Option<Option<Campaign>> {
        match self.store.scope(scope).campaign(None).await {
            Ok(campaign) => Some(campaign),
            Err(error) => {
                tracing::warn!(tenant = %scope.tenant(), %error, "a campaign's state cannot be read");
                None
            }
        }
    }
}

//! Why campaigns stand still although they are running: a full disk, a connector that is away.
//!
//! Kept beside the campaign's state, in memory: a full disk has no room for a note that it is full. A user's own pause
//! is never touched by it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::board::Key;
use crate::domain::id::CampaignId;
use crate::tenant::TenantId;

#[derive(Default)]
pub(super) struct Holds {
    reasons: Mutex<HashMap<Key, Hold>>,
}

struct Hold {
    reason: String,
    /// Whether the campaign's history tells of it.
    told: bool,
}

// === impl Holds ===

impl Holds {
    pub(super) fn reason(&self, tenant: &TenantId, campaign: &CampaignId) -> Option<String> {
        self.lock().get(&(tenant.clone(), campaign.clone())).map(|hold| hold.reason.clone())
    }

    /// Holds the campaign. True if its history should tell of the reason.
    pub(super) fn set(&self, tenant: &TenantId, campaign: &CampaignId, reason: &str) -> bool {
        let mut reasons = self.lock();
        let hold = reasons
            .entry((tenant.clone(), campaign.clone()))
            .or_insert_with(|| Hold { reason: String::new(), told: false });
        if hold.reason != reason {
            reason.clone_into(&mut hold.reason);
            hold.told = false;
        }
        !hold.told
    }

    /// The campaign's history tells of the hold now.
    pub(super) fn told(&self, tenant: &TenantId, campaign: &CampaignId) {
        if let Some(hold) = self.lock().get_mut(&(tenant.clone(), campaign.clone())) {
            hold.told = true;
        }
    }

    /// The cause is gone. True if the campaign's history should tell.
    pub(super) fn clear(&self, tenant: &TenantId, campaign: &CampaignId) -> bool {
        self.lock().remove(&(tenant.clone(), campaign.clone())).is_some_and(|hold| hold.told)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Hold>> {
        self.reasons.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! Why campaigns stand still that cannot say so in the database: it has no room for a note that the disk is full.
//!
//! All other holds are columns of the campaign. A user's own pause is never touched by either.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::board::Key;
use crate::domain::id::CampaignId;
use crate::tenant::TenantId;

#[derive(Default)]
pub(super) struct Holds {
    reasons: Mutex<HashMap<Key, String>>,
}

// === impl Holds ===

impl Holds {
    pub(super) fn reason(&self, tenant: &TenantId, campaign: &CampaignId) -> Option<String> {
        self.lock().get(&(tenant.clone(), campaign.clone())).cloned()
    }

    pub(super) fn set(&self, tenant: &TenantId, campaign: &CampaignId, reason: &str) {
        self.lock().insert((tenant.clone(), campaign.clone()), reason.to_owned());
    }

    /// The cause is gone.
    pub(super) fn clear(&self, tenant: &TenantId, campaign: &CampaignId) {
        self.lock().remove(&(tenant.clone(), campaign.clone()));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, String>> {
        self.reasons.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

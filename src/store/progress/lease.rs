//! The lease that every piece of work carries, and gives back.

use crate::domain::campaign::{Campaign, CampaignState};
use crate::domain::clock::Timestamp;
use crate::store::campaigns::{self, CampaignRef};
use crate::store::error::{Result, StoreError};
use crate::store::leases::Lease;
use crate::store::sql::tenant_sql;
use crate::store::tx::ScopedTx;
use crate::store::write::Write;

tenant_sql! {
    RELEASE =
        "UPDATE campaigns
         SET lease_owner = NULL, due_time = $4, tries = $5,
             suspicion = CASE suspicion WHEN 1 THEN 0 WHEN 3 THEN 2 ELSE suspicion END
         WHERE tenant_id = $1 AND id = $2 AND fence = $3";
    /// Of a campaign that reads alone, that it begins to, or has ended.
    SET_READS_ALONE =
        "UPDATE campaigns
         SET suspicion = $4
         WHERE tenant_id = $1 AND id = $2 AND fence = $3 AND suspicion > 1";
}

/// How often the process may die of a campaign that reads alone, until that has failed.
pub const MAX_DEATHS: u32 = 3;

/// As the column `suspicion` has it.
pub(super) const SUSPECT: u32 = 2;
const READS_ALONE: u32 = 3;

/// Gives the lease back; nothing happens if it is no longer held.
pub struct Release {
    pub lease: Lease,
    /// When the campaign may be claimed again; None: now.
    pub due: Option<Timestamp>,
    /// How often its present piece of work has failed in passing.
    pub tries: u32,
}

/// Notes that a campaign that reads alone begins to read, or has ended; what was begun and not ended was the death of the
/// process.
pub struct ReadsAlone {
    pub lease: Lease,
    pub begins: bool,
}

/// The campaign, if the lease is still held.
pub(super) fn under_lease(tx: &mut ScopedTx<'_>, lease: &Lease) -> Result<Campaign> {
    let campaign = match campaigns::get(tx, &CampaignRef::Id(lease.campaign.clone())) {
        // A reset has removed it; the lease went with it.
        Err(StoreError::NotFound(_)) => return Err(StoreError::StaleLease),
        campaign => campaign?,
    };
    if campaign.fence == lease.fence { Ok(campaign) } else { Err(StoreError::StaleLease) }
}

/// The campaign, if the lease is still held and it is running.
pub(super) fn running_under_lease(tx: &mut ScopedTx<'_>, lease: &Lease) -> Result<Campaign> {
    let campaign = under_lease(tx, lease)?;
    if campaign.state == CampaignState::Running { Ok(campaign) } else { Err(StoreError::NotRunning) }
}

// === impl Release ===

impl Write for Release {
    type Out = ();

    fn run(&self, tx: &mut ScopedTx<'_>) -> Result<()> {
        let due = self.due.unwrap_or(tx.now());
        let release = tx.query(RELEASE).bind(&self.lease.campaign).bind(self.lease.fence);
        release.bind(due).bind(self.tries).execute().map(|_| ())
    }
}

// === impl ReadsAlone ===

impl Write for ReadsAlone {
    type Out = ();

    fn run(&self, tx: &mut ScopedTx<'_>) -> Result<()> {
        running_under_lease(tx, &self.lease)?;
        let query = tx.query(SET_READS_ALONE).bind(self.lease.campaign.clone()).bind(self.lease.fence);
        query.bind(if self.begins { READS_ALONE } else { SUSPECT }).execute().map(|_| ())
    }
}

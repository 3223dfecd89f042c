//! What has to be held back once a database is put back.
//!
//! Between the copy and the moment at which it is put back, mail may have gone out. The copy does not know of it. So nothing
//! goes out of a restored database before a person has looked: live campaigns are paused, and what was approved, or in the
//! middle of being sent, awaits approval again. All that awaits approval gets a note, with which no setting approves it: it may
//! have been approved and sent since, too.

use super::audit;
use super::campaigns::{CampaignRef, get, set_state};
use super::door::Store;
use super::error::Result;
use super::events::record;
use super::sql::tenant_sql;
use super::tenants;
use super::tx::{ScopedTx, SystemTx};
use super::write::{SystemWrite, Touched, Write};
use crate::domain::campaign::Action;
use crate::domain::clock::Timestamp;
use crate::domain::email::EmailStatus;
use crate::domain::event::EventKind;
use crate::domain::id::{CampaignId, EmailId, ProspectId};
use crate::tenant::TenantId;

tenant_sql! {
    HOLD_BACK =
        "UPDATE emails
         SET status = 'awaiting_approval', note = $2, update_time = $3
         WHERE tenant_id = $1 AND status IN ('awaiting_approval', 'approved', 'sending') AND campaign_id IS NOT NULL
         RETURNING campaign_id, id, prospect_id";
    LIVE_CAMPAIGNS =
        "SELECT id
         FROM campaigns
         WHERE tenant_id = $1 AND state IN ('RUNNING', 'WAITING_ANALYSIS', 'WAITING_TEMPLATE', 'WAITING_APPROVAL')";
}

/// The command that puts a backup back, as the audit log has it.
const RESTORE: &str = "herald restore";

/// Every tenant.
struct AllTenants;

/// Holds back what could go out of a restored database of a tenant; `since` is the backup's time.
struct HoldBack {
    pub since: Timestamp,
}

/// What was held back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HeldBack {
    pub campaigns: usize,
    pub emails: usize,
}

impl Store {
    /// Holds back, for all tenants, what could go out of a database that was put back; `since` is the backup's time.
    pub async fn hold_back(&self, since: Timestamp) -> Result<HeldBack> {
        let mut held = HeldBack::default();
        for tenant in self.all_tenants().await? {
            let of_tenant = self.queue.write(&tenant, HoldBack { since }).await?;
            held.campaigns += of_tenant.campaigns;
            held.emails += of_tenant.emails;
        }
        Ok(held)
    }

    pub(super) async fn all_tenants(&self) -> Result<Vec<TenantId>> {
        self.write_system(AllTenants).await
    }
}

impl SystemWrite for AllTenants {
    type Out = Vec<TenantId>;

    fn run(&self, tx: &mut SystemTx<'_>) -> Result<Vec<TenantId>> {
        tenants::all(tx.executor())
    }
}

impl Write for HoldBack {
    type Out = HeldBack;

    fn run(&self, tx: &mut ScopedTx<'_>) -> Result<HeldBack> {
        let note = format!("may have been sent since {}", self.since);
        let now = tx.now();
        let rows: Vec<(CampaignId, EmailId, ProspectId)> = tx.query(HOLD_BACK).bind(note).bind(now.0).all()?;
        let emails = rows.len();
        let mut held: Vec<_> = rows.iter().map(|(_, id, _)| id.to_string()).collect();
        for (campaign, email_id, prospect_id) in rows {
            let status = EmailStatus::AwaitingApproval;
            record(tx, &campaign, vec![EventKind::EmailChanged { email_id, prospect_id, status }])?;
        }
        let live: Vec<(CampaignId,)> = tx.query(LIVE_CAMPAIGNS).all()?;
        for (id,) in &live {
            let campaign = get(tx, &CampaignRef::Id(id.clone()))?;
            let to = campaign.state.after(Action::Pause)?;
            let reason =
                format!("restored from a backup of {}: resume it once you have looked at its e-mails", self.since);
            let event = set_state(tx, &campaign, to, &reason)?;
            record(tx, id, vec![event])?;
        }
        // Whatever is held back: all that the tenant has is what it was.
        held.splice(..0, live.iter().map(|(id,)| id.to_string()));
        audit::add_operators(tx, RESTORE, &Touched::ids(held))?;
        Ok(HeldBack { campaigns: live.len(), emails })
    }
}

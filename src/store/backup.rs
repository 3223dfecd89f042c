//! A copy of the database while it is in use, and what has to be held back once one is put back.
//!
//! Between the copy and the moment at which it is put back, mail may have gone out. The copy does not know of it. So nothing
//! goes out of a restored database before a person has looked: live campaigns are paused, and what was approved, or in the
//! middle of being sent, awaits approval again. All that awaits approval gets a note, with which no setting approves it: it may
//! have been approved and sent since, too.

use std::path::Path;
use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use super::campaigns::{CampaignRef, get, set_state};
use super::error::{Result, StoreError};
use super::events::record;
use super::sql::{system_sql, tenant_sql};
use super::tx::{ScopedTx, SystemTx};
use super::writer::{SystemWrite, Write};
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

system_sql! {
    ALL_TENANTS = "SELECT id FROM tenants ORDER BY id";
}

/// How long to wait for a database that is locked, as it is for a moment at a start or a stop.
const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(100);

/// Copies the database at `from`, whether or not a server works on it, to the empty file at `to`: as it was at one moment.
pub fn copy_database(from: &Path, to: &Path) -> Result<()> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let source = Connection::open_with_flags(from, flags)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut target = Connection::open_with_flags(to, flags)?;
    let copy = Backup::new(&source, &mut target)?;
    for _ in 0..TRIES {
        // All of it at once: in pieces, each write of the server would begin it anew.
        match copy.step(-1)? {
            StepResult::Done => return Ok(()),
            _ => std::thread::sleep(PAUSE),
        }
    }
    Err(StoreError::Broken("the database is locked: try again when the server has started or stopped".to_owned()))
}

/// Every tenant.
pub(super) struct AllTenants;

/// Holds back what could go out of a restored database of a tenant; `since` is the backup's time.
pub(super) struct HoldBack {
    pub since: Timestamp,
}

/// What was held back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HeldBack {
    pub campaigns: usize,
    pub emails: usize,
}

impl SystemWrite for AllTenants {
    type Out = Vec<TenantId>;

    fn run(&self, tx: &mut SystemTx<'_>) -> Result<Vec<TenantId>> {
        let rows: Vec<(String,)> = tx.query(ALL_TENANTS).all()?;
        Ok(rows.into_iter().filter_map(|(id,)| TenantId::parse(&id).ok()).collect())
    }
}

impl Write for HoldBack {
    type Out = HeldBack;

    fn run(&self, tx: &mut ScopedTx<'_>) -> Result<HeldBack> {
        let note = format!("may have been sent since {}", self.since);
        let now = tx.now();
        let rows: Vec<(CampaignId, EmailId, ProspectId)> = tx.query(HOLD_BACK).bind(note).bind(now.0).all()?;
        let emails = rows.len();
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
        Ok(HeldBack { campaigns: live.len(), emails })
    }
}

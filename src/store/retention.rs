//! What is kept for a while, and forgotten afterwards, across tenants: request ids, deleted prospects.

use super::campaigns::live_states;
use super::door::Store;
use super::error::Result;
use super::request_id;
use super::sql::{Statement, SystemSql, system_sql};
use super::tx::SystemTx;
use super::write::SystemWrite;
use crate::domain::clock::Timestamp;

system_sql! {
    PURGE_REQUEST_IDS = "DELETE FROM idempotency_keys WHERE create_time < $1";
    /// Not while a live campaign may still come to it.
    PURGE_DUE = concat!(
        "SELECT tenant_id, id
         FROM prospects p
         WHERE purge_time <= $1 AND NOT EXISTS (
             SELECT 1
             FROM campaign_prospects c
             JOIN campaigns l ON l.tenant_id = c.tenant_id AND l.id = c.campaign_id
             WHERE c.tenant_id = p.tenant_id AND c.prospect_id = p.id
               AND l.state IN ", live_states!(), ")
         LIMIT CAST($2 AS bigint)");
    PURGE_CHOICES = "DELETE FROM campaign_prospects WHERE tenant_id = $1 AND prospect_id = $2";
    /// The record of mail that was sent stays; `sending` and `unknown` may have been.
    PURGE_EMAILS =
        "DELETE FROM emails
         WHERE tenant_id = $1 AND prospect_id = $2 AND status NOT IN ('sent', 'sending', 'unknown')";
    PURGE_PROSPECT = "DELETE FROM prospects WHERE tenant_id = $1 AND id = $2";
}

/// Forgets request ids from before `before`.
pub(super) struct PurgeRequestIds {
    pub before: Timestamp,
}

/// Purges deleted prospects whose time has come.
pub(super) struct PurgeProspects {
    pub now: Timestamp,
}

/// The prospects that one write purges at most.
const MAX_PURGED: u32 = 100;

// === impl Store ===

impl Store {
    /// Forgets the request ids that are older than a day.
    pub async fn purge_request_ids(&self) -> Result<u64> {
        let before = self.ids().now().plus_seconds(-request_id::KEPT_SECONDS);
        self.write_system(PurgeRequestIds { before }).await
    }

    /// Purges deleted prospects whose time has come, some at a time; how many.
    pub async fn purge_prospects(&self) -> Result<usize> {
        self.write_system(PurgeProspects { now: self.ids().now() }).await
    }
}

impl SystemWrite for PurgeRequestIds {
    type Out = u64;

    fn run(&self, tx: &mut SystemTx<'_>) -> Result<u64> {
        tx.query(PURGE_REQUEST_IDS).bind(self.before).execute()
    }
}

impl SystemWrite for PurgeProspects {
    type Out = usize;

    fn run(&self, tx: &mut SystemTx<'_>) -> Result<usize> {
        let due = tx.query(PURGE_DUE).bind(self.now).bind(MAX_PURGED);
        let due: Vec<(String, String)> = due.all()?;
        for (tenant, id) in &due {
            of_prospect(tx, PURGE_CHOICES, tenant, id).execute()?;
            of_prospect(tx, PURGE_EMAILS, tenant, id).execute()?;
            of_prospect(tx, PURGE_PROSPECT, tenant, id).execute_exactly(1)?;
        }
        Ok(due.len())
    }
}

fn of_prospect<'a>(tx: &'a mut SystemTx<'_>, sql: SystemSql, tenant: &'a str, id: &'a str) -> Statement<'a> {
    tx.query(sql).bind(tenant).bind(id)
}

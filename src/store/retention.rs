//! What is kept for a while, and forgotten afterwards: request ids, deleted prospects, who did what.

use super::campaigns::live_states;
use super::door::Store;
use super::error::Result;
use super::request_id;
use super::sql::{Statement, SystemSql, system_sql, tenant_sql};
use super::tx::{ScopedTx, SystemTx};
use super::write::{SystemWrite, Write};
use crate::domain::clock::Timestamp;

tenant_sql! {
    /// Of the oldest $4 rows those up to the last that is older than $2, and those that are more than $3 in all: the numbers of a
    /// tenant's rows have no gaps.
    PURGE_AUDIT =
        "DELETE FROM audit_events
         WHERE tenant_id = $1 AND seq <= (
             SELECT slice.seq
             FROM (SELECT seq, time FROM audit_events WHERE tenant_id = $1 ORDER BY seq LIMIT CAST($4 AS bigint)) slice
             WHERE slice.time < $2
                OR slice.seq <= (SELECT MAX(seq) FROM audit_events WHERE tenant_id = $1) - CAST($3 AS bigint)
             ORDER BY slice.seq DESC
             LIMIT 1)";
}

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

/// How long a tenant's audit log keeps who did what, and how much of it.
#[derive(Debug, Clone, Copy)]
pub struct AuditRetention {
    pub days: u64,
    pub rows: u64,
}

/// Removes the oldest of a tenant's audit log, some rows; how many.
struct PurgeAudit {
    before: Timestamp,
    rows: u64,
}

/// The rows of an audit log that one write removes at most.
const MAX_AUDIT: u32 = 1_000;
const DAY: i64 = 24 * 60 * 60;

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

    /// Removes of each tenant's audit log what is older than that, and what is more, some at a time.
    pub async fn purge_audit(&self, kept: AuditRetention) -> Result<()> {
        let days = i64::try_from(kept.days).unwrap_or(i64::MAX);
        let before = self.ids().now().plus_seconds(days.saturating_mul(-DAY));
        for tenant in self.all_tenants().await? {
            let mut count = 0;
            loop {
                let removed = self.queue.write(&tenant, PurgeAudit { before, rows: kept.rows }).await?;
                count += removed;
                if removed < u64::from(MAX_AUDIT) {
                    break;
                }
            }
            if count > 0 {
                tracing::info!(%tenant, count, "audit.purged");
            }
        }
        Ok(())
    }
}

impl Write for PurgeAudit {
    type Out = u64;

    fn weight(&self) -> usize {
        MAX_AUDIT as usize
    }

    fn run(&self, tx: &mut ScopedTx<'_>) -> Result<u64> {
        tx.query(PURGE_AUDIT).bind(self.before).bind(self.rows).bind(MAX_AUDIT).execute()
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

//! What crosses tenants: claims, leases, purging.
//!
//! Architecture invariant: the few texts that cross tenants are here, in `transaction.rs` and `check.rs`. They
//! return ids, fences, scopes and wrapped keys, never a tenant's data.

use super::error::{Result, StoreError};
use super::sql::{Statement, SystemSql, row, system_sql};
use super::tx::{SystemTx, signed};
use super::writer::SystemWrite;
use crate::domain::clock::Timestamp;
use crate::domain::id::CampaignId;
use crate::tenant::{Origin, Scope, TenantId};

system_sql! {
    CLAIM_DUE =
        "UPDATE campaigns
         SET fence = fence + 1, lease_owner = $1, lease_until = $3,
             suspicion = CASE WHEN suspicion = 0 AND current_step = 'website_analysis' THEN 1 ELSE suspicion END
         WHERE (tenant_id, id) IN (
             SELECT tenant_id, id
             FROM campaigns
             WHERE state = 'RUNNING' AND lease_until <= $2
             ORDER BY lease_until, update_time
             LIMIT +$4)
         RETURNING tenant_id, id, fence, suspicion, deaths";
    CLAIM_INTERRUPTED =
        "UPDATE campaigns
         SET fence = fence + 1, lease_owner = $1, lease_until = $2
         WHERE state != 'RUNNING' AND (tenant_id, id) IN (SELECT tenant_id, campaign_id FROM emails WHERE status = 'sending')
         RETURNING tenant_id, id, fence, suspicion, deaths";
    RENEW_LEASES =
        "UPDATE campaigns
         SET lease_until = $3
         WHERE state = 'RUNNING' AND lease_until > $2 AND lease_owner = $1";
    FREE_LEASES =
        "UPDATE campaigns
         SET lease_owner = NULL, lease_until = 0
         WHERE lease_owner IS NOT NULL";
    /// Whether a campaign read alone when the process died.
    ONE_READ_ALONE = "SELECT EXISTS (SELECT 1 FROM campaigns WHERE suspicion = 3)";
    /// $1: whether one read alone. It is what the process died of, then, and the others that had been claimed did not read;
    /// otherwise each of them is a suspect.
    SUSPECT =
        "UPDATE campaigns
         SET deaths = deaths + (suspicion = 3),
             suspicion = CASE WHEN suspicion = 1 AND $1 THEN 0 ELSE 2 END
         WHERE suspicion > 0";
    /// What had been claimed when the process ends by itself has killed nobody.
    UNSUSPECT =
        "UPDATE campaigns
         SET suspicion = CASE suspicion WHEN 1 THEN 0 ELSE 2 END
         WHERE suspicion IN (1, 3) AND lease_owner = $1";
    /// What prospects' `INSERT` does for one write, for many: `$2` holds the writes' tenants, each with a row. The tenant is
    /// the scope's that the write was queued under.
    PURGE_IDEMPOTENCY = "DELETE FROM idempotency_keys WHERE create_time < $1";
    /// Not while a live campaign may still come to it.
    PURGE_DUE =
        "SELECT tenant_id, id
         FROM prospects p
         WHERE purge_time <= $1 AND NOT EXISTS (
             SELECT 1
             FROM campaign_prospects c
             JOIN campaigns l ON l.tenant_id = c.tenant_id AND l.id = c.campaign_id
             WHERE c.tenant_id = p.tenant_id AND c.prospect_id = p.id
               AND l.state IN ('RUNNING', 'PAUSED', 'WAITING_ANALYSIS', 'WAITING_TEMPLATE', 'WAITING_APPROVAL'))
         LIMIT +$2";
    PURGE_CHOICES = "DELETE FROM campaign_prospects WHERE tenant_id = $1 AND prospect_id = $2";
    /// The record of mail that was sent stays; `sending` and `unknown` may have been.
    PURGE_EMAILS =
        "DELETE FROM emails
         WHERE tenant_id = $1 AND prospect_id = $2 AND status NOT IN ('sent', 'sending', 'unknown')
         RETURNING campaign_id IS NULL";
    PURGE_PROSPECT = "DELETE FROM prospects WHERE tenant_id = $1 AND id = $2";
    PURGE_COUNT = "UPDATE counters SET value = value - $3 WHERE tenant_id = $1 AND noun = $2";
}

/// A claimed campaign: the scope to work in, and the fence that every write of the work must carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    pub scope: Scope,
    pub lease: Lease,
    pub suspicion: Suspicion,
}

/// What is held against a campaign that reads a stranger's website.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Suspicion {
    /// It was reading, maybe among others, when the process died: it reads alone.
    pub reads_alone: bool,
    /// How often the process died while it read alone.
    pub deaths: u32,
}

/// The right to work on a campaign, until somebody else claims it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    pub campaign: CampaignId,
    pub fence: i64,
}

/// Claims running campaigns whose lease is free or has run out.
pub(super) struct ClaimDue {
    pub worker: String,
    pub now: Timestamp,
    pub until: Timestamp,
    pub most: u32,
}

/// Claims campaigns that stopped running with e-mails still in the middle of sending.
pub(super) struct ClaimInterrupted {
    pub worker: String,
    pub until: Timestamp,
}

/// Keeps the worker's leases.
pub(super) struct RenewLeases {
    pub worker: String,
    pub now: Timestamp,
    pub until: Timestamp,
}

/// Frees every lease: for the process that has just taken the data folder's lock, whatever the clock says. Suspects those
/// that were reading websites when the one before died.
pub(super) struct FreeLeases;

/// Takes back what would be held against the worker's campaigns if the process died now: it ends by itself.
pub(super) struct Unsuspect {
    pub worker: String,
}

/// Forgets request ids from before `before`.
pub(super) struct PurgeIdempotency {
    pub before: Timestamp,
}

/// Purges deleted prospects whose time has come.
pub(super) struct PurgeProspects {
    pub now: Timestamp,
}

/// The prospects that one write purges at most.
const PURGE_MOST: u32 = 100;

row! {
    struct ClaimRow {
        tenant_id: String,
        id: CampaignId,
        fence: i64,
        suspicion: i64,
        deaths: i64,
    }
}

// === impl ClaimDue ===

impl SystemWrite for ClaimDue {
    type Out = Vec<Claim>;

    fn run(&self, tx: &mut SystemTx<'_>) -> Result<Vec<Claim>> {
        let query = tx.query(CLAIM_DUE).bind(self.worker.clone());
        claims(query.bind(self.now.0).bind(self.until.0).bind(self.most).all()?)
    }
}

impl SystemWrite for ClaimInterrupted {
    type Out = Vec<Claim>;

    fn run(&self, tx: &mut SystemTx<'_>) -> Result<Vec<Claim>> {
        let query = tx.query(CLAIM_INTERRUPTED).bind(self.worker.clone());
        claims(query.bind(self.until.0).all()?)
    }
}

impl SystemWrite for RenewLeases {
    type Out = ();

    fn run(&self, tx: &mut SystemTx<'_>) -> Result<()> {
        let query = tx.query(RENEW_LEASES).bind(self.worker.clone());
        query.bind(self.now.0).bind(self.until.0).execute().map(|_| ())
    }
}

impl SystemWrite for FreeLeases {
    type Out = ();

    fn run(&self, tx: &mut SystemTx<'_>) -> Result<()> {
        tx.query(FREE_LEASES).execute()?;
        let alone: Option<(bool,)> = tx.query(ONE_READ_ALONE).optional()?;
        tx.query(SUSPECT).bind(alone == Some((true,))).execute().map(|_| ())
    }
}

impl SystemWrite for Unsuspect {
    type Out = ();

    fn run(&self, tx: &mut SystemTx<'_>) -> Result<()> {
        tx.query(UNSUSPECT).bind(self.worker.clone()).execute().map(|_| ())
    }
}

impl SystemWrite for PurgeIdempotency {
    type Out = u64;

    fn run(&self, tx: &mut SystemTx<'_>) -> Result<u64> {
        tx.query(PURGE_IDEMPOTENCY).bind(self.before.0).execute()
    }
}

impl SystemWrite for PurgeProspects {
    type Out = usize;

    fn run(&self, tx: &mut SystemTx<'_>) -> Result<usize> {
        let due = tx.query(PURGE_DUE).bind(self.now.0).bind(PURGE_MOST);
        let due: Vec<(String, String)> = due.all()?;
        for (tenant, id) in &due {
            of_prospect(tx, PURGE_CHOICES, tenant, id).execute()?;
            let removed: Vec<(bool,)> = of_prospect(tx, PURGE_EMAILS, tenant, id).all()?;
            of_prospect(tx, PURGE_PROSPECT, tenant, id).execute_exactly(1)?;
            let replies = removed.iter().filter(|(reply,)| *reply).count();
            for (noun, count) in [("prospects", 1), ("replies", replies), ("emails", removed.len() - replies)] {
                let less = tx.query(PURGE_COUNT).bind(tenant.clone()).bind(noun);
                less.bind(signed(count)).execute()?;
            }
        }
        Ok(due.len())
    }
}

fn of_prospect<'a>(tx: &'a mut SystemTx<'_>, sql: SystemSql, tenant: &'a str, id: &'a str) -> Statement<'a> {
    tx.query(sql).bind(tenant).bind(id)
}

#[expect(clippy::disallowed_methods, reason = "Origin::Claim: the database says whose campaign was claimed")]
fn claims(rows: Vec<ClaimRow>) -> Result<Vec<Claim>> {
    rows.into_iter()
        .map(|row| {
            let tenant = TenantId::parse(&row.tenant_id)
                .map_err(|_| StoreError::Broken("a campaign of a tenant that cannot be".to_owned()))?;
            let lease = Lease { campaign: row.id, fence: row.fence };
            let deaths = u32::try_from(row.deaths).unwrap_or(u32::MAX);
            let suspicion = Suspicion { reads_alone: row.suspicion > 1, deaths };
            Ok(Claim { scope: Scope::mint(tenant, Origin::Claim), lease, suspicion })
        })
        .collect()
}

//! Claims and leases, across tenants. A claim's fence is a fencing token: a write under an older one changes nothing.
//!
//! Architecture invariant: the few texts that cross tenants are here, in `tenants.rs`, `retention.rs`, `rekey.rs`, `links.rs`, `mail_levels.rs` and
//! `agent_mail.rs`. They return ids, fences, scopes, wrapped keys and counts, never a tenant's data.

use std::time::Duration;

use super::door::Store;
use super::error::Result;
use super::sql::{row, system_sql};
use super::tenants;
use super::tx::SystemTx;
use super::write::SystemWrite;
use crate::domain::clock::Timestamp;
use crate::domain::id::CampaignId;
use crate::tenant::{Origin, Scope};

system_sql! {
    /// Tenants in turn, each with what has waited longest; $5: so many of all that are due are looked at.
    CLAIM_DUE =
        "UPDATE campaigns
         SET fence = fence + 1, lease_owner = $1, due_time = $3,
             suspicion = CASE WHEN suspicion = 0 AND current_step = 'website_analysis' THEN 1 ELSE suspicion END
         WHERE state = 'RUNNING' AND due_time <= $2 AND (tenant_id, id) IN (
             SELECT tenant_id, id
             FROM (
                 SELECT tenant_id, id, due_time,
                     ROW_NUMBER() OVER (PARTITION BY tenant_id ORDER BY due_time, id) AS turn
                 FROM (
                     SELECT tenant_id, id, due_time
                     FROM campaigns
                     WHERE state = 'RUNNING' AND due_time <= $2
                     ORDER BY due_time
                     LIMIT CAST($5 AS bigint)) due) turns
             ORDER BY turn, due_time
             LIMIT CAST($4 AS bigint))
         RETURNING tenant_id, id, fence, suspicion, deaths, tries";
    /// When the next one is due after now.
    NEXT_DUE =
        "SELECT due_time
         FROM campaigns
         WHERE state = 'RUNNING' AND due_time > $1
         ORDER BY due_time
         LIMIT 1";
    CLAIM_INTERRUPTED =
        "UPDATE campaigns
         SET fence = fence + 1, lease_owner = $1, due_time = $3
         WHERE state != 'RUNNING' AND due_time <= $2
           AND (tenant_id, id) IN (SELECT tenant_id, campaign_id FROM emails WHERE status = 'sending')
         RETURNING tenant_id, id, fence, suspicion, deaths, tries";
    /// Those that were paused, too: a delivery may be under way.
    RENEW_LEASES =
        "UPDATE campaigns
         SET due_time = $3
         WHERE lease_owner = $1 AND due_time > $2";
    FREE_LEASES =
        "UPDATE campaigns
         SET lease_owner = NULL, due_time = 0
         WHERE lease_owner IS NOT NULL";
    /// Whether a campaign read alone when the process died.
    ONE_READ_ALONE = "SELECT EXISTS (SELECT 1 FROM campaigns WHERE suspicion = 3)";
    /// $1: whether one read alone. It is what the process died of, then, and the others that had been claimed did not read;
    /// otherwise each of them is a suspect.
    SUSPECT =
        "UPDATE campaigns
         SET deaths = deaths + CASE suspicion WHEN 3 THEN 1 ELSE 0 END,
             suspicion = CASE WHEN suspicion = 1 AND CAST($1 AS bigint) = 1 THEN 0 ELSE 2 END
         WHERE suspicion > 0";
    /// What had been claimed when the process ends by itself has killed nobody.
    UNSUSPECT =
        "UPDATE campaigns
         SET suspicion = CASE suspicion WHEN 1 THEN 0 ELSE 2 END
         WHERE suspicion IN (1, 3) AND lease_owner = $1";
}

/// A claimed campaign: the scope to work in, and the fence that every write of the work must carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    pub scope: Scope,
    pub lease: Lease,
    pub suspicion: Suspicion,
    /// How often its present piece of work has failed in passing.
    pub tries: u32,
}

/// What was claimed.
#[derive(Debug)]
pub struct Claims {
    pub claims: Vec<Claim>,
    /// When the next campaign is due that is not due now.
    pub next_due: Option<Timestamp>,
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
struct ClaimDue {
    pub worker: String,
    pub now: Timestamp,
    pub until: Timestamp,
    pub max: u32,
}

/// Claims campaigns that stopped running with e-mails still in the middle of sending.
struct ClaimInterrupted {
    pub worker: String,
    pub now: Timestamp,
    pub until: Timestamp,
}

/// Keeps the worker's leases.
struct RenewLeases {
    pub worker: String,
    pub now: Timestamp,
    pub until: Timestamp,
}

/// Frees every lease: for the process that has just taken the data folder's lock, whatever the clock says. Suspects those
/// that were reading websites when the one before died.
struct FreeLeases;

/// Takes back what would be held against the worker's campaigns if the process died now: it ends by itself.
struct Unsuspect {
    pub worker: String,
}

/// Of all campaigns that are due, a claim looks at so many, those that have waited longest.
const MAX_LOOKED_AT: u32 = 1_000;

row! {
    struct ClaimRow {
        tenant_id: String,
        id: CampaignId,
        fence: i64,
        suspicion: i64,
        deaths: u32,
        tries: u32,
    }
}

// === impl Store ===

impl Store {
    /// Claims at most `max` running campaigns that are due, tenants in turn.
    pub async fn claim_due(&self, worker: &str, lease: Duration, max: u32) -> Result<Claims> {
        let (now, until) = self.lease_times(lease);
        self.write_system(ClaimDue { worker: worker.to_owned(), now, until, max }).await
    }

    /// Claims the campaigns that are not running and have e-mails in the middle of sending: a crash left them so.
    pub async fn claim_interrupted(&self, worker: &str, lease: Duration) -> Result<Vec<Claim>> {
        let (now, until) = self.lease_times(lease);
        self.write_system(ClaimInterrupted { worker: worker.to_owned(), now, until }).await
    }

    /// Keeps the worker's leases for another `lease`.
    pub async fn renew_leases(&self, worker: &str, lease: Duration) -> Result<()> {
        let (now, until) = self.lease_times(lease);
        self.write_system(RenewLeases { worker: worker.to_owned(), now, until }).await
    }

    /// Takes back what would be held against the worker's campaigns if the process died now: it ends by itself.
    pub async fn unsuspect(&self, worker: &str) -> Result<()> {
        self.write_system(Unsuspect { worker: worker.to_owned() }).await
    }

    /// Frees every lease, for the process that has just taken the data folder's lock.
    pub(super) async fn free_leases(&self) -> Result<()> {
        self.write_system(FreeLeases).await
    }

    fn lease_times(&self, lease: Duration) -> (Timestamp, Timestamp) {
        let now = self.ids().now();
        (now, now.plus_seconds(i64::try_from(lease.as_secs()).unwrap_or(i64::MAX)))
    }
}

// === impl ClaimDue ===

impl SystemWrite for ClaimDue {
    type Out = Claims;

    fn run(&self, tx: &mut SystemTx<'_>) -> Result<Claims> {
        let query = tx.query(CLAIM_DUE).bind(self.worker.as_str()).bind(self.now).bind(self.until);
        let claims = claims(query.bind(self.max).bind(MAX_LOOKED_AT).all()?)?;
        let next: Option<(Timestamp,)> = tx.query(NEXT_DUE).bind(self.now).optional()?;
        Ok(Claims { claims, next_due: next.map(|(due,)| due) })
    }
}

impl SystemWrite for ClaimInterrupted {
    type Out = Vec<Claim>;

    fn run(&self, tx: &mut SystemTx<'_>) -> Result<Vec<Claim>> {
        let query = tx.query(CLAIM_INTERRUPTED).bind(self.worker.as_str());
        claims(query.bind(self.now).bind(self.until).all()?)
    }
}

impl SystemWrite for RenewLeases {
    type Out = ();

    fn run(&self, tx: &mut SystemTx<'_>) -> Result<()> {
        let query = tx.query(RENEW_LEASES).bind(self.worker.clone());
        query.bind(self.now).bind(self.until).execute().map(|_| ())
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

#[expect(clippy::disallowed_methods, reason = "Origin::Claim: the database says whose campaign was claimed")]
fn claims(rows: Vec<ClaimRow>) -> Result<Vec<Claim>> {
    rows.into_iter()
        .map(|row| {
            let tenant = tenants::parse(&row.tenant_id)?;
            let lease = Lease { campaign: row.id, fence: row.fence };
            let suspicion = Suspicion { reads_alone: row.suspicion > 1, deaths: row.deaths };
            Ok(Claim { scope: Scope::mint(tenant, Origin::Claim), lease, suspicion, tries: row.tries })
        })
        .collect()
}

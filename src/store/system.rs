//! What crosses tenants: claims, leases, purging.
//!
//! Architecture invariant: the few texts that cross tenants are here, in `transaction.rs` and in `check.rs`. They return ids,
//! fences, scopes and wrapped keys, never a tenant's data.

use sqlx::{FromRow, SqliteConnection};

use super::error::{Result, StoreError};
use super::sql::{Door, system_sql};
use super::writer::SystemWrite;
use crate::domain::clock::Timestamp;
use crate::domain::id::CampaignId;
use crate::tenant::{Origin, Scope, TenantId};

system_sql! {
    CLAIM_DUE =
        "UPDATE campaigns
         SET fence = fence + 1, lease_owner = $1, lease_until = $3
         WHERE (tenant_id, id) IN (
             SELECT tenant_id, id
             FROM campaigns
             WHERE state = 'RUNNING' AND lease_until <= $2
             ORDER BY lease_until, update_time
             LIMIT $4)
         RETURNING tenant_id, id, fence";
    CLAIM_INTERRUPTED =
        "UPDATE campaigns
         SET fence = fence + 1, lease_owner = $1, lease_until = $2
         WHERE state != 'RUNNING' AND (tenant_id, id) IN (SELECT tenant_id, campaign_id FROM emails WHERE status = 'sending')
         RETURNING tenant_id, id, fence";
    RENEW_LEASES =
        "UPDATE campaigns
         SET lease_until = $3
         WHERE state = 'RUNNING' AND lease_until > $2 AND lease_owner = $1";
    FREE_LEASES =
        "UPDATE campaigns
         SET lease_owner = NULL, lease_until = 0
         WHERE lease_owner IS NOT NULL";
    PURGE_IDEMPOTENCY = "DELETE FROM idempotency_keys WHERE create_time < $1";
}

/// A claimed campaign: the scope to work in, and the fence that every write of the work must carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    pub scope: Scope,
    pub lease: Lease,
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

/// Frees every lease: for the process that has just taken the data folder's lock, whatever the clock says.
pub(super) struct FreeLeases;

/// Forgets request ids from before `before`.
pub(super) struct PurgeIdempotency {
    pub before: Timestamp,
}

#[derive(FromRow)]
struct ClaimRow {
    tenant_id: String,
    id: CampaignId,
    fence: i64,
}

// === impl ClaimDue ===

impl SystemWrite for ClaimDue {
    type Out = Vec<Claim>;

    async fn run(&self, connection: &mut SqliteConnection) -> Result<Vec<Claim>> {
        let query = CLAIM_DUE.on(Door::Write(connection)).bind(self.worker.clone());
        claims(query.bind(self.now.0).bind(self.until.0).bind(self.most).all().await?)
    }
}

impl SystemWrite for ClaimInterrupted {
    type Out = Vec<Claim>;

    async fn run(&self, connection: &mut SqliteConnection) -> Result<Vec<Claim>> {
        let query = CLAIM_INTERRUPTED.on(Door::Write(connection)).bind(self.worker.clone());
        claims(query.bind(self.until.0).all().await?)
    }
}

impl SystemWrite for RenewLeases {
    type Out = ();

    async fn run(&self, connection: &mut SqliteConnection) -> Result<()> {
        let query = RENEW_LEASES.on(Door::Write(connection)).bind(self.worker.clone());
        query.bind(self.now.0).bind(self.until.0).execute().await.map(|_| ())
    }
}

impl SystemWrite for FreeLeases {
    type Out = ();

    async fn run(&self, connection: &mut SqliteConnection) -> Result<()> {
        FREE_LEASES.on(Door::Write(connection)).execute().await.map(|_| ())
    }
}

impl SystemWrite for PurgeIdempotency {
    type Out = u64;

    async fn run(&self, connection: &mut SqliteConnection) -> Result<u64> {
        PURGE_IDEMPOTENCY.on(Door::Write(connection)).bind(self.before.0).execute().await
    }
}

#[expect(clippy::disallowed_methods, reason = "Origin::Claim: the database says whose campaign was claimed")]
fn claims(rows: Vec<ClaimRow>) -> Result<Vec<Claim>> {
    rows.into_iter()
        .map(|row| {
            let tenant = TenantId::parse(&row.tenant_id)
                .map_err(|_| StoreError::Broken("a campaign of a tenant that cannot be".to_owned()))?;
            let lease = Lease { campaign: row.id, fence: row.fence };
            Ok(Claim { scope: Scope::mint(tenant, Origin::Claim), lease })
        })
        .collect()
}

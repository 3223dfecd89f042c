//! What concerns no single tenant: transactions, claims, leases, purging.
//!
//! Architecture invariant: the few texts that cross tenants are here, and they return ids, fences and scopes, never a
//! tenant's data.

use sqlx::{FromRow, SqliteConnection};

use super::error::{Result, StoreError};
use super::master_key::MasterKey;
use super::sql::{Door, SystemSql, system_sql};
use super::writer::SystemWrite;
use crate::domain::clock::Timestamp;
use crate::domain::id::{CampaignId, Ids};
use crate::tenant::{Origin, Scope, TenantId};

system_sql! {
    BEGIN = "BEGIN IMMEDIATE";
    COMMIT = "COMMIT";
    ROLLBACK = "ROLLBACK";
    SAVEPOINT = "SAVEPOINT one_write";
    RELEASE = "RELEASE one_write";
    ROLLBACK_TO_SAVEPOINT = "ROLLBACK TO one_write";
    CHECKPOINT = "PRAGMA wal_checkpoint(TRUNCATE)";
    TENANT_EXISTS = "SELECT 1 FROM tenants WHERE id = $1";
    TENANT_INSERT =
        "INSERT INTO tenants (id, data_key, create_time)
         VALUES ($1, $2, $3)";
    ANY_DATA_KEY = "SELECT id, data_key FROM tenants LIMIT 1";
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
         WHERE state = 'RUNNING' AND lease_until > 0";
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
        simple(FREE_LEASES, connection).await
    }
}

impl SystemWrite for PurgeIdempotency {
    type Out = u64;

    async fn run(&self, connection: &mut SqliteConnection) -> Result<u64> {
        PURGE_IDEMPOTENCY.on(Door::Write(connection)).bind(self.before.0).execute().await
    }
}

pub(super) async fn begin(connection: &mut SqliteConnection) -> Result<()> {
    simple(BEGIN, connection).await
}

pub(super) async fn commit(connection: &mut SqliteConnection) -> Result<()> {
    simple(COMMIT, connection).await
}

pub(super) async fn rollback(connection: &mut SqliteConnection) -> Result<()> {
    simple(ROLLBACK, connection).await
}

pub(super) async fn savepoint(connection: &mut SqliteConnection) -> Result<()> {
    simple(SAVEPOINT, connection).await
}

pub(super) async fn release(connection: &mut SqliteConnection) -> Result<()> {
    simple(RELEASE, connection).await
}

pub(super) async fn rollback_to_savepoint(connection: &mut SqliteConnection) -> Result<()> {
    simple(ROLLBACK_TO_SAVEPOINT, connection).await?;
    simple(RELEASE, connection).await
}

/// Folds the write-ahead log into the database.
pub(super) async fn checkpoint(connection: &mut SqliteConnection) -> Result<()> {
    simple(CHECKPOINT, connection).await
}

/// Makes the tenant's row, with a data key of its own, if it is not there.
pub(super) async fn ensure_tenant(
    connection: &mut SqliteConnection,
    tenant: &TenantId,
    master_key: &MasterKey,
    ids: &Ids,
) -> Result<()> {
    let id = tenant.as_str().to_owned();
    let there: Option<(i64,)> = TENANT_EXISTS.on(Door::Write(connection)).bind(id.clone()).optional().await?;
    if there.is_some() {
        return Ok(());
    }
    let sealed = master_key.new_data_key(tenant, ids.random());
    let sealed = sealed.ok_or_else(|| StoreError::Broken("a data key could not be sealed".to_owned()))?;
    TENANT_INSERT.on(Door::Write(connection)).bind(id).bind(sealed).bind(ids.now().0).execute_exactly(1).await
}

/// Whether the master key opens the data keys that are there; true if there are none.
pub(super) async fn opens(master_key: &MasterKey, connection: &mut SqliteConnection) -> Result<bool> {
    let row: Option<(String, Vec<u8>)> = ANY_DATA_KEY.on(Door::Write(connection)).optional().await?;
    let Some((id, wrapped)) = row else { return Ok(true) };
    Ok(TenantId::parse(&id).is_ok_and(|id| master_key.unwrap_data_key(&id, &wrapped).is_some()))
}

async fn simple(sql: SystemSql, connection: &mut SqliteConnection) -> Result<()> {
    sql.on(Door::Write(connection)).execute().await.map(|_| ())
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

//! What surrounds the writes of a group: transactions and savepoints, the log's checkpoint, each tenant's row.

use sqlx::SqliteConnection;

use super::error::{Result, StoreError};
use super::master_key::MasterKey;
use super::sql::{Door, SystemSql, system_sql};
use crate::domain::id::Ids;
use crate::tenant::TenantId;

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

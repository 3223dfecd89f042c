//! What surrounds the writes of a group: transactions and savepoints, the log's checkpoint, each tenant's row.

use sqlx::{Connection as _, SqliteConnection};

use super::error::{Result, StoreError};
use super::events::json;
use super::master_key::{DataKey, MasterKey};
use super::sql::{Bound, Door, SystemSql, system_sql};
use super::tx::Effects;
use crate::domain::clock::Random;
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
    CHECKPOINT_BESIDE = "PRAGMA wal_checkpoint(PASSIVE)";
    /// Does nothing but say how many pages the log has, and how many of them are folded in.
    CHECKPOINTED = "PRAGMA wal_checkpoint(NOOP)";
    ADD_COUNTS =
        "INSERT INTO counters (tenant_id, noun, value)
         SELECT value ->> 0, value ->> 1, value ->> 2
         FROM jsonb_each($1)
         WHERE true
         ON CONFLICT (tenant_id, noun) DO UPDATE SET value = value + excluded.value";
    TENANT_EXISTS = "SELECT 1 FROM tenants WHERE id = $1";
    TENANT_INSERT =
        "INSERT INTO tenants (id, data_key, create_time)
         VALUES ($1, $2, $3)";
    TENANT_DATA_KEY = "SELECT data_key FROM tenants WHERE id = $1";
    ANY_DATA_KEY = "SELECT id, data_key FROM tenants LIMIT 1";
    ALL_DATA_KEYS = "SELECT id, data_key FROM tenants ORDER BY id";
    REPLACE_DATA_KEY = "UPDATE tenants SET data_key = $2 WHERE id = $1";
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

/// The same before a text.
pub(super) fn behind_savepoint(bound: Bound<'_>) -> Bound<'_> {
    bound.after(SAVEPOINT)
}

pub(super) async fn release(connection: &mut SqliteConnection) -> Result<()> {
    simple(RELEASE, connection).await
}

pub(super) async fn rollback_to_savepoint(connection: &mut SqliteConnection) -> Result<()> {
    simple(ROLLBACK_TO_SAVEPOINT, connection).await?;
    simple(RELEASE, connection).await
}

/// Adds what a group's writes add to their tenants' counters.
pub(super) async fn add_counts(connection: &mut SqliteConnection, effects: &Effects) -> Result<()> {
    let sums = effects.summed();
    if sums.is_empty() {
        return Ok(());
    }
    ADD_COUNTS.on(Door::Write(connection)).bind(json(&sums)).execute_exactly(sums.len()).await
}

/// Folds as much of the write-ahead log into the database as is possible without waiting for anybody.
pub(super) async fn fold(connection: &mut SqliteConnection) -> Result<()> {
    simple(CHECKPOINT_BESIDE, connection).await
}

/// How many pages of the write-ahead log are not folded into the database.
pub(super) async fn unfolded(connection: &mut SqliteConnection) -> Result<i64> {
    let row: Option<(i64, i64, i64)> = CHECKPOINTED.on(Door::Write(connection)).optional().await?;
    Ok(row.map_or(0, |(_, all, folded)| all - folded))
}

/// Folds the write-ahead log into the database.
pub(super) async fn checkpoint(connection: &mut SqliteConnection) -> Result<()> {
    simple(CHECKPOINT, connection).await
}

/// Closes the connection, and waits until it is: the last one takes the write-ahead log's files away.
pub(super) async fn close(connection: SqliteConnection) {
    if let Err(error) = connection.close().await {
        tracing::warn!(%error, "a connection was not closed as it should be");
    }
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

/// The tenant's own key, unwrapped.
pub(super) async fn data_key(
    connection: &mut SqliteConnection,
    tenant: &TenantId,
    master_key: &MasterKey,
) -> Result<DataKey> {
    let id = tenant.as_str().to_owned();
    let row: Option<(Vec<u8>,)> = TENANT_DATA_KEY.on(Door::Write(connection)).bind(id).optional().await?;
    let key = row.and_then(|(wrapped,)| master_key.unwrap_data_key(tenant, &wrapped));
    key.ok_or_else(|| StoreError::Broken("a tenant's data key does not open".to_owned()))
}

/// Wraps every tenant's data key anew, in one transaction: under `new` instead of under `old`. How many that were; None,
/// and nothing is done, if they are under `new` already.
pub(super) async fn rewrap(
    connection: &mut SqliteConnection,
    old: &MasterKey,
    new: &MasterKey,
    random: &dyn Random,
) -> Result<Option<usize>> {
    begin(connection).await?;
    let rewrapped = rewrap_all(connection, old, new, random).await;
    match &rewrapped {
        Ok(Some(_)) => commit(connection).await?,
        _ => rollback(connection).await?,
    }
    rewrapped
}

async fn rewrap_all(
    connection: &mut SqliteConnection,
    old: &MasterKey,
    new: &MasterKey,
    random: &dyn Random,
) -> Result<Option<usize>> {
    let rows: Vec<(String, Vec<u8>)> = ALL_DATA_KEYS.on(Door::Write(connection)).all().await?;
    let mut keys = Vec::with_capacity(rows.len());
    for (id, wrapped) in &rows {
        let tenant = TenantId::parse(id).map_err(|_| StoreError::Broken(format!("a tenant {id:?} that cannot be")))?;
        keys.push((old.unwrap_data_key(&tenant, wrapped), new.unwrap_data_key(&tenant, wrapped), tenant));
    }
    if !keys.is_empty() && keys.iter().all(|(_, under_new, _)| under_new.is_some()) {
        return Ok(None);
    }
    for (under_old, _, tenant) in &keys {
        let key = under_old.as_ref().ok_or_else(|| StoreError::WrongMasterKey(tenant.clone()))?;
        let wrapped = new.wrap(key, tenant, random);
        let wrapped = wrapped.ok_or_else(|| StoreError::Broken("a data key could not be sealed".to_owned()))?;
        let replace = REPLACE_DATA_KEY.on(Door::Write(connection)).bind(tenant.as_str().to_owned());
        replace.bind(wrapped).execute_exactly(1).await?;
    }
    Ok(Some(keys.len()))
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

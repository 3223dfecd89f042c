//! What surrounds the writes of a group: transactions and savepoints, the log's checkpoint, each tenant's row.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::error::{Result, StoreError};
use super::events::json;
use super::master_key::{DataKey, MasterKey};
use super::sql::{SystemSql, system_sql};
use super::tx::Effects;
use crate::domain::clock::Random;
use crate::domain::id::Ids;
use crate::tenant::TenantId;

/// The texts that a connection keeps ready: more than there are.
const STATEMENTS: usize = 256;

/// How many pages the write-ahead log has, and how many of them are in the database too.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Log {
    pub pages: i64,
    pub checkpointed: i64,
}

system_sql! {
    BEGIN = "BEGIN IMMEDIATE";
    COMMIT = "COMMIT";
    ROLLBACK = "ROLLBACK";
    SAVEPOINT = "SAVEPOINT one_write";
    RELEASE = "RELEASE one_write";
    ROLLBACK_TO_SAVEPOINT = "ROLLBACK TO one_write";
    CHECKPOINT = "PRAGMA wal_checkpoint(TRUNCATE)";
    CHECKPOINT_BESIDE = "PRAGMA wal_checkpoint(PASSIVE)";
    /// Does nothing but say how many pages the log has, and how many of them are checkpointed.
    CHECKPOINTED = "PRAGMA wal_checkpoint(NOOP)";
    /// With what is in the log.
    SIZE = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size";
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

/// A connection that writes.
pub(super) fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    for (name, value) in [
        ("synchronous", "full"),
        ("foreign_keys", "on"),
        // In KiB: what a group touches at random places, without reading it again and without writing it twice.
        ("cache_size", "-16384"),
        // What takes back a statement that fails after some of its rows; else it goes through a temporary file.
        ("temp_store", "memory"),
    ] {
        connection.pragma_update(None, name, value)?;
    }
    // `checkpoints` does it, where there is room.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    Ok(connection)
}

pub(super) fn begin(connection: &Connection) -> Result<()> {
    simple(BEGIN, connection)
}

pub(super) fn commit(connection: &Connection) -> Result<()> {
    simple(COMMIT, connection)
}

pub(super) fn rollback(connection: &Connection) -> Result<()> {
    simple(ROLLBACK, connection)
}

pub(super) fn savepoint(connection: &Connection) -> Result<()> {
    simple(SAVEPOINT, connection)
}

pub(super) fn release(connection: &Connection) -> Result<()> {
    simple(RELEASE, connection)
}

pub(super) fn rollback_to_savepoint(connection: &Connection) -> Result<()> {
    simple(ROLLBACK_TO_SAVEPOINT, connection)?;
    simple(RELEASE, connection)
}

/// Adds what a group's writes add to their tenants' counters.
pub(super) fn add_counts(connection: &Connection, effects: &Effects) -> Result<()> {
    let sums = effects.summed();
    if sums.is_empty() {
        return Ok(());
    }
    ADD_COUNTS.on(connection).bind(json(&sums)).execute_exactly(sums.len())
}

/// Checkpoints as much of the write-ahead log as is possible without waiting for anybody.
pub(super) fn checkpoint_beside(connection: &Connection) -> Result<()> {
    simple(CHECKPOINT_BESIDE, connection)
}

/// How long the write-ahead log is.
pub(super) fn log(connection: &Connection) -> Result<Log> {
    let row: Option<(i64, i64, i64)> = CHECKPOINTED.on(connection).optional()?;
    Ok(row.map_or(Log::default(), |(_, pages, checkpointed)| Log { pages, checkpointed }))
}

/// The bytes that the database has with all of its log.
pub(super) fn size(connection: &Connection) -> Result<u64> {
    let row: Option<(i64,)> = SIZE.on(connection).optional()?;
    Ok(row.map_or(0, |(bytes,)| u64::try_from(bytes).unwrap_or(0)))
}

/// Checkpoints all of the write-ahead log, and truncates it.
pub(super) fn checkpoint(connection: &Connection) -> Result<()> {
    simple(CHECKPOINT, connection)
}

/// Closes the connection: the last one takes the write-ahead log's files away.
pub(super) fn close(connection: Connection) {
    if let Err((_, error)) = connection.close() {
        tracing::warn!(%error, "a connection was not closed as it should be");
    }
}

/// Makes the tenant's row, with a data key of its own, if it is not there.
pub(super) fn ensure_tenant(
    connection: &Connection,
    tenant: &TenantId,
    master_key: &MasterKey,
    ids: &Ids,
) -> Result<()> {
    let there: Option<(i64,)> = TENANT_EXISTS.on(connection).bind(tenant.as_str()).optional()?;
    if there.is_some() {
        return Ok(());
    }
    let sealed = master_key.new_data_key(tenant, ids.random());
    let sealed = sealed.ok_or_else(|| StoreError::Broken("a data key could not be sealed".to_owned()))?;
    TENANT_INSERT.on(connection).bind(tenant.as_str()).bind(sealed).bind(ids.now().0).execute_exactly(1)
}

/// The tenant's own key, unwrapped.
pub(super) fn data_key(connection: &Connection, tenant: &TenantId, master_key: &MasterKey) -> Result<DataKey> {
    let row: Option<(Vec<u8>,)> = TENANT_DATA_KEY.on(connection).bind(tenant.as_str()).optional()?;
    let key = row.and_then(|(wrapped,)| master_key.unwrap_data_key(tenant, &wrapped));
    key.ok_or_else(|| StoreError::Broken("a tenant's data key does not open".to_owned()))
}

/// Wraps every tenant's data key anew, in one transaction: under `new` instead of under `old`. How many that were; None,
/// and nothing is done, if they are under `new` already.
pub(super) fn rewrap(
    connection: &Connection,
    old: &MasterKey,
    new: &MasterKey,
    random: &dyn Random,
) -> Result<Option<usize>> {
    begin(connection)?;
    let rewrapped = rewrap_all(connection, old, new, random);
    match &rewrapped {
        Ok(Some(_)) => commit(connection)?,
        _ => rollback(connection)?,
    }
    rewrapped
}

fn rewrap_all(connection: &Connection, old: &MasterKey, new: &MasterKey, random: &dyn Random) -> Result<Option<usize>> {
    let rows: Vec<(String, Vec<u8>)> = ALL_DATA_KEYS.on(connection).all()?;
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
        let replace = REPLACE_DATA_KEY.on(connection).bind(tenant.as_str());
        replace.bind(wrapped).execute_exactly(1)?;
    }
    Ok(Some(keys.len()))
}

/// Whether the master key opens the data keys that are there; true if there are none.
pub(super) fn opens(master_key: &MasterKey, connection: &Connection) -> Result<bool> {
    let row: Option<(String, Vec<u8>)> = ANY_DATA_KEY.on(connection).optional()?;
    let Some((id, wrapped)) = row else { return Ok(true) };
    Ok(TenantId::parse(&id).is_ok_and(|id| master_key.unwrap_data_key(&id, &wrapped).is_some()))
}

fn simple(sql: SystemSql, connection: &Connection) -> Result<()> {
    sql.on(connection).execute().map(|_| ())
}

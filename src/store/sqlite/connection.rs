//! The connection that writes: its transactions and savepoints, and the checkpoints of its log.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::store::error::Result;
use crate::store::sql::{SqliteSql, sqlite_sql};

/// The texts that a connection keeps ready: more than there are.
pub(super) const STATEMENTS: usize = 256;

/// How many pages the write-ahead log has, and how many of them are in the database too.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::store) struct Log {
    pub pages: i64,
    pub checkpointed: i64,
}

sqlite_sql! {
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
}

/// A connection that writes.
pub(in crate::store) fn connect(path: &Path) -> rusqlite::Result<Connection> {
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

pub(in crate::store) fn begin(connection: &Connection) -> Result<()> {
    simple(BEGIN, connection)
}

pub(in crate::store) fn commit(connection: &Connection) -> Result<()> {
    simple(COMMIT, connection)
}

pub(in crate::store) fn rollback(connection: &Connection) -> Result<()> {
    simple(ROLLBACK, connection)
}

pub(in crate::store) fn savepoint(connection: &Connection) -> Result<()> {
    simple(SAVEPOINT, connection)
}

pub(in crate::store) fn release(connection: &Connection) -> Result<()> {
    simple(RELEASE, connection)
}

pub(in crate::store) fn rollback_to_savepoint(connection: &Connection) -> Result<()> {
    simple(ROLLBACK_TO_SAVEPOINT, connection)?;
    simple(RELEASE, connection)
}

/// Checkpoints as much of the write-ahead log as is possible without waiting for anybody.
pub(in crate::store) fn checkpoint_beside(connection: &Connection) -> Result<()> {
    simple(CHECKPOINT_BESIDE, connection)
}

/// How long the write-ahead log is.
pub(in crate::store) fn log(connection: &Connection) -> Result<Log> {
    let row: Option<(i64, i64, i64)> = CHECKPOINTED.on(connection).optional()?;
    Ok(row.map_or(Log::default(), |(_, pages, checkpointed)| Log { pages, checkpointed }))
}

/// The bytes that the database has with all of its log.
pub(in crate::store) fn size(connection: &Connection) -> Result<u64> {
    let row: Option<(i64,)> = SIZE.on(connection).optional()?;
    Ok(row.map_or(0, |(bytes,)| u64::try_from(bytes).unwrap_or(0)))
}

/// Checkpoints all of the write-ahead log, and truncates it.
pub(in crate::store) fn checkpoint(connection: &Connection) -> Result<()> {
    simple(CHECKPOINT, connection)
}

/// Closes the connection: the last one takes the write-ahead log's files away.
pub(in crate::store) fn close(connection: Connection) {
    if let Err((_, error)) = connection.close() {
        tracing::warn!(%error, "a connection was not closed as it should be");
    }
}

/// Does the work in one transaction, which is taken back if it gives nothing.
pub(in crate::store) fn in_transaction<T>(
    connection: &Connection,
    work: impl FnOnce() -> Result<Option<T>>,
) -> Result<Option<T>> {
    begin(connection)?;
    let done = work();
    match &done {
        Ok(Some(_)) => commit(connection)?,
        _ => rollback(connection)?,
    }
    done
}

fn simple(sql: SqliteSql, connection: &Connection) -> Result<()> {
    sql.on(connection).execute().map(|_| ())
}

//! Checkpoints the write-ahead log (WAL) while the writer goes on.
//!
//! SQLite does it by itself at the end of a commit, and everybody's writes wait for it: thousands of pages at random places,
//! and an fsync of the database. On a connection of its own it costs nobody anything, but cannot come to an end while the log
//! grows. So the writer still does it, rarely, when there is little left to do, and begins the log anew.
//!
//! A checkpoint takes room before it frees any: the pages that the database does not have yet. On a volume that has less, it
//! would take all that is left from those who write, and fail. So it is begun only where it fits, and a log that does not fit
//! waits for room. That is looked for every second while the volume is full.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::thread::sleep;
use std::time::Duration;

use rusqlite::Connection;

use super::connection;
use crate::store::error::{Inconsistency, Result, StoreError};
use crate::volume::Volume;

/// Pages of the log, 16 MiB, that are worth it: the more, the fewer of them have been written over since.
const START_AT_PAGES: i64 = 4_000;
/// Pages of the log, 64 MiB, at which the writer does it.
const FORCE_AT_PAGES: i64 = 16_000;
/// Bytes of the volume below which the log is checkpointed however short it is: what a write adds to the database, as each does to
/// the audit log, must still fit beside a log that has filled the volume.
const LOW_ROOM: u64 = 2 * 1024 * 1024;
/// Bytes of the volume that a checkpoint leaves to others.
const SPARE: u64 = 256 * 1024;

/// How often the log is looked at while there are commits, and after a checkpoint failed.
const PAUSE: Duration = Duration::from_millis(20);
const PAUSE_AFTER_ERROR: Duration = Duration::from_secs(1);

/// What the thread beside the writer asks of it.
#[derive(Default)]
pub(in crate::store) struct Asked {
    checkpoint: AtomicBool,
}

// === impl Asked ===

impl Asked {
    /// Whether the log has become so long that the writer is to checkpoint it; once for each time.
    pub(super) fn take(&self) -> bool {
        self.checkpoint.swap(false, Ordering::Relaxed)
    }
}

/// Runs on a thread of its own. `committed` is told of commits, until there will be no more.
pub(in crate::store) fn run(connection: Connection, committed: &Receiver<()>, asked: &Asked) {
    while committed.recv().is_ok() {
        let pause = match look(&connection, asked) {
            Ok(()) => PAUSE,
            Err(error) => {
                tracing::warn!(error = %error, "the write-ahead log grows: it could not be checkpointed, and is tried again");
                PAUSE_AFTER_ERROR
            }
        };
        sleep(pause);
    }
    connection::close(connection);
}

fn look(connection: &Connection, asked: &Asked) -> Result<()> {
    let log = connection::log(connection)?;
    let pages = log.pages - log.checkpointed;
    if pages >= START_AT_PAGES || (pages > 0 && room(connection)? < LOW_ROOM && fits(connection)?) {
        checkpoint(connection)?;
    }
    if log.pages >= FORCE_AT_PAGES {
        asked.checkpoint.store(true, Ordering::Relaxed);
    }
    Ok(())
}

/// Checkpoints as much of the log as is possible without waiting for anybody. DiskFull if the volume has no room for it; then
/// nothing is done.
pub(in crate::store) fn checkpoint(connection: &Connection) -> Result<()> {
    if !fits(connection)? {
        return Err(StoreError::DiskFull);
    }
    connection::checkpoint_beside(connection)
}

/// Checkpoints what there is of the log, however little. True if there is room for writes afterwards: all of the log, which the
/// next one begins anew, or on the volume.
pub(in crate::store) fn make_room(connection: &Connection) -> Result<bool> {
    match checkpoint(connection) {
        Ok(()) => {}
        Err(StoreError::DiskFull) => return Ok(false),
        Err(error) => return Err(error),
    }
    let log = connection::log(connection)?;
    let is_begun_anew = log.pages > 0 && log.pages == log.checkpointed;
    Ok(is_begun_anew || room(connection)? >= SPARE)
}

/// Whether the volume has room for the pages that the database does not have yet.
fn fits(connection: &Connection) -> Result<bool> {
    let grown = connection::size(connection)?.saturating_sub(file_size(connection)?);
    Ok(grown == 0 || room(connection)? >= grown + SPARE)
}

fn file_size(connection: &Connection) -> Result<u64> {
    let looked_at = std::fs::metadata(path(connection)?);
    looked_at.map(|file| file.len()).map_err(|error| StoreError::Database(error.into()))
}

/// The bytes that this user may still write on the database's volume.
fn room(connection: &Connection) -> Result<u64> {
    let volume = Volume::of(path(connection)?).map_err(|error| StoreError::Database(error.into()))?;
    Ok(volume.free)
}

fn path(connection: &Connection) -> Result<&Path> {
    let path = connection.path().map(Path::new);
    path.ok_or_else(|| Inconsistency::NoFile.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::prospect::ProspectFields;
    use crate::store::CreateProspects;
    use crate::tenant::TenantId;
    use crate::testing;

    #[tokio::test]
    async fn the_log_is_checkpointed_while_the_writer_is_there_and_stays_small() {
        let folder = tempfile::tempdir().expect("a folder");
        let size = |name: &str| std::fs::metadata(folder.path().join(name)).expect("a file").len();
        let store = testing::store(&folder.path().join("herald.db")).await;
        let tenant = TenantId::parse("user_a").expect("an id");
        let before = size("herald.db");
        for batch in 0..60 {
            let rows = (0..1_000).map(|n| ProspectFields {
                email: format!("p{batch}.{n}@example.com"),
                notes: "x".repeat(1_000),
                ..Default::default()
            });
            let write = CreateProspects::new(rows.collect(), None, store.ids());
            store.queue.write(&tenant, write).await.expect("written");
            if batch == 9 {
                // The writer has left it alone so far.
                let mut looks = 0;
                while size("herald.db") < before + (4 << 20) {
                    assert!(looks < 500, "{} bytes, and {} in the log", size("herald.db"), size("herald.db-wal"));
                    tokio::time::sleep(PAUSE).await;
                    looks += 1;
                }
            }
        }
        assert!(size("herald.db-wal") < 100 << 20, "{}", size("herald.db-wal"));
        store.close().await;
    }
}

//! Folds the write-ahead log into the database while the writer goes on.
//!
//! SQLite does it by itself at the end of a commit, and everybody's writes wait for it: thousands of pages at random places,
//! and an fsync of the database. Beside the writer it costs nobody anything, but cannot come to an end while the log grows.
//! So the writer still does it, rarely, when there is little left to do, and begins the log anew.

use std::sync::mpsc::Receiver;
use std::thread::sleep;
use std::time::Duration;

use rusqlite::Connection;

use super::error::Result;
use super::transaction;

/// Pages of the log, 16 MiB, that are worth it: the more, the fewer of them have been written over since.
const WORTH: i64 = 4_000;
/// Pages of the log, 64 MiB, at which the writer does it.
pub(super) const AT_MOST: u32 = 16_000;

/// How often it is looked at while there are commits, and after it could not be done.
const PAUSE: Duration = Duration::from_millis(20);
const PAUSE_AFTER_ERROR: Duration = Duration::from_secs(1);

/// Runs on a thread of its own. `committed` is told of commits, until there will be no more.
pub(super) fn run(connection: Connection, committed: &Receiver<()>) {
    while committed.recv().is_ok() {
        let pause = match look(&connection) {
            Ok(()) => PAUSE,
            Err(error) => {
                tracing::warn!(error = %error, "the write-ahead log grows: it could not be folded in, and is tried again");
                PAUSE_AFTER_ERROR
            }
        };
        sleep(pause);
    }
    transaction::close(connection);
}

fn look(connection: &Connection) -> Result<()> {
    if transaction::unfolded(connection)? >= WORTH {
        transaction::fold(connection)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::prospect::ProspectFields;
    use crate::store::CreateProspects;
    use crate::tenant::TenantId;
    use crate::testing;

    #[tokio::test]
    async fn the_log_is_folded_in_while_the_writer_is_there_and_stays_small() {
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

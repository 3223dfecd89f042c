//! A copy of the database while it is in use.

use std::path::Path;
use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use crate::store::error::{Inconsistency, Result};

/// How long to wait for a database that is locked, as it is for a moment at a start or a stop.
const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(100);

/// Copies the database at `from`, whether or not a server works on it, to the empty file at `to`: as it was at one moment.
pub fn copy_database(from: &Path, to: &Path) -> Result<()> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let source = Connection::open_with_flags(from, flags)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut target = Connection::open_with_flags(to, flags)?;
    let copy = Backup::new(&source, &mut target)?;
    for _ in 0..TRIES {
        // All of it at once: in pieces, each write of the server would begin it anew.
        match copy.step(-1)? {
            StepResult::Done => {
                drop(copy);
                // In WAL mode, whoever reads the copy would leave files beside it.
                return Ok(target.pragma_update(None, "journal_mode", "DELETE")?);
            }
            _ => std::thread::sleep(PAUSE),
        }
    }
    Err(Inconsistency::Locked.into())
}

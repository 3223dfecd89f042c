//! What SQLite alone has: opening, connections, the writer's loop, checkpoints, copies, looking whether all is well.
//!
//! Reads use read-only connections; writes go through the one writer, which commits in groups and answers only after the
//! commit ([`writer`]). WAL, `synchronous=FULL`: what was answered is on the disk.

mod backup;
mod check;
mod checkpoints;
mod connection;
mod executor;
mod open;
pub(in crate::store) mod readers;
mod writer;

pub use backup::copy_database;
pub use check::{Mailboxes, Seen, check_copy, check_database};
pub use open::{OpenError, rewrap_data_keys};

use super::sql::SqliteSql;

/// Every text that is told to SQLite alone.
pub fn sqlite_texts() -> Vec<SqliteSql> {
    [connection::REGISTERED_SQLITE, check::REGISTERED_SQLITE, check::mailboxes::REGISTERED_SQLITE].concat()
}

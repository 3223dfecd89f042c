//! Reads of one row, on the thread that asks for it.
//!
//! SQLite finds a row by its id in a few microseconds. The way to a reader's thread and back takes several times as long,
//! and behind somebody's search a thousand times. So what one row bounds is read at once, where it is asked for, and takes
//! no turn. Whatever cannot be read so is left to the readers, whose errors are the ones that are told.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension as _};

use super::sql::TenantSql;
use crate::tenant::TenantId;

/// Connections for them: as many as have been needed at the same time, which is at most one for each of the runtime's threads.
pub(super) struct Rows {
    path: PathBuf,
    /// None once they are closed.
    idle: Mutex<Option<Vec<Connection>>>,
}

impl Rows {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, idle: Mutex::new(Some(Vec::new())) }
    }

    /// The text that `sql` gives of the tenant's row of this id: `$1` is the tenant, `$2` the id. None if there is no such
    /// row; an error if the readers have to be asked.
    pub(super) fn read(&self, sql: TenantSql, tenant: &TenantId, id: &str) -> rusqlite::Result<Option<String>> {
        let idle = self.idle().as_mut().map(Vec::pop).ok_or(rusqlite::Error::InvalidQuery)?;
        let connection = idle.map_or_else(|| self.connect(), Ok)?;
        let found = connection
            .prepare_cached(sql.text)
            .and_then(|mut statement| statement.query_row((tenant.as_str(), id), |row| row.get(0)).optional());
        // One that has failed is not used again.
        if found.is_ok()
            && let Some(idle) = self.idle().as_mut()
        {
            idle.push(connection);
        }
        found
    }

    /// From now on, nothing is read here.
    pub(super) fn close(&self) {
        self.idle().take();
    }

    fn connect(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        // Nobody's thread waits here for another's lock.
        connection.busy_timeout(Duration::ZERO)?;
        Ok(connection)
    }

    fn idle(&self) -> MutexGuard<'_, Option<Vec<Connection>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::Value;

    use super::*;
    use crate::domain::prospect::ProspectFields;
    use crate::store::{CreateProspects, Store};
    use crate::testing;

    const EMAIL: TenantSql =
        TenantSql::new("EMAIL", "SELECT json_array(email) FROM prospects WHERE tenant_id = $1 AND id = $2");
    const OF_THREE: TenantSql =
        TenantSql::new("OF_THREE", "SELECT json_array(email) FROM prospects WHERE tenant_id = $1 AND id = $2 AND $3");

    async fn created(store: &Store, tenant: &TenantId, n: usize) -> String {
        let fields = ProspectFields { email: format!("p{n}@{tenant}.example"), ..Default::default() };
        let made = store.queue.write(tenant, CreateProspects::new(vec![fields], None, store.ids())).await;
        made.expect("written").remove(0).id.to_string()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn a_tenants_row_is_read_as_soon_as_it_is_written_and_another_has_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = testing::store(&folder.path().join("herald.db")).await;
        let tenants = ["a", "b"].map(|name| TenantId::parse(name).expect("an id"));
        let callers = (0..4).map(|caller| {
            let (store, tenants) = (store.clone(), tenants.clone());
            tokio::spawn(async move {
                for n in 0..25 {
                    let (own, other) = (&tenants[n % 2], &tenants[(n + 1) % 2]);
                    let n = caller * 1_000 + n;
                    let id = created(&store, own, n).await;
                    let rows = &store.readers.rows;
                    let found = rows.read(EMAIL, own, &id).expect("read");
                    assert_eq!(found, Some(format!("[\"p{n}@{own}.example\"]")));
                    assert_eq!(rows.read(EMAIL, other, &id).expect("read"), None);
                }
            })
        });
        for caller in callers.collect::<Vec<_>>() {
            caller.await.expect("all as it should be");
        }
        let idle = store.readers.rows.idle().as_ref().map(Vec::len);
        assert!((1..=4).contains(&idle.unwrap_or(0)), "{idle:?} connections for four threads");
        store.close().await;
    }

    #[tokio::test]
    async fn what_cannot_be_read_here_is_left_to_the_readers() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("herald.db");
        let store: Arc<Store> = testing::store(&path).await;
        let tenant = TenantId::parse("a").expect("an id");
        let id = created(&store, &tenant, 1).await;
        // A connection that has failed is not kept, and the readers say why.
        assert!(store.readers.rows.read(OF_THREE, &tenant, &id).is_err());
        assert_eq!(store.readers.rows.idle().as_ref().map(Vec::len), Some(0));
        let refused = store.readers.row::<Value>(OF_THREE, &tenant, &id).await.expect_err("a parameter is missing");
        assert!(refused.to_string().contains("OF_THREE has 3 parameters, 2 were bound"), "{refused}");

        store.readers.rows.close();
        assert!(store.readers.rows.read(EMAIL, &tenant, &id).is_err());
        let found: Option<(String,)> = store.readers.row(EMAIL, &tenant, &id).await.expect("read");
        assert_eq!(found, Some(("p1@a.example".to_owned(),)));
        store.close().await;
    }
}

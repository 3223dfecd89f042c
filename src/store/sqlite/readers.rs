//! The connections that read.
//!
//! SQLite finds a row by its id in a few microseconds. The way to another thread and back takes several times as long, and
//! behind somebody's search a thousand times. So Herald reads one row where it is asked for, and without a turn. What a
//! tenant's size bounds, a list or a search, takes a turn and a thread of its own.

use std::num::NonZero;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use tracing::Span;

use super::connection::STATEMENTS;
use crate::store::error::{Inconsistency, Result, StoreError};
use crate::store::sql::Executor;
use crate::tenant::TenantId;
use crate::turns::Turns;

/// Reads in turn at the same time for each of the machine's cores. On two cores, 2 and 4 and 8 of them gave 5,060, 5,360 and
/// 5,290 lists a second, and calls beside a flood of searches waited 9, 11 and 17 ms for a core at p99.
const READERS_PER_CORE: usize = 2;

/// How long a read in turn waits for a database that is locked, as it is for a moment at a start.
const BUSY: Duration = Duration::from_secs(5);

/// Connections that read: as many as have been needed at the same time.
pub(in crate::store) struct Readers {
    path: PathBuf,
    /// None once they are closed.
    idle: Mutex<Option<Vec<Connection>>>,
    turns: Arc<Turns>,
}

// === impl Readers ===

impl Readers {
    /// `fair`: tenants take turns.
    pub(super) fn new(path: PathBuf, fair: bool) -> Arc<Self> {
        let max = READERS_PER_CORE * std::thread::available_parallelism().map_or(2, NonZero::get).max(2);
        Arc::new(Self { path, idle: Mutex::new(Some(Vec::new())), turns: Turns::new(max, max - max / 4, fair) })
    }

    /// Reads on the thread that asks: for what one row bounds. What fails so is read in turn, whose error is the one told.
    pub(in crate::store) fn here<T>(&self, read: impl FnOnce(&dyn Executor) -> Result<T>) -> Result<T> {
        self.with_connection(Duration::ZERO, read)
    }

    /// The same for whoever has no tenant's turn to wait for: where the database is locked for a moment, it waits for that.
    pub(in crate::store) async fn at_once<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl Fn(&dyn Executor) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        match self.here(&read) {
            Ok(found) => Ok(found),
            Err(_) => self.aside(read).await,
        }
    }

    /// Reads on a thread of its own, of no tenant's turn.
    pub(in crate::store) async fn aside<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&dyn Executor) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let readers = self.clone();
        let reading = tokio::task::spawn_blocking(move || readers.with_connection(BUSY, read));
        reading.await.unwrap_or(Err(Inconsistency::Panicked.into()))
    }

    /// Reads when it is the tenant's turn. Whoever gives up leaves the turn to the read, until that has ended.
    pub(in crate::store) async fn in_turn<T: Send + 'static>(
        self: &Arc<Self>,
        tenant: &TenantId,
        read: impl FnOnce(&dyn Executor) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let turn = self.turns.take(tenant).await;
        let (readers, span) = (self.clone(), Span::current());
        let reading = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            span.in_scope(|| readers.with_connection(BUSY, read))
        });
        reading.await.unwrap_or(Err(Inconsistency::Panicked.into()))
    }

    /// From now on, nothing is read.
    pub(in crate::store) fn close(&self) {
        self.idle().take();
    }

    fn with_connection<T>(&self, busy: Duration, read: impl FnOnce(&dyn Executor) -> Result<T>) -> Result<T> {
        let idle = self.idle().as_mut().map(Vec::pop).ok_or(StoreError::Closed)?;
        let connection = idle.map_or_else(|| self.connect(), Ok)?;
        connection.busy_timeout(busy)?;
        let found = read(&connection);
        // One that has failed is not used again.
        if found.is_ok()
            && let Some(idle) = self.idle().as_mut()
        {
            idle.push(connection);
        }
        found
    }

    fn connect(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        Ok(connection)
    }

    fn idle(&self) -> MutexGuard<'_, Option<Vec<Connection>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::prospect::ProspectFields;
    use crate::store::sql::{TenantSql, spelled};
    use crate::store::{CreateProspects, Store};
    use crate::testing;

    const EMAIL: TenantSql =
        TenantSql::new(spelled!("EMAIL", "SELECT email FROM prospects WHERE tenant_id = $1 AND id = $2"));
    const OF_THREE: TenantSql =
        TenantSql::new(spelled!("OF_THREE", "SELECT email FROM prospects WHERE tenant_id = $1 AND id = $2 AND $3"));
    /// The second column is no number.
    const UNREADABLE: TenantSql =
        TenantSql::new(spelled!("UNREADABLE", "SELECT id, email FROM prospects WHERE tenant_id = $1 AND id = $2"));

    async fn created(store: &Store, tenant: &TenantId, n: usize) -> String {
        let fields = ProspectFields { email: format!("p{n}@{tenant}.example"), ..Default::default() };
        let made = store.queue.write(tenant, CreateProspects::new(vec![fields], None, store.ids())).await;
        made.expect("written").remove(0).id.to_string()
    }

    fn email(readers: &Readers, tenant: &TenantId, id: &str) -> Result<Option<(String,)>> {
        readers.here(|executor| EMAIL.on(executor, tenant).bind(id).optional())
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
                    let found = email(&store.readers, own, &id).expect("read");
                    assert_eq!(found, Some((format!("p{n}@{own}.example"),)));
                    assert_eq!(email(&store.readers, other, &id).expect("read"), None);
                }
            })
        });
        for caller in callers.collect::<Vec<_>>() {
            caller.await.expect("all as it should be");
        }
        let idle = store.readers.idle().as_ref().map(Vec::len);
        assert!((1..=4).contains(&idle.unwrap_or(0)), "{idle:?} connections for four threads");
        store.close().await;
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_told_and_its_connection_is_not_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = testing::store(&folder.path().join("herald.db")).await;
        let tenant = TenantId::parse("a").expect("an id");
        let id = created(&store, &tenant, 1).await;
        let read = |sql: TenantSql| {
            store.readers.here(|executor| sql.on(executor, &tenant).bind(id.as_str()).optional::<(String, i64)>())
        };
        let missing = read(OF_THREE).expect_err("a parameter is missing").to_string();
        assert!(missing.contains("OF_THREE has 3 parameters, 2 were bound"), "{missing}");
        let unreadable = read(UNREADABLE).expect_err("no number").to_string();
        assert!(
            unreadable.contains(&format!("the column email of prospects in the row {id} cannot be read")),
            "{unreadable}"
        );
        assert_eq!(store.readers.idle().as_ref().map(Vec::len), Some(0));

        let (of, wanted) = (tenant.clone(), id.clone());
        let in_turn = store
            .readers
            .in_turn(&tenant, move |executor| EMAIL.on(executor, &of).bind(wanted.as_str()).optional::<(String,)>());
        assert_eq!(in_turn.await.expect("read"), Some(("p1@a.example".to_owned(),)));
        store.readers.close();
        assert!(matches!(email(&store.readers, &tenant, &id), Err(StoreError::Closed)));
        store.close().await;
    }
}

//! The one writer: takes the writes that wait, in turns by tenant, and commits them in groups.
//!
//! One commit with fsync serves a whole group, and each write is answered only after it. A write that fails fails alone:
//! it goes back to the savepoint that was set before it. Where SQLite rolled the whole transaction back (a full disk, an
//! I/O error), every write of the group is tried again alone, so that only the ones at fault fail.
//!
//! Never anything but SQL happens inside a transaction.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::{Notify, oneshot};

use super::{checkpoints, connection};
use crate::crash;
use crate::domain::id::Ids;
use crate::metrics::metrics;
use crate::store::error::{Result, StoreError};
use crate::store::freshness::Freshness;
use crate::store::master_key::MasterKey;
use crate::store::queue::{EndOfWrites, Entry, Queue, Session};
use crate::store::tail::Tails;
use crate::store::tenants;
use crate::store::tx::Effects;
use crate::tenant::TenantId;

/// How often room is looked for on a full volume while nobody writes.
const LOOK_FOR_ROOM: Duration = Duration::from_secs(1);

/// The thread that owns the writing connection.
pub(in crate::store) struct Writer {
    connection: Connection,
    queue: Arc<Queue>,
    tails: Arc<Tails>,
    freshness: Arc<Freshness>,
    ids: Ids,
    master_key: MasterKey,
    /// Wakes the thread that checkpoints the log.
    committed: Option<SyncSender<()>>,
    /// Whether the volume was full at the last write, and has had no room since.
    is_full: bool,
    /// Told when it has room again.
    room: Arc<Notify>,
    /// The tenants whose row is known to be there.
    known: HashSet<TenantId>,
}

// === impl Writer ===

impl Writer {
    pub(super) fn new(
        connection: Connection,
        (queue, tails, freshness): (Arc<Queue>, Arc<Tails>, Arc<Freshness>),
        ids: Ids,
        master_key: MasterKey,
        room: Arc<Notify>,
    ) -> Self {
        let known = HashSet::new();
        Self { connection, queue, tails, freshness, ids, master_key, committed: None, is_full: false, room, known }
    }

    /// Writes until the queue is closed and empty, which is told then. `beside` is the connection for checkpoints.
    ///
    /// On a thread of its own, and each statement on that thread: with a way to another thread and back for each, everybody
    /// would wait for many times what SQLite takes.
    pub(super) fn spawn(mut self, beside: Connection) -> std::io::Result<oneshot::Receiver<()>> {
        let (committed, commits) = sync_channel(1);
        self.committed = Some(committed);
        let (ended, end) = oneshot::channel();
        let asked = Arc::new(checkpoints::Asked::default());
        let by_writer = asked.clone();
        let checkpointer = thread::Builder::new().name("store-checkpoints".to_owned());
        let checkpointer = checkpointer.spawn(move || checkpoints::run(beside, &commits, &asked))?;
        thread::Builder::new().name("store-writer".to_owned()).spawn(move || {
            let end_of_writes = EndOfWrites(self.queue.clone());
            self.run(&by_writer);
            drop(end_of_writes);
            // Tells the other that there are no more.
            self.committed = None;
            let _ = checkpointer.join();
            if let Err(error) = connection::checkpoint(&self.connection) {
                tracing::warn!(error = %error, "the write-ahead log was not checkpointed at the end; the next start does it");
            }
            connection::close(self.connection);
            let _ = ended.send(());
        })?;
        Ok(end)
    }

    fn run(&mut self, asked: &checkpoints::Asked) {
        let queue = self.queue.clone();
        while let Some(mut group) = queue.group(self.is_full.then_some(LOOK_FOR_ROOM)) {
            if self.is_full && self.make_room() {
                self.is_full = false;
                self.room.notify_waiters();
                tracing::info!("store.has_room");
            }
            if asked.take()
                && let Err(error) = checkpoints::checkpoint(&self.connection)
            {
                tracing::warn!(error = %error, "the write-ahead log grows: the writer could not checkpoint it");
            }
            if group.is_empty() {
                continue;
            }
            match self.commit_with_room(&mut group) {
                Ok(effects) => self.finish(group, effects),
                Err(error) if group.len() == 1 => answer_all(group, error),
                Err(error) => {
                    tracing::warn!(error = %error, writes = group.len(), "a group commit failed; trying each write alone");
                    for entry in group {
                        let mut alone = vec![entry];
                        match self.commit(&mut alone) {
                            Ok(effects) => self.finish(alone, effects),
                            Err(error) => answer_all(alone, error),
                        }
                    }
                }
            }
        }
    }

    /// See [`Writer::commit`]. What does not fit on the volume may fit into a log that is begun anew.
    fn commit_with_room(&mut self, group: &mut [Entry]) -> Result<Effects> {
        match self.commit(group) {
            Err(StoreError::DiskFull) if self.make_room() => self.commit(group),
            Err(StoreError::DiskFull) => {
                if !self.is_full {
                    tracing::warn!("store.full");
                }
                self.is_full = true;
                Err(StoreError::DiskFull)
            }
            done => done,
        }
    }

    /// Whether there is room for writes, now that the log is checkpointed as far as that fits.
    fn make_room(&self) -> bool {
        checkpoints::make_room(&self.connection).unwrap_or_else(|error| {
            tracing::warn!(error = %error, "the write-ahead log could not be checkpointed");
            false
        })
    }

    /// Runs the group in one transaction. An error means that nothing of it was committed.
    fn commit(&mut self, group: &mut [Entry]) -> Result<Effects> {
        let mut effects = Effects::new(self.freshness.clone());
        connection::begin(&self.connection)?;
        crash::point("store.begun");
        let outcome = self.run_jobs(group, &mut effects);
        crash::point("store.run");
        let outcome = match outcome {
            Ok(()) => {
                effects.written.begin();
                let committed = connection::commit(&self.connection);
                effects.written.end();
                committed
            }
            Err(error) => Err(error),
        };
        crash::point("store.committed");
        if let Err(error) = outcome {
            // Already rolled back where SQLite did it by itself; then this has nothing to do.
            let _ = connection::rollback(&self.connection);
            return Err(error);
        }
        Ok(effects)
    }

    fn run_jobs(&mut self, group: &mut [Entry], effects: &mut Effects) -> Result<()> {
        for (tenant, job) in group {
            let told = effects.events.len();
            let is_new = tenant.as_ref().filter(|tenant| !self.known.contains(*tenant));
            connection::savepoint(&self.connection)?;
            if let Some(tenant) = is_new {
                tenants::ensure(&self.connection, tenant, &self.master_key, &self.ids)?;
            }
            let session = Session {
                executor: &self.connection,
                tenant: tenant.as_ref(),
                keys: &self.master_key,
                ids: &self.ids,
                effects,
            };
            if job.run(session).is_ok() {
                connection::release(&self.connection)?;
            } else if job.found_no_room() {
                // SQLite has mostly rolled everything back.
                return Err(StoreError::DiskFull);
            } else {
                effects.events.truncate(told);
                // Fails if SQLite has rolled everything back; then the whole group is tried again, each alone.
                connection::rollback_to_savepoint(&self.connection)?;
            }
        }
        Ok(())
    }

    fn finish(&mut self, group: Vec<Entry>, effects: Effects) {
        metrics().commit(group.len());
        if let Some(committed) = &self.committed {
            // If it is full, the other is about to look.
            let _ = committed.try_send(());
        }
        // Watchers first: a reader that has its answer finds the events told.
        self.tails.publish(effects.events);
        for (tenant, job) in group {
            // A write that failed was rolled back, with its tenant's row if that was new.
            if let Some(tenant) = tenant.filter(|_| job.succeeded()) {
                self.known.insert(tenant);
            }
            job.answer(Ok(()));
            crash::point("store.answered");
        }
    }
}

fn answer_all(group: Vec<Entry>, error: StoreError) {
    let mut error = Some(error);
    for (_, job) in group {
        job.answer(Err(error.take().unwrap_or(StoreError::Closed)));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use super::*;
    use crate::domain::clock::Timestamp;
    use crate::domain::id::ProspectId;
    use crate::domain::mask::Mask;
    use crate::domain::prospect::ProspectFields;
    use crate::store::request_id::RequestId;
    use crate::store::retention::PurgeRequestIds;
    use crate::store::sql::SqliteSql;
    use crate::store::tx::{ScopedTx, SystemTx};
    use crate::store::write::{SystemWrite, Write};
    use crate::store::{CreateProspects, DeleteProspect, UpdateProspect};
    use crate::testing;

    #[tokio::test]
    async fn a_tenant_whose_first_write_fails_leaves_no_row() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("herald.db");
        let store = testing::store(&path).await;
        let tenants = ["a", "b"].map(|name| TenantId::parse(name).expect("an id"));
        let delete = || DeleteProspect { id: ProspectId::make(store.ids()), etag: String::new(), keep: Duration::ZERO };
        let fields = ProspectFields { email: "p@a.example".to_owned(), ..Default::default() };
        let (failed, created) = tokio::join!(
            store.queue.write(&tenants[0], delete()),
            store.queue.write(&tenants[1], CreateProspects::new(vec![fields], None, store.ids())),
        );
        assert!(matches!(failed, Err(StoreError::NotFound(_))), "{failed:?}");
        created.expect("written");
        store.close().await;
        let connection = Connection::open(&path).expect("the database");
        assert_eq!(tenants::all(&connection).expect("rows"), tenants[1..]);
    }

    /// Says how often it has run.
    struct Counted(Arc<AtomicU32>);

    impl Write for Counted {
        type Out = ();

        fn run(&self, _tx: &mut ScopedTx<'_>) -> Result<()> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }
    }

    const LATE: SqliteSql = SqliteSql::new("LATE", "PRAGMA defer_foreign_keys = on");
    const ORPHAN: SqliteSql = SqliteSql::new(
        "ORPHAN",
        "INSERT INTO campaign_steps (tenant_id, campaign_id, step, status, progress, summary) VALUES ('a', '', '', '', 0, '')",
    );

    /// Succeeds, and refers to a campaign that is not there, which the commit finds out.
    struct Orphan;

    impl Write for Orphan {
        type Out = ();

        fn run(&self, tx: &mut ScopedTx<'_>) -> Result<()> {
            LATE.on(tx.executor()).execute()?;
            ORPHAN.on(tx.executor()).execute().map(|_| ())
        }
    }

    /// Fails when all of it is done.
    struct Fails<W>(W);

    impl<W: SystemWrite> SystemWrite for Fails<W> {
        type Out = W::Out;

        fn run(&self, tx: &mut SystemTx<'_>) -> Result<W::Out> {
            self.0.run(tx)?;
            Err(StoreError::Closed)
        }
    }

    /// A write that fails outside of what is caught.
    struct Panics;

    impl Write for Panics {
        type Out = ();

        fn weight(&self) -> usize {
            panic!("as it is to be")
        }

        fn run(&self, _tx: &mut ScopedTx<'_>) -> Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_write_that_fails_leaves_its_group_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = testing::store(&folder.path().join("herald.db")).await;
        let tenant = TenantId::parse("a").expect("an id");
        let create = |name: &str, rows: usize| {
            let rows =
                (0..rows).map(|n| ProspectFields { email: format!("{name}{n}@a.example"), ..Default::default() });
            CreateProspects::new(rows.collect(), None, store.ids())
        };
        let created = store.queue.write(&tenant, create("first", 1)).await.expect("written");
        let change = |etag, seen| UpdateProspect {
            id: created[0].id.clone(),
            fields: ProspectFields { company: "Acme".to_owned(), ..Default::default() },
            mask: Mask::all(&["company"]),
            etag,
            seen,
        };
        let seen = store.queue.write(&tenant, change(String::new(), None)).await.expect("changed");
        store.queue.write(&tenant, change(String::new(), None)).await.expect("changed since");
        let stale = change(seen.etag(tenant.as_str()), Some(seen));
        let runs = Arc::new(AtomicU32::new(0));
        // While the first is written, the others come together.
        let (large, counted, refused, small) = tokio::join!(
            store.queue.write(&tenant, create("large", 1_000)),
            store.queue.write(&tenant, Counted(runs.clone())),
            store.queue.write(&tenant, stale),
            store.queue.write(&tenant, create("small", 1)),
        );
        assert!(matches!(refused, Err(StoreError::EtagMismatch)), "{refused:?}");
        assert!(large.is_ok() && counted.is_ok() && small.is_ok());
        assert_eq!(runs.load(Ordering::Relaxed), 1, "the group was tried again");
        store.close().await;
    }

    #[tokio::test]
    async fn a_group_that_cannot_be_committed_is_taken_back_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = testing::store(&folder.path().join("herald.db")).await;
        let tenant = TenantId::parse("a").expect("an id");
        let runs = Arc::new(AtomicU32::new(0));
        let counted = || store.queue.write(&tenant, Counted(runs.clone()));
        let rows = (0..1_000).map(|n| ProspectFields { email: format!("{n}@a.example"), ..Default::default() });
        let large = CreateProspects::new(rows.collect(), None, store.ids());
        // While the first is written, the others come together.
        let (large, first, second, refused, third) = tokio::join!(
            store.queue.write(&tenant, large),
            counted(),
            counted(),
            store.queue.write(&tenant, Orphan),
            counted(),
        );
        assert!(matches!(refused, Err(StoreError::Database(_))), "{refused:?}");
        assert!(large.is_ok() && first.is_ok() && second.is_ok() && third.is_ok(), "what is not at fault is there");
        assert!(runs.load(Ordering::Relaxed) > 3, "the group was tried again");
        // The next begins a transaction of its own.
        counted().await.expect("written");
        store.close().await;
    }

    #[tokio::test]
    async fn a_write_across_tenants_that_fails_leaves_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = testing::store(&folder.path().join("herald.db")).await;
        let tenant = TenantId::parse("a").expect("an id");
        let create = || {
            let fields = ProspectFields { email: "p@a.example".to_owned(), ..Default::default() };
            let request_id = RequestId { id: "once".to_owned(), method: "m", hash: [1; 32] };
            store.queue.write(&tenant, CreateProspects::new(vec![fields], Some(request_id), store.ids()))
        };
        let created = create().await.expect("written");
        let failed = store.queue.write_system(Fails(PurgeRequestIds { before: Timestamp(i64::MAX) })).await;
        assert!(matches!(failed, Err(StoreError::Closed)), "{failed:?}");
        assert_eq!(create().await.expect("answered"), created, "the request id is known still");
        store.close().await;
    }

    #[tokio::test]
    async fn a_writer_that_dies_leaves_nobody_waiting() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = testing::store(&folder.path().join("herald.db")).await;
        let tenant = TenantId::parse("a").expect("an id");
        assert!(matches!(store.queue.write(&tenant, Panics).await, Err(StoreError::Closed)));
        let after = store.queue.write(&tenant, Counted(Arc::default())).await;
        assert!(matches!(after, Err(StoreError::Closed)));
        store.close().await;
    }

    #[tokio::test]
    async fn a_store_that_is_dropped_writes_what_waits_and_closes_the_database() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("herald.db");
        let store = testing::store(&path).await;
        let tenant = TenantId::parse("a").expect("an id");
        let queue = store.queue.clone();
        let fields = ProspectFields { email: "p@a.example".to_owned(), ..Default::default() };
        let write = queue.write(&tenant, CreateProspects::new(vec![fields], None, store.ids()));
        let (written, ()) = tokio::join!(write, async { drop(store) });
        written.expect("written");
        // The last connection takes the log away.
        let log = folder.path().join("herald.db-wal");
        for _ in 0..500 {
            if !log.exists() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the database is still open");
    }
}

//! The one writer: takes the writes that wait, in turns by tenant, and commits them in groups.
//!
//! One commit with fsync serves a whole group, and each write is answered only after it. A write that fails fails alone:
//! it goes back to the savepoint that was set before it. Where SQLite rolled the whole transaction back (a full disk, an
//! I/O error), every write of the group is tried again alone, so that only the ones at fault fail.
//!
//! Never anything but SQL happens inside a transaction.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::{Notify, oneshot};

use super::checkpoints;
use super::error::{Result, StoreError};
use super::freshness::Freshness;
use super::master_key::MasterKey;
use super::tail::Tails;
use super::transaction;
use super::tx::{Effects, ScopedTx, SystemTx};
use crate::crash;
use crate::domain::fair_queue::FairQueue;
use crate::domain::id::Ids;
use crate::metrics::metrics;
use crate::tenant::TenantId;

/// A change of one tenant's rows.
///
/// It may be run more than once (each earlier run was rolled back), so it takes `&self` and has no effect but through
/// the transaction.
pub trait Write: Send + 'static {
    type Out: Send + 'static;

    /// Whether it changes where a campaign stands.
    const CHANGES_CAMPAIGN: bool = false;

    /// About how many rows it touches; bounds what one commit takes.
    fn weight(&self) -> usize {
        1
    }

    /// Runs on the writer's thread, for which everybody waits.
    fn run(&self, tx: &mut ScopedTx<'_>) -> Result<Self::Out>;
}

/// A change that crosses tenants: claims, leases, purging. In `system.rs` alone.
pub(super) trait SystemWrite: Send + 'static {
    type Out: Send + 'static;

    fn run(&self, tx: &mut SystemTx<'_>) -> Result<Self::Out>;
}

/// The writes that one commit takes at most, and the rows they may touch.
const GROUP_WRITES: usize = 256;
const GROUP_ROWS: usize = 2_000;
/// The writes of one tenant that may wait.
const WAITING_PER_TENANT: usize = 2_000;
/// How often room is looked for on a full volume while nobody writes.
const LOOK_FOR_ROOM: Duration = Duration::from_secs(1);

/// Where writes wait.
pub(super) struct Queue {
    state: Mutex<State>,
    arrived: Condvar,
}

#[derive(Default)]
struct State {
    /// None is the turn of what crosses tenants.
    waiting: FairQueue<Option<TenantId>, Box<dyn Job>>,
    closed: bool,
}

/// Refuses what waits and what comes after, should the writer's thread panic.
struct EndOfWrites(Arc<Queue>);

/// The thread that owns the writing connection.
pub(super) struct Writer {
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

/// A write whose type is forgotten: it runs, keeps its answer, and gives it once the group is committed.
trait Job: Send {
    fn weight(&self) -> usize;
    fn succeeded(&self) -> bool;
    /// Whether it failed because the volume is full.
    fn found_no_room(&self) -> bool;
    fn run(&mut self, session: Session<'_>) -> std::result::Result<(), Failure>;
    fn answer(self: Box<Self>, committed: Result<()>);
}

/// What a job works with.
struct Session<'a> {
    connection: &'a Connection,
    tenant: Option<&'a TenantId>,
    keys: &'a MasterKey,
    ids: &'a Ids,
    effects: &'a mut Effects,
}

/// The job failed; it keeps the reason for its answer.
struct Failure;

struct Waiting<W, O> {
    write: W,
    out: Option<Result<O>>,
    reply: oneshot::Sender<Result<O>>,
}

struct Scoped<W>(W);
struct System<W>(W);

type Entry = (Option<TenantId>, Box<dyn Job>);

// === impl Queue ===

impl Queue {
    pub(super) fn new() -> Self {
        Self { state: Mutex::default(), arrived: Condvar::new() }
    }

    /// Waits for the write to be committed, and gives its answer.
    pub(super) async fn write<W: Write>(&self, tenant: &TenantId, write: W) -> Result<W::Out> {
        let (reply, answer) = oneshot::channel();
        self.push(Some(tenant.clone()), Box::new(Waiting { write: Scoped(write), out: None, reply }))?;
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    /// The same for a change that crosses tenants.
    pub(super) async fn write_system<W: SystemWrite>(&self, write: W) -> Result<W::Out> {
        let (reply, answer) = oneshot::channel();
        self.push(None, Box::new(Waiting { write: System(write), out: None, reply }))?;
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Lets what waits be written, and refuses what comes after.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_one();
    }

    fn push(&self, tenant: Option<TenantId>, job: Box<dyn Job>) -> Result<()> {
        let mut state = self.lock();
        if state.closed {
            return Err(StoreError::Closed);
        }
        if tenant.is_some() && state.waiting.waiting(&tenant) >= WAITING_PER_TENANT {
            return Err(StoreError::TooManyWrites);
        }
        let first = state.waiting.is_empty();
        state.waiting.push(tenant, job);
        metrics().waiting_writes(1);
        // With others there, the writer has been told, or is at work.
        if first {
            self.arrived.notify_one();
        }
        Ok(())
    }

    /// Waits for the next group, if `at_most` is given no longer than that: it may be empty then. None once the queue is closed
    /// and empty.
    fn group(&self, at_most: Option<Duration>) -> Option<Vec<Entry>> {
        let mut state = self.lock();
        let waits = |state: &mut State| state.waiting.is_empty() && !state.closed;
        state = match at_most {
            Some(time) => match self.arrived.wait_timeout_while(state, time, waits) {
                Ok((state, _)) => state,
                Err(poisoned) => poisoned.into_inner().0,
            },
            None => self.arrived.wait_while(state, waits).unwrap_or_else(PoisonError::into_inner),
        };
        if state.waiting.is_empty() && state.closed {
            return None;
        }
        let (mut group, mut rows) = (Vec::new(), 0);
        while group.len() < GROUP_WRITES && rows < GROUP_ROWS {
            let Some((tenant, job)) = state.waiting.pop() else { break };
            rows += job.weight();
            group.push((tenant, job));
        }
        metrics().waiting_writes(-i64::try_from(group.len()).unwrap_or(0));
        Some(group)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl EndOfWrites ===

impl Drop for EndOfWrites {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.closed = true;
        state.waiting = FairQueue::default();
    }
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
            if let Err(error) = transaction::checkpoint(&self.connection) {
                tracing::warn!(error = %error, "the write-ahead log was not checkpointed at the end; the next start does it");
            }
            transaction::close(self.connection);
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
        transaction::begin(&self.connection)?;
        crash::point("store.begun");
        let outcome = self.run_jobs(group, &mut effects);
        crash::point("store.run");
        let outcome = match outcome {
            Ok(()) => {
                effects.touched.begin();
                let committed = transaction::commit(&self.connection);
                effects.touched.end();
                committed
            }
            Err(error) => Err(error),
        };
        crash::point("store.committed");
        if let Err(error) = outcome {
            // Already rolled back where SQLite did it by itself; then this has nothing to do.
            let _ = transaction::rollback(&self.connection);
            return Err(error);
        }
        Ok(effects)
    }

    fn run_jobs(&mut self, group: &mut [Entry], effects: &mut Effects) -> Result<()> {
        for (tenant, job) in group {
            let (told, counted) = (effects.events.len(), effects.counts.len());
            let is_new = tenant.as_ref().filter(|tenant| !self.known.contains(*tenant));
            transaction::savepoint(&self.connection)?;
            if let Some(tenant) = is_new {
                transaction::ensure_tenant(&self.connection, tenant, &self.master_key, &self.ids)?;
            }
            let session = Session {
                connection: &self.connection,
                tenant: tenant.as_ref(),
                keys: &self.master_key,
                ids: &self.ids,
                effects,
            };
            if job.run(session).is_ok() {
                transaction::release(&self.connection)?;
            } else if job.found_no_room() {
                // SQLite has mostly rolled everything back.
                return Err(StoreError::DiskFull);
            } else {
                effects.events.truncate(told);
                effects.counts.truncate(counted);
                // Fails if SQLite has rolled everything back; then the whole group is tried again, each alone.
                transaction::rollback_to_savepoint(&self.connection)?;
            }
        }
        transaction::add_counts(&self.connection, effects)
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

// === impl Waiting ===

impl<W: Write> Job for Waiting<Scoped<W>, W::Out> {
    fn weight(&self) -> usize {
        self.write.0.weight()
    }

    fn succeeded(&self) -> bool {
        matches!(self.out, Some(Ok(_)))
    }

    fn found_no_room(&self) -> bool {
        matches!(self.out, Some(Err(StoreError::DiskFull)))
    }

    fn run(&mut self, session: Session<'_>) -> std::result::Result<(), Failure> {
        let Session { connection, tenant, keys, ids, effects } = session;
        let tenant = tenant.ok_or(Failure)?;
        let mut tx = ScopedTx::new(connection, tenant, keys, ids, effects);
        self.out = Some(caught(|| self.write.0.run(&mut tx)));
        if self.succeeded() { Ok(()) } else { Err(Failure) }
    }

    fn answer(self: Box<Self>, committed: Result<()>) {
        reply(*self, committed);
    }
}

impl<W: SystemWrite> Job for Waiting<System<W>, W::Out> {
    fn weight(&self) -> usize {
        1
    }

    fn succeeded(&self) -> bool {
        matches!(self.out, Some(Ok(_)))
    }

    fn found_no_room(&self) -> bool {
        matches!(self.out, Some(Err(StoreError::DiskFull)))
    }

    fn run(&mut self, session: Session<'_>) -> std::result::Result<(), Failure> {
        let mut tx = SystemTx::new(session.connection, session.effects);
        self.out = Some(caught(|| self.write.0.run(&mut tx)));
        if self.succeeded() { Ok(()) } else { Err(Failure) }
    }

    fn answer(self: Box<Self>, committed: Result<()>) {
        reply(*self, committed);
    }
}

/// A write that panics fails alone, and the writer goes on for everybody else.
fn caught<T>(run: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| Err(StoreError::Broken("a write panicked".to_owned())))
}

fn reply<W, O>(job: Waiting<W, O>, committed: Result<()>) {
    let answer = match (committed, job.out) {
        // The write's own failure says more than the group's.
        (_, Some(Err(error))) => Err(error),
        (Ok(()), Some(out)) => out,
        (Err(error), _) => Err(error),
        (Ok(()), None) => Err(StoreError::Closed),
    };
    // Nobody waits if the call was cancelled; the write stands all the same.
    let _ = job.reply.send(answer);
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use sqlx::ConnectOptions as _;
    use sqlx::sqlite::SqliteConnectOptions;

    use super::*;
    use crate::domain::clock::Timestamp;
    use crate::domain::id::ProspectId;
    use crate::domain::mask::Mask;
    use crate::domain::prospect::ProspectFields;
    use crate::store::idempotency::RequestId;
    use crate::store::system::PurgeIdempotency;
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
        let options = SqliteConnectOptions::new().filename(&path).disable_statement_logging();
        let mut connection = options.connect().await.expect("the database");
        let rows: Vec<(String,)> =
            sqlx::query_as("SELECT id FROM tenants").fetch_all(&mut connection).await.expect("rows");
        assert_eq!(rows, [("b".to_owned(),)]);
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

    /// Succeeds, but counts what no counter of its tenant can hold together with what is there.
    struct CountsTooMuch;

    impl Write for CountsTooMuch {
        type Out = ();

        fn run(&self, tx: &mut ScopedTx<'_>) -> Result<()> {
            tx.count("tests", i64::MAX);
            Ok(())
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
        store.queue.write(&tenant, CountsTooMuch).await.expect("the first fits");
        let runs = Arc::new(AtomicU32::new(0));
        let counted = || store.queue.write(&tenant, Counted(runs.clone()));
        let rows = (0..1_000).map(|n| ProspectFields { email: format!("{n}@a.example"), ..Default::default() });
        let large = CreateProspects::new(rows.collect(), None, store.ids());
        // While the first is written, the others come together.
        let (large, first, second, refused, third) = tokio::join!(
            store.queue.write(&tenant, large),
            counted(),
            counted(),
            store.queue.write(&tenant, CountsTooMuch),
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
        let failed = store.queue.write_system(Fails(PurgeIdempotency { before: Timestamp(i64::MAX) })).await;
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

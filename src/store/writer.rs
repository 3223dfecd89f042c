//! The one writer: takes the writes that wait, in turns by tenant, and commits them in groups.
//!
//! One commit with fsync serves a whole group, and each write is answered only after it. A write that fails fails alone:
//! a savepoint is set before its first change, unless it changes rows by one statement only, which SQLite undoes by
//! itself. Where SQLite rolled the whole transaction back (a full disk, an I/O error), every write of the group is tried
//! again alone, so that only the ones at fault fail.
//!
//! Never anything but SQL happens inside a transaction.

use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use sqlx::SqliteConnection;
use tokio::sync::{Notify, oneshot, watch};

use super::checkpoints::Checkpoints;
use super::error::{Result, StoreError};
use super::freshness::Freshness;
use super::master_key::MasterKey;
use super::tail::Tails;
use super::together::{Rows, Together};
use super::transaction;
use super::tx::{Done, Effects, ScopedTx, SystemTx, Undo};
use crate::crash;
use crate::domain::fair_queue::FairQueue;
use crate::domain::id::Ids;
use crate::metrics::metrics;
use crate::tenant::TenantId;

/// A change of one tenant's rows.
///
/// It may be run more than once (each earlier run was rolled back), so it takes `&self` and has no effect but through
/// the transaction.
pub trait Write: Send + Sync + 'static {
    type Out: Send + 'static;

    /// Whether it changes where a campaign stands.
    const CHANGES_CAMPAIGN: bool = false;

    /// About how many rows it touches; bounds what one commit takes.
    fn weight(&self) -> usize {
        1
    }

    /// Whether it changes rows by one statement at most, and cannot fail after it: then it needs no savepoint.
    fn is_single(&self) -> bool {
        false
    }

    /// The rows that it changes, if that is all it does and can be done for a whole group by one statement. It is, before
    /// any write of the group runs, and [`ScopedTx::done_together`] tells of how many rows.
    fn together(&self, _tenant: &TenantId) -> Option<Together> {
        None
    }

    fn run(&self, tx: &mut ScopedTx<'_>) -> impl Future<Output = Result<Self::Out>> + Send;
}

/// A change that crosses tenants: claims, leases, purging. In `system.rs` alone.
pub(super) trait SystemWrite: Send + Sync + 'static {
    type Out: Send + 'static;

    fn run(&self, tx: &mut SystemTx<'_>) -> impl Future<Output = Result<Self::Out>> + Send;
}

/// The writes that one commit takes at most, and the rows they may touch.
const GROUP_WRITES: usize = 256;
const GROUP_ROWS: usize = 2_000;
/// The writes of one tenant that may wait.
const WAITING_PER_TENANT: usize = 2_000;

/// Where writes wait.
pub(super) struct Queue {
    state: Mutex<State>,
    arrived: Notify,
}

#[derive(Default)]
struct State {
    /// None is the turn of what crosses tenants.
    waiting: FairQueue<Option<TenantId>, Box<dyn Job>>,
    closed: bool,
}

/// The task that owns the writing connection.
pub(super) struct Writer {
    connection: SqliteConnection,
    queue: Arc<Queue>,
    tails: Arc<Tails>,
    freshness: Arc<Freshness>,
    ids: Ids,
    master_key: MasterKey,
    committed: watch::Sender<()>,
    /// The tenants whose row is known to be there.
    known: HashSet<TenantId>,
}

/// A write whose type is forgotten: it runs, keeps its answer, and gives it once the group is committed.
trait Job: Send {
    fn weight(&self) -> usize;
    fn succeeded(&self) -> bool;
    /// What it does together with others; once, since it runs by itself where the group has failed.
    fn take_together(&mut self) -> Option<Together>;
    fn run<'a>(&'a mut self, session: Session<'a>) -> BoxFuture<'a, std::result::Result<(), Failure>>;
    fn answer(self: Box<Self>, committed: Result<()>);
}

/// What a job works with.
struct Session<'a> {
    connection: &'a mut SqliteConnection,
    tenant: Option<&'a TenantId>,
    keys: &'a MasterKey,
    ids: &'a Ids,
    /// What of the job has been done together with others.
    done: Option<Done>,
    effects: &'a mut Effects,
}

/// The job failed; it keeps the reason for its answer.
struct Failure;

struct Waiting<W, O> {
    write: W,
    together: Option<Together>,
    out: Option<Result<O>>,
    reply: oneshot::Sender<Result<O>>,
}

struct Scoped<W>(W);
struct System<W>(W);

type Entry = (Option<TenantId>, Box<dyn Job>);

// === impl Queue ===

impl Queue {
    pub(super) fn new() -> Self {
        Self { state: Mutex::default(), arrived: Notify::new() }
    }

    /// Waits for the write to be committed, and gives its answer.
    pub(super) async fn write<W: Write>(&self, tenant: &TenantId, write: W) -> Result<W::Out> {
        let (reply, answer) = oneshot::channel();
        // Here and not in the writer, for whom everybody waits.
        let together = write.together(tenant);
        self.push(Some(tenant.clone()), Box::new(Waiting { write: Scoped(write), together, out: None, reply }))?;
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    /// The same for a change that crosses tenants.
    pub(super) async fn write_system<W: SystemWrite>(&self, write: W) -> Result<W::Out> {
        let (reply, answer) = oneshot::channel();
        self.push(None, Box::new(Waiting { write: System(write), together: None, out: None, reply }))?;
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
        state.waiting.push(tenant, job);
        metrics().waiting_writes(1);
        drop(state);
        self.arrived.notify_one();
        Ok(())
    }

    /// The next group; None once the queue is closed and empty.
    async fn group(&self) -> Option<Vec<Entry>> {
        loop {
            {
                let mut state = self.lock();
                let (mut group, mut rows) = (Vec::new(), 0);
                while group.len() < GROUP_WRITES && rows < GROUP_ROWS {
                    let Some((tenant, job)) = state.waiting.pop() else { break };
                    rows += job.weight();
                    group.push((tenant, job));
                }
                if !group.is_empty() {
                    metrics().waiting_writes(-i64::try_from(group.len()).unwrap_or(0));
                    return Some(group);
                }
                if state.closed {
                    return None;
                }
            }
            self.arrived.notified().await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Writer ===

impl Writer {
    pub(super) fn new(
        connection: SqliteConnection,
        queue: Arc<Queue>,
        tails: Arc<Tails>,
        freshness: Arc<Freshness>,
        ids: Ids,
        master_key: MasterKey,
    ) -> Self {
        let committed = watch::Sender::new(());
        Self { connection, queue, tails, freshness, ids, master_key, committed, known: HashSet::new() }
    }

    /// Writes until the queue is closed and empty, which is told then. `folding` is the connection for checkpoints.
    ///
    /// On a thread of its own: every statement comes back from the connection's thread, and where calls keep the runtime's
    /// workers busy, each would wait for its turn among them, with everybody's writes behind it.
    pub(super) fn spawn(self, folding: SqliteConnection) -> std::io::Result<oneshot::Receiver<()>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let checkpoints = Checkpoints { connection: folding, committed: self.committed.subscribe() };
        let (ended, end) = oneshot::channel();
        std::thread::Builder::new().name("store-writer".to_owned()).spawn(move || {
            runtime.block_on(async { tokio::join!(self.run(), checkpoints.run()) });
            let _ = ended.send(());
        })?;
        Ok(end)
    }

    async fn run(mut self) {
        while let Some(mut group) = self.queue.clone().group().await {
            match self.commit(&mut group).await {
                Ok(effects) => self.finish(group, effects),
                Err(error) if group.len() == 1 => answer_all(group, error),
                Err(error) => {
                    tracing::warn!(error = %error, writes = group.len(), "a group commit failed; trying each write alone");
                    for entry in group {
                        let mut alone = vec![entry];
                        match self.commit(&mut alone).await {
                            Ok(effects) => self.finish(alone, effects),
                            Err(error) => answer_all(alone, error),
                        }
                    }
                }
            }
        }
        if let Err(error) = transaction::checkpoint(&mut self.connection).await {
            tracing::warn!(error = %error, "the write-ahead log was not folded in at the end; the next start does it");
        }
        transaction::close(self.connection).await;
    }

    /// Runs the group in one transaction. An error means that nothing of it was committed.
    async fn commit(&mut self, group: &mut [Entry]) -> Result<Effects> {
        let mut effects = Effects::new(self.freshness.clone());
        transaction::begin(&mut self.connection).await?;
        crash::point("store.begun");
        let outcome = self.run_jobs(group, &mut effects).await;
        crash::point("store.run");
        let outcome = match outcome {
            Ok(()) => {
                effects.touched.begin();
                let committed = transaction::commit(&mut self.connection).await;
                effects.touched.end();
                committed
            }
            Err(error) => Err(error),
        };
        crash::point("store.committed");
        if let Err(error) = outcome {
            // Already rolled back where SQLite did it by itself; then this has nothing to do.
            let _ = transaction::rollback(&mut self.connection).await;
            return Err(error);
        }
        Ok(effects)
    }

    async fn run_jobs(&mut self, group: &mut [Entry], effects: &mut Effects) -> Result<()> {
        let done = self.do_together(group, effects).await?;
        for ((tenant, job), done) in group.iter_mut().zip(done) {
            let (told, counted) = (effects.events.len(), effects.counts.len());
            let is_new = tenant.as_ref().filter(|tenant| !self.known.contains(*tenant));
            effects.undo = if done.is_some_and(|done| done.rows > 0) { Undo::Group } else { Undo::Nothing };
            if tenant.is_none() || is_new.is_some() {
                transaction::savepoint(&mut self.connection).await?;
                effects.undo = Undo::Savepoint;
            }
            if let Some(tenant) = is_new {
                transaction::ensure_tenant(&mut self.connection, tenant, &self.master_key, &self.ids).await?;
            }
            let session = Session {
                connection: &mut self.connection,
                tenant: tenant.as_ref(),
                keys: &self.master_key,
                ids: &self.ids,
                done,
                effects,
            };
            let outcome = job.run(session).await;
            match (outcome, effects.undo) {
                (Ok(()), Undo::Savepoint) => transaction::release(&mut self.connection).await?,
                (Ok(()), _) => {}
                (Err(Failure), undo) => {
                    effects.events.truncate(told);
                    effects.counts.truncate(counted);
                    match undo {
                        Undo::Nothing => {}
                        // Fails if SQLite has rolled everything back; then the whole group is tried again, each alone.
                        Undo::Savepoint => transaction::rollback_to_savepoint(&mut self.connection).await?,
                        Undo::Group => return Err(StoreError::Broken("a write failed after its change".to_owned())),
                    }
                }
            }
        }
        transaction::add_counts(&mut self.connection, effects).await
    }

    /// Changes the rows of the writes that do nothing else. What of each write is done; None for those that run by themselves.
    async fn do_together(&mut self, group: &mut [Entry], effects: &mut Effects) -> Result<Vec<Option<Done>>> {
        let mut rows = Rows::new(group.len());
        for (n, (tenant, job)) in group.iter_mut().enumerate() {
            // A tenant's first write makes its row first.
            if let Some(tenant) = tenant.as_ref().filter(|tenant| self.known.contains(*tenant))
                && let Some(together) = job.take_together()
            {
                rows.take(n, tenant, together);
            }
        }
        rows.change(&mut SystemTx::new(&mut self.connection, effects), self.ids.now()).await
    }

    fn finish(&mut self, group: Vec<Entry>, effects: Effects) {
        metrics().commit(group.len());
        self.committed.send_replace(());
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

    fn take_together(&mut self) -> Option<Together> {
        self.together.take()
    }

    fn succeeded(&self) -> bool {
        matches!(self.out, Some(Ok(_)))
    }

    fn run<'a>(&'a mut self, session: Session<'a>) -> BoxFuture<'a, std::result::Result<(), Failure>> {
        async move {
            let Some(tenant) = session.tenant else { return Err(Failure) };
            let mut tx = {
                let Session { connection, keys, ids, done, effects, .. } = session;
                ScopedTx::new(connection, tenant, keys, ids, self.write.0.is_single(), done, effects)
            };
            self.out = Some(caught(self.write.0.run(&mut tx)).await);
            if self.succeeded() { Ok(()) } else { Err(Failure) }
        }
        .boxed()
    }

    fn answer(self: Box<Self>, committed: Result<()>) {
        reply(*self, committed);
    }
}

impl<W: SystemWrite> Job for Waiting<System<W>, W::Out> {
    fn weight(&self) -> usize {
        1
    }

    fn take_together(&mut self) -> Option<Together> {
        None
    }

    fn succeeded(&self) -> bool {
        matches!(self.out, Some(Ok(_)))
    }

    fn run<'a>(&'a mut self, session: Session<'a>) -> BoxFuture<'a, std::result::Result<(), Failure>> {
        async move {
            let mut tx = SystemTx::new(session.connection, session.effects);
            self.out = Some(caught(self.write.0.run(&mut tx)).await);
            if self.succeeded() { Ok(()) } else { Err(Failure) }
        }
        .boxed()
    }

    fn answer(self: Box<Self>, committed: Result<()>) {
        reply(*self, committed);
    }
}

/// A write that panics fails alone, and the writer goes on for everybody else.
async fn caught<T>(run: impl Future<Output = Result<T>>) -> Result<T> {
    AssertUnwindSafe(run)
        .catch_unwind()
        .await
        .unwrap_or_else(|_| Err(StoreError::Broken("a write panicked".to_owned())))
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
    use std::time::Duration;

    use sqlx::ConnectOptions as _;
    use sqlx::sqlite::SqliteConnectOptions;

    use super::*;
    use crate::domain::id::ProspectId;
    use crate::domain::prospect::ProspectFields;
    use crate::store::{CreateProspects, DeleteProspect};
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

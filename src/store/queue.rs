//! Where writes wait for the writer: in turns by tenant, each with its answer.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::error::{Inconsistency, Result, StoreError};
use super::master_key::MasterKey;
use super::sql::Executor;
use super::tx::{Effects, ScopedTx, SystemTx};
use super::write::{SystemWrite, Write};
use crate::domain::fair_queue::FairQueue;
use crate::domain::id::Ids;
use crate::metrics::metrics;
use crate::tenant::TenantId;

/// The writes that one commit takes at most, and the rows they may touch.
const GROUP_WRITES: usize = 256;
const GROUP_ROWS: usize = 2_000;
/// The writes of one tenant that may wait.
const WAITING_PER_TENANT: usize = 2_000;

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
pub(super) struct EndOfWrites(pub Arc<Queue>);

/// A write whose type is forgotten: it runs, keeps its answer, and gives it once the group is committed.
pub(super) trait Job: Send {
    fn weight(&self) -> usize;
    fn succeeded(&self) -> bool;
    /// Whether it failed because the volume is full.
    fn found_no_room(&self) -> bool;
    fn run(&mut self, session: Session<'_>) -> std::result::Result<(), Failure>;
    fn answer(self: Box<Self>, committed: Result<()>);
}

/// What a job works with.
pub(super) struct Session<'a> {
    pub executor: &'a dyn Executor,
    pub tenant: Option<&'a TenantId>,
    pub keys: &'a MasterKey,
    pub ids: &'a Ids,
    pub effects: &'a mut Effects,
}

/// The job failed; it keeps the reason for its answer.
pub(super) struct Failure;

struct Waiting<W, O> {
    write: W,
    out: Option<Result<O>>,
    reply: oneshot::Sender<Result<O>>,
}

struct OfTenant<W>(W);
struct AcrossTenants<W>(W);

pub(super) type Entry = (Option<TenantId>, Box<dyn Job>);

// === impl Queue ===

impl Queue {
    pub(super) fn new() -> Self {
        Self { state: Mutex::default(), arrived: Condvar::new() }
    }

    /// Waits for the write to be committed, and gives its answer.
    pub(super) async fn write<W: Write>(&self, tenant: &TenantId, write: W) -> Result<W::Out> {
        let (reply, answer) = oneshot::channel();
        self.push(Some(tenant.clone()), Box::new(Waiting { write: OfTenant(write), out: None, reply }))?;
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    /// The same for a change that crosses tenants.
    pub(super) async fn write_system<W: SystemWrite>(&self, write: W) -> Result<W::Out> {
        let (reply, answer) = oneshot::channel();
        self.push(None, Box::new(Waiting { write: AcrossTenants(write), out: None, reply }))?;
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

    /// Waits for the next group, if `max_wait` is given no longer than that: it may be empty then. None once the queue is closed
    /// and empty.
    pub(super) fn group(&self, max_wait: Option<Duration>) -> Option<Vec<Entry>> {
        let mut state = self.lock();
        let waits = |state: &mut State| state.waiting.is_empty() && !state.closed;
        state = match max_wait {
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

    fn lock(&self) -> MutexGuard<'_, State> {
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

// === impl Waiting ===

impl<W: Write> Job for Waiting<OfTenant<W>, W::Out> {
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
        let Session { executor, tenant, keys, ids, effects } = session;
        let tenant = tenant.ok_or(Failure)?;
        let mut tx = ScopedTx::new(executor, tenant, keys, ids, effects);
        self.out = Some(caught(|| self.write.0.run(&mut tx)));
        if self.succeeded() { Ok(()) } else { Err(Failure) }
    }

    fn answer(self: Box<Self>, committed: Result<()>) {
        reply(*self, committed);
    }
}

impl<W: SystemWrite> Job for Waiting<AcrossTenants<W>, W::Out> {
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
        let mut tx = SystemTx::new(session.executor, session.effects);
        self.out = Some(caught(|| self.write.0.run(&mut tx)));
        if self.succeeded() { Ok(()) } else { Err(Failure) }
    }

    fn answer(self: Box<Self>, committed: Result<()>) {
        reply(*self, committed);
    }
}

/// A write that panics fails alone, and the writer goes on for everybody else.
fn caught<T>(run: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| Err(Inconsistency::Panicked.into()))
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

//! The one door to the tenants' rows.

use std::sync::Arc;

use tokio::sync::{Mutex, Notify, oneshot};

use super::changes::Changes;
use super::error::Result;
use super::freshness::Freshness;
use super::master_key::MasterKey;
use super::queue::Queue;
use super::sql::{Executor, Record, Statement, TenantSql, Value};
use super::sqlite::readers::Readers;
use super::tail::Tails;
use super::write::{OwnWrite, SystemWrite, Write};
use crate::domain::id::Ids;
use crate::tenant::{Scope, TenantId};

/// All tenants' rows.
pub struct Store {
    pub(super) readers: Arc<Readers>,
    pub(super) queue: Arc<Queue>,
    pub(super) tails: Arc<Tails>,
    pub(super) changes: Changes,
    pub(super) freshness: Arc<Freshness>,
    pub(super) ids: Ids,
    /// What opens the tenants' own keys, for reads that need one.
    pub(super) master_key: MasterKey,
    /// Tells when a full volume has room again.
    pub(super) room: Arc<Notify>,
    /// Tells when the writer has ended.
    pub(super) writer: Mutex<Option<oneshot::Receiver<()>>>,
}

/// One tenant's rows.
#[derive(Clone)]
pub struct Scoped<'a> {
    store: &'a Store,
    scope: &'a Scope,
}

/// A text with its values, for the connections that read, when it is the tenant's turn.
pub(super) struct Query<'a> {
    readers: &'a Arc<Readers>,
    tenant: &'a TenantId,
    sql: TenantSql,
    values: Vec<Value<'static>>,
}

// === impl Store ===

impl Store {
    /// The door to one tenant's rows.
    pub fn scope<'a>(&'a self, scope: &'a Scope) -> Scoped<'a> {
        Scoped { store: self, scope }
    }

    /// Which reads still hold.
    pub fn freshness(&self) -> &Arc<Freshness> {
        &self.freshness
    }

    pub fn ids(&self) -> &Ids {
        &self.ids
    }

    /// Waits until the change is on the disk.
    pub(super) async fn write_system<W: SystemWrite>(&self, write: W) -> Result<W::Out> {
        self.queue.write_system(write).await
    }

    /// Waits until a full volume has room again.
    pub async fn room(&self) {
        self.room.notified().await;
    }

    /// Waits until campaigns have changed; the scopes of their tenants, each once.
    pub async fn changed_campaigns(&self) -> Vec<Scope> {
        self.changes.next().await
    }

    /// The same without waiting; there may be none.
    pub fn take_changed_campaigns(&self) -> Vec<Scope> {
        self.changes.take()
    }

    /// Writes what waits, and closes the database.
    pub async fn close(&self) {
        self.queue.close();
        self.readers.close();
        if let Some(writer) = self.writer.lock().await.take() {
            let _ = writer.await;
        }
    }
}

impl Drop for Store {
    /// Without [`Store::close`] too, the writer's thread ends once it has written what waits.
    fn drop(&mut self) {
        self.queue.close();
    }
}

// === impl Scoped ===

impl<'a> Scoped<'a> {
    pub fn tenant(&self) -> &'a TenantId {
        self.scope.tenant()
    }

    /// Waits until a write of Herald's own is on the disk; those of callers go through [`Store::by`].
    pub async fn write<W: OwnWrite>(&self, write: W) -> Result<W::Out> {
        self.commit(write).await
    }

    pub(super) async fn commit<W: Write>(&self, write: W) -> Result<W::Out> {
        let out = self.store.queue.write(self.tenant(), write).await?;
        if W::CHANGES_CAMPAIGN {
            self.store.changes.note(self.scope);
        }
        Ok(out)
    }

    pub(super) fn query(&self, sql: TenantSql) -> Query<'a> {
        self.store.freshness.reading(self.tenant(), sql.0.tables);
        Query { readers: &self.store.readers, tenant: self.tenant(), sql, values: Vec::new() }
    }

    /// The one row that has this id, which is bound as `$2`, and nothing else of its tables.
    pub(super) async fn row<R: Record + Send + 'static>(&self, sql: TenantSql, id: &str) -> Result<Option<R>> {
        self.store.freshness.reading_row(self.tenant(), sql.0.tables, id);
        let read = self.store.readers.here(|executor| sql.on(executor, self.tenant()).bind(id).optional());
        match read {
            Ok(found) => Ok(found),
            Err(_) => {
                let query = Query { readers: &self.store.readers, tenant: self.tenant(), sql, values: Vec::new() };
                query.bind(id.to_owned()).optional().await
            }
        }
    }
}

// === impl Query ===

impl Query<'_> {
    /// Binds the next parameter.
    pub(super) fn bind(mut self, value: impl Into<Value<'static>>) -> Self {
        self.values.push(value.into());
        self
    }

    /// The first row.
    pub(super) async fn optional<R: Record + Send + 'static>(self) -> Result<Option<R>> {
        self.read(|statement| statement.optional()).await
    }

    pub(super) async fn all<R: Record + Send + 'static>(self) -> Result<Vec<R>> {
        self.read(|statement| statement.all()).await
    }

    async fn read<T: Send + 'static>(self, read: fn(Statement<'_>) -> Result<T>) -> Result<T> {
        let Self { readers, tenant, sql, values } = self;
        let of = tenant.clone();
        let in_turn =
            move |executor: &dyn Executor| read(values.into_iter().fold(sql.on(executor, &of), Statement::bind));
        readers.in_turn(tenant, in_turn).await
    }
}

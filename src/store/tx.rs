//! What a write sees: its tenant's rows inside the transaction of a group commit.

use std::cell::Cell;
use std::sync::Arc;

use super::error::Result;
use super::freshness::{Freshness, WriteSet};
use super::master_key::{DataKey, LinkKey, MasterKey};
use super::sql::{Columns, Executor, Statement, SystemSql, TenantSql, Text, Value};
use super::tenants;
use crate::domain::clock::Timestamp;
use crate::domain::event::Event;
use crate::domain::id::{CampaignId, Ids};
use crate::tenant::TenantId;

/// A tenant's door inside a transaction.
pub struct ScopedTx<'a> {
    executor: Counting<'a>,
    tenant: &'a TenantId,
    keys: &'a MasterKey,
    ids: &'a Ids,
    now: Timestamp,
    effects: &'a mut Effects,
}

/// Counts the rows that are changed.
struct Counting<'a> {
    executor: &'a dyn Executor,
    changed: Cell<u64>,
}

/// The door of what crosses tenants.
pub(super) struct SystemTx<'a> {
    executor: &'a dyn Executor,
    effects: &'a mut Effects,
}

/// What comes of the writes of a group beside their rows.
pub(super) struct Effects {
    /// Told once the transaction is committed.
    pub events: Vec<(TenantId, CampaignId, Event)>,
    pub written: WriteSet,
}

// === impl ScopedTx ===

impl<'a> ScopedTx<'a> {
    pub(super) fn new(
        executor: &'a dyn Executor,
        tenant: &'a TenantId,
        keys: &'a MasterKey,
        ids: &'a Ids,
        effects: &'a mut Effects,
    ) -> Self {
        let executor = Counting { executor, changed: Cell::new(0) };
        Self { executor, tenant, keys, ids, now: ids.now(), effects }
    }

    #[cfg(test)]
    pub(super) fn executor(&self) -> &dyn Executor {
        &self.executor
    }

    /// Whether any row has been changed.
    pub(super) fn has_changed(&self) -> bool {
        self.executor.changed.get() > 0
    }

    /// The time of the transaction.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    pub(super) fn tenant(&self) -> &TenantId {
        self.tenant
    }

    pub(super) fn query(&mut self, sql: TenantSql) -> Statement<'_> {
        if sql.0.changes {
            self.effects.written.tables(self.tenant, sql.0.tables);
        }
        sql.on(&self.executor, self.tenant)
    }

    /// The same for a text that changes one row alone, the one that has this id, with the id bound as `$2`.
    pub(super) fn change_row<'b>(&'b mut self, sql: TenantSql, id: &'b str) -> Statement<'b> {
        self.effects.written.row(self.tenant, sql.0.tables, id);
        sql.on(&self.executor, self.tenant).bind(id)
    }

    /// The tenant's own key for its secrets.
    pub(super) fn data_key(&mut self) -> Result<DataKey> {
        tenants::data_key(&self.executor, self.tenant, self.keys)
    }

    /// What signs the tenant's links; made if there is none yet.
    pub(super) fn link_key(&mut self) -> Result<LinkKey> {
        tenants::ensure_link_key(&self.executor, self.tenant, self.keys, self.ids)
    }

    /// Randomness, such as a seal needs.
    pub(super) fn ids(&self) -> &Ids {
        self.ids
    }

    /// Tells watchers of the event once it is committed.
    pub(super) fn tell(&mut self, campaign: &CampaignId, event: Event) {
        self.effects.events.push((self.tenant.clone(), campaign.clone(), event));
    }
}

// === impl Counting ===

impl Executor for Counting<'_> {
    fn run(&self, text: &Text, values: &[Value<'_>], row: &mut dyn FnMut(&dyn Columns) -> Result<bool>) -> Result<u64> {
        let rows = self.executor.run(text, values, row)?;
        // For a query, the engine gives the number of the change before it.
        if text.changes {
            self.changed.set(self.changed.get() + rows);
        }
        Ok(rows)
    }
}

// === impl SystemTx ===

impl<'a> SystemTx<'a> {
    pub(super) fn new(executor: &'a dyn Executor, effects: &'a mut Effects) -> Self {
        Self { executor, effects }
    }

    pub(super) fn executor(&self) -> &dyn Executor {
        self.executor
    }

    pub(super) fn query(&mut self, sql: SystemSql) -> Statement<'_> {
        if sql.0.changes {
            self.effects.written.everybody(sql.0.tables);
        }
        sql.on(self.executor)
    }
}

// === impl Effects ===

impl Effects {
    pub(super) fn new(freshness: Arc<Freshness>) -> Self {
        Self { events: Vec::new(), written: WriteSet::new(freshness) }
    }
}

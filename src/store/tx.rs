//! What a write sees: its tenant's rows inside the transaction of a group commit.

use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::Connection;

use super::error::Result;
use super::freshness::{Freshness, Touched};
use super::master_key::{DataKey, MasterKey};
use super::sql::{Statement, SystemSql, TenantSql};
use super::transaction;
use crate::domain::clock::Timestamp;
use crate::domain::event::Event;
use crate::domain::id::{CampaignId, Ids};
use crate::tenant::TenantId;

/// A tenant's door inside a transaction.
pub struct ScopedTx<'a> {
    connection: &'a Connection,
    tenant: &'a TenantId,
    keys: &'a MasterKey,
    ids: &'a Ids,
    now: Timestamp,
    effects: &'a mut Effects,
}

/// The door of what crosses tenants.
pub(super) struct SystemTx<'a> {
    connection: &'a Connection,
    effects: &'a mut Effects,
}

/// What comes of the writes of a group beside their rows.
pub(super) struct Effects {
    /// Told once the transaction is committed.
    pub events: Vec<(TenantId, CampaignId, Event)>,
    /// What is added to the tenants' counters, before the transaction is committed.
    pub counts: Vec<(TenantId, &'static str, i64)>,
    pub touched: Touched,
}

// === impl ScopedTx ===

impl<'a> ScopedTx<'a> {
    pub(super) fn new(
        connection: &'a Connection,
        tenant: &'a TenantId,
        keys: &'a MasterKey,
        ids: &'a Ids,
        effects: &'a mut Effects,
    ) -> Self {
        Self { connection, tenant, keys, ids, now: ids.now(), effects }
    }

    /// The time of the transaction.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    pub(super) fn tenant(&self) -> &TenantId {
        self.tenant
    }

    pub(super) fn query(&mut self, sql: TenantSql) -> Statement<'_> {
        if sql.changes {
            self.effects.touched.tables(self.tenant, sql.tables);
        }
        sql.on(self.connection, self.tenant)
    }

    /// The same for a text that changes one row alone, the one that has this id, with the id bound as `$2`.
    pub(super) fn change_row<'b>(&'b mut self, sql: TenantSql, id: &'b str) -> Statement<'b> {
        self.effects.touched.row(self.tenant, sql.tables, id);
        sql.on(self.connection, self.tenant).bind(id)
    }

    /// Adds to the tenant's count of `noun`.
    pub(super) fn count(&mut self, noun: &'static str, more: i64) {
        if more != 0 {
            self.effects.counts.push((self.tenant.clone(), noun, more));
        }
    }

    /// The tenant's own key for its secrets.
    pub(super) fn data_key(&mut self) -> Result<DataKey> {
        transaction::data_key(self.connection, self.tenant, self.keys)
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

// === impl SystemTx ===

impl<'a> SystemTx<'a> {
    pub(super) fn new(connection: &'a Connection, effects: &'a mut Effects) -> Self {
        Self { connection, effects }
    }

    pub(super) fn query(&mut self, sql: SystemSql) -> Statement<'_> {
        if sql.changes {
            self.effects.touched.everybody(sql.tables);
        }
        sql.on(self.connection)
    }
}

// === impl Effects ===

impl Effects {
    pub(super) fn new(freshness: Arc<Freshness>) -> Self {
        Self { events: Vec::new(), counts: Vec::new(), touched: Touched::new(freshness) }
    }

    /// The counters' rows: tenant, noun, what is added.
    pub(super) fn summed(&self) -> Vec<(&str, &'static str, i64)> {
        let mut sums: BTreeMap<(&str, &'static str), i64> = BTreeMap::new();
        for (tenant, noun, more) in &self.counts {
            *sums.entry((tenant.as_str(), noun)).or_default() += more;
        }
        sums.into_iter().map(|((tenant, noun), more)| (tenant, noun, more)).collect()
    }
}

/// A number of rows, as counters and queries have it.
pub(super) fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

//! What a write sees: its tenant's rows inside the transaction of a group commit.

use sqlx::SqliteConnection;

use super::error::Result;
use super::master_key::{DataKey, MasterKey};
use super::sql::{Bound, Door, TenantSql, tenant_sql};
use super::transaction;
use crate::domain::clock::Timestamp;
use crate::domain::event::Event;
use crate::domain::id::{CampaignId, Ids};
use crate::tenant::TenantId;

tenant_sql! {
    COUNT =
        "INSERT INTO counters (tenant_id, noun, value)
         VALUES ($1, $2, $3)
         ON CONFLICT (tenant_id, noun) DO UPDATE SET value = value + excluded.value";
}

/// A tenant's door inside a transaction.
pub struct ScopedTx<'a> {
    connection: &'a mut SqliteConnection,
    tenant: &'a TenantId,
    keys: &'a MasterKey,
    ids: &'a Ids,
    now: Timestamp,
    effects: &'a mut Effects,
}

/// What is told once the transaction is committed.
#[derive(Debug, Default)]
pub(super) struct Effects {
    pub events: Vec<(TenantId, CampaignId, Event)>,
}

// === impl ScopedTx ===

impl<'a> ScopedTx<'a> {
    pub(super) fn new(
        connection: &'a mut SqliteConnection,
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

    pub(super) fn query(&mut self, sql: TenantSql) -> Bound<'_> {
        sql.on(Door::Write(self.connection), self.tenant)
    }

    /// Adds to the tenant's count of `noun`.
    pub(super) async fn count(&mut self, noun: &str, more: i64) -> Result<()> {
        self.query(COUNT).bind(noun.to_owned()).bind(more).execute_exactly(1).await
    }

    /// The tenant's own key for its secrets.
    pub(super) async fn data_key(&mut self) -> Result<DataKey> {
        transaction::data_key(self.connection, self.tenant, self.keys).await
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

/// A number of rows, as counters and queries have it.
pub(super) fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

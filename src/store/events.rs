//! Campaign histories: append-only, numbered from 1 without gaps per campaign.

use std::sync::Arc;

use tokio::sync::watch;

use super::door::{Scoped, Store};
use super::error::{Noun, Result, StoreError};
use super::sql::{Cells, Json, Record, Unreadable, json, tenant_sql};
use super::tail::Tail;
use super::tx::ScopedTx;
use crate::domain::campaign::StepId;
use crate::domain::clock::Timestamp;
use crate::domain::event::{Event, EventKind};
use crate::domain::id::CampaignId;
use crate::tenant::Scope;

tenant_sql! {
    NUMBER =
        "UPDATE campaigns
         SET seq = seq + $3, update_time = $4, tries = 0
         WHERE tenant_id = $1 AND id = $2
         RETURNING seq";
    APPEND =
        "INSERT INTO campaign_events (tenant_id, campaign_id, seq, time, log_step, data)
         SELECT $1, $2, CAST(value ->> {0} AS bigint), $3, value ->> {1}, value ->> {2}
         FROM {elements}($4)";
    AFTER =
        "SELECT seq, time, data
         FROM campaign_events
         WHERE tenant_id = $1 AND campaign_id = $2 AND seq >= $3
         ORDER BY seq
         LIMIT CAST($4 AS bigint)";
    LOG =
        "SELECT seq, time, data
         FROM campaign_events
         WHERE tenant_id = $1 AND campaign_id = $2 AND log_step = $3
         ORDER BY seq DESC
         LIMIT CAST($4 AS bigint)";
}

/// The events that one read of the table takes.
const BATCH: i64 = 256;

/// One campaign's events from a number on: first those that are there, then those that come.
pub struct Feed {
    store: Arc<Store>,
    scope: Scope,
    campaign: CampaignId,
    tail: Arc<Tail>,
    newest: watch::Receiver<i64>,
    next: i64,
}

/// Appends to the history, in order, and tells watchers once the transaction is committed.
pub(super) fn record(tx: &mut ScopedTx<'_>, campaign: &CampaignId, kinds: Vec<EventKind>) -> Result<()> {
    if kinds.is_empty() {
        return Ok(());
    }
    let now = tx.now();
    let count = kinds.len();
    let added = i64::try_from(count).unwrap_or(i64::MAX);
    let number = tx.query(NUMBER).bind(campaign.clone()).bind(added).bind(now);
    let last: Option<(i64,)> = number.optional()?;
    let (last,) = last.ok_or(StoreError::NotFound(Noun::Campaign))?;
    let first = last - added + 1;

    let rows: Vec<_> =
        (first..).zip(&kinds).map(|(seq, kind)| (seq, kind.log_step().map(StepId::as_str), json(kind))).collect();
    tx.query(APPEND).bind(campaign.clone()).bind(now).bind(json(&rows)).execute_exactly(count)?;

    for (seq, kind) in (first..).zip(kinds) {
        tx.tell(campaign, Event { seq, time: now, kind });
    }
    Ok(())
}

// === impl Scoped ===

impl Scoped<'_> {
    /// The last `max` lines of a step's log, the oldest first.
    pub async fn step_log(&self, campaign: &CampaignId, step: StepId, max: u32) -> Result<Vec<(Timestamp, String)>> {
        let query = self.query(LOG).bind(campaign.clone()).bind(step.as_str());
        let events: Vec<Event> = query.bind(max).all().await?;
        let line = |event: Event| match event.kind {
            EventKind::LogAdded { text, .. } => Some((event.time, text)),
            _ => None,
        };
        Ok(events.into_iter().rev().filter_map(line).collect())
    }

    async fn events_from(&self, campaign: &CampaignId, next: i64) -> Result<Vec<Event>> {
        let query = self.query(AFTER).bind(campaign.clone()).bind(next);
        query.bind(BATCH).all().await
    }
}

// === impl Feed ===

impl Feed {
    /// Follows the campaign from the event after `after`. Whether the campaign exists is the caller's to check.
    pub fn open(store: Arc<Store>, scope: Scope, campaign: CampaignId, after: i64) -> Self {
        let (tail, newest) = store.tails.watch(scope.tenant(), &campaign);
        Self { store, scope, campaign, tail, newest, next: after.saturating_add(1) }
    }

    /// The events that come next: at least one. Waits for them; may be cancelled at any point without losing any.
    pub async fn next(&mut self) -> Result<Vec<Arc<Event>>> {
        loop {
            // Marked as seen before looking, so that what is published while looking wakes us.
            self.newest.borrow_and_update();
            let events = match self.tail.from(self.next) {
                Some(events) => events,
                None => {
                    let scoped = self.store.scope(&self.scope);
                    scoped.events_from(&self.campaign, self.next).await?.into_iter().map(Arc::new).collect()
                }
            };
            if let Some(last) = events.last() {
                self.next = last.seq + 1;
                return Ok(events);
            }
            self.newest.changed().await.map_err(|_| StoreError::Closed)?;
        }
    }
}

// === impl Event ===

impl Record for Event {
    fn read(cells: &mut Cells<'_>) -> Result<Self, Unreadable> {
        let (seq, time) = (cells.named("seq")?, cells.named("time")?);
        Ok(Self { seq, time, kind: cells.named::<Json<_>>("data")?.0 })
    }
}

//! Campaign histories: append-only, numbered from 1 without gaps per campaign.

use std::sync::Arc;

use sqlx::FromRow;
use tokio::sync::watch;

use super::error::{Noun, Result, StoreError};
use super::sql::tenant_sql;
use super::tail::Tail;
use super::tx::ScopedTx;
use super::{Scoped, Store};
use crate::domain::campaign::StepId;
use crate::domain::clock::Timestamp;
use crate::domain::event::{Event, EventKind};
use crate::domain::id::CampaignId;
use crate::tenant::Scope;

tenant_sql! {
    NUMBER =
        "UPDATE campaigns
         SET seq = seq + $3, update_time = $4
         WHERE tenant_id = $1 AND id = $2
         RETURNING seq";
    APPEND =
        "INSERT INTO campaign_events (tenant_id, campaign_id, seq, time, log_step, data)
         SELECT $1, $2, $3 + key, $4, value ->> '$[0]', value ->> '$[1]'
         FROM jsonb_each($5)";
    AFTER =
        "SELECT seq, time, data
         FROM campaign_events
         WHERE tenant_id = $1 AND campaign_id = $2 AND seq >= $3
         ORDER BY seq
         LIMIT +$4";
    LOG =
        "SELECT seq, time, data
         FROM campaign_events
         WHERE tenant_id = $1 AND campaign_id = $2 AND log_step = $3
         ORDER BY seq DESC
         LIMIT +$4";
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

#[derive(FromRow)]
struct Row {
    seq: i64,
    time: i64,
    data: String,
}

/// Appends to the history, in order, and tells watchers once the transaction is committed.
pub(super) fn record(tx: &mut ScopedTx<'_>, campaign: &CampaignId, kinds: Vec<EventKind>) -> Result<()> {
    if kinds.is_empty() {
        return Ok(());
    }
    let now = tx.now();
    let count = kinds.len();
    let added = i64::try_from(count).unwrap_or(i64::MAX);
    let number = tx.query(NUMBER).bind(campaign.clone()).bind(added).bind(now.0);
    let last: Option<(i64,)> = number.optional()?;
    let (last,) = last.ok_or(StoreError::NotFound(Noun::Campaign))?;
    let first = last - added + 1;

    let rows: Vec<(Option<&str>, String)> = kinds.iter().map(|k| (k.log_step().map(StepId::as_str), json(k))).collect();
    let append = tx.query(APPEND).bind(campaign.clone()).bind(first).bind(now.0).bind(json(&rows));
    append.execute_exactly(count)?;

    for (seq, kind) in (first..).zip(kinds) {
        tx.tell(campaign, Event { seq, time: now, kind });
    }
    Ok(())
}

#[expect(clippy::expect_used, reason = "our types have string keys and no serializer of their own that could fail")]
pub(super) fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("a value of ours is JSON")
}

// === impl Scoped ===

impl Scoped<'_> {
    /// The last `most` lines of a step's log, the oldest first.
    pub async fn step_log(&self, campaign: &CampaignId, step: StepId, most: u32) -> Result<Vec<(Timestamp, String)>> {
        let query = self.query(LOG).bind(campaign.clone()).bind(step.as_str());
        let rows: Vec<Row> = query.bind(most).all().await?;
        let mut lines = Vec::with_capacity(rows.len());
        for row in rows.into_iter().rev() {
            let event = row.event()?;
            if let EventKind::LogAdded { text, .. } = event.kind {
                lines.push((event.time, text));
            }
        }
        Ok(lines)
    }

    async fn events_from(&self, campaign: &CampaignId, next: i64) -> Result<Vec<Event>> {
        let query = self.query(AFTER).bind(campaign.clone()).bind(next);
        let rows: Vec<Row> = query.bind(BATCH).all().await?;
        rows.into_iter().map(Row::event).collect()
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

// === impl Row ===

impl Row {
    fn event(self) -> Result<Event> {
        let kind = serde_json::from_str(&self.data)
            .map_err(|error| StoreError::Broken(format!("event {} cannot be read: {error}", self.seq)))?;
        Ok(Event { seq: self.seq, time: Timestamp(self.time), kind })
    }
}

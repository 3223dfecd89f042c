//! Addresses that are not to be written to.

use super::Scoped;
use super::error::{Noun, Result, StoreError};
use super::events::json;
use super::idempotency::RequestId;
use super::prospects::highest_first;
use super::sql::{row, tenant_sql};
use super::tx::ScopedTx;
use super::writer::Write;
use crate::domain::address;
use crate::domain::clock::Timestamp;
use crate::domain::paging::{Page, PageRequest, RowCursor, page};
use crate::domain::suppression::{Suppression, SuppressionReason};

tenant_sql! {
    LIST =
        "SELECT email, reason, source, create_time
         FROM suppressions
         WHERE tenant_id = $1 AND (create_time, email_key) < ($2, $3) AND ($5 IS NULL OR reason = $5)
         ORDER BY create_time DESC, email_key DESC
         LIMIT +$4";
    GET =
        "SELECT email, reason, source, create_time
         FROM suppressions
         WHERE tenant_id = $1 AND email_key = $2";
    INSERT =
        "INSERT INTO suppressions (tenant_id, email_key, keyed, email, reason, source, create_time)
         SELECT $1, value ->> '$[0]', 1, value ->> '$[1]', value ->> '$[2]', value ->> '$[3]', $2
         FROM jsonb_each($3)
         WHERE true
         ON CONFLICT (tenant_id, email_key) DO NOTHING";
    DELETE =
        "DELETE FROM suppressions
         WHERE tenant_id = $1 AND email_key = $2";
}

/// Adds suppressions; an address that is there stays as it is. Gives how many were added.
pub struct AddSuppressions {
    /// Checked.
    pub suppressions: Vec<Suppression>,
    pub request_id: Option<RequestId>,
}

/// Lets an address be written to again.
pub struct RemoveSuppression {
    pub email: String,
}

row! {
    struct Row {
        email: String,
        reason: String,
        source: String,
        create_time: i64,
    }
}

impl Scoped<'_> {
    /// Newest first.
    pub async fn suppressions(
        &self,
        request: &PageRequest<RowCursor>,
        reason: Option<SuppressionReason>,
    ) -> Result<Page<Suppression, RowCursor>> {
        let (time, key) = highest_first(request);
        let query = self.query(LIST).bind(time).bind(key).bind(request.size + 1);
        let rows: Vec<Row> = query.bind(reason.map(SuppressionReason::as_str)).all().await?;
        let rows = rows.into_iter().map(Row::suppression).collect::<Result<_>>()?;
        Ok(page(rows, request.size, |s: &Suppression| RowCursor { at: s.create_time.0, id: address::key(&s.email) }))
    }

    pub async fn suppression(&self, email: &str) -> Result<Option<Suppression>> {
        let row: Option<Row> = self.query(GET).bind(address::key(email)).optional().await?;
        row.map(Row::suppression).transpose()
    }
}

/// Why the address is not to be written to, inside a write; None if it may be.
pub(super) fn find(tx: &mut ScopedTx<'_>, email: &str) -> Result<Option<Suppression>> {
    let row: Option<Row> = tx.query(GET).bind(address::key(email)).optional()?;
    row.map(Row::suppression).transpose()
}

/// How many were not there before.
pub(super) fn add(tx: &mut ScopedTx<'_>, suppressions: &[Suppression]) -> Result<u64> {
    let values =
        |s: &Suppression| [address::key(&s.email), s.email.clone(), s.reason.as_str().to_owned(), s.source.clone()];
    let rows: Vec<_> = suppressions.iter().map(values).collect();
    let now = tx.now();
    let added = tx.query(INSERT).bind(now.0).bind(json(&rows)).execute()?;
    tx.count("suppressions", i64::try_from(added).unwrap_or(i64::MAX));
    Ok(added)
}

// === impl AddSuppressions ===

impl Write for AddSuppressions {
    type Out = u64;

    fn weight(&self) -> usize {
        self.suppressions.len()
    }

    fn run(&self, tx: &mut ScopedTx<'_>) -> Result<u64> {
        if let Some(request_id) = &self.request_id
            && let Some(before) = request_id.find(tx)?
        {
            return Ok(before);
        }
        let added = add(tx, &self.suppressions)?;
        if let Some(request_id) = &self.request_id {
            request_id.keep(tx, &added)?;
        }
        Ok(added)
    }
}

// === impl RemoveSuppression ===

impl Write for RemoveSuppression {
    type Out = ();

    fn run(&self, tx: &mut ScopedTx<'_>) -> Result<()> {
        let removed = tx.query(DELETE).bind(address::key(&self.email)).execute()?;
        if removed == 0 {
            return Err(StoreError::NotFound(Noun::Suppression));
        }
        tx.count("suppressions", -1);
        Ok(())
    }
}

// === impl Row ===

impl Row {
    fn suppression(self) -> Result<Suppression> {
        let reason = SuppressionReason::parse(&self.reason)
            .ok_or_else(|| StoreError::Broken("a suppression has a reason that cannot be".to_owned()))?;
        let create_time = Timestamp(self.create_time);
        Ok(Suppression { email: self.email, reason, source: self.source, create_time })
    }
}

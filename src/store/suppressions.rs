//! Addresses that are not to be written to.

use super::door::Scoped;
use super::error::{Noun, Result, StoreError};
use super::paging::highest_first;
use super::request_id::{RequestId, once};
use super::sql::{Cells, Executor, Record, Unreadable, json, tenant_sql};
use super::tx::ScopedTx;
use super::write::{CallWrite, Touched, Write};
use crate::domain::address;
use crate::domain::paging::{Page, PageRequest, RowCursor, page};
use crate::domain::suppression::{Suppression, SuppressionReason};
use crate::tenant::TenantId;

tenant_sql! {
    LIST =
        "SELECT email, reason, source, create_time
         FROM suppressions
         WHERE tenant_id = $1 AND (create_time, email_key) < ($2, $3) AND (CAST($5 AS text) IS NULL OR reason = $5)
         ORDER BY create_time DESC, email_key DESC
         LIMIT CAST($4 AS bigint)";
    GET =
        "SELECT email, reason, source, create_time
         FROM suppressions
         WHERE tenant_id = $1 AND email_key = $2";
    INSERT =
        "INSERT INTO suppressions (tenant_id, email_key, keyed, email, reason, source, create_time)
         SELECT $1, value ->> {0}, 1, value ->> {1}, value ->> {2}, value ->> {3}, $2
         FROM {elements}($3)
         WHERE true
         ON CONFLICT (tenant_id, email_key) DO NOTHING";
    DELETE =
        "DELETE FROM suppressions
         WHERE tenant_id = $1 AND email_key = $2";
    TAKE_BACK =
        "DELETE FROM suppressions
         WHERE tenant_id = $1 AND email_key = $2 AND reason = $3 AND source = $4 AND create_time = $5";
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

impl Scoped<'_> {
    /// Newest first.
    pub async fn suppressions(
        &self,
        request: &PageRequest<RowCursor>,
        reason: Option<SuppressionReason>,
    ) -> Result<Page<Suppression, RowCursor>> {
        let (time, key) = highest_first(request);
        let query = self.query(LIST).bind(time).bind(key).bind(request.size + 1);
        let rows = query.bind(reason.map(SuppressionReason::as_str)).all().await?;
        Ok(page(rows, request.size, |s: &Suppression| RowCursor { at: s.create_time.0, id: address::key(&s.email) }))
    }

    pub async fn suppression(&self, email: &str) -> Result<Option<Suppression>> {
        self.query(GET).bind(address::key(email)).optional().await
    }
}

/// Why the address is not to be written to, inside a write; None if it may be.
pub(super) fn find(tx: &mut ScopedTx<'_>, email: &str) -> Result<Option<Suppression>> {
    tx.query(GET).bind(address::key(email)).optional()
}

/// The same for whoever holds no transaction.
pub(super) fn find_on(executor: &dyn Executor, tenant: &TenantId, email: &str) -> Result<Option<Suppression>> {
    GET.on(executor, tenant).bind(address::key(email)).optional()
}

/// Removes this very suppression; nothing happens if the address has another, or none.
pub(super) fn take_back(tx: &mut ScopedTx<'_>, suppression: &Suppression) -> Result<()> {
    let Suppression { email, reason, source, create_time } = suppression;
    let query = tx.query(TAKE_BACK).bind(address::key(email)).bind(reason.as_str());
    query.bind(source.as_str()).bind(*create_time).execute().map(|_| ())
}

/// How many were not there before.
pub(super) fn add(tx: &mut ScopedTx<'_>, suppressions: &[Suppression]) -> Result<u64> {
    let values =
        |s: &Suppression| [address::key(&s.email), s.email.clone(), s.reason.as_str().to_owned(), s.source.clone()];
    let rows: Vec<_> = suppressions.iter().map(values).collect();
    let now = tx.now();
    tx.query(INSERT).bind(now).bind(json(&rows)).execute()
}

// === impl AddSuppressions ===

impl Write for AddSuppressions {
    type Out = u64;

    fn weight(&self) -> usize {
        self.suppressions.len()
    }

    fn run(&self, tx: &mut ScopedTx<'_>) -> Result<u64> {
        once(tx, self.request_id.as_ref(), |tx| add(tx, &self.suppressions))
    }
}

impl CallWrite for AddSuppressions {
    fn touched(&self, added: &u64) -> Touched {
        Touched::count(*added)
    }

    fn request_id(&self) -> Option<&RequestId> {
        self.request_id.as_ref()
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
        Ok(())
    }
}

impl CallWrite for RemoveSuppression {
    fn touched(&self, (): &()) -> Touched {
        Touched::count(1)
    }
}

// === impl Suppression ===

impl Record for Suppression {
    fn read(cells: &mut Cells<'_>) -> Result<Self, Unreadable> {
        Ok(Self {
            email: cells.named("email")?,
            reason: cells.named("reason")?,
            source: cells.named("source")?,
            create_time: cells.named("create_time")?,
        })
    }
}

//! Removes what belongs to a tenant, for good. Never removed: suppressions, the record of mail that was sent, and the
//! campaigns that sent it.
//!
//! A tenant may have millions of rows, and one write holds up everybody's: a reset is done in slices, each a write of its own
//! that refuses a live campaign. If it is interrupted, calling it again continues it.

use super::campaigns::refuse_if_live;
use super::error::Result;
use super::sql::{TenantSql, tenant_sql};
use super::tx::ScopedTx;
use super::write::{CallWrite, Touched, Write};

/// The campaigns of the tenant that have sent nothing that is on record.
macro_rules! sent_nothing {
    () => {
        "NOT IN (SELECT campaign_id FROM emails WHERE tenant_id = $1 AND campaign_id IS NOT NULL)"
    };
}

tenant_sql! {
    /// The row stays, so that an etag from before fits nothing that comes after.
    CONFIGURATION =
        "UPDATE agent_configs
         SET settings = '{}', revision = revision + 1, update_time = $2
         WHERE tenant_id = $1 AND settings != '{}'";
    MAILBOXES = "DELETE FROM mailboxes WHERE tenant_id = $1";
    TEMPLATES = "DELETE FROM templates WHERE tenant_id = $1";
    CHOICES =
        "DELETE FROM campaign_prospects
         WHERE tenant_id = $1 AND (campaign_id, position) IN (
             SELECT campaign_id, position FROM campaign_prospects WHERE tenant_id = $1 LIMIT CAST($2 AS bigint))";
    REPLIES =
        "DELETE FROM emails
         WHERE tenant_id = $1 AND id IN (
             SELECT id FROM emails WHERE tenant_id = $1 AND status = 'received' LIMIT CAST($2 AS bigint))";
    /// `sending` and `unknown` may have been sent.
    EMAILS =
        "DELETE FROM emails
         WHERE tenant_id = $1 AND id IN (
             SELECT id FROM emails WHERE tenant_id = $1 AND status NOT IN ('sent', 'sending', 'unknown') LIMIT CAST($2 AS bigint))";
    /// Who has refused is not written to when the address comes back.
    REFUSALS =
        "INSERT INTO suppressions (tenant_id, email_key, email, reason, source, create_time)
         SELECT $1, email_key, email, 'refused', 'reset', $3
         FROM (SELECT email_key, email, decided_intent FROM prospects WHERE tenant_id = $1 ORDER BY id LIMIT CAST($2 AS bigint)) slice
         WHERE decided_intent IN ('not_interested', 'unsubscribe')
         ON CONFLICT (tenant_id, email_key) DO NOTHING";
    PROSPECTS =
        "DELETE FROM prospects
         WHERE tenant_id = $1 AND id IN (SELECT id FROM prospects WHERE tenant_id = $1 ORDER BY id LIMIT CAST($2 AS bigint))";
    STRATEGIES =
        "DELETE FROM marketing_strategies
         WHERE tenant_id = $1 AND id IN (SELECT id FROM marketing_strategies WHERE tenant_id = $1 LIMIT CAST($2 AS bigint))";
    EVENTS = concat!(
        "DELETE FROM campaign_events
         WHERE tenant_id = $1 AND (campaign_id, seq) IN (
             SELECT campaign_id, seq FROM campaign_events WHERE tenant_id = $1 AND campaign_id ", sent_nothing!(), " LIMIT CAST($2 AS bigint))");
    STEPS = concat!(
        "DELETE FROM campaign_steps
         WHERE tenant_id = $1 AND (campaign_id, step) IN (
             SELECT campaign_id, step FROM campaign_steps WHERE tenant_id = $1 AND campaign_id ", sent_nothing!(), " LIMIT CAST($2 AS bigint))");
    CAMPAIGNS = concat!(
        "DELETE FROM campaigns
         WHERE tenant_id = $1 AND id IN (SELECT id FROM campaigns WHERE tenant_id = $1 AND id ", sent_nothing!(), " LIMIT CAST($2 AS bigint))");
    /// But for those under which a campaign was started that is still there: started again, it would be a second one.
    REQUESTS =
        "DELETE FROM idempotency_keys
         WHERE tenant_id = $1 AND (method != 'StartWorkflow' OR NOT EXISTS (
             SELECT 1
             FROM campaigns c
             WHERE c.tenant_id = $1 AND result = '\"' || c.id || '\"'))";
}

/// The rows of one table that a slice removes.
const SLICE: u64 = 1_000;

/// What is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResetScope {
    Configuration,
    Prospects,
    Everything,
}

/// Removes a slice of it, unless a campaign is live.
pub struct Reset {
    pub scope: ResetScope,
}

/// How much was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Removed {
    pub configuration: bool,
    pub prospects: u64,
    pub emails: u64,
    pub campaigns: u64,
    pub strategies: u64,
    pub templates: u64,
    /// There may be more to remove.
    pub more: bool,
}

// === impl Removed ===

impl Removed {
    /// Takes up what a further slice has removed.
    pub fn add(&mut self, slice: Self) {
        self.configuration |= slice.configuration;
        self.prospects += slice.prospects;
        self.emails += slice.emails;
        self.campaigns += slice.campaigns;
        self.strategies += slice.strategies;
        self.templates += slice.templates;
        self.more = slice.more;
    }
}

// === impl Reset ===

impl Write for Reset {
    type Out = Removed;

    const CHANGES_CAMPAIGN: bool = true;

    fn weight(&self) -> usize {
        usize::try_from(SLICE).unwrap_or(usize::MAX)
    }

    fn run(&self, tx: &mut ScopedTx<'_>) -> Result<Removed> {
        refuse_if_live(tx)?;
        let mut removed = Removed::default();
        if self.scope != ResetScope::Prospects {
            let now = tx.now();
            let changed = tx.query(CONFIGURATION).bind(now).execute()? > 0;
            removed.configuration = tx.query(MAILBOXES).execute()? > 0 || changed;
        }
        if self.scope == ResetScope::Configuration {
            return Ok(removed);
        }
        // One table after the other: the next once a slice has found the last of the one before.
        let mut left = SliceBudget(SLICE);
        left.remove(tx, CHOICES)?;
        left.remove(tx, REPLIES)?;
        removed.emails = left.remove(tx, EMAILS)?;
        if left.0 > 0 {
            let now = tx.now();
            tx.query(REFUSALS).bind(left.0).bind(now).execute()?;
        }
        removed.prospects = left.remove(tx, PROSPECTS)?;
        if self.scope == ResetScope::Everything {
            removed.strategies = left.remove(tx, STRATEGIES)?;
            left.remove(tx, EVENTS)?;
            left.remove(tx, STEPS)?;
            removed.campaigns = left.remove(tx, CAMPAIGNS)?;
            removed.templates = tx.query(TEMPLATES).execute()?;
        }
        if left.0 > 0 {
            tx.query(REQUESTS).execute()?;
        }
        removed.more = left.0 == 0;
        Ok(removed)
    }
}

/// Each slice is a write of one call.
impl CallWrite for Reset {
    fn touched(&self, removed: &Removed) -> Touched {
        let Removed { prospects, emails, campaigns, strategies, templates, .. } = *removed;
        let count = u64::from(removed.configuration) + prospects + emails + campaigns + strategies + templates;
        let parts: &[_] = match self.scope {
            ResetScope::Configuration => &["config", "mailboxes"],
            ResetScope::Prospects => &["prospects"],
            ResetScope::Everything => {
                &["config", "mailboxes", "prospects", "campaigns", "marketing_strategies", "templates"]
            }
        };
        Touched { unfinished: removed.more, ..Touched::count(count).with_fields(parts.iter().copied()) }
    }
}

/// How many rows the slice may still remove.
struct SliceBudget(u64);

impl SliceBudget {
    /// Removes as many as it may.
    fn remove(&mut self, tx: &mut ScopedTx<'_>, sql: TenantSql) -> Result<u64> {
        if self.0 == 0 {
            return Ok(0);
        }
        let removed = tx.query(sql).bind(self.0).execute()?;
        self.0 = self.0.saturating_sub(removed);
        Ok(removed)
    }
}

//! Removes what belongs to a tenant, for good. Never removed: suppressions, the record of mail that was sent, and the
//! campaigns that sent it.
//!
//! A tenant may have millions of rows, and one write holds up everybody's: a reset is done in slices, each a write of its own
//! that refuses a live campaign. One that is broken off is gone on with by doing it again.

use super::campaigns::refuse_if_live;
use super::error::Result;
use super::sql::{TenantSql, tenant_sql};
use super::tx::{ScopedTx, signed};
use super::writer::Write;

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
         SET settings = '{}', smtp_password = NULL, revision = revision + 1, update_time = $2
         WHERE tenant_id = $1 AND (settings != '{}' OR smtp_password IS NOT NULL)";
    CHOICES =
        "DELETE FROM campaign_prospects
         WHERE tenant_id = $1 AND (campaign_id, position) IN (
             SELECT campaign_id, position FROM campaign_prospects WHERE tenant_id = $1 LIMIT +$2)";
    REPLIES =
        "DELETE FROM emails
         WHERE tenant_id = $1 AND id IN (
             SELECT id FROM emails WHERE tenant_id = $1 AND status = 'received' LIMIT +$2)";
    /// `sending` and `unknown` may have been sent.
    EMAILS =
        "DELETE FROM emails
         WHERE tenant_id = $1 AND id IN (
             SELECT id FROM emails WHERE tenant_id = $1 AND status NOT IN ('sent', 'sending', 'unknown') LIMIT +$2)";
    /// Who has refused is not written to when the address comes back.
    REFUSALS =
        "INSERT INTO suppressions (tenant_id, email_key, email, reason, source, create_time)
         SELECT $1, email_key, email, 'refused', 'reset', $3
         FROM (SELECT email_key, email, decided_intent FROM prospects WHERE tenant_id = $1 ORDER BY id LIMIT +$2)
         WHERE decided_intent IN ('not_interested', 'unsubscribe')
         ON CONFLICT (tenant_id, email_key) DO NOTHING";
    PROSPECTS =
        "DELETE FROM prospects
         WHERE tenant_id = $1 AND id IN (SELECT id FROM prospects WHERE tenant_id = $1 ORDER BY id LIMIT +$2)";
    STRATEGIES =
        "DELETE FROM marketing_strategies
         WHERE tenant_id = $1 AND id IN (SELECT id FROM marketing_strategies WHERE tenant_id = $1 LIMIT +$2)";
    EVENTS = concat!(
        "DELETE FROM campaign_events
         WHERE tenant_id = $1 AND (campaign_id, seq) IN (
             SELECT campaign_id, seq FROM campaign_events WHERE tenant_id = $1 AND campaign_id ", sent_nothing!(), " LIMIT +$2)");
    STEPS = concat!(
        "DELETE FROM campaign_steps
         WHERE tenant_id = $1 AND (campaign_id, step) IN (
             SELECT campaign_id, step FROM campaign_steps WHERE tenant_id = $1 AND campaign_id ", sent_nothing!(), " LIMIT +$2)");
    CAMPAIGNS = concat!(
        "DELETE FROM campaigns
         WHERE tenant_id = $1 AND id IN (SELECT id FROM campaigns WHERE tenant_id = $1 AND id ", sent_nothing!(), " LIMIT +$2)");
    /// But for those under which a campaign was started that is still there: started again, it would be a second one.
    REQUESTS =
        "DELETE FROM idempotency_keys
         WHERE tenant_id = $1 AND (method != 'StartWorkflow' OR NOT EXISTS (
             SELECT 1
             FROM campaigns c
             WHERE c.tenant_id = $1 AND c.id = json_extract(result, '$')))";
}

/// The rows of one table that a slice removes.
const SLICE: usize = 1_000;

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
        self.more = slice.more;
    }
}

// === impl Reset ===

impl Write for Reset {
    type Out = Removed;

    const CHANGES_CAMPAIGN: bool = true;

    fn weight(&self) -> usize {
        SLICE
    }

    fn run(&self, tx: &mut ScopedTx<'_>) -> Result<Removed> {
        refuse_if_live(tx)?;
        let mut removed = Removed::default();
        if self.scope != ResetScope::Prospects {
            let now = tx.now();
            removed.configuration = tx.query(CONFIGURATION).bind(now.0).execute()? > 0;
        }
        if self.scope == ResetScope::Configuration {
            return Ok(removed);
        }
        // One table after the other: the next once a slice has found the last of the one before.
        let mut left = Left(SLICE);
        left.remove(tx, CHOICES, "")?;
        left.remove(tx, REPLIES, "replies")?;
        removed.emails = left.remove(tx, EMAILS, "emails")?;
        if left.0 > 0 {
            let now = tx.now();
            let refusals = tx.query(REFUSALS).bind(signed(left.0)).bind(now.0).execute()?;
            tx.count("suppressions", i64::try_from(refusals).unwrap_or(i64::MAX));
        }
        removed.prospects = left.remove(tx, PROSPECTS, "prospects")?;
        if self.scope == ResetScope::Everything {
            removed.strategies = left.remove(tx, STRATEGIES, "marketing_strategies")?;
            left.remove(tx, EVENTS, "")?;
            left.remove(tx, STEPS, "")?;
            removed.campaigns = left.remove(tx, CAMPAIGNS, "campaigns")?;
        }
        if left.0 > 0 {
            tx.query(REQUESTS).execute()?;
        }
        removed.more = left.0 == 0;
        Ok(removed)
    }
}

/// How many rows the slice may still remove.
struct Left(usize);

impl Left {
    /// Removes as many as it may, and takes them off the tenant's count of `noun`.
    fn remove(&mut self, tx: &mut ScopedTx<'_>, sql: TenantSql, noun: &'static str) -> Result<u64> {
        if self.0 == 0 {
            return Ok(0);
        }
        let removed = tx.query(sql).bind(signed(self.0)).execute()?;
        let count = usize::try_from(removed).unwrap_or(usize::MAX);
        self.0 = self.0.saturating_sub(count);
        if !noun.is_empty() && count > 0 {
            tx.count(noun, -signed(count));
        }
        Ok(removed)
    }
}

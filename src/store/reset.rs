//! Removes what belongs to a tenant, for good. Never removed: suppressions, the record of mail that was sent, and the
//! campaigns that sent it.

use super::campaigns::refuse_if_live;
use super::error::Result;
use super::sql::{TenantSql, tenant_sql};
use super::tx::ScopedTx;
use super::writer::Write;

tenant_sql! {
    /// The row stays, so that an etag from before fits nothing that comes after.
    CONFIGURATION =
        "UPDATE agent_configs
         SET settings = '{}', smtp_password = NULL, revision = revision + 1, update_time = $2
         WHERE tenant_id = $1 AND (settings != '{}' OR smtp_password IS NOT NULL)";
    CHOICES = "DELETE FROM campaign_prospects WHERE tenant_id = $1";
    /// `sending` and `unknown` may have been sent.
    EMAILS = "DELETE FROM emails WHERE tenant_id = $1 AND status NOT IN ('sent', 'sending', 'unknown')";
    PROSPECTS = "DELETE FROM prospects WHERE tenant_id = $1";
    STRATEGIES = "DELETE FROM marketing_strategies WHERE tenant_id = $1";
    REQUESTS = "DELETE FROM idempotency_keys WHERE tenant_id = $1";
    EVENTS =
        "DELETE FROM campaign_events
         WHERE tenant_id = $1 AND campaign_id NOT IN (SELECT campaign_id FROM emails WHERE tenant_id = $1 AND campaign_id IS NOT NULL)";
    STEPS =
        "DELETE FROM campaign_steps
         WHERE tenant_id = $1 AND campaign_id NOT IN (SELECT campaign_id FROM emails WHERE tenant_id = $1 AND campaign_id IS NOT NULL)";
    CAMPAIGNS =
        "DELETE FROM campaigns
         WHERE tenant_id = $1 AND id NOT IN (SELECT campaign_id FROM emails WHERE tenant_id = $1 AND campaign_id IS NOT NULL)";
    /// What is counted is counted anew.
    COUNTERS =
        "UPDATE counters
         SET value = CASE noun
             WHEN 'prospects' THEN (SELECT COUNT(*) FROM prospects WHERE tenant_id = $1)
             WHEN 'emails' THEN (SELECT COUNT(*) FROM emails WHERE tenant_id = $1 AND campaign_id IS NOT NULL)
             WHEN 'replies' THEN (SELECT COUNT(*) FROM emails WHERE tenant_id = $1 AND campaign_id IS NULL)
             WHEN 'campaigns' THEN (SELECT COUNT(*) FROM campaigns WHERE tenant_id = $1)
             WHEN 'marketing_strategies' THEN (SELECT COUNT(*) FROM marketing_strategies WHERE tenant_id = $1)
             ELSE value END
         WHERE tenant_id = $1";
}

/// What is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResetScope {
    Configuration,
    Prospects,
    Everything,
}

/// Removes it, unless a campaign is live.
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
}

// === impl Reset ===

impl Write for Reset {
    type Out = Removed;

    const CHANGES_CAMPAIGN: bool = true;

    fn weight(&self) -> usize {
        // A commit of its own, or nearly.
        1_000
    }

    async fn run(&self, tx: &mut ScopedTx<'_>) -> Result<Removed> {
        refuse_if_live(tx).await?;
        let mut removed = Removed::default();
        if self.scope != ResetScope::Prospects {
            let now = tx.now();
            removed.configuration = tx.query(CONFIGURATION).bind(now.0).execute().await? > 0;
        }
        if self.scope != ResetScope::Configuration {
            remove(tx, CHOICES).await?;
            removed.emails = remove(tx, EMAILS).await?;
            removed.prospects = remove(tx, PROSPECTS).await?;
            remove(tx, REQUESTS).await?;
        }
        if self.scope == ResetScope::Everything {
            removed.strategies = remove(tx, STRATEGIES).await?;
            remove(tx, EVENTS).await?;
            remove(tx, STEPS).await?;
            removed.campaigns = remove(tx, CAMPAIGNS).await?;
        }
        remove(tx, COUNTERS).await?;
        Ok(removed)
    }
}

async fn remove(tx: &mut ScopedTx<'_>, sql: TenantSql) -> Result<u64> {
    tx.query(sql).execute().await
}

//! What campaigns have worked out: the analysis of a website and the strategy for a goal. Written by the engine's progress.

use super::door::Scoped;
use super::error::Result;
use super::paging::highest_first;
use super::sql::{Cells, Json, Record, Unreadable, json, tenant_sql};
use super::tx::ScopedTx;
use crate::domain::campaign::{Campaign, Goal};
use crate::domain::id::StrategyId;
use crate::domain::paging::{Page, PageRequest, RowCursor, page};
use crate::domain::strategy::{MarketingStrategy, SearchStrategy};

macro_rules! columns {
    () => {
        "id, website, goal, campaign_id, analysis, strategy, create_time"
    };
}

tenant_sql! {
    GET = concat!("SELECT ", columns!(), " FROM marketing_strategies WHERE tenant_id = $1 AND id = $2");
    LIST = concat!(
        "SELECT ", columns!(), "
         FROM marketing_strategies
         WHERE tenant_id = $1 AND (create_time, id) < ($2, $3) AND (CAST($5 AS text) IS NULL OR website = $5) AND (CAST($6 AS text) IS NULL OR goal = $6)
         ORDER BY create_time DESC, id DESC
         LIMIT CAST($4 AS bigint)");
    /// With the analysis that the campaign has found.
    INSERT =
        "INSERT INTO marketing_strategies (tenant_id, id, website, goal, campaign_id, analysis, strategy, create_time)
         SELECT $1, $3, $4, $5, id, COALESCE(analysis, '{}'), $6, $7
         FROM campaigns
         WHERE tenant_id = $1 AND id = $2";
}

impl Scoped<'_> {
    pub async fn strategy(&self, id: &StrategyId) -> Result<Option<MarketingStrategy>> {
        self.query(GET).bind(id.clone()).optional().await
    }

    /// Newest first; those for the website and the goal, where they are given.
    pub async fn strategies(
        &self,
        request: &PageRequest<RowCursor>,
        website: Option<String>,
        goal: Option<Goal>,
    ) -> Result<Page<MarketingStrategy, RowCursor>> {
        let (time, id) = highest_first(request);
        let query = self.query(LIST).bind(time).bind(id).bind(request.size + 1);
        let rows = query.bind(website).bind(goal.map(Goal::as_str)).all().await?;
        Ok(page(rows, request.size, |s: &MarketingStrategy| RowCursor { at: s.create_time.0, id: s.id.to_string() }))
    }
}

/// Keeps what the campaign has worked out.
pub(super) fn keep(tx: &mut ScopedTx<'_>, campaign: &Campaign, strategy: &SearchStrategy) -> Result<()> {
    let (id, now) = (StrategyId::make(tx.ids()), tx.now());
    let insert = tx.query(INSERT).bind(campaign.id.clone()).bind(id).bind(campaign.settings.website.clone());
    let insert = insert.bind(campaign.settings.goal.as_str()).bind(json(strategy)).bind(now);
    insert.execute_exactly(1)?;
    Ok(())
}

// === impl MarketingStrategy ===

/// In the order of `columns!`.
impl Record for MarketingStrategy {
    fn read(cells: &mut Cells<'_>) -> Result<Self, Unreadable> {
        Ok(Self {
            id: cells.named("id")?,
            website: cells.named("website")?,
            goal: cells.named("goal")?,
            campaign_id: cells.named("campaign_id")?,
            analysis: cells.named::<Json<_>>("analysis")?.0,
            strategy: cells.named::<Json<_>>("strategy")?.0,
            create_time: cells.named("create_time")?,
        })
    }
}

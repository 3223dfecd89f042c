//! What campaigns have worked out: the analysis of a website and the strategy for a goal. Written by the engine's progress.

use sqlx::FromRow;

use super::Scoped;
use super::error::{Result, StoreError};
use super::events::json;
use super::prospects::highest_first;
use super::sql::tenant_sql;
use super::tx::ScopedTx;
use crate::domain::campaign::{Campaign, Goal};
use crate::domain::clock::Timestamp;
use crate::domain::id::{CampaignId, StrategyId};
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
         WHERE tenant_id = $1 AND (create_time, id) < ($2, $3) AND ($5 IS NULL OR website = $5) AND ($6 IS NULL OR goal = $6)
         ORDER BY create_time DESC, id DESC
         LIMIT +$4");
    /// With the analysis that the campaign has found.
    INSERT =
        "INSERT INTO marketing_strategies (tenant_id, id, website, goal, campaign_id, analysis, strategy, create_time)
         SELECT $1, $3, $4, $5, id, COALESCE(analysis, '{}'), $6, $7
         FROM campaigns
         WHERE tenant_id = $1 AND id = $2";
}

#[derive(FromRow)]
struct Row {
    id: StrategyId,
    website: String,
    goal: String,
    campaign_id: CampaignId,
    analysis: String,
    strategy: String,
    create_time: i64,
}

impl Scoped<'_> {
    pub async fn strategy(&self, id: &StrategyId) -> Result<Option<MarketingStrategy>> {
        let row: Option<Row> = self.query(GET).bind(id.clone()).optional().await?;
        row.map(Row::strategy).transpose()
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
        let rows: Vec<Row> = query.bind(website).bind(goal.map(Goal::as_str)).all().await?;
        let rows = rows.into_iter().map(Row::strategy).collect::<Result<_>>()?;
        Ok(page(rows, request.size, |s: &MarketingStrategy| RowCursor { at: s.create_time.0, id: s.id.to_string() }))
    }
}

/// Keeps what the campaign has worked out.
pub(super) fn keep(tx: &mut ScopedTx<'_>, campaign: &Campaign, strategy: &SearchStrategy) -> Result<()> {
    let (id, now) = (StrategyId::make(tx.ids()), tx.now());
    let insert = tx.query(INSERT).bind(campaign.id.clone()).bind(id).bind(campaign.settings.website.clone());
    let insert = insert.bind(campaign.settings.goal.as_str()).bind(json(strategy)).bind(now.0);
    insert.execute_exactly(1)?;
    tx.count("marketing_strategies", 1);
    Ok(())
}

// === impl Row ===

impl Row {
    fn strategy(self) -> Result<MarketingStrategy> {
        let broken =
            |what: &str| StoreError::Broken(format!("marketing strategy {} has a {what} that cannot be", self.id));
        Ok(MarketingStrategy {
            goal: Goal::parse(&self.goal).ok_or_else(|| broken("goal"))?,
            analysis: serde_json::from_str(&self.analysis).map_err(|_| broken("analysis"))?,
            strategy: serde_json::from_str(&self.strategy).map_err(|_| broken("strategy"))?,
            website: self.website,
            campaign_id: self.campaign_id,
            create_time: Timestamp(self.create_time),
            id: self.id,
        })
    }
}

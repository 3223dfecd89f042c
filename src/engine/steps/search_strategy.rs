//! Step 2: works out whom to look for, by rule, from the analysis and the tenant's configuration.

use super::super::turn::{StepError, Turn};
use crate::domain::campaign::{Campaign, StepId, StepStatus};
use crate::domain::strategy::plan;
use crate::store::{Next, Work};

const STEP: StepId = StepId::SearchStrategy;

pub(super) async fn run(turn: &mut Turn<'_>, campaign: &Campaign) -> Result<(), StepError> {
    let store = turn.store();
    let analysis = store.findings(&campaign.id).await?.analysis.unwrap_or_default();
    let settings = store.agent_config().await?.settings;
    let strategy = plan(&analysis, &settings, campaign.settings.goal);
    let log = [("industries", &strategy.industries), ("roles", &strategy.roles), ("keywords", &strategy.keywords)]
        .into_iter()
        .filter(|(_, list)| !list.is_empty())
        .map(|(name, list)| format!("{name}: {}", list.join(", ")))
        .collect();
    let summary = format!(
        "{} industries, {} roles, {} keywords",
        strategy.industries.len(),
        strategy.roles.len(),
        strategy.keywords.len()
    );
    turn.advance(STEP, Work::Strategy(strategy), log, Next::Done { status: StepStatus::Completed, summary }).await
}

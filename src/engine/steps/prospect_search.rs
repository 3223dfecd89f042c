//! Step 3: ranks the tenant's own prospects by how well they fit the strategy, and chooses the best.
//!
//! Prospects that have converted, that have refused, or that a person has taken over are left alone.

use super::super::turn::{StepError, Turn};
use crate::domain::campaign::{Campaign, CampaignState, RankedProspect, StepId, StepStatus};
use crate::domain::paging::{PageRequest, RowCursor};
use crate::domain::prospect::{Prospect, ProspectFilter};
use crate::domain::ranking::fit;
use crate::domain::strategy::SearchStrategy;
use crate::store::{Next, Scoped, Work};

const STEP: StepId = StepId::ProspectSearch;
const PAGE: u32 = 200;

pub(super) async fn run(turn: &mut Turn<'_>, campaign: &Campaign) -> Result<(), StepError> {
    let store = turn.store();
    let strategy = store.findings(&campaign.id).await?.strategy.unwrap_or_default();
    let (ranked, seen) = rank_all(&store, &strategy, campaign.settings.max_prospects as usize).await?;
    if ranked.is_empty() {
        let none = "there are no prospects to write to: import some, then resume";
        return Err(StepError::Final(none.to_owned()));
    }
    let log = ranked.iter().take(5).map(|p| {
        let why = if p.reasons.is_empty() { "no particular reason".to_owned() } else { p.reasons.join("; ") };
        format!("{} ({}): {why}", if p.company.is_empty() { &p.email } else { &p.company }, p.score)
    });
    let log = log.collect();
    let summary = format!("{} of {seen} prospects, the best with {} of 100", ranked.len(), ranked[0].score);
    let next = if campaign.settings.template_id.is_some() {
        Next::Done { status: StepStatus::Completed, summary }
    } else {
        Next::DoneThenWait { summary, state: CampaignState::WaitingTemplate }
    };
    turn.advance(STEP, Work::Prospects(ranked), log, next).await
}

/// The best `most` prospects, the best first; among equals the one that was there first. And how many there are.
async fn rank_all(
    store: &Scoped<'_>,
    strategy: &SearchStrategy,
    most: usize,
) -> Result<(Vec<RankedProspect>, usize), StepError> {
    let mut ranked: Vec<(RankedProspect, (i64, String))> = Vec::new();
    let mut seen = 0;
    let mut request: PageRequest<RowCursor> = PageRequest { size: PAGE, after: None };
    loop {
        let page = store.prospects(&request, &ProspectFilter::default()).await?;
        seen += page.rows.len();
        let fitting = page.rows.into_iter().filter(|p| p.left_alone().is_none());
        ranked.extend(fitting.map(|p| rank(p, strategy)));
        ranked.sort_by(|(a, at), (b, bt)| b.score.cmp(&a.score).then_with(|| at.cmp(bt)));
        ranked.truncate(most);
        match page.next {
            Some(after) => request.after = Some(after),
            None => return Ok((ranked.into_iter().map(|(prospect, _)| prospect).collect(), seen)),
        }
    }
}

fn rank(prospect: Prospect, strategy: &SearchStrategy) -> (RankedProspect, (i64, String)) {
    let fit = fit(&prospect, strategy);
    let age = (prospect.create_time.0, prospect.id.to_string());
    let ranked = RankedProspect {
        prospect_id: prospect.id,
        company: prospect.fields.company,
        email: prospect.fields.email,
        score: fit.score,
        reasons: fit.reasons,
    };
    (ranked, age)
}

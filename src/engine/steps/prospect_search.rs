//! Step 3: ranks the tenant's own prospects by how well they fit the strategy, and chooses the best.
//!
//! Who may be chosen is `domain::recipients`'.

use super::super::turn::{StepError, Turn};
use crate::domain::campaign::{Campaign, CampaignState, RankedProspect, StepId, StepStatus};
use crate::domain::prospect::Prospect;
use crate::domain::ranking::fit;
use crate::domain::recipients::Counts;
use crate::domain::strategy::SearchStrategy;
use crate::store::{Next, Work};

const STEP: StepId = StepId::ProspectSearch;

pub(super) async fn run(turn: &mut Turn<'_>, campaign: &Campaign) -> Result<(), StepError> {
    let store = turn.store();
    let strategy = store.findings(&campaign.id).await?.strategy.unwrap_or_default();
    let now = turn.resources().store.ids().now();
    let settings = &campaign.settings;
    let rank = |prospect| rank(prospect, &strategy);
    let (ranked, counts) = store.choose(&settings.recipients, settings.max_prospects, now, rank).await?;
    if ranked.is_empty() {
        return Err(StepError::Final(nobody(&counts)));
    }
    let left_out = counts.left_out();
    let log = ranked.iter().take(5).map(|p| {
        let why = if p.reasons.is_empty() { "no particular reason".to_owned() } else { p.reasons.join("; ") };
        format!("{} ({}): {why}", if p.company.is_empty() { &p.email } else { &p.company }, p.score)
    });
    let others = left_out.iter().map(|of| format!("left out: {} {}", of.count, of.why.in_words()));
    let log = log.chain(others).collect();
    let (chosen, seen) = (ranked.len(), counts.seen);
    let summary = format!("{chosen} of {seen} prospects, the best with {} of 100", ranked[0].score);
    let next = if campaign.settings.template_id.is_some() {
        Next::Done { status: StepStatus::Completed, summary }
    } else {
        Next::DoneThenWait { summary, state: CampaignState::WaitingTemplate }
    };
    turn.advance(STEP, Work::Prospects { chosen: ranked, left_out }, log, next).await
}

/// Why nobody is left to write to, and what to do.
fn nobody(counts: &Counts) -> String {
    if counts.seen == 0 {
        return "there are no prospects to write to: import some, then resume".to_owned();
    }
    let why: Vec<_> = counts.left_out().iter().map(|of| format!("{} {}", of.count, of.why.in_words())).collect();
    format!(
        "none of {} prospects is to be written to: {}; import others, or start with other rules",
        counts.seen,
        why.join(", ")
    )
}

fn rank(prospect: Prospect, strategy: &SearchStrategy) -> RankedProspect {
    let fit = fit(&prospect, strategy);
    RankedProspect {
        prospect_id: prospect.id,
        company: prospect.fields.company,
        email: prospect.fields.email,
        score: fit.score,
        reasons: fit.reasons,
    }
}

//! The six steps, one file each. Each call does one bounded piece of the campaign's current step.

mod email_generation;
mod email_review;
mod email_sending;
mod prospect_search;
mod search_strategy;
mod website_analysis;

pub(super) use email_sending::settle;

use super::turn::{StepError, Turn};
use crate::domain::campaign::{Campaign, StepId};

/// Does the next piece of work of a running campaign.
pub(super) async fn run(turn: &mut Turn<'_>, campaign: &Campaign) -> Result<(), StepError> {
    match campaign.current_step {
        StepId::WebsiteAnalysis => website_analysis::run(turn, campaign).await,
        StepId::SearchStrategy => search_strategy::run(turn, campaign).await,
        StepId::ProspectSearch => prospect_search::run(turn, campaign).await,
        StepId::EmailGeneration => email_generation::run(turn, campaign).await,
        StepId::EmailReview => email_review::run(turn).await,
        StepId::EmailSending => email_sending::run(turn).await,
    }
}

//! Step 5: waits until a person has decided on each e-mail, unless the tenant's configuration approves them all.

use super::super::turn::{StepError, Turn};
use crate::domain::campaign::{CampaignState, StepId, StepStatus};
use crate::store::{Next, Work};

const STEP: StepId = StepId::EmailReview;

pub(super) async fn run(turn: &mut Turn<'_>) -> Result<(), StepError> {
    if turn.store().agent_config().await?.settings.auto_approve {
        let summary = "approved automatically, as the configuration says".to_owned();
        let next = Next::Done { status: StepStatus::Completed, summary };
        return turn.advance(STEP, Work::ApproveAll, Vec::new(), next).await;
    }
    let next = Next::Wait { summary: "waiting for a person".to_owned(), state: CampaignState::WaitingApproval };
    turn.advance(STEP, Work::None, Vec::new(), next).await
}

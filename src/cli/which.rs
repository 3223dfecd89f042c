//! Which campaign a command means.

use anyhow::bail;

use super::client::Api;
use super::refusal::{ambiguous, explain};
use super::words::Word;
use crate::pb;
use crate::pb::CampaignState::{
    Cancelled, Completed, Paused, Running, WaitingAnalysis, WaitingApproval, WaitingTemplate,
};
use crate::pb::EmailStatus;

/// The states of a campaign that is live.
const LIVE: [pb::CampaignState; 5] = [Running, Paused, WaitingAnalysis, WaitingTemplate, WaitingApproval];
/// The live ones that an error names.
const MAX_NAMED: i32 = 20;

/// Whether nothing will ever happen to a campaign.
pub(super) fn has_ended(state: pb::CampaignState) -> bool {
    matches!(state, Completed | Cancelled)
}

/// The campaign that a change means: the one that is named, or the newest. That is what lists and results show; where another one is
/// live, it could be meant as well, and has to be named.
pub(super) async fn meant(api: &mut Api, id: String) -> anyhow::Result<String> {
    if !id.is_empty() {
        return Ok(id);
    }
    let states = LIVE.map(i32::from).to_vec();
    let request = pb::ListWorkflowsRequest { states, page_size: MAX_NAMED, ..Default::default() };
    let live = api.workflow.list_workflows(request).await.map_err(|s| explain(&s))?.into_inner().campaigns;
    let newest = newest(api, id).await?.id;
    match live.as_slice() {
        [] => Ok(newest),
        [one] if one.id == newest => Ok(newest),
        [one] => bail!(
            "the campaign {} is live, and {newest} is newer: name the one that you mean by --campaign [CAMPAIGN_AMBIGUOUS]",
            one.id
        ),
        several => bail!("{} [CAMPAIGN_AMBIGUOUS]", ambiguous(several.iter().map(|campaign| campaign.id.as_str()))),
    }
}

/// The campaign to go on with: the same, but that where several are live those that have failed could be meant as well.
pub(super) async fn resumed(api: &mut Api, id: String) -> anyhow::Result<String> {
    let error = match meant(api, id).await {
        Err(error) if error.to_string().ends_with("[CAMPAIGN_AMBIGUOUS]") => error,
        meant => return meant,
    };
    let states = vec![pb::CampaignState::Failed.into()];
    let request = pb::ListWorkflowsRequest { states, page_size: MAX_NAMED, ..Default::default() };
    let failed = api.workflow.list_workflows(request).await.map_err(|s| explain(&s))?.into_inner().campaigns;
    let ids: Vec<_> = failed.into_iter().map(|campaign| campaign.id).collect();
    if ids.is_empty() { Err(error) } else { bail!("{error}\n  failed, and can be resumed: {}", ids.join(", ")) }
}

/// Where a letter stands. What awaited approval when its campaign was cancelled does so for ever.
pub(super) fn standing(status: EmailStatus, of: pb::CampaignState) -> String {
    let is_over = status == EmailStatus::AwaitingApproval && of == Cancelled;
    format!("{}{}", status.word(), if is_over { " (cancelled)" } else { "" })
}

/// The command that lists the live campaigns.
pub(super) fn list_live() -> String {
    format!("`herald campaign list --state {}`", LIVE.map(Word::word).join(","))
}

/// The campaign of that id; the newest for an empty one.
pub(super) async fn newest(api: &mut Api, campaign_id: String) -> anyhow::Result<pb::Campaign> {
    let answer = api.workflow.get_workflow(pb::GetWorkflowRequest { campaign_id }).await.map_err(|s| explain(&s))?;
    Ok(answer.into_inner().campaign.unwrap_or_default())
}

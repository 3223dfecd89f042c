//! Which campaign a command means.

use anyhow::bail;

use super::client::Api;
use super::refusal::{ambiguous, explain};
use super::words::Word;
use crate::pb;
use crate::pb::CampaignState::{Paused, Running, WaitingAnalysis, WaitingApproval, WaitingTemplate};

/// The states of a campaign that is live.
const LIVE: [pb::CampaignState; 5] = [Running, Paused, WaitingAnalysis, WaitingTemplate, WaitingApproval];
/// The live ones that an error names.
const MAX_NAMED: i32 = 20;

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

/// The command that lists the live campaigns.
pub(super) fn list_live() -> String {
    format!("`herald campaign list --state {}`", LIVE.map(Word::word).join(","))
}

/// The campaign of that id; the newest for an empty one.
pub(super) async fn newest(api: &mut Api, campaign_id: String) -> anyhow::Result<pb::Campaign> {
    let answer = api.workflow.get_workflow(pb::GetWorkflowRequest { campaign_id }).await.map_err(|s| explain(&s))?;
    Ok(answer.into_inner().campaign.unwrap_or_default())
}

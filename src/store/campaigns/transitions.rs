//! What callers do with a campaign: start it, pause it, resume it, end it.

use std::time::Duration;

use super::{CampaignRef, get, live, set_state, set_state_under_lease, set_step};
use crate::domain::campaign::{Action, Campaign, CampaignState, Settings, StepId, StepStatus};
use crate::domain::clock::Timestamp;
use crate::domain::event::EventKind;
use crate::domain::id::{CampaignId, TemplateId};
use crate::store::error::{Inconsistency, Result, StoreError};
use crate::store::events::record;
use crate::store::recipients;
use crate::store::request_id::{RequestId, once};
use crate::store::sql::{json, tenant_sql};
use crate::store::tx::ScopedTx;
use crate::store::write::{CallWrite, Touched, Write};

tenant_sql! {
    /// When the campaign was started that is so many behind the newest.
    START_TIME =
        "SELECT create_time
         FROM campaigns
         WHERE tenant_id = $1
         ORDER BY create_time DESC, id DESC
         LIMIT 1 OFFSET CAST($2 AS bigint)";
    INSERT =
        "INSERT INTO campaigns (tenant_id, id, state, settings, current_step, create_time, update_time)
         VALUES ($1, $2, $3, $4, $5, $6, $6)";
    INSERT_STEPS =
        "INSERT INTO campaign_steps (tenant_id, campaign_id, step, status, progress, summary)
         SELECT $1, $2, value, 'pending', 0, ''
         FROM {texts}($3)";
    GUARD_ANEW =
        "UPDATE campaigns
         SET guard_time = $3
         WHERE tenant_id = $1 AND id = $2";
    SET_SETTINGS =
        "UPDATE campaigns
         SET settings = $3
         WHERE tenant_id = $1 AND id = $2";
}

/// Starts a campaign, unless as many are live as may be.
pub struct StartCampaign {
    pub id: CampaignId,
    pub settings: Settings,
    pub request_id: Option<RequestId>,
    /// The campaigns that may be started within a minute; 0: any number.
    pub max_per_minute: u32,
    pub max_live: u32,
}

/// Cancels all live campaigns.
pub struct CancelAll;

const MINUTE: i64 = 60;

/// Takes a campaign from one state to another, if its state allows it.
pub struct Transition {
    pub campaign: CampaignRef,
    pub action: Action,
    /// For SelectTemplate.
    pub template: Option<TemplateId>,
    /// The campaigns that may be live, where one that failed becomes so again.
    pub max_live: u32,
}

// === impl StartCampaign ===

impl Write for StartCampaign {
    type Out = Campaign;

    const CHANGES_CAMPAIGN: bool = true;

    fn run(&self, tx: &mut ScopedTx<'_>) -> Result<Campaign> {
        let id = once(tx, self.request_id.as_ref(), |tx| self.start(tx))?;
        get(tx, &CampaignRef::Id(id))
    }
}

impl CallWrite for StartCampaign {
    fn touched(&self, campaign: &Campaign) -> Touched {
        Touched::ids([&campaign.id])
    }

    fn request_id(&self) -> Option<&RequestId> {
        self.request_id.as_ref()
    }
}

impl StartCampaign {
    fn start(&self, tx: &mut ScopedTx<'_>) -> Result<CampaignId> {
        refuse_too_many_live(tx, self.max_live)?;
        self.refuse_if_too_many(tx)?;
        let state = CampaignState::Running;
        let now = tx.now();
        let insert = tx.query(INSERT).bind(self.id.clone()).bind(state.as_str()).bind(json(&self.settings));
        insert.bind(StepId::WebsiteAnalysis.as_str()).bind(now).execute_exactly(1)?;
        let steps = StepId::ALL.map(StepId::as_str);
        tx.query(INSERT_STEPS).bind(self.id.clone()).bind(json(&steps)).execute_exactly(steps.len())?;
        record(tx, &self.id, vec![EventKind::state(None, state, "")])?;
        Ok(self.id.clone())
    }

    fn refuse_if_too_many(&self, tx: &mut ScopedTx<'_>) -> Result<()> {
        let Some(behind) = self.max_per_minute.checked_sub(1) else { return Ok(()) };
        let started: Option<(i64,)> = tx.query(START_TIME).bind(behind).optional()?;
        let again = started.map(|(started,)| Timestamp(started).plus_seconds(MINUTE));
        match again.map(|again| again.0 - tx.now().0) {
            Some(wait) if wait > 0 => {
                let retry = Duration::from_micros(wait.unsigned_abs());
                Err(StoreError::TooManyStarts { max_per_minute: self.max_per_minute, retry })
            }
            _ => Ok(()),
        }
    }
}

pub(super) fn refuse_too_many_live(tx: &mut ScopedTx<'_>, max: u32) -> Result<()> {
    let live = live(tx)?;
    if live.len() < max as usize { Ok(()) } else { Err(StoreError::TooManyLive { live, max }) }
}

// === impl CancelAll ===

impl Write for CancelAll {
    /// The newest first.
    type Out = Vec<Campaign>;

    const CHANGES_CAMPAIGN: bool = true;

    fn run(&self, tx: &mut ScopedTx<'_>) -> Result<Vec<Campaign>> {
        let live = live(tx)?;
        live.into_iter().map(|id| get(tx, &CampaignRef::Id(id)).and_then(|campaign| cancel(tx, &campaign))).collect()
    }
}

impl CallWrite for CancelAll {
    fn touched(&self, cancelled: &Vec<Campaign>) -> Touched {
        Touched::ids(cancelled.iter().map(|campaign| &campaign.id))
    }
}

fn cancel(tx: &mut ScopedTx<'_>, campaign: &Campaign) -> Result<Campaign> {
    let to = campaign.state.after(Action::Cancel)?;
    let mut events = Vec::new();
    for step in campaign.steps.iter().filter(|s| s.status == StepStatus::InProgress) {
        let (ended, told) = (StepStatus::Cancelled, campaign.standing(step.id, "cancelled"));
        events.push(set_step(tx, &campaign.id, step.id, ended, step.progress, &told)?);
    }
    events.push(set_state(tx, campaign, to, "")?);
    record(tx, &campaign.id, events)?;
    get(tx, &CampaignRef::Id(campaign.id.clone()))
}

// === impl Transition ===

impl Write for Transition {
    type Out = Campaign;

    const CHANGES_CAMPAIGN: bool = true;

    fn run(&self, tx: &mut ScopedTx<'_>) -> Result<Campaign> {
        let campaign = get(tx, &self.campaign)?;
        let to = campaign.state.after(self.action)?;
        if campaign.state == CampaignState::Failed {
            refuse_too_many_live(tx, self.max_live)?;
            recipients::refuse_taken(tx, &campaign.id)?;
        }
        if self.action == Action::Resume {
            let now = tx.now();
            tx.query(GUARD_ANEW).bind(campaign.id.clone()).bind(now).execute_exactly(1)?;
        }
        let mut events = Vec::new();
        match self.action {
            Action::Pause => events.push(set_state_under_lease(tx, &campaign, to, "")?),
            Action::Resume if matches!(campaign.state, CampaignState::Paused { .. }) => {
                events.push(set_state_under_lease(tx, &campaign, to, "")?);
            }
            Action::Resume => {
                for step in campaign.steps.iter().filter(|s| s.status == StepStatus::Failed) {
                    let again = StepStatus::InProgress;
                    events.push(set_step(tx, &campaign.id, step.id, again, step.progress, "")?);
                }
                events.push(set_state(tx, &campaign, to, "")?);
            }
            Action::SelectTemplate => {
                let settings = Settings { template_id: self.template.clone(), ..campaign.settings.clone() };
                tx.query(SET_SETTINGS).bind(campaign.id.clone()).bind(json(&settings)).execute_exactly(1)?;
                events.push(set_state(tx, &campaign, to, "template selected")?);
            }
            Action::Cancel => return cancel(tx, &campaign),
            Action::ReviewEmails => return Err(Inconsistency::OwnWrite("a review").into()),
        }
        record(tx, &campaign.id, events)?;
        get(tx, &CampaignRef::Id(campaign.id))
    }
}

impl CallWrite for Transition {
    fn touched(&self, campaign: &Campaign) -> Touched {
        Touched::ids([&campaign.id]).with_fields(self.template.is_some().then_some("template_id"))
    }
}

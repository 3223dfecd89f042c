//! Campaigns: reading them, and their states. What callers do with them is in `transitions`, `review` and `retry`, what the engine does
//! with them in [`super::progress`].

pub(super) mod retry;
pub(super) mod review;
pub(super) mod transitions;

use std::collections::HashMap;

pub use retry::{Again, ResolveEmails, RetryEmails};
pub use review::{ReviewEmails, Reviewed};
pub use transitions::{CancelAll, StartCampaign, Transition};

use super::door::Scoped;
use super::error::{Noun, Result, StoreError};
use super::paging::highest_first;
use super::sql::{Cells, Json, Record, Unreadable, json, tenant_sql};
use super::tx::ScopedTx;
use crate::domain::campaign::{
    Campaign, CampaignState, EmailCounts, Findings, Hold, RankedProspect, Step, StepId, StepStatus,
};
use crate::domain::clock::Timestamp;
use crate::domain::email::EmailStatus;
use crate::domain::event::EventKind;
use crate::domain::id::CampaignId;
use crate::domain::paging::{Page, PageRequest, RowCursor, page};
use crate::domain::strategy::SearchStrategy;
use crate::domain::website::WebsiteAnalysis;

/// A campaign with its steps and the counts of its e-mails, all of one moment.
macro_rules! campaign_columns {
    () => {
        "id, state, resume_to, settings, current_step, cursor, prospect_count, seq, fence, failure, hold_reason, hold_time,
         create_time, update_time, end_time,
         (SELECT CAST({array_of_rows}({array}(step, status, progress, start_time, end_time, summary)) AS text)
          FROM campaign_steps s
          WHERE s.tenant_id = $1 AND s.campaign_id = campaigns.id) AS steps,
         (SELECT COALESCE(CAST({array_of_rows}({array}(status, count)) AS text), '[]')
          FROM email_counts c
          WHERE c.tenant_id = $1 AND c.campaign_id = campaigns.id AND c.count > 0) AS emails"
    };
}

/// The states in which a campaign is live.
macro_rules! live_states {
    () => {
        "('RUNNING', 'PAUSED', 'WAITING_ANALYSIS', 'WAITING_TEMPLATE', 'WAITING_APPROVAL')"
    };
}

pub(in crate::store) use live_states;

tenant_sql! {
    GET = concat!("SELECT ", campaign_columns!(), " FROM campaigns WHERE tenant_id = $1 AND id = $2");
    NEWEST = concat!(
        "SELECT ", campaign_columns!(), "
         FROM campaigns
         WHERE tenant_id = $1
         ORDER BY create_time DESC, id DESC
         LIMIT 1");
    /// The newest first.
    LIVE = concat!(
        "SELECT id
         FROM campaigns
         WHERE tenant_id = $1 AND state IN ", live_states!(), "
         ORDER BY create_time DESC, id DESC");
    LIST = concat!(
        "SELECT ", campaign_columns!(), "
         FROM campaigns
         WHERE tenant_id = $1 AND (create_time, id) < ($2, $3)
           AND (CAST($5 AS text) IS NULL OR state IN (SELECT s.value FROM {texts}(CAST($5 AS {json})) s))
         ORDER BY create_time DESC, id DESC
         LIMIT CAST($4 AS bigint)");
    FINDINGS =
        "SELECT analysis, strategy
         FROM campaigns
         WHERE tenant_id = $1 AND id = $2";
    RANKED =
        "SELECT c.prospect_id, p.company, p.email, c.score, c.reasons
         FROM campaign_prospects c
         JOIN prospects p ON p.tenant_id = $1 AND p.id = c.prospect_id AND p.delete_time IS NULL
         WHERE c.tenant_id = $1 AND c.campaign_id = $2
         ORDER BY c.position
         LIMIT CAST($3 AS bigint)";
    SET_STATE =
        "UPDATE campaigns
         SET state = $3, resume_to = $4, end_time = $5, failure = $6, lease_owner = NULL, due_time = $7, tries = 0,
             hold_reason = '', hold_time = NULL
         WHERE tenant_id = $1 AND id = $2";
    /// Into or out of PAUSED. The lease stays with whoever holds it: an external call that has begun may still record what
    /// came of it, and nobody else begins one meanwhile.
    SET_STATE_UNDER_LEASE =
        "UPDATE campaigns
         SET state = $3, resume_to = $4, hold_reason = '', hold_time = NULL,
             due_time = CASE WHEN lease_owner IS NULL THEN CAST($5 AS bigint) ELSE due_time END
         WHERE tenant_id = $1 AND id = $2";
    SET_CURRENT_STEP =
        "UPDATE campaigns
         SET current_step = $3, cursor = 0, hold_reason = '', hold_time = NULL
         WHERE tenant_id = $1 AND id = $2";
    SET_STEP =
        "UPDATE campaign_steps
         SET status = $4, progress = $5, summary = $6, start_time = COALESCE(start_time, $7),
             end_time = CASE WHEN $4 IN ('completed', 'failed', 'skipped', 'cancelled') THEN $7 END
         WHERE tenant_id = $1 AND campaign_id = $2 AND step = $3";
}

/// Which campaign a request means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CampaignRef {
    Id(CampaignId),
    /// What an empty id means for a change: the only live one.
    Live,
}

impl Scoped<'_> {
    /// The newest without an id.
    pub async fn campaign(&self, id: Option<&CampaignId>) -> Result<Option<Campaign>> {
        let query = match id {
            Some(id) => self.query(GET).bind(id.clone()),
            None => self.query(NEWEST),
        };
        query.optional().await
    }

    /// Newest first; those in one of the states, where any is given by its name.
    pub async fn campaigns(
        &self,
        request: &PageRequest<RowCursor>,
        states: &[&str],
    ) -> Result<Page<Campaign, RowCursor>> {
        let (time, id) = highest_first(request);
        let states = (!states.is_empty()).then(|| json(&states));
        let rows = self.query(LIST).bind(time).bind(id).bind(request.size + 1).bind(states).all().await?;
        Ok(page(rows, request.size, |c: &Campaign| RowCursor { at: c.create_time.0, id: c.id.to_string() }))
    }

    pub async fn findings(&self, campaign: &CampaignId) -> Result<Findings> {
        type Row = (Option<Json<WebsiteAnalysis>>, Option<Json<SearchStrategy>>);
        let row: Option<Row> = self.query(FINDINGS).bind(campaign.clone()).optional().await?;
        let (analysis, strategy) = row.unwrap_or_default();
        Ok(Findings { analysis: analysis.map(|Json(found)| found), strategy: strategy.map(|Json(found)| found) })
    }

    /// The best `max` prospects of a campaign, the best first.
    pub async fn ranked_prospects(&self, campaign: &CampaignId, max: u32) -> Result<Vec<RankedProspect>> {
        self.query(RANKED).bind(campaign.clone()).bind(max).all().await
    }
}

/// The campaign that `which` means, inside a write.
pub(in crate::store) fn get(tx: &mut ScopedTx<'_>, which: &CampaignRef) -> Result<Campaign> {
    let id = match which {
        CampaignRef::Id(id) => id.clone(),
        CampaignRef::Live => {
            let mut live = live(tx)?;
            if live.len() > 1 {
                return Err(StoreError::CampaignAmbiguous(live));
            }
            live.pop().ok_or(StoreError::NotFound(Noun::AnyCampaign))?
        }
    };
    tx.query(GET).bind(id).optional()?.ok_or(StoreError::NotFound(Noun::Campaign))
}

/// The live campaigns, the newest first.
pub(in crate::store) fn live(tx: &mut ScopedTx<'_>) -> Result<Vec<CampaignId>> {
    let rows: Vec<(CampaignId,)> = tx.query(LIVE).all()?;
    Ok(rows.into_iter().map(|(id,)| id).collect())
}

/// Sets a step's standing, and gives the event that says so.
pub(in crate::store) fn set_step(
    tx: &mut ScopedTx<'_>,
    campaign: &CampaignId,
    step: StepId,
    status: StepStatus,
    progress: u8,
    summary: &str,
) -> Result<EventKind> {
    let now = tx.now();
    let query = tx.query(SET_STEP).bind(campaign.clone()).bind(step.as_str()).bind(status.as_str());
    query.bind(progress).bind(summary.to_owned()).bind(now).execute_exactly(1)?;
    Ok(EventKind::StepChanged { step, status, progress, summary: summary.to_owned() })
}

pub(in crate::store) fn set_state_under_lease(
    tx: &mut ScopedTx<'_>,
    campaign: &Campaign,
    to: CampaignState,
    reason: &str,
) -> Result<EventKind> {
    let now = tx.now();
    let query = tx.query(SET_STATE_UNDER_LEASE).bind(campaign.id.clone()).bind(to.as_str());
    query.bind(to.resume_to().map(CampaignState::as_str)).bind(now).execute_exactly(1)?;
    Ok(EventKind::state(Some(campaign.state), to, reason))
}

/// Moves the campaign to a state in which nobody works on it, or from such a state to RUNNING, where it is claimed anew.
pub(in crate::store) fn set_state(
    tx: &mut ScopedTx<'_>,
    campaign: &Campaign,
    to: CampaignState,
    reason: &str,
) -> Result<EventKind> {
    let now = tx.now();
    let ended = (!to.is_live()).then_some(now);
    let failure = if to == CampaignState::Failed { reason } else { "" };
    let query = tx.query(SET_STATE).bind(campaign.id.clone()).bind(to.as_str());
    let query = query.bind(to.resume_to().map(CampaignState::as_str)).bind(ended).bind(failure.to_owned());
    query.bind(now).execute_exactly(1)?;
    Ok(EventKind::state(Some(campaign.state), to, reason))
}

pub(in crate::store) fn set_current_step(tx: &mut ScopedTx<'_>, campaign: &CampaignId, step: StepId) -> Result<()> {
    tx.query(SET_CURRENT_STEP).bind(campaign.clone()).bind(step.as_str()).execute_exactly(1)
}

pub(in crate::store) fn refuse_if_live(tx: &mut ScopedTx<'_>) -> Result<()> {
    let live = live(tx)?;
    if live.is_empty() { Ok(()) } else { Err(StoreError::CampaignsLive(live)) }
}

/// How much of the whole a part is, 0 to 100; 100 of nothing.
pub(in crate::store) fn percent(part: u32, whole: u32) -> u8 {
    let percent = (u64::from(part) * 100).checked_div(u64::from(whole)).unwrap_or(100);
    u8::try_from(percent.min(100)).unwrap_or(100)
}

// === impl Campaign ===

/// A step as the query gives it: step, status, progress, start, end, summary.
type StepTuple = (StepId, StepStatus, u8, Option<i64>, Option<i64>, String);

/// In the order of `campaign_columns!`.
impl Record for Campaign {
    fn read(cells: &mut Cells<'_>) -> Result<Self, Unreadable> {
        let id = cells.named("id")?;
        let state = cells.take::<StateColumns>()?.0;
        let settings = cells.named::<Json<_>>("settings")?.0;
        let current_step = cells.named("current_step")?;
        let (cursor, prospect_count) = (cells.named("cursor")?, cells.named("prospect_count")?);
        let (seq, fence, failure) = (cells.named("seq")?, cells.named("fence")?, cells.named("failure")?);
        let (reason, since): (String, Option<Timestamp>) = cells.take()?;
        let (create_time, update_time) = (cells.named("create_time")?, cells.named("update_time")?);
        let end_time = cells.named("end_time")?;
        let mut steps = cells.named::<Json<Vec<StepTuple>>>("steps")?.0;
        steps.sort_by_key(|step| step.0);
        let counts: HashMap<EmailStatus, u32> = cells.named::<Json<Vec<_>>>("emails")?.0.into_iter().collect();
        let of = |status| counts.get(&status).copied().unwrap_or(0);
        let campaign = Self {
            id,
            state,
            settings,
            current_step,
            cursor,
            prospect_count,
            seq,
            fence,
            failure,
            hold: since.map(|since| Hold { reason, since }),
            create_time,
            update_time,
            end_time,
            steps: steps.into_iter().map(step).collect(),
            emails: EmailCounts {
                awaiting_approval: of(EmailStatus::AwaitingApproval),
                approved: of(EmailStatus::Approved),
                rejected: of(EmailStatus::Rejected),
                sending: of(EmailStatus::Sending),
                sent: of(EmailStatus::Sent),
                failed: of(EmailStatus::Failed),
                skipped: of(EmailStatus::Skipped),
                unknown: of(EmailStatus::Unknown),
            },
        };
        Ok(campaign.with_standing())
    }
}

/// Of the columns `state` and `resume_to`.
struct StateColumns(CampaignState);

impl Record for StateColumns {
    fn read(cells: &mut Cells<'_>) -> Result<Self, Unreadable> {
        let column = cells.column();
        let (name, resume_to): (String, Option<String>) = cells.take()?;
        CampaignState::parse(&name, resume_to.as_deref()).map(Self).ok_or(Unreadable { column })
    }
}

impl Record for RankedProspect {
    fn read(cells: &mut Cells<'_>) -> Result<Self, Unreadable> {
        Ok(Self {
            prospect_id: cells.named("prospect_id")?,
            company: cells.named("company")?,
            email: cells.named("email")?,
            score: cells.named("score")?,
            reasons: cells.named::<Json<_>>("reasons")?.0,
        })
    }
}

fn step((id, status, progress, start, end, summary): StepTuple) -> Step {
    Step { id, status, progress, start_time: start.map(Timestamp), end_time: end.map(Timestamp), summary }
}

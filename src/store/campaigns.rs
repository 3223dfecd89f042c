//! Campaigns: reading them, and what callers do with them. What the engine does with them is in `progress.rs`.

use std::collections::HashMap;
use std::time::Duration;

use super::Scoped;
use super::error::{Noun, Result, StoreError};
use super::events::{json, record};
use super::idempotency::RequestId;
use super::prospects::highest_first;
use super::sql::{row, tenant_sql};
use super::tx::ScopedTx;
use super::writer::Write;
use crate::domain::campaign::{
    Action, Active, Campaign, CampaignState, EmailCounts, Findings, RankedProspect, Settings, Step, StepId, StepStatus,
};
use crate::domain::clock::Timestamp;
use crate::domain::email::{Decision, EmailStatus, Review};
use crate::domain::event::EventKind;
use crate::domain::id::{CampaignId, EmailId, ProspectId, TemplateId};
use crate::domain::paging::{Page, PageRequest, RowCursor, page};

/// A campaign with its steps and the counts of its e-mails, all of one moment.
macro_rules! campaign_columns {
    () => {
        "id, state, resume_to, settings, current_step, cursor, prospect_count, seq, fence, failure, create_time,
         update_time, end_time,
         (SELECT json_group_array(json_array(step, status, progress, start_time, end_time, summary))
          FROM campaign_steps s
          WHERE s.tenant_id = $1 AND s.campaign_id = campaigns.id) AS steps,
         (SELECT json_group_array(json_array(status, n))
          FROM (SELECT status, COUNT(*) AS n
                FROM emails e
                WHERE e.tenant_id = $1 AND e.campaign_id = campaigns.id
                GROUP BY status)) AS emails"
    };
}

tenant_sql! {
    GET = concat!("SELECT ", campaign_columns!(), " FROM campaigns WHERE tenant_id = $1 AND id = $2");
    NEWEST = concat!(
        "SELECT ", campaign_columns!(), "
         FROM campaigns
         WHERE tenant_id = $1
         ORDER BY create_time DESC, id DESC
         LIMIT 1");
    LIVE = concat!(
        "SELECT ", campaign_columns!(), "
         FROM campaigns
         WHERE tenant_id = $1 AND state IN ('RUNNING', 'PAUSED', 'WAITING_ANALYSIS', 'WAITING_TEMPLATE', 'WAITING_APPROVAL')
         LIMIT 1");
    LIST = concat!(
        "SELECT ", campaign_columns!(), "
         FROM campaigns
         WHERE tenant_id = $1 AND (create_time, id) < ($2, $3)
         ORDER BY create_time DESC, id DESC
         LIMIT +$4");
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
         LIMIT +$3";
    /// When the campaign was started that is so many behind the newest.
    START_TIME =
        "SELECT create_time
         FROM campaigns
         WHERE tenant_id = $1
         ORDER BY create_time DESC, id DESC
         LIMIT 1 OFFSET +$2";
    INSERT =
        "INSERT INTO campaigns (tenant_id, id, state, settings, current_step, create_time, update_time)
         VALUES ($1, $2, $3, $4, $5, $6, $6)";
    INSERT_STEPS =
        "INSERT INTO campaign_steps (tenant_id, campaign_id, step, status, progress, summary)
         SELECT $1, $2, value, 'pending', 0, ''
         FROM jsonb_each($3)";
    SET_STATE =
        "UPDATE campaigns
         SET state = $3, resume_to = $4, end_time = $5, failure = $6, lease_owner = NULL, lease_until = 0
         WHERE tenant_id = $1 AND id = $2";
    /// Into or out of PAUSED. The lease stays with whoever holds it: an outside call that has begun may still record what
    /// came of it, and nobody else begins one meanwhile.
    SET_STATE_UNDER_LEASE =
        "UPDATE campaigns
         SET state = $3, resume_to = $4
         WHERE tenant_id = $1 AND id = $2";
    SET_CURRENT_STEP =
        "UPDATE campaigns
         SET current_step = $3, cursor = 0
         WHERE tenant_id = $1 AND id = $2";
    SET_SETTINGS =
        "UPDATE campaigns
         SET settings = $3
         WHERE tenant_id = $1 AND id = $2";
    SET_STEP =
        "UPDATE campaign_steps
         SET status = $4, progress = $5, summary = $6, start_time = COALESCE(start_time, $7),
             end_time = CASE WHEN $4 IN ('completed', 'failed', 'skipped', 'cancelled') THEN $7 END
         WHERE tenant_id = $1 AND campaign_id = $2 AND step = $3";
    DECIDE =
        "UPDATE emails
         SET status = $4, subject = COALESCE($5, subject), body = COALESCE($6, body),
             edited = edited OR $5 IS NOT NULL OR $6 IS NOT NULL, update_time = $7
         WHERE tenant_id = $1 AND id = $2 AND campaign_id = $3 AND status = 'awaiting_approval'
         RETURNING prospect_id";
    /// Of an e-mail that has not begun to be sent.
    RECONSIDER =
        "UPDATE emails
         SET status = 'awaiting_approval', subject = COALESCE($4, subject), body = COALESCE($5, body),
             edited = edited OR $4 IS NOT NULL OR $5 IS NOT NULL, update_time = $6
         WHERE tenant_id = $1 AND id = $2 AND campaign_id = $3 AND status IN ('approved', 'rejected')
         RETURNING prospect_id";
    RECONSIDER_OTHERS =
        "UPDATE emails
         SET status = 'awaiting_approval', update_time = $3
         WHERE tenant_id = $1 AND campaign_id = $2 AND status IN ('approved', 'rejected')
         RETURNING id, prospect_id";
    EMAIL_STATUS =
        "SELECT status
         FROM emails
         WHERE tenant_id = $1 AND id = $2 AND campaign_id = $3";
    DECIDE_OTHERS =
        "UPDATE emails
         SET status = $3, update_time = $4
         WHERE tenant_id = $1 AND campaign_id = $2 AND status = 'awaiting_approval'
         RETURNING id, prospect_id";
}

/// Which campaign a request means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CampaignRef {
    Id(CampaignId),
    /// What an empty id means for a read.
    Newest,
    /// What an empty id means for a change.
    Live,
}

/// Starts a campaign, unless another is live.
pub struct StartCampaign {
    pub id: CampaignId,
    pub settings: Settings,
    pub request_id: Option<RequestId>,
    /// The campaigns that may be started within a minute; 0: any number.
    pub most_per_minute: u32,
}

const MINUTE: i64 = 60;

/// Takes a campaign from one state to another, if its state allows it.
pub struct Transition {
    pub campaign: CampaignRef,
    pub action: Action,
    /// For SelectTemplate.
    pub template: Option<TemplateId>,
}

/// Decides about e-mails; all or nothing.
pub struct ReviewEmails {
    pub campaign: CampaignRef,
    pub reviews: Vec<Review>,
    /// What becomes of those that are still undecided afterwards; None leaves them waiting.
    pub others: Option<Decision>,
}

/// What a review has done.
#[derive(Debug, Clone)]
pub struct Reviewed {
    pub campaign: Campaign,
    pub approved: u32,
    pub rejected: u32,
    pub reconsidered: u32,
}

row! {
    struct Row {
        id: CampaignId,
        state: String,
        resume_to: Option<String>,
        settings: String,
        current_step: String,
        cursor: i64,
        prospect_count: i64,
        seq: i64,
        fence: i64,
        failure: String,
        create_time: i64,
        update_time: i64,
        end_time: Option<i64>,
        steps: String,
        emails: String,
    }
}

impl Scoped<'_> {
    pub async fn campaign(&self, which: &CampaignRef) -> Result<Option<Campaign>> {
        let query = match which {
            CampaignRef::Id(id) => self.query(GET).bind(id.clone()),
            CampaignRef::Newest => self.query(NEWEST),
            CampaignRef::Live => self.query(LIVE),
        };
        let row: Option<Row> = query.optional().await?;
        row.map(Row::campaign).transpose()
    }

    /// Newest first.
    pub async fn campaigns(&self, request: &PageRequest<RowCursor>) -> Result<Page<Campaign, RowCursor>> {
        let (time, id) = highest_first(request);
        let rows: Vec<Row> = self.query(LIST).bind(time).bind(id).bind(request.size + 1).all().await?;
        let rows = rows.into_iter().map(Row::campaign).collect::<Result<_>>()?;
        Ok(page(rows, request.size, |c: &Campaign| RowCursor { at: c.create_time.0, id: c.id.to_string() }))
    }

    pub async fn findings(&self, campaign: &CampaignId) -> Result<Findings> {
        let row: Option<(Option<String>, Option<String>)> =
            self.query(FINDINGS).bind(campaign.clone()).optional().await?;
        let (analysis, strategy) = row.unwrap_or_default();
        Ok(Findings {
            analysis: analysis.map(|text| read("analysis", &text)).transpose()?,
            strategy: strategy.map(|text| read("strategy", &text)).transpose()?,
        })
    }

    /// The best `most` prospects of a campaign, the best first.
    pub async fn ranked_prospects(&self, campaign: &CampaignId, most: u32) -> Result<Vec<RankedProspect>> {
        let query = self.query(RANKED).bind(campaign.clone()).bind(most);
        let rows: Vec<(ProspectId, String, String, i64, String)> = query.all().await?;
        let ranked = rows.into_iter().map(|(prospect_id, company, email, score, reasons)| {
            let score = u8::try_from(score).unwrap_or(0);
            Ok(RankedProspect { prospect_id, company, email, score, reasons: read("list of reasons", &reasons)? })
        });
        ranked.collect()
    }
}

/// The campaign that `which` means, inside a write.
pub(super) fn get(tx: &mut ScopedTx<'_>, which: &CampaignRef) -> Result<Campaign> {
    let (query, noun) = match which {
        CampaignRef::Id(id) => (tx.query(GET).bind(id.clone()), Noun::Campaign),
        CampaignRef::Newest => (tx.query(NEWEST), Noun::AnyCampaign),
        CampaignRef::Live => (tx.query(LIVE), Noun::AnyCampaign),
    };
    let row: Option<Row> = query.optional()?;
    row.ok_or(StoreError::NotFound(noun))?.campaign()
}

/// Sets a step's standing, and gives the event that says so.
pub(super) fn set_step(
    tx: &mut ScopedTx<'_>,
    campaign: &CampaignId,
    step: StepId,
    status: StepStatus,
    progress: u8,
    summary: &str,
) -> Result<EventKind> {
    let now = tx.now();
    let query = tx.query(SET_STEP).bind(campaign.clone()).bind(step.as_str()).bind(status.as_str());
    query.bind(progress).bind(summary.to_owned()).bind(now.0).execute_exactly(1)?;
    Ok(EventKind::StepChanged { step, status, progress, summary: summary.to_owned() })
}

pub(super) fn set_state_under_lease(
    tx: &mut ScopedTx<'_>,
    campaign: &Campaign,
    to: CampaignState,
    reason: &str,
) -> Result<EventKind> {
    let query = tx.query(SET_STATE_UNDER_LEASE).bind(campaign.id.clone()).bind(to.as_str());
    query.bind(to.resume_to().map(CampaignState::as_str)).execute_exactly(1)?;
    Ok(EventKind::state(Some(campaign.state), to, reason))
}

/// Moves the campaign to a state in which nobody works on it, or from such a state to RUNNING, where it is claimed anew.
pub(super) fn set_state(
    tx: &mut ScopedTx<'_>,
    campaign: &Campaign,
    to: CampaignState,
    reason: &str,
) -> Result<EventKind> {
    let ended = (!to.is_live()).then(|| tx.now().0);
    let failure = if to == CampaignState::Failed { reason } else { "" };
    let query = tx.query(SET_STATE).bind(campaign.id.clone()).bind(to.as_str());
    let query = query.bind(to.resume_to().map(CampaignState::as_str)).bind(ended).bind(failure.to_owned());
    query.execute_exactly(1)?;
    Ok(EventKind::state(Some(campaign.state), to, reason))
}

pub(super) fn set_current_step(tx: &mut ScopedTx<'_>, campaign: &CampaignId, step: StepId) -> Result<()> {
    tx.query(SET_CURRENT_STEP).bind(campaign.clone()).bind(step.as_str()).execute_exactly(1)
}

// === impl StartCampaign ===

impl Write for StartCampaign {
    type Out = Campaign;

    const CHANGES_CAMPAIGN: bool = true;

    fn run(&self, tx: &mut ScopedTx<'_>) -> Result<Campaign> {
        if let Some(request_id) = &self.request_id
            && let Some(before) = request_id.find::<CampaignId>(tx)?
        {
            return get(tx, &CampaignRef::Id(before));
        }
        refuse_if_live(tx)?;
        self.refuse_if_too_many(tx)?;
        let state = CampaignState::Running;
        let now = tx.now();
        let insert = tx.query(INSERT).bind(self.id.clone()).bind(state.as_str()).bind(json(&self.settings));
        insert.bind(StepId::WebsiteAnalysis.as_str()).bind(now.0).execute_exactly(1)?;
        let steps = StepId::ALL.map(StepId::as_str);
        tx.query(INSERT_STEPS).bind(self.id.clone()).bind(json(&steps)).execute_exactly(steps.len())?;
        tx.count("campaigns", 1);
        record(tx, &self.id, vec![EventKind::state(None, state, "")])?;
        if let Some(request_id) = &self.request_id {
            request_id.keep(tx, &self.id)?;
        }
        get(tx, &CampaignRef::Id(self.id.clone()))
    }
}

impl StartCampaign {
    fn refuse_if_too_many(&self, tx: &mut ScopedTx<'_>) -> Result<()> {
        let Some(behind) = self.most_per_minute.checked_sub(1) else { return Ok(()) };
        let started: Option<(i64,)> = tx.query(START_TIME).bind(behind).optional()?;
        let again = started.map(|(started,)| Timestamp(started).plus_seconds(MINUTE));
        match again.map(|again| again.0 - tx.now().0) {
            Some(wait) if wait > 0 => {
                let retry = Duration::from_micros(wait.unsigned_abs());
                Err(StoreError::TooManyStarts { most_per_minute: self.most_per_minute, retry })
            }
            _ => Ok(()),
        }
    }
}

pub(super) fn refuse_if_live(tx: &mut ScopedTx<'_>) -> Result<()> {
    match get(tx, &CampaignRef::Live) {
        Ok(live) => Err(StoreError::CampaignLive(live.id)),
        Err(StoreError::NotFound(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

// === impl Transition ===

impl Write for Transition {
    type Out = Campaign;

    const CHANGES_CAMPAIGN: bool = true;

    fn run(&self, tx: &mut ScopedTx<'_>) -> Result<Campaign> {
        let campaign = get(tx, &self.campaign)?;
        let to = campaign.state.after(self.action)?;
        if campaign.state == CampaignState::Failed {
            refuse_if_live(tx)?;
        }
        let mut events = Vec::new();
        match self.action {
            Action::Pause => events.push(set_state_under_lease(tx, &campaign, to, "")?),
            Action::Resume if matches!(campaign.state, CampaignState::Paused { .. }) => {
                events.push(set_state_under_lease(tx, &campaign, to, "")?);
            }
            Action::Cancel => {
                for step in campaign.steps.iter().filter(|s| s.status == StepStatus::InProgress) {
                    let (ended, told) = (StepStatus::Cancelled, campaign.standing(step.id, "cancelled"));
                    events.push(set_step(tx, &campaign.id, step.id, ended, step.progress, &told)?);
                }
                events.push(set_state(tx, &campaign, to, "")?);
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
            Action::ReviewEmails => return Err(StoreError::Broken("a review is a write of its own".to_owned())),
        }
        record(tx, &campaign.id, events)?;
        get(tx, &CampaignRef::Id(campaign.id))
    }
}

// === impl ReviewEmails ===

impl Write for ReviewEmails {
    type Out = Reviewed;

    const CHANGES_CAMPAIGN: bool = true;

    fn weight(&self) -> usize {
        self.reviews.len() + if self.others.is_some() { 1_000 } else { 0 }
    }

    fn run(&self, tx: &mut ScopedTx<'_>) -> Result<Reviewed> {
        let campaign = get(tx, &self.campaign)?;
        let waits = campaign.state.after(Action::ReviewEmails);
        if !(campaign.state.is_live() && self.only_takes_back()) {
            waits?;
        }
        let mut events = Vec::new();
        for review in &self.reviews {
            let prospect_id = decide(tx, &campaign.id, review)?;
            events.push(decided(review.email_id.clone(), prospect_id, review.decision));
        }
        if let Some(decision) = self.others {
            let now = tx.now();
            let query = match decision {
                Decision::Reconsider => tx.query(RECONSIDER_OTHERS).bind(campaign.id.clone()),
                _ => tx.query(DECIDE_OTHERS).bind(campaign.id.clone()).bind(status_after(self.others).as_str()),
            };
            let rows: Vec<(EmailId, ProspectId)> = query.bind(now.0).all()?;
            events.extend(rows.into_iter().map(|(email, prospect)| decided(email, prospect, self.others)));
        }
        let count = |status| {
            let same = |e: &&EventKind| matches!(e, EventKind::EmailChanged { status: s, .. } if *s == status);
            u32::try_from(events.iter().filter(same).count()).unwrap_or(u32::MAX)
        };
        let (approved, rejected) = (count(EmailStatus::Approved), count(EmailStatus::Rejected));
        let edited = self.reviews.iter().filter(|review| review.decision.is_none()).count();
        let reconsidered = count(EmailStatus::AwaitingApproval) - u32::try_from(edited).unwrap_or(0);

        let now_at = get(tx, &CampaignRef::Id(campaign.id.clone()))?;
        let waiting = now_at.emails.awaiting_approval;
        let generated = now_at.emails.generated();
        if !end_review_if_none_waits(tx, &now_at, &mut events)? && approved + rejected + reconsidered > 0 {
            let progress = percent(generated - waiting, generated);
            let summary = format!("{waiting} left to decide");
            let step = StepStatus::InProgress;
            events.push(set_step(tx, &campaign.id, StepId::EmailReview, step, progress, &summary)?);
        }
        record(tx, &campaign.id, events)?;
        let campaign = get(tx, &CampaignRef::Id(campaign.id))?;
        Ok(Reviewed { campaign, approved, rejected, reconsidered })
    }
}

impl ReviewEmails {
    /// Whether it decides nothing, and only opens again what was decided: then the campaign need not wait for it.
    fn only_takes_back(&self) -> bool {
        let back = Some(Decision::Reconsider);
        self.reviews.iter().all(|review| review.decision == back) && (self.others.is_none() || self.others == back)
    }
}

/// Goes on from the review of a campaign, as it now is, once no e-mail waits for a person. Gives whether it does. One that was
/// paused in its review goes on when it is resumed.
pub(super) fn end_review_if_none_waits(
    tx: &mut ScopedTx<'_>,
    campaign: &Campaign,
    events: &mut Vec<EventKind>,
) -> Result<bool> {
    let paused = CampaignState::Paused { resume_to: Active::WaitingApproval };
    let reviews = campaign.state == CampaignState::WaitingApproval || campaign.state == paused;
    if !reviews || campaign.emails.awaiting_approval > 0 {
        return Ok(false);
    }
    let emails = &campaign.emails;
    // Others were sent already, if this one's decision was taken back on the way.
    let approved = emails.approved + emails.sending + emails.sent + emails.failed + emails.unknown;
    let summary = format!("{approved} approved, {} rejected", emails.rejected);
    events.push(set_step(tx, &campaign.id, StepId::EmailReview, StepStatus::Completed, 100, &summary)?);
    set_current_step(tx, &campaign.id, StepId::EmailSending)?;
    if campaign.state == paused {
        // It stays paused, so that there is nothing to tell of its state.
        set_state_under_lease(tx, campaign, CampaignState::Paused { resume_to: Active::Running }, "")?;
    } else {
        events.push(set_state(tx, campaign, CampaignState::Running, "review done")?);
    }
    Ok(true)
}

/// How much of the whole a part is, 0 to 100; 100 of nothing.
pub(super) fn percent(part: u32, whole: u32) -> u8 {
    let percent = (u64::from(part) * 100).checked_div(u64::from(whole)).unwrap_or(100);
    u8::try_from(percent.min(100)).unwrap_or(100)
}

fn decide(tx: &mut ScopedTx<'_>, campaign: &CampaignId, review: &Review) -> Result<ProspectId> {
    let now = tx.now();
    let query = match review.decision {
        Some(Decision::Reconsider) => tx.query(RECONSIDER).bind(review.email_id.clone()).bind(campaign.clone()),
        decision => {
            let query = tx.query(DECIDE).bind(review.email_id.clone()).bind(campaign.clone());
            query.bind(status_after(decision).as_str())
        }
    };
    let row = query.bind(review.subject.clone()).bind(review.body.clone()).bind(now.0).optional()?;
    if let Some((prospect_id,)) = row {
        return Ok(prospect_id);
    }
    let there = tx.query(EMAIL_STATUS).bind(review.email_id.clone()).bind(campaign.clone());
    let (status,): (String,) = there.optional()?.ok_or(StoreError::NotFound(Noun::Email))?;
    let status = EmailStatus::parse(&status).map_or("in a status that cannot be", EmailStatus::as_str);
    Err(StoreError::EmailState { id: review.email_id.to_string(), status })
}

fn status_after(decision: Option<Decision>) -> EmailStatus {
    match decision {
        Some(Decision::Approve) => EmailStatus::Approved,
        Some(Decision::Reject) => EmailStatus::Rejected,
        Some(Decision::Reconsider) | None => EmailStatus::AwaitingApproval,
    }
}

fn decided(email_id: EmailId, prospect_id: ProspectId, decision: Option<Decision>) -> EventKind {
    EventKind::EmailChanged { email_id, prospect_id, status: status_after(decision) }
}

// === impl Row ===

/// A step as the query gives it: step, status, progress, start, end, summary.
type StepTuple = (StepId, StepStatus, u8, Option<i64>, Option<i64>, String);

impl Row {
    fn campaign(self) -> Result<Campaign> {
        let broken = |what: &str| StoreError::Broken(format!("campaign {} has a {what} that cannot be", self.id));
        let state = CampaignState::parse(&self.state, self.resume_to.as_deref()).ok_or_else(|| broken("state"))?;
        let current_step = StepId::parse(&self.current_step).ok_or_else(|| broken("step"))?;
        let number = |n: i64, what| u32::try_from(n).map_err(|_| broken(what));
        let mut steps: Vec<StepTuple> = read("list of steps", &self.steps)?;
        steps.sort_by_key(|step| step.0);
        let counts: HashMap<EmailStatus, u32> = read::<Vec<_>>("count of e-mails", &self.emails)?.into_iter().collect();
        let of = |status| counts.get(&status).copied().unwrap_or(0);
        let campaign = Campaign {
            state,
            settings: read("settings", &self.settings)?,
            current_step,
            cursor: number(self.cursor, "cursor")?,
            prospect_count: number(self.prospect_count, "count")?,
            seq: self.seq,
            fence: self.fence,
            create_time: Timestamp(self.create_time),
            update_time: Timestamp(self.update_time),
            end_time: self.end_time.map(Timestamp),
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
            id: self.id,
            failure: self.failure,
        };
        Ok(campaign.with_standing())
    }
}

fn step((id, status, progress, start, end, summary): StepTuple) -> Step {
    Step { id, status, progress, start_time: start.map(Timestamp), end_time: end.map(Timestamp), summary }
}

fn read<T: serde::de::DeserializeOwned>(what: &str, text: &str) -> Result<T> {
    serde_json::from_str(text)
        .map_err(|error| StoreError::Broken(format!("the {what} of a campaign cannot be read: {error}")))
}

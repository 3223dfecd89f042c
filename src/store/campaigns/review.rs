//! What a person decides about the e-mails of a campaign.

use super::retry::unwritten;
use super::{CampaignRef, get, percent, set_current_step, set_state, set_state_under_lease, set_step};
use crate::domain::campaign::{Action, Active, Campaign, CampaignState, StepId, StepStatus};
use crate::domain::email::{Decision, EmailStatus, Review};
use crate::domain::event::EventKind;
use crate::domain::id::{CampaignId, EmailId, ProspectId};
use crate::store::error::{Noun, Result, StoreError};
use crate::store::events::record;
use crate::store::sql::tenant_sql;
use crate::store::tx::ScopedTx;
use crate::store::write::{CallWrite, Touched, Write};

tenant_sql! {
    DECIDE =
        "UPDATE emails
         SET status = $4, subject = COALESCE($5, subject), body = COALESCE($6, body),
             edited = CASE WHEN $5 IS NOT NULL OR $6 IS NOT NULL THEN 1 ELSE edited END,
             edited_by = CASE WHEN $5 IS NOT NULL OR $6 IS NOT NULL THEN $8 ELSE edited_by END,
             edited_time = CASE WHEN $5 IS NOT NULL OR $6 IS NOT NULL THEN CAST($7 AS bigint) ELSE edited_time END,
             decided_by = CASE WHEN $4 = 'awaiting_approval' THEN '' ELSE $8 END,
             decided_time = CASE WHEN $4 = 'awaiting_approval' THEN NULL ELSE CAST($7 AS bigint) END, update_time = $7
         WHERE tenant_id = $1 AND id = $2 AND campaign_id = $3 AND status = 'awaiting_approval'
         RETURNING prospect_id";
    /// Of an e-mail that has not begun to be sent.
    RECONSIDER =
        "UPDATE emails
         SET status = 'awaiting_approval', subject = COALESCE($4, subject), body = COALESCE($5, body),
             edited = CASE WHEN $4 IS NOT NULL OR $5 IS NOT NULL THEN 1 ELSE edited END,
             edited_by = CASE WHEN $4 IS NOT NULL OR $5 IS NOT NULL THEN $7 ELSE edited_by END,
             edited_time = CASE WHEN $4 IS NOT NULL OR $5 IS NOT NULL THEN CAST($6 AS bigint) ELSE edited_time END,
             decided_by = '', decided_time = NULL, update_time = $6
         WHERE tenant_id = $1 AND id = $2 AND campaign_id = $3 AND status IN ('approved', 'rejected')
         RETURNING prospect_id";
    RECONSIDER_OTHERS =
        "UPDATE emails
         SET status = 'awaiting_approval', decided_by = '', decided_time = NULL, update_time = $3
         WHERE tenant_id = $1 AND campaign_id = $2 AND status IN ('approved', 'rejected')
         RETURNING id, prospect_id";
    EMAIL_STATUS =
        "SELECT status
         FROM emails
         WHERE tenant_id = $1 AND id = $2 AND campaign_id = $3";
    DECIDE_OTHERS =
        "UPDATE emails
         SET status = $3, decided_by = $5, decided_time = $4, update_time = $4
         WHERE tenant_id = $1 AND campaign_id = $2 AND status = 'awaiting_approval'
         RETURNING id, prospect_id";
}

/// Decides about e-mails; all or nothing.
pub struct ReviewEmails {
    pub campaign: CampaignRef,
    pub reviews: Vec<Review>,
    /// What becomes of those that are still undecided afterwards; None leaves them waiting.
    pub others: Option<Decision>,
    /// Who decides, as the token names them.
    pub by: String,
}

/// What a review has done.
#[derive(Debug, Clone)]
pub struct Reviewed {
    pub campaign: Campaign,
    pub approved: u32,
    pub rejected: u32,
    pub reconsidered: u32,
    /// The e-mails that it was about.
    pub emails: Vec<EmailId>,
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
            let prospect_id = self.decide(tx, &campaign.id, review)?;
            events.push(decided(review.email_id.clone(), prospect_id, review.decision));
        }
        if let Some(decision) = self.others {
            let now = tx.now();
            let query = match decision {
                Decision::Reconsider => tx.query(RECONSIDER_OTHERS).bind(campaign.id.clone()).bind(now),
                _ => {
                    let query = tx.query(DECIDE_OTHERS).bind(campaign.id.clone());
                    query.bind(status_after(self.others).as_str()).bind(now).bind(self.by.clone())
                }
            };
            let rows: Vec<(EmailId, ProspectId)> = query.all()?;
            events.extend(rows.into_iter().map(|(email, prospect)| decided(email, prospect, self.others)));
        }
        let emails = events.iter().filter_map(|event| match event {
            EventKind::EmailChanged { email_id, .. } => Some(email_id.clone()),
            _ => None,
        });
        let emails = emails.collect();
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
        Ok(Reviewed { campaign, approved, rejected, reconsidered, emails })
    }
}

impl CallWrite for ReviewEmails {
    fn touched(&self, reviewed: &Reviewed) -> Touched {
        let edits = |of: fn(&Review) -> bool| self.reviews.iter().any(of);
        let subject = edits(|review| review.subject.is_some()).then_some("subject");
        let body = edits(|review| review.body.is_some()).then_some("body");
        let ids = reviewed.emails.iter().map(EmailId::as_str);
        Touched::ids([reviewed.campaign.id.as_str()].into_iter().chain(ids))
            .with_fields(subject.into_iter().chain(body))
    }
}

impl ReviewEmails {
    fn decide(&self, tx: &mut ScopedTx<'_>, campaign: &CampaignId, review: &Review) -> Result<ProspectId> {
        let now = tx.now();
        let query = match review.decision {
            Some(Decision::Reconsider) => tx.query(RECONSIDER).bind(review.email_id.clone()).bind(campaign.clone()),
            decision => {
                let query = tx.query(DECIDE).bind(review.email_id.clone()).bind(campaign.clone());
                query.bind(status_after(decision).as_str())
            }
        };
        let row =
            query.bind(review.subject.clone()).bind(review.body.clone()).bind(now).bind(self.by.clone()).optional()?;
        if let Some((prospect_id,)) = row {
            return Ok(prospect_id);
        }
        let there = tx.query(EMAIL_STATUS).bind(review.email_id.clone()).bind(campaign.clone());
        let (status,): (String,) = there.optional()?.ok_or(StoreError::NotFound(Noun::Email))?;
        let status = EmailStatus::parse(&status).map_or("in an unknown status", EmailStatus::as_str);
        Err(StoreError::EmailState { id: review.email_id.to_string(), status })
    }

    /// Whether it decides nothing, and only opens again what was decided: then the campaign need not wait for it.
    fn only_takes_back(&self) -> bool {
        let back = Some(Decision::Reconsider);
        self.reviews.iter().all(|review| review.decision == back) && (self.others.is_none() || self.others == back)
    }
}

/// Goes on from the review of a campaign, as it now is, once no e-mail waits for a person. Gives whether it does. One that was
/// paused in its review goes on when it is resumed.
pub(in crate::store) fn end_review_if_none_waits(
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
    let decided = emails.approved + emails.sending + emails.sent + emails.failed + emails.unknown;
    let approved = decided - unwritten(tx, &campaign.id)?;
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

//! What a person decides about e-mails that did not go out: they are sent again, or settled.

use serde::{Deserialize, Serialize};

use super::transitions::refuse_too_many_live;
use super::{CampaignRef, get, set_current_step, set_state, set_step};
use crate::domain::campaign::{Campaign, CampaignState, StepId, StepStatus};
use crate::domain::email::{EmailStatus, Resolution};
use crate::domain::event::EventKind;
use crate::domain::id::{CampaignId, EmailId, ProspectId};
use crate::store::error::{Noun, Result, StoreError};
use crate::store::events::record;
use crate::store::mailboxes;
use crate::store::prospects;
use crate::store::recipients;
use crate::store::request_id::{RequestId, once};
use crate::store::sql::{json, tenant_sql};
use crate::store::tx::ScopedTx;
use crate::store::write::{CallWrite, Touched, Write};

tenant_sql! {
    /// Those that were written; a text that there is not cannot be sent.
    RETRY =
        "UPDATE emails
         SET status = 'approved', note = '', tries = 0, retry_time = NULL, update_time = $3
         WHERE tenant_id = $1 AND campaign_id = $2 AND status = 'failed' AND body != ''
           AND (CAST($4 AS text) IS NULL OR id IN (SELECT value FROM {texts}(CAST($4 AS {json}))))
         RETURNING id, prospect_id";
    STANDING = "SELECT status, body = '' FROM emails WHERE tenant_id = $1 AND campaign_id = $2 AND id = $3";
    UNWRITTEN = "SELECT COUNT(*) FROM emails WHERE tenant_id = $1 AND campaign_id = $2 AND status = 'failed' AND body = ''";
    UNKNOWN =
        "SELECT id
         FROM emails
         WHERE tenant_id = $1 AND campaign_id = $2 AND status = 'unknown'
         ORDER BY position";
    /// It went out when it was last tried.
    WAS_SENT =
        "UPDATE emails
         SET status = 'sent', note = '', sent_time = COALESCE(try_time, update_time), mailed_time = COALESCE(try_time, update_time),
             update_time = $4
         WHERE tenant_id = $1 AND campaign_id = $2 AND id = $3 AND status = 'unknown'
         RETURNING prospect_id";
    SEND_AGAIN =
        "UPDATE emails
         SET status = 'approved', note = '', tries = 0, retry_time = NULL, update_time = $4
         WHERE tenant_id = $1 AND campaign_id = $2 AND id = $3 AND status = 'unknown'
         RETURNING prospect_id";
    DROP =
        "UPDATE emails
         SET status = 'skipped', note = 'dropped: nobody knows whether it was sent', update_time = $4
         WHERE tenant_id = $1 AND campaign_id = $2 AND id = $3 AND status = 'unknown'
         RETURNING prospect_id";
}

/// Sends failed e-mails again; all or nothing.
pub struct RetryEmails {
    pub campaign: CampaignRef,
    /// Empty: all that have failed.
    pub emails: Vec<EmailId>,
    pub request_id: Option<RequestId>,
    /// The campaigns that may be live, where a completed one becomes so again.
    pub max_live: u32,
}

/// Settles e-mails of which nobody knows whether they were sent; all or nothing.
pub struct ResolveEmails {
    pub campaign: CampaignRef,
    pub resolutions: Vec<(EmailId, Resolution)>,
    /// What becomes of those that are left; None leaves them.
    pub others: Option<Resolution>,
    pub request_id: Option<RequestId>,
    /// The same.
    pub max_live: u32,
}

/// What was done, as a repeated request is told it again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Again {
    pub campaign: Option<CampaignId>,
    /// For the audit log alone, which has a repeated request once.
    #[serde(skip)]
    pub emails: Vec<EmailId>,
    /// Failed ones that were never written, and stay as they are.
    pub unwritten: u32,
    pub sent: u32,
    pub sent_again: u32,
    pub dropped: u32,
}

/// How many letters of the campaign could not be written.
pub(super) fn unwritten(tx: &mut ScopedTx<'_>, campaign: &CampaignId) -> Result<u32> {
    let counted: Option<(u32,)> = tx.query(UNWRITTEN).bind(campaign).optional()?;
    Ok(counted.map_or(0, |(count,)| count))
}

// === impl RetryEmails ===

impl Write for RetryEmails {
    type Out = (Campaign, Again);

    const CHANGES_CAMPAIGN: bool = true;

    fn weight(&self) -> usize {
        if self.emails.is_empty() { 1_000 } else { self.emails.len() }
    }

    fn run(&self, tx: &mut ScopedTx<'_>) -> Result<(Campaign, Again)> {
        let done = once(tx, self.request_id.as_ref(), |tx| self.retry(tx))?;
        answer(tx, done)
    }
}

impl RetryEmails {
    fn retry(&self, tx: &mut ScopedTx<'_>) -> Result<Again> {
        let campaign = get(tx, &self.campaign)?;
        refuse_unless_sending(&campaign)?;
        let (id, now) = (campaign.id.clone(), tx.now());
        for email in &self.emails {
            let standing: Option<(EmailStatus, bool)> = tx.query(STANDING).bind(&id).bind(email).optional()?;
            match standing.ok_or(StoreError::NotFound(Noun::Email))? {
                (EmailStatus::Failed, false) => {}
                (EmailStatus::Failed, true) => return Err(StoreError::EmailUnwritten(email.to_string())),
                (status, _) => {
                    return Err(StoreError::EmailState { id: email.to_string(), status: status.as_str() });
                }
            }
        }
        let named = (!self.emails.is_empty()).then(|| json(&self.emails));
        let rows: Vec<(EmailId, ProspectId)> = tx.query(RETRY).bind(&id).bind(now).bind(named).all()?;
        let mut again = Again { campaign: Some(id.clone()), ..Again::default() };
        again.emails = rows.iter().map(|(email, _)| email.clone()).collect();
        again.sent_again = u32::try_from(rows.len()).unwrap_or(u32::MAX);
        if self.emails.is_empty() {
            again.unwritten = unwritten(tx, &id)?;
        }
        let approved =
            |(email_id, prospect_id)| EventKind::EmailChanged { email_id, prospect_id, status: EmailStatus::Approved };
        let mut events: Vec<_> = rows.into_iter().map(approved).collect();
        if !events.is_empty() {
            send_on(tx, &campaign, self.max_live, &mut events)?;
        }
        record(tx, &id, events)?;
        Ok(again)
    }
}

impl CallWrite for RetryEmails {
    fn touched(&self, (campaign, again): &(Campaign, Again)) -> Touched {
        touched(campaign, again)
    }

    fn request_id(&self) -> Option<&RequestId> {
        self.request_id.as_ref()
    }
}

// === impl ResolveEmails ===

impl Write for ResolveEmails {
    type Out = (Campaign, Again);

    const CHANGES_CAMPAIGN: bool = true;

    fn weight(&self) -> usize {
        self.resolutions.len() + if self.others.is_some() { 1_000 } else { 0 }
    }

    fn run(&self, tx: &mut ScopedTx<'_>) -> Result<(Campaign, Again)> {
        let done = once(tx, self.request_id.as_ref(), |tx| self.resolve(tx))?;
        answer(tx, done)
    }
}

impl ResolveEmails {
    fn resolve(&self, tx: &mut ScopedTx<'_>) -> Result<Again> {
        let campaign = get(tx, &self.campaign)?;
        let id = campaign.id.clone();
        let mut again = Again { campaign: Some(id.clone()), ..Again::default() };
        let mut events = Vec::new();
        let mut all = self.resolutions.clone();
        for (email, resolution) in &self.resolutions {
            events.push(settle(tx, &id, email, *resolution)?);
        }
        if let Some(resolution) = self.others {
            let left: Vec<(EmailId,)> = tx.query(UNKNOWN).bind(&id).all()?;
            for (email,) in left {
                events.push(settle(tx, &id, &email, resolution)?);
                all.push((email, resolution));
            }
        }
        let count =
            |of| u32::try_from(all.iter().filter(|(_, resolution)| *resolution == of).count()).unwrap_or(u32::MAX);
        (again.sent, again.sent_again, again.dropped) =
            (count(Resolution::WasSent), count(Resolution::SendAgain), count(Resolution::Drop));
        if again.sent_again > 0 {
            refuse_unless_sending(&campaign)?;
            send_on(tx, &campaign, self.max_live, &mut events)?;
        }
        again.emails = all.into_iter().map(|(email, _)| email).collect();
        record(tx, &id, events)?;
        Ok(again)
    }
}

impl CallWrite for ResolveEmails {
    fn touched(&self, (campaign, again): &(Campaign, Again)) -> Touched {
        touched(campaign, again)
    }

    fn request_id(&self) -> Option<&RequestId> {
        self.request_id.as_ref()
    }
}

fn touched(campaign: &Campaign, again: &Again) -> Touched {
    if again.emails.is_empty() {
        return Touched::default();
    }
    Touched::ids([campaign.id.as_str()].into_iter().chain(again.emails.iter().map(EmailId::as_str)))
}

fn settle(tx: &mut ScopedTx<'_>, campaign: &CampaignId, email: &EmailId, resolution: Resolution) -> Result<EventKind> {
    let now = tx.now();
    let (sql, status) = match resolution {
        Resolution::WasSent => (WAS_SENT, EmailStatus::Sent),
        Resolution::SendAgain => (SEND_AGAIN, EmailStatus::Approved),
        Resolution::Drop => (DROP, EmailStatus::Skipped),
    };
    let row: Option<(ProspectId,)> = tx.query(sql).bind(campaign).bind(email).bind(now).optional()?;
    let Some((prospect_id,)) = row else {
        let standing: Option<(EmailStatus, bool)> = tx.query(STANDING).bind(campaign).bind(email).optional()?;
        let (status, _) = standing.ok_or(StoreError::NotFound(Noun::Email))?;
        return Err(StoreError::EmailState { id: email.to_string(), status: status.as_str() });
    };
    if resolution == Resolution::WasSent {
        // A prospect that was purged meanwhile is no reason not to record what was sent.
        prospects::contacted(tx, &prospect_id)?;
    }
    Ok(EventKind::EmailChanged { email_id: email.clone(), prospect_id, status })
}

fn refuse_unless_sending(campaign: &Campaign) -> Result<()> {
    if campaign.state.sends_again() { Ok(()) } else { Err(StoreError::NotSentAgain(campaign.state)) }
}

/// The campaign goes on: one that was completed is running again, one that waits for a time looks again.
fn send_on(tx: &mut ScopedTx<'_>, campaign: &Campaign, max_live: u32, events: &mut Vec<EventKind>) -> Result<()> {
    if campaign.state != CampaignState::Completed {
        return mailboxes::wake(tx);
    }
    refuse_too_many_live(tx, max_live)?;
    recipients::refuse_taken(tx, &campaign.id)?;
    let now_at = get(tx, &CampaignRef::Id(campaign.id.clone()))?.emails;
    let done = now_at.sent + now_at.failed + now_at.unknown;
    let progress = super::percent(done, done + now_at.approved);
    events.push(set_step(tx, &campaign.id, StepId::EmailSending, StepStatus::InProgress, progress, "")?);
    set_current_step(tx, &campaign.id, StepId::EmailSending)?;
    events.push(set_state(tx, campaign, CampaignState::Running, "e-mails are sent again")?);
    Ok(())
}

fn answer(tx: &mut ScopedTx<'_>, again: Again) -> Result<(Campaign, Again)> {
    let id = again.campaign.clone().ok_or(StoreError::NotFound(Noun::Campaign))?;
    Ok((get(tx, &CampaignRef::Id(id))?, again))
}

//! Sends a campaign's e-mails: what is begun, and what became of it.

use super::lease::{running_under_lease, under_lease};
use crate::domain::address;
use crate::domain::campaign::{Action, Campaign, CampaignState, StepId, StepStatus};
use crate::domain::email::{Email, EmailStatus};
use crate::domain::event::EventKind;
use crate::domain::id::{CampaignId, EmailId, ProspectId};
use crate::store::campaigns::{percent, set_state_under_lease, set_step};
use crate::store::door::Scoped;
use crate::store::emails::email_columns;
use crate::store::error::{Inconsistency, Result, StoreError};
use crate::store::events::record;
use crate::store::leases::Lease;
use crate::store::prospects;
use crate::store::recipients;
use crate::store::sql::tenant_sql;
use crate::store::suppressions;
use crate::store::tx::ScopedTx;
use crate::store::write::Write;

tenant_sql! {
    BEGIN_SENDING = concat!(
        "UPDATE emails
         SET status = 'sending', update_time = $3
         WHERE tenant_id = $1 AND status = 'approved' AND id = (
             SELECT id
             FROM emails
             WHERE tenant_id = $1 AND campaign_id = $2 AND status = 'approved'
             ORDER BY position
             LIMIT 1)
         RETURNING ", email_columns!());
    IN_SENDING = concat!(
        "SELECT ", email_columns!(), "
         FROM emails
         WHERE tenant_id = $1 AND campaign_id = $2 AND status = 'sending'
         ORDER BY position");
    SKIP =
        "UPDATE emails
         SET status = 'skipped', note = $3, update_time = $4
         WHERE tenant_id = $1 AND id = $2 AND status = 'sending'";
    DONE_SENDING =
        "UPDATE emails
         SET status = $4, note = $5, sent_time = $6, update_time = $7
         WHERE tenant_id = $1 AND id = $2 AND campaign_id = $3 AND status = 'sending'
         RETURNING prospect_id";
    CONTACTED =
        "UPDATE prospects
         SET emails_sent = emails_sent + 1, last_contact_time = $3, update_time = $3, revision = revision + 1,
             status = CASE status WHEN 'discovered' THEN 'contacted' ELSE status END
         WHERE tenant_id = $1 AND id = $2";
}

/// What was begun with an approved e-mail.
#[derive(Debug, Clone)]
pub enum SendAttempt {
    Email(Box<Email>),
    /// Some were not to be sent after all; there may be more.
    Skipped,
    NoneLeft,
}

/// The e-mails that one write skips at most.
const MAX_SKIPPED: usize = 100;

/// Marks the next approved e-mail as being sent, before the talk with the mail connector.
pub struct SendBegin {
    pub lease: Lease,
}

/// Records what became of an e-mail, and marks the next one if there is to be one and the campaign still runs.
pub struct SendDone {
    pub lease: Lease,
    pub email: EmailId,
    pub outcome: Outcome,
    /// Pause the campaign if the e-mail was refused for good.
    pub pause_on_error: bool,
    pub begin_next: bool,
}

/// What became of an e-mail that was handed to the mail connector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Sent,
    /// Refused for good.
    Failed(String),
    /// It was certainly not sent; it may be tried again.
    NotSent,
    /// It may have been sent, and nobody can tell.
    Unknown,
}

impl Scoped<'_> {
    /// The campaign's e-mails that were handed to the mail connector and have no outcome.
    pub async fn emails_in_sending(&self, campaign: &CampaignId) -> Result<Vec<Email>> {
        self.query(IN_SENDING).bind(campaign.clone()).all().await
    }
}

// === impl SendBegin ===

impl Write for SendBegin {
    type Out = SendAttempt;

    const CHANGES_CAMPAIGN: bool = true;

    fn run(&self, tx: &mut ScopedTx<'_>) -> Result<SendAttempt> {
        let campaign = running_under_lease(tx, &self.lease)?;
        let mut events = Vec::new();
        let pending =
            |s: &crate::domain::campaign::Step| s.id == StepId::EmailSending && s.status == StepStatus::Pending;
        if campaign.steps.iter().any(pending) {
            events.push(set_step(tx, &campaign.id, StepId::EmailSending, StepStatus::InProgress, 0, "")?);
        }
        let begun = begin_next(tx, &campaign, &mut events)?;
        record(tx, &campaign.id, events)?;
        Ok(begun)
    }
}

/// Marks the next approved e-mail as being sent. Those that are not to be sent after all are skipped.
fn begin_next(tx: &mut ScopedTx<'_>, campaign: &Campaign, events: &mut Vec<EventKind>) -> Result<SendAttempt> {
    let now = tx.now();
    for _ in 0..MAX_SKIPPED {
        let next = tx.query(BEGIN_SENDING).bind(campaign.id.clone()).bind(now).optional()?;
        let Some(email): Option<Email> = next else { return Ok(SendAttempt::NoneLeft) };
        let why = skip_reason(tx, campaign, &email)?;
        let status = if why.is_some() { EmailStatus::Skipped } else { EmailStatus::Sending };
        let (email_id, prospect_id) = (email.id.clone(), email.prospect_id.clone());
        events.push(EventKind::EmailChanged { email_id: email_id.clone(), prospect_id, status });
        match why {
            None => return Ok(SendAttempt::Email(Box::new(email))),
            Some(why) => tx.query(SKIP).bind(email_id).bind(why).bind(now).execute_exactly(1)?,
        }
    }
    Ok(SendAttempt::Skipped)
}

/// Why an approved e-mail is not sent after all, as things are now.
fn skip_reason(tx: &mut ScopedTx<'_>, campaign: &Campaign, email: &Email) -> Result<Option<String>> {
    if let Some(suppression) = suppressions::find(tx, &email.to.address)? {
        return Ok(Some(format!("not sent: {}", suppression.reason.in_words())));
    }
    // Another campaign may have written to the mailbox since this one chose.
    let written = recipients::written(tx, &address::key(&email.to.address), &campaign.id)?;
    if campaign.settings.recipients.written_recently(written, tx.now()) {
        return Ok(Some("not sent: another campaign has written to it since".to_owned()));
    }
    match prospects::find(tx, &email.prospect_id, "") {
        Ok(prospect) => Ok(prospect.exclusion_reason().map(|why| format!("not sent: {why}"))),
        Err(StoreError::NotFound(_)) => Ok(Some("not sent: the prospect is gone".to_owned())),
        Err(error) => Err(error),
    }
}

// === impl SendDone ===

impl Write for SendDone {
    type Out = Option<Email>;

    const CHANGES_CAMPAIGN: bool = true;

    fn run(&self, tx: &mut ScopedTx<'_>) -> Result<Option<Email>> {
        let campaign = under_lease(tx, &self.lease)?;
        let now = tx.now();
        let (status, note) = self.outcome.status();
        let sent = (status == EmailStatus::Sent).then_some(now);
        let query = tx.query(DONE_SENDING).bind(self.email.clone()).bind(campaign.id.clone()).bind(status.as_str());
        let row: Option<(ProspectId,)> = query.bind(note.to_owned()).bind(sent).bind(now).optional()?;
        let Some((prospect_id,)) = row else {
            return Err(Inconsistency::NotInSending(self.email.to_string()).into());
        };
        let mut events =
            vec![EventKind::EmailChanged { email_id: self.email.clone(), prospect_id: prospect_id.clone(), status }];
        if status == EmailStatus::Sent {
            // A prospect that was purged meanwhile is no reason not to record what was sent.
            tx.query(CONTACTED).bind(prospect_id).bind(now).execute()?;
        }
        let mut next = None;
        if campaign.state == CampaignState::Running {
            events.extend(self.progress(tx, &campaign)?);
            if self.pause_on_error && status == EmailStatus::Failed {
                let reason = format!("an e-mail was refused: {note}");
                let to = campaign.state.after(Action::Pause)?;
                events.push(set_state_under_lease(tx, &campaign, to, &reason)?);
            } else if self.begin_next
                && let SendAttempt::Email(email) = begin_next(tx, &campaign, &mut events)?
            {
                next = Some(*email);
            }
        }
        record(tx, &campaign.id, events)?;
        Ok(next)
    }
}

impl SendDone {
    /// The step's progress, where it has moved by a whole percent.
    fn progress(&self, tx: &mut ScopedTx<'_>, before: &Campaign) -> Result<Option<EventKind>> {
        let to_send = before.emails.approved + before.emails.sending;
        let done = before.emails.sent + before.emails.failed + before.emails.unknown;
        let progress = percent(done + 1, done + to_send);
        let step = before.steps.iter().find(|s| s.id == StepId::EmailSending);
        if self.outcome == Outcome::NotSent || step.is_none_or(|s| s.progress >= progress) {
            return Ok(None);
        }
        set_step(tx, &before.id, StepId::EmailSending, StepStatus::InProgress, progress, "").map(Some)
    }
}

impl Outcome {
    fn status(&self) -> (EmailStatus, &str) {
        match self {
            Self::Sent => (EmailStatus::Sent, ""),
            Self::Failed(why) => (EmailStatus::Failed, why),
            Self::NotSent => (EmailStatus::Approved, ""),
            Self::Unknown => (EmailStatus::Unknown, "the server stopped while it was being sent"),
        }
    }
}

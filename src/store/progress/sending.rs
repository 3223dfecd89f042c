//! Sends a campaign's e-mails: what is begun, and what became of it.

use super::lease::{running_under_lease, under_lease};
use super::pacing::{self, Ready, Told};
use crate::config::Secret;
use crate::domain::address;
use crate::domain::campaign::{Action, Campaign, CampaignState, StepId, StepStatus};
use crate::domain::clock::Timestamp;
use crate::domain::delivery::Transcript;
use crate::domain::email::{Bounce, Email, EmailStatus};
use crate::domain::event::EventKind;
use crate::domain::id::{CampaignId, EmailId, MailboxId, ProspectId};
use crate::domain::language::Language;
use crate::domain::link::Token;
use crate::domain::mailbox::{Mailbox, Secrets};
use crate::domain::prospect::Prospect;
use crate::domain::suppression::{Suppression, SuppressionReason};
use crate::store::bounces;
use crate::store::campaigns::{percent, set_state_under_lease, set_step};
use crate::store::door::Scoped;
use crate::store::emails::email_columns;
use crate::store::error::{Inconsistency, Result, StoreError};
use crate::store::events::record;
use crate::store::guards::{self, After};
use crate::store::leases::Lease;
use crate::store::links;
use crate::store::mailboxes;
use crate::store::prospects;
use crate::store::recipients;
use crate::store::sql::{json, tenant_sql};
use crate::store::suppressions;
use crate::store::tx::ScopedTx;
use crate::store::write::Write;

tenant_sql! {
    /// The next one for the outbox folder.
    NEXT = concat!(
        "SELECT ", email_columns!(), "
         FROM emails
         WHERE tenant_id = $1 AND campaign_id = $2 AND status = 'approved' AND mailbox_id IS NULL
         ORDER BY COALESCE(retry_time, 0), position
         LIMIT 1");
    NEXT_FROM = concat!(
        "SELECT ", email_columns!(), "
         FROM emails
         WHERE tenant_id = $1 AND campaign_id = $2 AND status = 'approved' AND mailbox_id = $3
           AND COALESCE(retry_time, 0) <= $4
         ORDER BY COALESCE(retry_time, 0), position
         LIMIT 1");
    BEGIN_SENDING =
        "UPDATE emails
         SET status = 'sending', update_time = $3
         WHERE tenant_id = $1 AND id = $2 AND status = 'approved'";
    BEGIN_SENDING_FROM =
        "UPDATE emails
         SET status = 'sending', try_time = $3, tries = tries + 1, update_time = $3
         WHERE tenant_id = $1 AND id = $2 AND status = 'approved'";
    /// Its recipient sleeps.
    PUT_OFF =
        "UPDATE emails
         SET retry_time = $3
         WHERE tenant_id = $1 AND id = $2 AND status = 'approved'";
    ANY_LEFT =
        "SELECT id
         FROM emails
         WHERE tenant_id = $1 AND campaign_id = $2 AND status = 'approved'
         LIMIT 1";
    IN_SENDING = concat!(
        "SELECT ", email_columns!(), "
         FROM emails
         WHERE tenant_id = $1 AND campaign_id = $2 AND status = 'sending'
         ORDER BY position");
    SKIP =
        "UPDATE emails
         SET status = 'skipped', note = $3, update_time = $4
         WHERE tenant_id = $1 AND id = $2 AND status = 'approved'";
    DONE_SENDING =
        "UPDATE emails
         SET status = $4, note = $5, sent_time = $6, update_time = $7, retry_time = $8, transcript = $9,
             try_time = CASE WHEN $10 = 1 THEN NULL ELSE try_time END,
             tries = CASE WHEN $10 = 1 AND tries > 0 THEN tries - 1 ELSE tries END,
             server_id = $11, mailed_time = $12
         WHERE tenant_id = $1 AND id = $2 AND campaign_id = $3 AND status = 'sending'
         RETURNING prospect_id, to_address";
    TRIES = "SELECT tries FROM emails WHERE tenant_id = $1 AND id = $2";
}

/// What was begun with an approved e-mail.
#[derive(Debug)]
pub enum SendAttempt {
    Email(Box<Sending>),
    /// Some were not to be sent, after all or now; there may be more.
    Skipped,
    /// No mailbox may send before that time; why, unless that is its pace and its calendar.
    Later(Timestamp, String),
    /// No mailbox may send at all, and why.
    Held(String),
    NoneLeft,
}

/// An e-mail that is being sent, and from where.
#[derive(Debug)]
pub struct Sending {
    pub email: Email,
    /// None: into the outbox folder.
    pub from: Option<(Mailbox, Secrets)>,
    /// That of the link by which its reader unsubscribes, if letters have one.
    pub link: Option<Token>,
}

/// The e-mails that one write skips at most.
const MAX_SKIPPED: usize = 100;

/// Marks the next approved e-mail that may go now as being sent, before the talk with a mail server.
pub struct SendBegin {
    pub lease: Lease,
    /// Letters have a link by which their readers unsubscribe.
    pub links: bool,
}

/// Records what became of an e-mail and what that tells of its mailbox, and marks the next one if there is to be one and the
/// campaign still runs.
pub struct SendDone {
    pub lease: Lease,
    pub email: EmailId,
    pub outcome: Outcome,
    pub transcript: Transcript,
    /// Of the mailbox, if it was sent from one.
    pub told: Option<(MailboxId, Told)>,
    /// What the token server has given the mailbox in the place of its own.
    pub refresh_token: Option<Secret>,
    /// Pause the campaign if the e-mail was refused for good.
    pub pause_on_error: bool,
    pub begin_next: bool,
    /// The next one has a link by which its reader unsubscribes.
    pub links: bool,
}

/// What became of an e-mail that was handed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// With the id that its server has given it, if that is known.
    Sent(Option<String>),
    /// Refused for good.
    Failed(String),
    /// Nobody is reached at its address, which is suppressed.
    Bounced(String),
    /// It was certainly not sent, and counts for nothing.
    NotSent,
    /// The server does not take it now: it is tried again, at growing intervals, and then fails.
    NotNow(String),
    /// It may have been sent, and nobody can tell.
    Unknown,
}

/// The waits before an e-mail is tried again that its server did not take, in minutes: five tries more, within two days.
const RETRIES: [i64; 5] = [5, 30, 2 * 60, 8 * 60, 24 * 60];

impl Scoped<'_> {
    /// The campaign's e-mails that were handed to the mail connector and have no outcome.
    pub async fn emails_in_sending(&self, campaign: &CampaignId) -> Result<Vec<Email>> {
        self.query(IN_SENDING).bind(campaign.clone()).all().await
    }
}

// === impl Outcome ===

impl Outcome {
    /// As metrics name it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Sent(_) => "sent",
            Self::Failed(_) => "failed",
            Self::Bounced(_) => "bounced",
            Self::NotSent => "not_sent",
            Self::NotNow(_) => "not_now",
            Self::Unknown => "unknown",
        }
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
        let begun = begin_next(tx, &campaign, self.links, &mut events)?;
        record(tx, &campaign.id, events)?;
        Ok(begun)
    }
}

/// Marks the next approved e-mail as being sent. Those that are not to be sent after all are skipped, and those whose recipients
/// are not at work now are put off.
fn begin_next(
    tx: &mut ScopedTx<'_>,
    campaign: &Campaign,
    links: bool,
    events: &mut Vec<EventKind>,
) -> Result<SendAttempt> {
    let now = tx.now();
    for _ in 0..MAX_SKIPPED {
        let into_outbox = tx.query(NEXT).bind(campaign.id.clone()).optional()?;
        let (email, from): (Email, _) = match into_outbox {
            Some(email) => (email, None),
            None => match pacing::ready(tx, &campaign.id, now)? {
                Ready::Now(mailbox) => {
                    let next = tx.query(NEXT_FROM).bind(campaign.id.clone()).bind(&mailbox.id).bind(now);
                    let Some(email) = next.optional()? else { return Ok(SendAttempt::NoneLeft) };
                    (email, Some(*mailbox))
                }
                Ready::At(time, why) => return Ok(SendAttempt::Later(time, why)),
                Ready::Never(why) => return Ok(SendAttempt::Held(why)),
                Ready::NoMail => {
                    let left: Option<(EmailId,)> = tx.query(ANY_LEFT).bind(campaign.id.clone()).optional()?;
                    let gone = "the mailbox of its e-mails was deleted: reject them, or cancel the campaign";
                    return Ok(left.map_or(SendAttempt::NoneLeft, |_| SendAttempt::Held(gone.to_owned())));
                }
            },
        };
        let changed = |status| {
            let (email_id, prospect_id) = (email.id.clone(), email.prospect_id.clone());
            EventKind::EmailChanged { email_id, prospect_id, status }
        };
        let prospect = match recipient(tx, campaign, &email)? {
            Ok(prospect) => prospect,
            Err(why) => {
                tx.query(SKIP).bind(&email.id).bind(why).bind(now).execute_exactly(1)?;
                events.push(changed(EmailStatus::Skipped));
                continue;
            }
        };
        let sleeps_until = from.as_ref().and_then(|mailbox| mailbox.sleeps_until(&prospect.fields.time_zone, now));
        if let Some(later) = sleeps_until {
            tx.query(PUT_OFF).bind(&email.id).bind(later).execute_exactly(1)?;
            continue;
        }
        let begin = tx.query(if from.is_some() { BEGIN_SENDING_FROM } else { BEGIN_SENDING });
        begin.bind(&email.id).bind(now).execute_exactly(1)?;
        events.push(changed(EmailStatus::Sending));
        let from = from.map(|mailbox| pacing::begin(tx, mailbox, now)).transpose()?;
        let language = Language::of_tag(&prospect.fields.language);
        let link = if links { Some(links::of_email(tx, &email, language)?) } else { None };
        return Ok(SendAttempt::Email(Box::new(Sending { email, from, link })));
    }
    Ok(SendAttempt::Skipped)
}

/// Whom an approved e-mail goes to; or why it is not sent after all, as things are now.
fn recipient(tx: &mut ScopedTx<'_>, campaign: &Campaign, email: &Email) -> Result<Result<Prospect, String>> {
    if let Some(suppression) = suppressions::find(tx, &email.to.address)? {
        return Ok(Err(format!("not sent: {}", suppression.reason.in_words())));
    }
    // Another campaign may have written to the mailbox since this one chose.
    let written = recipients::written(tx, &address::key(&email.to.address), &campaign.id)?;
    if campaign.settings.recipients.written_recently(written, tx.now()) {
        return Ok(Err("not sent: another campaign has written to it since".to_owned()));
    }
    match prospects::find(tx, &email.prospect_id, "") {
        Ok(prospect) => Ok(match prospect.exclusion_reason() {
            Some(why) => Err(format!("not sent: {why}")),
            None => Ok(prospect),
        }),
        Err(StoreError::NotFound(_)) => Ok(Err("not sent: the prospect is gone".to_owned())),
        Err(error) => Err(error),
    }
}

// === impl SendDone ===

impl Write for SendDone {
    type Out = Option<Sending>;

    const CHANGES_CAMPAIGN: bool = true;

    fn run(&self, tx: &mut ScopedTx<'_>) -> Result<Option<Sending>> {
        let campaign = under_lease(tx, &self.lease)?;
        let now = tx.now();
        if let Some((mailbox, told)) = &self.told {
            pacing::note(tx, mailbox, told)?;
            if let Some(token) = &self.refresh_token {
                mailboxes::set_refresh_token(tx, mailbox, token)?;
            }
        }
        let (status, note, retry) = match &self.outcome {
            Outcome::Sent(_) => (EmailStatus::Sent, String::new(), None),
            Outcome::Failed(why) => (EmailStatus::Failed, why.clone(), None),
            Outcome::Bounced(why) => (EmailStatus::Failed, format!("bounced: {why}"), None),
            Outcome::NotSent => (EmailStatus::Approved, String::new(), None),
            Outcome::NotNow(why) => match self.wait_again(tx)? {
                Some(minutes) => (EmailStatus::Approved, why.clone(), Some(now.plus_seconds(minutes * 60))),
                None => (EmailStatus::Failed, format!("not taken in {} tries: {why}", RETRIES.len() + 1), None),
            },
            Outcome::Unknown => {
                let note = if self.transcript.lines.is_empty() {
                    "the server stopped while it was being sent"
                } else {
                    "the mail server's answer to it was lost"
                };
                (EmailStatus::Unknown, note.to_owned(), None)
            }
        };
        let sent = (status == EmailStatus::Sent).then_some(now);
        let transcript = if self.transcript.lines.is_empty() { String::new() } else { json(&self.transcript) };
        let query = tx.query(DONE_SENDING).bind(self.email.clone()).bind(campaign.id.clone()).bind(status.as_str());
        let query = query.bind(note.clone()).bind(sent).bind(now).bind(retry).bind(transcript);
        let query = query.bind(i64::from(self.outcome == Outcome::NotSent)).bind(self.server_id());
        let mailed = matches!(self.outcome, Outcome::Sent(_) | Outcome::Bounced(_)).then_some(now);
        let row = query.bind(mailed).optional()?;
        let Some((prospect_id, to)): Option<(ProspectId, String)> = row else {
            return Err(Inconsistency::NotInSending(self.email.to_string()).into());
        };
        let mut events =
            vec![EventKind::EmailChanged { email_id: self.email.clone(), prospect_id: prospect_id.clone(), status }];
        if status == EmailStatus::Sent {
            // A prospect that was purged meanwhile is no reason not to record what was sent.
            prospects::contacted(tx, &prospect_id)?;
        }
        if matches!(self.outcome, Outcome::Bounced(_)) {
            let (reason, source) = (SuppressionReason::Bounced, format!("the mail server, of {}", self.email));
            suppressions::add(tx, &[Suppression { email: to, reason, source, create_time: now }])?;
            bounces::set_bounce(tx, &self.email, &self.bounce(now))?;
        }
        let trouble = self.guard(tx, &campaign)?;
        let mut next = None;
        if campaign.state == CampaignState::Running {
            if status != EmailStatus::Approved {
                events.extend(self.progress(tx, &campaign)?);
            }
            if self.pause_on_error && status == EmailStatus::Failed {
                let reason = format!("an e-mail was refused: {note}");
                let to = campaign.state.after(Action::Pause)?;
                events.push(set_state_under_lease(tx, &campaign, to, &reason)?);
            } else if let Some(reason) = trouble {
                let to = campaign.state.after(Action::Pause)?;
                events.push(set_state_under_lease(tx, &campaign, to, &reason)?);
            } else if self.begin_next
                && let SendAttempt::Email(sending) = begin_next(tx, &campaign, self.links, &mut events)?
            {
                next = Some(*sending);
            }
        }
        record(tx, &campaign.id, events)?;
        Ok(next)
    }
}

impl SendDone {
    /// How many minutes to wait before the next try; None if that was the last one.
    fn wait_again(&self, tx: &mut ScopedTx<'_>) -> Result<Option<i64>> {
        let tries: Option<(u32,)> = tx.query(TRIES).bind(&self.email).optional()?;
        let (tries,) = tries.unwrap_or_default();
        Ok(RETRIES.get(tries.saturating_sub(1) as usize).copied())
    }

    /// Looks whether too much comes back: the mailbox pauses then. Why the campaign is to, if it is.
    fn guard(&self, tx: &mut ScopedTx<'_>, campaign: &Campaign) -> Result<Option<String>> {
        let after = match &self.outcome {
            Outcome::Sent(_) => After::Mail,
            Outcome::Bounced(_) => After::Trouble,
            _ => return Ok(None),
        };
        if let Some((mailbox, _)) = &self.told {
            guards::look_at_mailbox(tx, mailbox, after)?;
        }
        guards::look_at_campaign(tx, &campaign.id, after)
    }

    /// What the server calls it; empty if that is not known.
    fn server_id(&self) -> String {
        match &self.outcome {
            Outcome::Sent(Some(id)) => id.clone(),
            _ => String::new(),
        }
    }

    /// What the server's refusal tells.
    fn bounce(&self, time: Timestamp) -> Bounce {
        let last = self.transcript.last();
        let (status, diagnostic) = last.map(|line| (line.enhanced, line.to_string())).unwrap_or_default();
        Bounce { time, permanent: true, status, diagnostic }
    }

    /// The step's progress, where it has moved by a whole percent.
    fn progress(&self, tx: &mut ScopedTx<'_>, before: &Campaign) -> Result<Option<EventKind>> {
        let to_send = before.emails.approved + before.emails.sending;
        let done = before.emails.sent + before.emails.failed + before.emails.unknown;
        let progress = percent(done + 1, done + to_send);
        let step = before.steps.iter().find(|s| s.id == StepId::EmailSending);
        if step.is_none_or(|s| s.progress >= progress) {
            return Ok(None);
        }
        set_step(tx, &before.id, StepId::EmailSending, StepStatus::InProgress, progress, "").map(Some)
    }
}

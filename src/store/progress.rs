//! What the engine writes while it works on a campaign.
//!
//! Every write here carries a lease and changes nothing once another worker has claimed the campaign: the first
//! statement finds the campaign by its fence. State, cursor and events go into one transaction. A write that moves the
//! work on is also refused once a user has paused or ended the campaign; only what became of an e-mail that was already
//! handed to the mail connector is always recorded.

use serde_json::Value;
use sqlx::FromRow;

use super::Scoped;
use super::campaigns::{self, CampaignRef, percent, set_current_step, set_state, set_state_under_lease, set_step};
use super::emails::{EmailRow, email_columns};
use super::error::{Result, StoreError};
use super::events::{json, record};
use super::prospects::{self, ProspectRow, prospect_columns};
use super::recipients;
use super::sql::{row, tenant_sql};
use super::strategies;
use super::suppressions;
use super::system::Lease;
use super::tx::{ScopedTx, signed};
use super::writer::Write;
use crate::domain::address;
use crate::domain::campaign::{Action, Campaign, CampaignState, RankedProspect, StepId, StepStatus};
use crate::domain::email::{Email, EmailStatus, Mailbox};
use crate::domain::event::EventKind;
use crate::domain::id::{CampaignId, EmailId, ProspectId, TemplateId};
use crate::domain::prospect::Prospect;
use crate::domain::recipients::LeftOutOf;
use crate::domain::strategy::SearchStrategy;
use crate::domain::website::WebsiteAnalysis;

tenant_sql! {
    FENCE =
        "SELECT fence
         FROM campaigns
         WHERE tenant_id = $1 AND id = $2";
    RELEASE =
        "UPDATE campaigns
         SET lease_owner = NULL, lease_until = 0, suspicion = CASE suspicion WHEN 1 THEN 0 WHEN 3 THEN 2 ELSE suspicion END
         WHERE tenant_id = $1 AND id = $2 AND fence = $3";
    /// Of a campaign that reads alone, that it begins to, or has ended.
    SET_READS_ALONE =
        "UPDATE campaigns
         SET suspicion = $4
         WHERE tenant_id = $1 AND id = $2 AND fence = $3 AND suspicion > 1";
    SET_SUSPICION =
        "UPDATE campaigns
         SET suspicion = $3, deaths = $4
         WHERE tenant_id = $1 AND id = $2";
    SET_ANALYSIS =
        "UPDATE campaigns
         SET analysis = $3
         WHERE tenant_id = $1 AND id = $2";
    SET_STRATEGY =
        "UPDATE campaigns
         SET strategy = $3
         WHERE tenant_id = $1 AND id = $2";
    SET_LEFT_OUT =
        "UPDATE campaigns
         SET left_out = $3
         WHERE tenant_id = $1 AND id = $2";
    SET_PROSPECT_COUNT =
        "UPDATE campaigns
         SET prospect_count = $3
         WHERE tenant_id = $1 AND id = $2";
    SET_CURSOR =
        "UPDATE campaigns
         SET cursor = $3
         WHERE tenant_id = $1 AND id = $2";
    INSERT_PROSPECTS =
        "INSERT INTO campaign_prospects (tenant_id, campaign_id, position, prospect_id, score, reasons)
         SELECT $1, $2, key, value ->> '$[0]', value ->> '$[1]', value ->> '$[2]'
         FROM jsonb_each($3)";
    PROSPECTS_FROM =
        concat!("SELECT c.position AS place, ", prospect_columns!(), "
         FROM campaign_prospects c
         JOIN prospects p ON p.tenant_id = $1 AND p.id = c.prospect_id
         WHERE c.tenant_id = $1 AND c.campaign_id = $2 AND c.position >= $3
         ORDER BY c.position
         LIMIT +$4");
    INSERT_EMAILS =
        "INSERT INTO emails (
             tenant_id, id, prospect_id, campaign_id, position, template_id, subject, body, from_name, from_address,
             to_name, to_address, unsubscribe, status, note, message_id, address_key, create_time, update_time)
         SELECT $1, value ->> '$[0]', value ->> '$[1]', $2, value ->> '$[13]', value ->> '$[2]', value ->> '$[3]',
             value ->> '$[4]', value ->> '$[5]', value ->> '$[6]', value ->> '$[7]', value ->> '$[8]', value ->> '$[9]',
             value ->> '$[10]', value ->> '$[11]', value ->> '$[12]', value ->> '$[14]', $3, $3
         FROM jsonb_each($4)";
    /// But those that have a note, which a person is to read.
    APPROVE_ALL =
        "UPDATE emails
         SET status = 'approved', update_time = $3
         WHERE tenant_id = $1 AND campaign_id = $2 AND status = 'awaiting_approval' AND note = ''
         RETURNING id, prospect_id";
    BEGIN_SENDING = concat!(
        "UPDATE emails
         SET status = 'sending', update_time = $3
         WHERE tenant_id = $1 AND id = (
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
         WHERE tenant_id = $1 AND id = $2";
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

/// Moves a campaign on by one piece of work. Only while it is running.
pub struct Advance {
    pub lease: Lease,
    pub step: StepId,
    pub work: Work,
    /// Lines for the step's log.
    pub log: Vec<String>,
    pub next: Next,
}

/// A piece of work that was done.
pub enum Work {
    /// Nothing but the log and what is next.
    None,
    Analysis(Box<WebsiteAnalysis>),
    Strategy(SearchStrategy),
    /// The best first.
    Prospects {
        chosen: Vec<RankedProspect>,
        left_out: Vec<LeftOutOf>,
    },
    /// For the prospects before position `done`, of `of`.
    Emails {
        done: u32,
        of: u32,
        emails: Vec<WrittenEmail>,
    },
    /// The tenant's configuration approves all e-mails.
    ApproveAll,
    Hold {
        reason: String,
    },
}

/// What follows a piece of work.
pub enum Next {
    /// The step goes on.
    Stay,
    /// The step is done; the campaign goes on with the next one, or is complete.
    Done { status: StepStatus, summary: String },
    /// The step is done, and before the next one a person must act.
    DoneThenWait { summary: String, state: CampaignState },
    /// The step waits for a person.
    Wait { summary: String, state: CampaignState },
    /// The step failed for good.
    Fail { reason: String },
    /// The process has died of it too often. Resumed, it has one try more, alone.
    FailSuspect { reason: String },
}

/// How often the process may die of a campaign that reads alone, until that has failed.
pub const MAX_DEATHS: u32 = 3;

/// As the column `suspicion` has it.
const SUSPECT: u32 = 2;
const READS_ALONE: u32 = 3;

/// An e-mail as it was written.
#[derive(Debug, Clone)]
pub struct WrittenEmail {
    pub id: EmailId,
    pub prospect_id: ProspectId,
    /// The rank of its prospect in the campaign, from 0.
    pub position: u32,
    pub template_id: TemplateId,
    pub subject: String,
    pub body: String,
    pub from: Mailbox,
    pub to: Mailbox,
    pub unsubscribe: String,
    /// `AwaitingApproval`, or `Skipped` where the template gave no e-mail.
    pub status: EmailStatus,
    pub note: String,
    pub message_id: String,
}

/// What was begun with an approved e-mail.
#[derive(Debug, Clone)]
pub enum Begun {
    Email(Box<Email>),
    /// Some were not to be sent after all; there may be more.
    Skipped,
    NoneLeft,
}

/// The e-mails that one write skips at most.
const MOST_SKIPPED: usize = 100;

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

/// Gives the lease back.
pub(super) struct Release {
    lease: Lease,
}

/// Notes that a campaign that reads alone begins to read, or has ended; what was begun and not ended was the death of the
/// process.
pub struct ReadsAlone {
    pub lease: Lease,
    pub begins: bool,
}

/// A prospect with its place among those that a campaign has chosen.
#[derive(FromRow)]
struct Chosen {
    place: u32,
    #[sqlx(flatten)]
    prospect: ProspectRow,
}

row! {
    struct Changed {
        id: EmailId,
        prospect_id: ProspectId,
    }
}

impl Scoped<'_> {
    /// The prospects that a campaign has chosen, from a position on, each with its position.
    pub async fn chosen_prospects(&self, campaign: &CampaignId, from: u32, most: u32) -> Result<Vec<(u32, Prospect)>> {
        let query = self.query(PROSPECTS_FROM).bind(campaign.clone()).bind(from).bind(most);
        let rows: Vec<Chosen> = query.all().await?;
        rows.into_iter().map(|row| Ok((row.place, row.prospect.prospect()?))).collect()
    }

    /// The campaign's e-mails that were handed to the mail connector and have no outcome.
    pub async fn emails_in_sending(&self, campaign: &CampaignId) -> Result<Vec<Email>> {
        let rows: Vec<EmailRow> = self.query(IN_SENDING).bind(campaign.clone()).all().await?;
        rows.into_iter().map(EmailRow::email).collect()
    }

    /// Gives the lease back; nothing happens if it is no longer held.
    pub async fn release(&self, lease: &Lease) -> Result<()> {
        self.write(Release { lease: lease.clone() }).await
    }
}

/// The campaign, if the lease is still held.
fn held(tx: &mut ScopedTx<'_>, lease: &Lease) -> Result<Campaign> {
    let campaign = match campaigns::get(tx, &CampaignRef::Id(lease.campaign.clone())) {
        // A reset has removed it; the lease went with it.
        Err(StoreError::NotFound(_)) => return Err(StoreError::StaleLease),
        campaign => campaign?,
    };
    if campaign.fence == lease.fence { Ok(campaign) } else { Err(StoreError::StaleLease) }
}

/// The campaign, if the lease is still held and it is running.
fn held_running(tx: &mut ScopedTx<'_>, lease: &Lease) -> Result<Campaign> {
    let campaign = held(tx, lease)?;
    if campaign.state == CampaignState::Running { Ok(campaign) } else { Err(StoreError::NotRunning) }
}

// === impl Advance ===

impl Write for Advance {
    type Out = ();

    const CHANGES_CAMPAIGN: bool = true;

    fn weight(&self) -> usize {
        match &self.work {
            Work::Prospects { chosen, .. } => chosen.len(),
            Work::Emails { emails, .. } => 2 * emails.len(),
            Work::ApproveAll => 1_000,
            _ => 1,
        }
    }

    fn run(&self, tx: &mut ScopedTx<'_>) -> Result<()> {
        let campaign = held_running(tx, &self.lease)?;
        if campaign.current_step != self.step {
            return Err(StoreError::Broken(format!("work on {:?} while at {:?}", self.step, campaign.current_step)));
        }
        let standing = campaign.steps.iter().find(|s| s.id == self.step);
        let mut progress = standing.map_or(0, |s| s.progress);
        let mut events = Vec::new();
        if standing.is_some_and(|s| s.status == StepStatus::Pending)
            && !matches!(self.next, Next::Fail { .. } | Next::FailSuspect { .. })
        {
            events.push(set_step(tx, &campaign.id, self.step, StepStatus::InProgress, progress, "")?);
        }
        events.extend(self.log.iter().map(|line| EventKind::log(self.step, line)));
        if let Some(more) = self.do_work(tx, &campaign, &mut events)?
            && more > progress
        {
            progress = more;
            if matches!(self.next, Next::Stay) {
                events.push(set_step(tx, &campaign.id, self.step, StepStatus::InProgress, progress, "")?);
            }
        }
        self.go_on(tx, &campaign, progress, &mut events)?;
        record(tx, &campaign.id, events)
    }
}

impl Advance {
    /// Writes the work; gives the step's progress where the work tells it.
    fn do_work(&self, tx: &mut ScopedTx<'_>, campaign: &Campaign, events: &mut Vec<EventKind>) -> Result<Option<u8>> {
        let id = &campaign.id;
        let now = tx.now();
        match &self.work {
            Work::None => {}
            Work::Analysis(analysis) => {
                tx.query(SET_ANALYSIS).bind(id.clone()).bind(json(analysis)).execute_exactly(1)?;
            }
            Work::Strategy(strategy) => {
                tx.query(SET_STRATEGY).bind(id.clone()).bind(json(strategy)).execute_exactly(1)?;
                strategies::keep(tx, campaign, strategy)?;
            }
            Work::Prospects { chosen, left_out } => {
                tx.query(SET_LEFT_OUT).bind(id.clone()).bind(json(left_out)).execute_exactly(1)?;
                let rows: Vec<_> = chosen.iter().map(|p| (&p.prospect_id, p.score, json(&p.reasons))).collect();
                tx.query(INSERT_PROSPECTS).bind(id.clone()).bind(json(&rows)).execute_exactly(rows.len())?;
                let count = i64::try_from(rows.len()).unwrap_or(i64::MAX);
                tx.query(SET_PROSPECT_COUNT).bind(id.clone()).bind(count).execute_exactly(1)?;
            }
            Work::Emails { done, of, emails } => {
                let rows: Vec<_> = emails.iter().map(WrittenEmail::values).collect();
                let insert = tx.query(INSERT_EMAILS).bind(id.clone()).bind(now.0);
                insert.bind(json(&rows)).execute_exactly(rows.len())?;
                tx.count("emails", signed(rows.len()));
                tx.query(SET_CURSOR).bind(id.clone()).bind(*done).execute_exactly(1)?;
                events.extend(emails.iter().map(WrittenEmail::event));
                return Ok(Some(percent(*done, *of)));
            }
            Work::ApproveAll => {
                let rows: Vec<Changed> = tx.query(APPROVE_ALL).bind(id.clone()).bind(now.0).all()?;
                events.extend(rows.into_iter().map(|row| row.event(EmailStatus::Approved)));
            }
            Work::Hold { reason } => events.push(EventKind::HoldChanged { reason: reason.clone() }),
        }
        Ok(None)
    }

    fn go_on(
        &self,
        tx: &mut ScopedTx<'_>,
        campaign: &Campaign,
        progress: u8,
        events: &mut Vec<EventKind>,
    ) -> Result<()> {
        let id = &campaign.id;
        if self.step == StepId::WebsiteAnalysis && !matches!(self.next, Next::Stay) {
            // What was read has not killed the process; or has too often.
            let kills = matches!(self.next, Next::FailSuspect { .. });
            let (suspicion, deaths) = if kills { (SUSPECT, MAX_DEATHS - 1) } else { (0, 0) };
            tx.query(SET_SUSPICION).bind(id.clone()).bind(suspicion).bind(deaths).execute_exactly(1)?;
        }
        match &self.next {
            Next::Stay => {}
            Next::Done { status, summary } => {
                let left = undecided(tx, campaign, self.step)?;
                if left > 0 {
                    let told = format!("{left} left to decide");
                    events.push(set_step(tx, id, StepId::EmailReview, StepStatus::InProgress, progress, &told)?);
                    events.push(set_state(tx, campaign, CampaignState::WaitingApproval, "")?);
                    return Ok(());
                }
                events.push(set_step(tx, id, self.step, *status, 100, summary)?);
                match self.step.next() {
                    Some(next) => set_current_step(tx, id, next)?,
                    None => events.push(set_state(tx, campaign, CampaignState::Completed, summary)?),
                }
            }
            Next::DoneThenWait { summary, state } => {
                events.push(set_step(tx, id, self.step, StepStatus::Completed, 100, summary)?);
                if let Some(next) = self.step.next() {
                    set_current_step(tx, id, next)?;
                }
                events.push(set_state(tx, campaign, *state, "")?);
            }
            Next::Wait { summary, state } => {
                events.push(set_step(tx, id, self.step, StepStatus::InProgress, progress, summary)?);
                // The step says what it waits for; where a caller must state it, the change of the state says it, too.
                let reason = if state.missing().is_empty() { "" } else { summary };
                events.push(set_state(tx, campaign, *state, reason)?);
            }
            Next::Fail { reason } | Next::FailSuspect { reason } => {
                events.push(set_step(tx, id, self.step, StepStatus::Failed, progress, reason)?);
                events.push(set_state(tx, campaign, CampaignState::Failed, reason)?);
            }
        }
        Ok(())
    }
}

/// How many e-mails a person has to decide on before the campaign may leave the step: those that were taken back while it
/// sent, and those that nobody may approve but a person.
fn undecided(tx: &mut ScopedTx<'_>, campaign: &Campaign, step: StepId) -> Result<u32> {
    if !matches!(step, StepId::EmailReview | StepId::EmailSending) {
        return Ok(0);
    }
    let now_at = campaigns::get(tx, &CampaignRef::Id(campaign.id.clone()))?;
    Ok(now_at.emails.awaiting_approval)
}

// === impl WrittenEmail ===

impl WrittenEmail {
    /// In the order that INSERT_EMAILS reads them.
    fn values(&self) -> [Value; 15] {
        [
            self.id.as_str().into(),
            self.prospect_id.as_str().into(),
            self.template_id.as_str().into(),
            self.subject.as_str().into(),
            self.body.as_str().into(),
            self.from.name.as_str().into(),
            self.from.address.as_str().into(),
            self.to.name.as_str().into(),
            self.to.address.as_str().into(),
            self.unsubscribe.as_str().into(),
            self.status.as_str().into(),
            self.note.as_str().into(),
            self.message_id.as_str().into(),
            self.position.into(),
            address::key(&self.to.address).into(),
        ]
    }

    fn event(&self) -> EventKind {
        let (email_id, prospect_id) = (self.id.clone(), self.prospect_id.clone());
        EventKind::EmailChanged { email_id, prospect_id, status: self.status }
    }
}

impl Changed {
    fn event(self, status: EmailStatus) -> EventKind {
        EventKind::EmailChanged { email_id: self.id, prospect_id: self.prospect_id, status }
    }
}

// === impl SendBegin ===

impl Write for SendBegin {
    type Out = Begun;

    const CHANGES_CAMPAIGN: bool = true;

    fn run(&self, tx: &mut ScopedTx<'_>) -> Result<Begun> {
        let campaign = held_running(tx, &self.lease)?;
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
fn begin_next(tx: &mut ScopedTx<'_>, campaign: &Campaign, events: &mut Vec<EventKind>) -> Result<Begun> {
    let now = tx.now();
    for _ in 0..MOST_SKIPPED {
        let row: Option<EmailRow> = tx.query(BEGIN_SENDING).bind(campaign.id.clone()).bind(now.0).optional()?;
        let Some(email) = row.map(EmailRow::email).transpose()? else { return Ok(Begun::NoneLeft) };
        let why_not = why_not(tx, campaign, &email)?;
        let status = if why_not.is_some() { EmailStatus::Skipped } else { EmailStatus::Sending };
        let (email_id, prospect_id) = (email.id.clone(), email.prospect_id.clone());
        events.push(EventKind::EmailChanged { email_id: email_id.clone(), prospect_id, status });
        match why_not {
            None => return Ok(Begun::Email(Box::new(email))),
            Some(why) => tx.query(SKIP).bind(email_id).bind(why).bind(now.0).execute_exactly(1)?,
        }
    }
    Ok(Begun::Skipped)
}

/// Why an approved e-mail is not sent after all, as things are now.
fn why_not(tx: &mut ScopedTx<'_>, campaign: &Campaign, email: &Email) -> Result<Option<String>> {
    if let Some(suppression) = suppressions::find(tx, &email.to.address)? {
        return Ok(Some(format!("not sent: {}", suppression.reason.in_words())));
    }
    // Another campaign may have written to the mailbox since this one chose.
    let written = recipients::written(tx, &address::key(&email.to.address), &campaign.id)?;
    if campaign.settings.recipients.written_recently(written, tx.now()) {
        return Ok(Some("not sent: another campaign has written to it since".to_owned()));
    }
    match prospects::find(tx, &email.prospect_id, "") {
        Ok(prospect) => Ok(prospect.left_alone().map(|why| format!("not sent: {why}"))),
        Err(StoreError::NotFound(_)) => Ok(Some("not sent: the prospect is gone".to_owned())),
        Err(error) => Err(error),
    }
}

// === impl SendDone ===

impl Write for SendDone {
    type Out = Option<Email>;

    const CHANGES_CAMPAIGN: bool = true;

    fn run(&self, tx: &mut ScopedTx<'_>) -> Result<Option<Email>> {
        let campaign = held(tx, &self.lease)?;
        let now = tx.now();
        let (status, note) = self.outcome.status();
        let sent = (status == EmailStatus::Sent).then_some(now.0);
        let query = tx.query(DONE_SENDING).bind(self.email.clone()).bind(campaign.id.clone()).bind(status.as_str());
        let row: Option<(ProspectId,)> = query.bind(note.to_owned()).bind(sent).bind(now.0).optional()?;
        let Some((prospect_id,)) = row else {
            return Err(StoreError::Broken(format!("e-mail {} was not in the middle of sending", self.email)));
        };
        let mut events =
            vec![EventKind::EmailChanged { email_id: self.email.clone(), prospect_id: prospect_id.clone(), status }];
        if status == EmailStatus::Sent {
            // A prospect that was purged meanwhile is no reason not to record what was sent.
            tx.query(CONTACTED).bind(prospect_id).bind(now.0).execute()?;
            tx.count("emails_sent", 1);
        }
        let mut next = None;
        if campaign.state == CampaignState::Running {
            events.extend(self.progress(tx, &campaign)?);
            if self.pause_on_error && status == EmailStatus::Failed {
                let reason = format!("an e-mail was refused: {note}");
                let to = campaign.state.after(Action::Pause)?;
                events.push(set_state_under_lease(tx, &campaign, to, &reason)?);
            } else if self.begin_next
                && let Begun::Email(email) = begin_next(tx, &campaign, &mut events)?
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

// === impl Release ===

impl Write for Release {
    type Out = ();

    fn run(&self, tx: &mut ScopedTx<'_>) -> Result<()> {
        let fence: Option<(i64,)> = tx.query(FENCE).bind(self.lease.campaign.clone()).optional()?;
        if fence == Some((self.lease.fence,)) {
            let release = tx.query(RELEASE).bind(self.lease.campaign.clone());
            release.bind(self.lease.fence).execute_exactly(1)?;
        }
        Ok(())
    }
}

// === impl ReadsAlone ===

impl Write for ReadsAlone {
    type Out = ();

    fn run(&self, tx: &mut ScopedTx<'_>) -> Result<()> {
        held_running(tx, &self.lease)?;
        let query = tx.query(SET_READS_ALONE).bind(self.lease.campaign.clone()).bind(self.lease.fence);
        query.bind(if self.begins { READS_ALONE } else { SUSPECT }).execute().map(|_| ())
    }
}

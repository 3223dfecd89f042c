//! Moves a campaign on by a piece of work.

use serde_json::Value;

use super::lease::{MAX_DEATHS, SUSPECT, running_under_lease};
use crate::domain::address;
use crate::domain::campaign::{Campaign, CampaignState, EmailCounts, RankedProspect, StepId, StepStatus};
use crate::domain::email::{EmailStatus, NamedAddress};
use crate::domain::event::EventKind;
use crate::domain::id::{CampaignId, EmailId, MailboxId, ProspectId, TemplateId};
use crate::domain::prospect::Prospect;
use crate::domain::recipients::LeftOutOf;
use crate::domain::strategy::SearchStrategy;
use crate::domain::website::WebsiteAnalysis;
use crate::store::campaigns::{self, CampaignRef, percent, set_current_step, set_state, set_step};
use crate::store::door::Scoped;
use crate::store::error::{Inconsistency, Result};
use crate::store::events::record;
use crate::store::leases::Lease;
use crate::store::prospects::prospect_columns;
use crate::store::recipients;
use crate::store::sql::{json, row, tenant_sql};
use crate::store::strategies;
use crate::store::tx::ScopedTx;
use crate::store::write::Write;

tenant_sql! {
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
    /// Since when it stands still stays, if only the reason is another.
    SET_HOLD =
        "UPDATE campaigns
         SET hold_reason = $3,
             hold_time = CASE WHEN $3 = '' THEN NULL WHEN hold_time IS NULL THEN CAST($4 AS bigint) ELSE hold_time END
         WHERE tenant_id = $1 AND id = $2";
    SET_CURSOR =
        "UPDATE campaigns
         SET cursor = $3
         WHERE tenant_id = $1 AND id = $2";
    INSERT_PROSPECTS =
        "INSERT INTO campaign_prospects (tenant_id, campaign_id, position, prospect_id, score, reasons)
         SELECT $1, $2, CAST(value ->> {0} AS bigint), value ->> {1}, CAST(value ->> {2} AS bigint), value ->> {3}
         FROM {elements}($3)";
    PROSPECTS_FROM =
        concat!("SELECT c.position AS place, ", prospect_columns!(), "
         FROM campaign_prospects c
         JOIN prospects p ON p.tenant_id = $1 AND p.id = c.prospect_id
         WHERE c.tenant_id = $1 AND c.campaign_id = $2 AND c.position >= $3
         ORDER BY c.position
         LIMIT CAST($4 AS bigint)");
    INSERT_EMAILS =
        "INSERT INTO emails (
             tenant_id, id, prospect_id, campaign_id, position, template_id, subject, body, from_name, from_address,
             to_name, to_address, unsubscribe, status, note, message_id, address_key, mailbox_id, create_time, update_time)
         SELECT $1, value ->> {0}, value ->> {1}, $2, CAST(value ->> {13} AS bigint), value ->> {2}, value ->> {3},
             value ->> {4}, value ->> {5}, value ->> {6}, value ->> {7}, value ->> {8}, value ->> {9},
             value ->> {10}, value ->> {11}, value ->> {12}, value ->> {14}, value ->> {15}, $3, $3
         FROM {elements}($4)";
    /// But those that have a note, which a person is to read.
    APPROVE_ALL =
        "UPDATE emails
         SET status = 'approved', decided_by = '', decided_time = $3, update_time = $3
         WHERE tenant_id = $1 AND campaign_id = $2 AND status = 'awaiting_approval' AND note = ''
         RETURNING id, prospect_id";
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
    pub from: NamedAddress,
    pub to: NamedAddress,
    pub unsubscribe: String,
    /// `AwaitingApproval`; `Skipped` where the prospect is not written to, `Failed` where the template gave no letter.
    pub status: EmailStatus,
    pub note: String,
    pub message_id: String,
    /// None: it goes into the tenant's outbox folder.
    pub mailbox_id: Option<MailboxId>,
}

row! {
    struct Changed {
        id: EmailId,
        prospect_id: ProspectId,
    }
}

impl Scoped<'_> {
    /// The prospects that a campaign has chosen, from a position on, each with its position.
    pub async fn chosen_prospects(&self, campaign: &CampaignId, from: u32, max: u32) -> Result<Vec<(u32, Prospect)>> {
        self.query(PROSPECTS_FROM).bind(campaign.clone()).bind(from).bind(max).all().await
    }
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
        let campaign = running_under_lease(tx, &self.lease)?;
        if campaign.current_step != self.step {
            return Err(
                Inconsistency::AnotherStep { worked: self.step.as_str(), at: campaign.current_step.as_str() }.into()
            );
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
                let rows: Vec<_> = (0..)
                    .zip(chosen)
                    .map(|(position, p): (u32, _)| (position, &p.prospect_id, p.score, json(&p.reasons)))
                    .collect();
                tx.query(INSERT_PROSPECTS).bind(id.clone()).bind(json(&rows)).execute_exactly(rows.len())?;
                recipients::refuse_taken(tx, id)?;
                let count = i64::try_from(rows.len()).unwrap_or(i64::MAX);
                tx.query(SET_PROSPECT_COUNT).bind(id.clone()).bind(count).execute_exactly(1)?;
            }
            Work::Emails { done, of, emails } => {
                let rows: Vec<_> = emails.iter().map(WrittenEmail::values).collect();
                let insert = tx.query(INSERT_EMAILS).bind(id.clone()).bind(now);
                insert.bind(json(&rows)).execute_exactly(rows.len())?;
                tx.query(SET_CURSOR).bind(id.clone()).bind(*done).execute_exactly(1)?;
                events.extend(emails.iter().map(WrittenEmail::event));
                return Ok(Some(percent(*done, *of)));
            }
            Work::ApproveAll => {
                let rows: Vec<Changed> = tx.query(APPROVE_ALL).bind(id.clone()).bind(now).all()?;
                events.extend(rows.into_iter().map(|row| row.event(EmailStatus::Approved)));
            }
            Work::Hold { reason } => {
                tx.query(SET_HOLD).bind(id).bind(reason.as_str()).bind(now).execute_exactly(1)?;
                events.push(EventKind::HoldChanged { reason: reason.clone() });
            }
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
                let letters = letters_now(tx, campaign, self.step)?;
                let left = letters.awaiting_approval;
                if left > 0 {
                    let told = format!("{left} left to decide");
                    events.push(set_step(tx, id, StepId::EmailReview, StepStatus::InProgress, progress, &told)?);
                    events.push(set_state(tx, campaign, CampaignState::WaitingApproval, "")?);
                    return Ok(());
                }
                if self.step == StepId::EmailSending && letters.approved > 0 {
                    // Somebody has sent some again since this one looked.
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

/// The e-mails as they stand now, where the step is about them: a person may have taken decisions back while it sent, and some
/// are for a person alone to approve. None before.
fn letters_now(tx: &mut ScopedTx<'_>, campaign: &Campaign, step: StepId) -> Result<EmailCounts> {
    if !matches!(step, StepId::EmailReview | StepId::EmailSending) {
        return Ok(EmailCounts::default());
    }
    Ok(campaigns::get(tx, &CampaignRef::Id(campaign.id.clone()))?.emails)
}

// === impl WrittenEmail ===

impl WrittenEmail {
    /// In the order that INSERT_EMAILS reads them.
    fn values(&self) -> [Value; 16] {
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
            self.mailbox_id.as_ref().map(MailboxId::as_str).into(),
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

//! Step 4: writes one e-mail per chosen prospect from the campaign's template, a batch at a time.

use super::super::Settings;
use super::super::turn::{StepError, Turn};
use crate::domain::address;
use crate::domain::campaign::{Campaign, StepId, StepStatus};
use crate::domain::email::EmailStatus;
use crate::domain::id::{EmailId, Ids, MailboxId, TemplateId};
use crate::domain::letterhead::{self, Letterhead};
use crate::domain::mailbox::Mailbox;
use crate::domain::prospect::Prospect;
use crate::store::{Next, Work, WrittenEmail};

const STEP: StepId = StepId::EmailGeneration;
/// The e-mails of one turn.
const BATCH: u32 = 50;

/// What a mailbox without a daily limit is taken to send, beside others.
const UNLIMITED: u32 = 100_000;

pub(super) async fn run(turn: &mut Turn<'_>, campaign: &Campaign) -> Result<(), StepError> {
    let store = turn.store();
    let (from, of) = (campaign.cursor, campaign.prospect_count);
    let prospects = store.chosen_prospects(&campaign.id, from, BATCH).await?;
    let Settings { outbox, default_outbox, .. } = turn.resources().settings;
    let mut senders = Senders::of(store.mailboxes_with_mail().await?, &campaign.settings.mailboxes, outbox);
    let config = store.agent_config().await?.settings;
    if senders.is_empty() && !default_outbox {
        let what = "it has no mailbox that is enabled: add one or resume one, then resume the campaign";
        return Err(StepError::Final(what.to_owned()));
    }
    let website = store.findings(&campaign.id).await?.analysis.unwrap_or_default();
    let template = match &campaign.settings.template_id {
        Some(id) => store.template(id).await?,
        None => None,
    };
    let template =
        template.ok_or_else(|| StepError::Final("its template is gone: start another campaign".to_owned()))?;
    let (goal, detail) = (campaign.settings.goal, campaign.settings.goal_detail.clone());
    let letterhead = Letterhead::new(&template.settings.texts, config, website, goal, detail);
    let letterhead = letterhead.map_err(|error| StepError::Final(error.to_string()))?;

    let log = if from == 0 { vec![format!("from {}", senders.in_words(&letterhead))] } else { Vec::new() };
    // Places may be empty where a prospect is gone for good.
    let done = prospects.last().map_or(of, |(position, _)| position + 1);
    let ids = turn.resources().store.ids();
    let mut write =
        |(position, p): &(u32, Prospect)| write_to(&letterhead, &template.id, (*position, p), senders.next(), ids);
    let emails: Vec<_> = prospects.iter().map(&mut write).collect();
    let next = if done >= of {
        let failed: Vec<_> = emails.iter().filter(|email| email.status == EmailStatus::Failed).collect();
        // Nothing was sent yet: what has failed was not written.
        let unwritten = campaign.emails.failed as usize + failed.len();
        let written = campaign.emails.generated() as usize + emails.len() - unwritten;
        let plural = if written == 1 { "" } else { "s" };
        let mut summary = format!("{written} e-mail{plural} from the template {}", template.id);
        if unwritten > 0 {
            let why = failed.first().map(|email| email.note.replacen("not written", "", 1)).unwrap_or_default();
            summary = format!("{summary}; {unwritten} could not be written{why}");
        }
        Next::Done { status: StepStatus::Completed, summary }
    } else {
        Next::Stay
    };
    turn.advance(STEP, Work::Emails { done, of, emails }, log, next).await
}

/// The letter to a prospect, or why there is none.
fn write_to(
    letterhead: &Letterhead,
    template: &TemplateId,
    (position, prospect): (u32, &Prospect),
    mailbox: Option<&Mailbox>,
    ids: &Ids,
) -> WrittenEmail {
    let sender = letterhead.sender(mailbox);
    let none = |status, why: String| (String::new(), String::new(), status, why);
    let (subject, body, status, note) = match prospect.exclusion_reason() {
        Some(why) => none(EmailStatus::Skipped, format!("not written: {why}")),
        None => match letterhead.write(&prospect.fields, mailbox) {
            Ok(letter) => (letter.subject, letter.body, EmailStatus::AwaitingApproval, String::new()),
            Err(error) => none(EmailStatus::Failed, format!("not written: {error}")),
        },
    };
    let id = EmailId::make(ids);
    WrittenEmail {
        message_id: format!("{id}@{}", address::domain(&sender.email)),
        id,
        prospect_id: prospect.id.clone(),
        position,
        template_id: template.clone(),
        subject,
        body,
        from: letterhead::from(&sender),
        to: letterhead::to(&prospect.fields),
        unsubscribe: sender.unsubscribe_email,
        status,
        note,
        mailbox_id: mailbox.map(|mailbox| mailbox.id.clone()),
    }
}

/// The mailboxes that a campaign may send from, each with how many mails wait for it, of all campaigns.
struct Senders(Vec<(Mailbox, u32)>);

// === impl Senders ===

impl Senders {
    /// Those that may send, of the named ones if any are.
    fn of(all: Vec<(Mailbox, u32)>, named: &[MailboxId], has_outbox: bool) -> Self {
        Self(all.into_iter().filter(|(mailbox, _)| mailbox.may_send(named, has_outbox)).collect())
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The mailbox whose mail is done first, as far as its daily limit tells; None if there is none.
    fn next(&mut self) -> Option<&Mailbox> {
        let days = |(mailbox, waiting): &(Mailbox, u32)| {
            let daily = mailbox.settings.pace.settled_daily().unwrap_or(UNLIMITED);
            // In parts of a day, so that a limit of thirty and one of forty are told apart.
            u64::from(waiting + 1) * 1_000_000 / u64::from(daily)
        };
        let (mailbox, waiting) = self.0.iter_mut().min_by_key(|of| days(of))?;
        *waiting += 1;
        Some(mailbox)
    }

    fn in_words(&self, letterhead: &Letterhead) -> String {
        match self.0.as_slice() {
            [] => letterhead::from(&letterhead.sender(None)).to_string(),
            [(mailbox, _)] => letterhead::from(&letterhead.sender(Some(mailbox))).to_string(),
            many => format!("{} mailboxes", many.len()),
        }
    }
}

//! Step 4: writes one e-mail per chosen prospect from the campaign's template, a batch at a time.

use serde_json::{Map, Value};
use url::{Host, Url};

use super::super::Settings;
use super::super::turn::{StepError, Turn};
use crate::domain::address;
use crate::domain::agent_config::{self, AgentSettings};
use crate::domain::campaign::{Campaign, StepId, StepStatus};
use crate::domain::email::{EmailStatus, NamedAddress};
use crate::domain::id::{EmailId, Ids, MailboxId};
use crate::domain::letter;
use crate::domain::mailbox::Mailbox;
use crate::domain::names;
use crate::domain::prospect::Prospect;
use crate::domain::template::{self, Renderer, Sender, Template, Values};
use crate::domain::website::WebsiteAnalysis;
use crate::store::{Next, Work, WrittenEmail};

const STEP: StepId = StepId::EmailGeneration;
/// The e-mails of one turn.
const BATCH: u32 = 50;

/// What a mailbox without a daily limit is taken to send, beside others.
const UNLIMITED: u32 = 100_000;

/// What every e-mail of the campaign is written with.
struct Letterhead<'a> {
    campaign: &'a Campaign,
    template: &'a Template,
    renderer: Renderer,
    /// Its company is known.
    sender: agent_config::Sender,
    data: Map<String, Value>,
    website: WebsiteAnalysis,
}

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
    let letterhead = Letterhead::new(campaign, config, website)?;

    let log = if from == 0 { vec![format!("from {}", senders.in_words(&letterhead))] } else { Vec::new() };
    // Places may be empty where a prospect is gone for good.
    let done = prospects.last().map_or(of, |(position, _)| position + 1);
    let ids = turn.resources().store.ids();
    let mut write = |(position, p): &(u32, Prospect)| letterhead.write(*position, p, senders.next(), ids);
    let emails: Vec<_> = prospects.iter().map(&mut write).collect();
    let next = if done >= of {
        let written = campaign.emails.generated() as usize + emails.len();
        let plural = if written == 1 { "" } else { "s" };
        let summary = format!("{written} e-mail{plural} from the template {}", letterhead.template.id);
        Next::Done { status: StepStatus::Completed, summary }
    } else {
        Next::Stay
    };
    turn.advance(STEP, Work::Emails { done, of, emails }, log, next).await
}

// === impl Letterhead ===

impl<'a> Letterhead<'a> {
    fn new(campaign: &'a Campaign, settings: AgentSettings, website: WebsiteAnalysis) -> Result<Self, StepError> {
        let id = campaign.settings.template_id.as_ref();
        let template =
            id.and_then(template::find).ok_or_else(|| StepError::Final("the template is gone".to_owned()))?;
        let renderer = Renderer::new(template).map_err(|error| StepError::Final(error.to_string()))?;
        let mut sender = settings.sender;
        if sender.company.is_empty() {
            sender.company.clone_from(&website.business_name);
        }
        if sender.company.is_empty() {
            let what =
                "the website does not say who it belongs to: set `sender.company` in the configuration, then resume";
            return Err(StepError::Final(what.to_owned()));
        }
        Ok(Self { campaign, template, renderer, sender, data: settings.template_data, website })
    }

    /// Of a letter from the mailbox; None: under an invented address, into the outbox folder.
    fn sender(&self, mailbox: Option<&Mailbox>) -> Sender {
        let agent_config::Sender { name, position, company, unsubscribe_email } = self.sender.clone();
        let (name, email) = match mailbox {
            Some(Mailbox { settings, .. }) => {
                let name = Some(settings.display_name.clone()).filter(|name| !name.is_empty()).unwrap_or(name);
                (name, settings.address.clone())
            }
            None => (name, format!("hello@{}", mail_domain(&self.website))),
        };
        let unsubscribe_email = if unsubscribe_email.is_empty() { email.clone() } else { unsubscribe_email };
        Sender { name, position, company, email, unsubscribe_email }
    }

    fn write(&self, position: u32, prospect: &Prospect, mailbox: Option<&Mailbox>, ids: &Ids) -> WrittenEmail {
        let fields = &prospect.fields;
        let sender = self.sender(mailbox);
        let values = Values {
            prospect: fields.values(),
            sender: &sender,
            data: &self.data,
            website: &self.website,
            goal: self.campaign.settings.goal.as_str(),
            goal_detail: &self.campaign.settings.goal_detail,
            chinese: fields.writes_chinese(),
        };
        let skipped = |why: String| (String::new(), String::new(), EmailStatus::Skipped, why);
        let (subject, body, status, note) = match (prospect.exclusion_reason(), self.renderer.render(&values)) {
            (Some(why), _) => skipped(format!("not written: {why}")),
            (None, Ok(mail)) => {
                let body = match mailbox {
                    Some(Mailbox { settings, .. }) => {
                        letter::with_footer(&mail.body, &settings.signature, &settings.postal_address)
                    }
                    None => mail.body,
                };
                (mail.subject, body, EmailStatus::AwaitingApproval, String::new())
            }
            (None, Err(error)) => skipped(error.to_string()),
        };
        let id = EmailId::make(ids);
        let domain = address::domain(&sender.email);
        WrittenEmail {
            message_id: format!("{id}@{domain}"),
            id,
            prospect_id: prospect.id.clone(),
            position,
            template_id: self.template.id.clone(),
            subject,
            body,
            from: from(&sender),
            to: NamedAddress { name: names::person(&fields.contact_name), address: fields.email.clone() },
            unsubscribe: sender.unsubscribe_email,
            status,
            note,
            mailbox_id: mailbox.map(|mailbox| mailbox.id.clone()),
        }
    }
}

/// The From of a letter.
fn from(sender: &Sender) -> NamedAddress {
    let name = if sender.name.is_empty() { &sender.company } else { &sender.name };
    NamedAddress { name: name.clone(), address: sender.email.clone() }
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

    fn in_words(&self, letterhead: &Letterhead<'_>) -> String {
        match self.0.as_slice() {
            [] => from(&letterhead.sender(None)).to_string(),
            [(mailbox, _)] => from(&letterhead.sender(Some(mailbox))).to_string(),
            many => format!("{} mailboxes", many.len()),
        }
    }
}

/// The website's domain; `website.invalid`, which can belong to nobody (RFC 6761), where it has none.
fn mail_domain(website: &WebsiteAnalysis) -> String {
    let url = Url::parse(&website.url).ok();
    match url.as_ref().and_then(Url::host) {
        Some(Host::Domain(name)) if name.contains('.') => name.strip_prefix("www.").unwrap_or(name).to_owned(),
        _ => "website.invalid".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invented_address_is_of_the_websites_domain() {
        let at = |url: &str| mail_domain(&WebsiteAnalysis { url: url.to_owned(), ..Default::default() });
        assert_eq!(at("https://www.fernwick.example/en/"), "fernwick.example");
        assert_eq!(at("http://127.0.0.1:8000/"), "website.invalid");
    }
}

//! Templates: which ones there are, and what a letter from one looks like.

use tonic::Status;
use url::Url;

use super::convert;
use crate::connect::{extras, message_with};
use crate::domain::agent_config::AgentSettings;
use crate::domain::clock::Timestamp;
use crate::domain::email::{Email, NamedAddress};
use crate::domain::error::Error;
use crate::domain::id::{CampaignId, EmailId, Ids, MailboxId, ProspectId, TemplateId};
use crate::domain::letterhead::{self, Letterhead, Unwritable};
use crate::domain::link::{HALF, PublicUrl, Token};
use crate::domain::mailbox::Mailbox;
use crate::domain::prospect::ProspectFields;
use crate::domain::state::Goal;
use crate::domain::template::{self, Template};
use crate::domain::website::WebsiteAnalysis;
use crate::domain::{address, language};
use crate::engine::{Engine, TestRefused};
use crate::pb;
use crate::pb::preview_template_request::From;
use crate::status::{self, internal, not_found};
use crate::store::{Acting, BeginTest, Noun, RequestId, Scoped};
use crate::tenant::{Scope, TenantId};

/// What a preview calls itself where a letter has ids.
const PREVIEW: &str = "preview";

/// The built-in templates and the tenant's own.
pub(super) async fn list(store: &Scoped<'_>, tenant: &TenantId) -> Result<pb::ListTemplatesResponse, Status> {
    let all = template::built_in().iter().cloned().chain(store.own_templates().await?);
    let templates = all.map(|template| convert::template::out(template, tenant)).collect();
    Ok(pb::ListTemplatesResponse { templates, values: convert::template::values() })
}

/// The template, built-in or the tenant's.
pub(super) async fn known(store: &Scoped<'_>, id: &TemplateId) -> Result<Template, Status> {
    store.template(id).await?.ok_or_else(|| not_found(Noun::Template))
}

/// Nobody changes what belongs to everybody.
pub(super) fn refuse_built_in(id: &TemplateId) -> Result<(), Status> {
    match template::find(id) {
        None => Ok(()),
        Some(_) => Err(status::template_built_in()),
    }
}

/// A letter to one prospect, as a campaign would send it, and where from.
struct Sample {
    language: String,
    email: Email,
    mailbox: Option<Mailbox>,
}

/// The letter that would be sent.
pub(super) async fn preview(
    store: &Scoped<'_>,
    engine: &Engine,
    now: Timestamp,
    request: pb::PreviewTemplateRequest,
) -> Result<pb::PreviewTemplateResponse, Status> {
    let Sample { language, email, mailbox } = sample(store, engine, request).await?;
    let extras = extras(mailbox.as_ref(), engine.public_url().map(no_link));
    let message = message_with(&email, now, &extras).map_err(|error| Error::field("", error.to_string()))?;
    let Email { subject, body, .. } = email;
    Ok(pb::PreviewTemplateResponse { language, subject, body, message })
}

/// Sends such a letter to the mailbox's own address. A request that is made again sends nothing.
pub(super) async fn send_test(
    store: &Acting<'_>,
    scope: &Scope,
    engine: &Engine,
    ids: &Ids,
    letter: pb::PreviewTemplateRequest,
    request_id: Option<RequestId>,
) -> Result<pb::SendTestEmailResponse, Status> {
    let mailbox = convert::id("letter.mailbox_id", &letter.mailbox_id, MailboxId::parse)?;
    let mut sample = sample(store, engine, letter).await?;
    sample.email.id = EmailId::make(ids);
    sample.email.message_id = message_id(&sample.email);
    let message_id = sample.email.message_id.clone();
    let begun = store.write(BeginTest { mailbox, message_id: message_id.clone(), request_id }).await?;
    if begun.message_id != message_id {
        // It went out, or may have, when it was asked for first.
        return Ok(pb::SendTestEmailResponse { message_id: begun.message_id, repeated: true, ..Default::default() });
    }
    let (mailbox, secrets) = (begun.mailbox, begun.secrets);
    sample.email.to = NamedAddress { name: String::new(), address: mailbox.settings.address.clone() };
    let link = engine.public_url().map(no_link);
    let sent = engine.send_test(scope, mailbox, secrets, sample.email, link).await;
    let sent = sent.map_err(|refused| match refused {
        TestRefused::OutboxClosed => status::outbox_closed(),
        TestRefused::Unsendable(why) => Error::field("letter", why).into(),
    })?;
    let transcript = sent.transcript.lines.into_iter().map(convert::email::line).collect();
    Ok(pb::SendTestEmailResponse { message_id, sent: sent.is_sent, transcript, repeated: false })
}

async fn sample(store: &Scoped<'_>, engine: &Engine, request: pb::PreviewTemplateRequest) -> Result<Sample, Status> {
    let texts = match request.from {
        Some(From::Template(draft)) => convert::template::draft(draft)?,
        Some(From::TemplateId(id)) => {
            known(store, &convert::id("template_id", &id, TemplateId::parse)?).await?.settings.texts
        }
        None => return Err(Error::field("template_id", "is required, or a template").into()),
    };
    let prospect = match request.prospect_id.as_str() {
        "" => invented(&request.language)?,
        id => {
            let id = convert::id("prospect_id", id, ProspectId::parse)?;
            store.prospect(&id).await?.ok_or_else(|| not_found(Noun::Prospect))?.fields
        }
    };
    let mailbox = mailbox(store, engine, &request.mailbox_id).await?;
    let config = store.agent_config().await?.settings;
    let (website, goal, detail) = subject(store, &config, &request.campaign_id).await?;
    let written = Letterhead::new(&texts, config, website, goal, detail);
    let fault = |error: &_| Status::from(convert::template::fault(&texts, error));
    let letterhead = written.map_err(|error| match error {
        Unwritable::NoCompany => status::sender_missing(),
        Unwritable::Template(error) => fault(&error),
    })?;
    let letter = letterhead.write(&prospect, mailbox.as_ref()).map_err(|error| fault(&error))?;
    let sender = letterhead.sender(mailbox.as_ref());
    let ids = EmailId::parse(PREVIEW).and_then(|email| Ok((email, ProspectId::parse(PREVIEW)?)));
    let (id, prospect_id) = ids.map_err(|error| internal(&error))?;
    let mut email = Email {
        subject: letter.subject,
        body: letter.body,
        from: letterhead::from(&sender),
        to: letterhead::to(&prospect),
        unsubscribe: sender.unsubscribe_email,
        ..Email::blank(id, prospect_id)
    };
    email.message_id = message_id(&email);
    Ok(Sample { language: letter.language, email, mailbox })
}

fn message_id(email: &Email) -> String {
    format!("{}@{}", email.id, address::domain(&email.from.address))
}

/// A link of the right length that does nothing.
fn no_link(base: &PublicUrl) -> Url {
    base.link(&Token { id: [0; HALF], signature: [0; HALF] })
}

/// Somebody of whom everything is known.
fn invented(language: &str) -> Result<ProspectFields, Error> {
    if !language::is_tag(language) {
        return Err(Error::field("language", "must be an IETF language tag such as en or zh-CN"));
    }
    Ok(ProspectFields {
        email: "claire.moreau@greenleaf.example".to_owned(),
        contact_name: "Ms Claire Moreau".to_owned(),
        company: "Greenleaf".to_owned(),
        position: "Head of Operations".to_owned(),
        industry: "Horticulture".to_owned(),
        location: "Nantes".to_owned(),
        language: language.to_owned(),
        ..ProspectFields::default()
    })
}

/// The mailbox of that id, or the oldest one that is enabled.
async fn mailbox(store: &Scoped<'_>, engine: &Engine, id: &str) -> Result<Option<Mailbox>, Status> {
    if id.is_empty() {
        let all = store.mailboxes().await?;
        return Ok(all.into_iter().find(|mailbox| mailbox.may_send(&[], engine.has_outbox())));
    }
    let id = convert::id("mailbox_id", id, MailboxId::parse)?;
    store.mailbox(&id).await?.ok_or_else(|| not_found(Noun::Mailbox)).map(Some)
}

/// What letters are about: as a campaign has it, or as the configuration says.
async fn subject(
    store: &Scoped<'_>,
    config: &AgentSettings,
    campaign: &str,
) -> Result<(WebsiteAnalysis, Goal, String), Status> {
    let stated = || {
        let url = config.target_website.clone();
        WebsiteAnalysis { url, ..Default::default() }.corrected_by(&config.website_analysis)
    };
    if campaign.is_empty() {
        return Ok((stated(), config.goal, config.goal_detail.clone()));
    }
    let id = convert::id("campaign_id", campaign, CampaignId::parse)?;
    let campaign = store.campaign(Some(&id)).await?.ok_or_else(|| not_found(Noun::Campaign))?;
    let found = store.findings(&id).await?.analysis;
    Ok((found.unwrap_or_else(stated), campaign.settings.goal, campaign.settings.goal_detail))
}

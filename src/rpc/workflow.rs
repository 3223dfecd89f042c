//! WorkflowService: campaigns.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::answers::{Answers, made};
use super::pages::Rows;
use super::watch::{self, Limits, Streams};
use super::{actor, caller, convert, recipients, sized, templates};
use crate::domain::agent_config::{AgentSettings, MAX_GOAL_DETAIL};
use crate::domain::campaign::{Action, Campaign, CampaignState, Settings, StepId};
use crate::domain::email::Email;
use crate::domain::error::{Error, Violations};
use crate::domain::id::{CampaignId, MailboxId, TemplateId};
use crate::domain::number::saturating_i32;
use crate::domain::paging::QueryShape;
use crate::domain::text;
use crate::engine::Engine;
use crate::pb;
use crate::pb::workflow_service_server::WorkflowService;
use crate::status::{self, not_found};
use crate::store::{
    Actor, CampaignRef, CancelAll, CreateTemplate, DeleteTemplate, Noun, ResolveEmails, RetryEmails, ReviewEmails,
    Scoped, StartCampaign, Store, Transition,
};
use crate::tenant::TenantId;
use crate::turns::Turns;

const CAMPAIGNS_PAGE: (u32, u32) = (20, 100);
const EMAILS_PAGE: (u32, u32) = (50, 1_000);
const RESULTS_PROSPECTS: u32 = 100;
const LOG_LINES: u32 = 200;
const NO_MAILBOX: &str =
    "no mailbox is enabled: the letters are from an invented address, and stay in the outbox folder";
/// The previews of recipients that are made at once.
const PREVIEWS: usize = 2;

/// WorkflowService.
pub struct Workflow {
    store: Arc<Store>,
    engine: Arc<Engine>,
    /// Cancelled when the server stops: open streams end.
    stop: CancellationToken,
    streams: Streams,
    starts: StartLimits,
    answers: Answers,
    /// Previews of recipients look at every prospect: a few at once, of a tenant one.
    previews: Arc<Turns>,
}

/// How many campaigns a tenant may start.
#[derive(Debug, Clone, Copy)]
pub struct StartLimits {
    /// Within a minute; 0: any number.
    pub per_minute: u32,
    /// So that they are live at once.
    pub live: u32,
}

impl Workflow {
    pub fn new(
        store: Arc<Store>,
        engine: Arc<Engine>,
        stop: CancellationToken,
        streams: Streams,
        starts: StartLimits,
        answers: Answers,
    ) -> Self {
        Self { store, engine, stop, streams, starts, answers, previews: Turns::new(PREVIEWS, 1, true) }
    }

    fn out(&self, tenant: &TenantId, campaign: Campaign) -> pb::Campaign {
        let hold = self.engine.hold(tenant, &campaign.id);
        convert::campaign::out(campaign, hold)
    }

    async fn transition(
        &self,
        actor: &Actor,
        campaign_id: &str,
        action: Action,
        template: Option<TemplateId>,
    ) -> Result<pb::Campaign, Status> {
        let campaign = convert::campaign_ref(campaign_id)?;
        let transition = Transition { campaign, action, template, max_live: self.starts.live };
        let campaign = self.store.by(actor).write(transition).await?;
        self.engine.changed(actor.caller.tenant(), &campaign);
        Ok(self.out(actor.caller.tenant(), campaign))
    }

    /// Whether a mailbox can send, of the named ones if any are.
    async fn has_mailbox(&self, store: &Scoped<'_>, named: &[MailboxId]) -> Result<bool, Status> {
        let all = store.mailboxes().await?;
        if named.iter().any(|id| all.iter().all(|mailbox| mailbox.id != *id)) {
            return Err(not_found(Noun::Mailbox));
        }
        Ok(all.iter().any(|mailbox| mailbox.may_send(named, self.engine.has_outbox())))
    }
}

#[tonic::async_trait]
impl WorkflowService for Workflow {
    async fn start_workflow(
        &self,
        request: Request<pb::StartWorkflowRequest>,
    ) -> Result<Response<pb::StartWorkflowResponse>, Status> {
        let actor = actor(&request)?;
        let mut request = request.into_inner();
        let name = std::mem::take(&mut request.request_id);
        let request_id = convert::request_id("StartWorkflow", &name, &request)?;
        let store = self.store.by(&actor);
        let config = store.agent_config().await?.settings;
        let settings = settings(&store, config, &request).await?;
        let from_mailbox = self.has_mailbox(&store, &settings.mailboxes).await?;
        if !from_mailbox && !self.engine.has_default_outbox() {
            return Err(status::mailbox_missing());
        }
        let id = CampaignId::make(self.store.ids());
        let StartLimits { per_minute: max_per_minute, live: max_live } = self.starts;
        let campaign = store.write(StartCampaign { id, settings, request_id, max_per_minute, max_live }).await?;
        self.engine.wake();
        let mut notes = recipients::notes(&campaign.settings.recipients);
        if !from_mailbox {
            notes.push(NO_MAILBOX.to_owned());
        }
        let campaign = Some(self.out(actor.caller.tenant(), campaign));
        Ok(Response::new(pb::StartWorkflowResponse { campaign, notes }))
    }

    async fn preview_recipients(
        &self,
        request: Request<pb::PreviewRecipientsRequest>,
    ) -> Result<Response<pb::PreviewRecipientsResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let mut v = Violations::default();
        let rules = convert::recipients::rules(request.recipients, &mut v);
        let max = v.part(convert::campaign::max_prospects(request.max_prospects)).unwrap_or(0);
        v.done()?;
        let _turn = self.previews.take(caller.tenant()).await;
        let store = self.store.scope(caller.scope());
        recipients::refuse_unknown(&store, &rules).await?;
        Ok(Response::new(recipients::preview(&store, &rules, max, self.store.ids().now()).await?))
    }

    async fn list_recipients(
        &self,
        request: Request<pb::ListRecipientsRequest>,
    ) -> Result<Response<pb::ListRecipientsResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let store = self.store.scope(caller.scope());
        let shape = QueryShape::new(caller.tenant().as_str(), "recipients", &[&request.campaign_id]);
        let (default, max) = EMAILS_PAGE;
        let page = convert::page_request(request.page_size, &request.page_token, &shape, default, max)?;
        let campaign = read(&store, &request.campaign_id).await?;
        let left_out = store.left_out(&campaign.id).await?;
        let page = store.recipients(&campaign.id, &page).await?;
        Ok(Response::new(pb::ListRecipientsResponse {
            recipients: page.rows.into_iter().map(convert::recipients::out).collect(),
            next_page_token: page.next.map(|cursor| shape.token(&cursor)).unwrap_or_default(),
            left_out: left_out.into_iter().map(convert::recipients::left_out).collect(),
        }))
    }

    async fn get_workflow(
        &self,
        request: Request<pb::GetWorkflowRequest>,
    ) -> Result<Response<pb::GetWorkflowResponse>, Status> {
        let caller = caller(&request)?;
        let store = self.store.scope(caller.scope());
        let campaign = read(&store, &request.get_ref().campaign_id).await?;
        let has_letters = campaign.state.is_live() && campaign.emails.left() > 0;
        let loads = if has_letters { store.loads_of(&campaign.id).await? } else { Vec::new() };
        let due = if loads.is_empty() { None } else { store.due_time(&campaign.id).await? };
        let is_sending = campaign.state == CampaignState::Running && campaign.current_step == StepId::EmailSending;
        let campaign = self.out(caller.tenant(), campaign);
        let now = self.store.ids().now();
        let next = (is_sending && campaign.hold.is_empty()).then(|| due.unwrap_or(now).max(now));
        let sending = (!loads.is_empty()).then(|| convert::campaign::sending_plan(&loads, next, now));
        Ok(Response::new(pb::GetWorkflowResponse { campaign: Some(campaign), sending }))
    }

    async fn list_workflows(
        &self,
        request: Request<pb::ListWorkflowsRequest>,
    ) -> Result<Response<pb::ListWorkflowsResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let states = convert::campaign::states(&request.states)?;
        let shape = QueryShape::new(caller.tenant().as_str(), "campaigns", &[&states.join(",")]);
        let (default, max) = CAMPAIGNS_PAGE;
        let page = convert::page_request(request.page_size, &request.page_token, &shape, default, max)?;
        let page = self.store.scope(caller.scope()).campaigns(&page, &states).await?;
        Ok(Response::new(pb::ListWorkflowsResponse {
            campaigns: page.rows.into_iter().map(|c| self.out(caller.tenant(), c)).collect(),
            next_page_token: page.next.map(|cursor| shape.token(&cursor)).unwrap_or_default(),
        }))
    }

    async fn pause_workflow(
        &self,
        request: Request<pb::PauseWorkflowRequest>,
    ) -> Result<Response<pb::PauseWorkflowResponse>, Status> {
        let actor = actor(&request)?;
        let campaign = self.transition(&actor, &request.get_ref().campaign_id, Action::Pause, None).await?;
        Ok(Response::new(pb::PauseWorkflowResponse { campaign: Some(campaign) }))
    }

    async fn resume_workflow(
        &self,
        request: Request<pb::ResumeWorkflowRequest>,
    ) -> Result<Response<pb::ResumeWorkflowResponse>, Status> {
        let actor = actor(&request)?;
        let campaign = self.transition(&actor, &request.get_ref().campaign_id, Action::Resume, None).await?;
        Ok(Response::new(pb::ResumeWorkflowResponse { campaign: Some(campaign) }))
    }

    async fn cancel_workflow(
        &self,
        request: Request<pb::CancelWorkflowRequest>,
    ) -> Result<Response<pb::CancelWorkflowResponse>, Status> {
        let actor = actor(&request)?;
        let campaign = self.transition(&actor, &request.get_ref().campaign_id, Action::Cancel, None).await?;
        Ok(Response::new(pb::CancelWorkflowResponse { campaign: Some(campaign) }))
    }

    async fn reset_workflow(
        &self,
        request: Request<pb::ResetWorkflowRequest>,
    ) -> Result<Response<pb::ResetWorkflowResponse>, Status> {
        let actor = actor(&request)?;
        let cancelled = self.store.by(&actor).write(CancelAll).await?;
        let mut campaigns = Vec::with_capacity(cancelled.len());
        for campaign in cancelled {
            self.engine.changed(actor.caller.tenant(), &campaign);
            campaigns.push(self.out(actor.caller.tenant(), campaign));
        }
        Ok(Response::new(pb::ResetWorkflowResponse {
            cancelled_campaign: campaigns.first().cloned(),
            cancelled_campaigns: campaigns,
        }))
    }

    async fn get_workflow_results(
        &self,
        request: Request<pb::GetWorkflowResultsRequest>,
    ) -> Result<Response<pb::GetWorkflowResultsResponse>, Status> {
        let caller = caller(&request)?;
        let store = self.store.scope(caller.scope());
        let campaign = read(&store, &request.get_ref().campaign_id).await?;
        let findings = store.findings(&campaign.id).await?;
        let prospects = store.ranked_prospects(&campaign.id, RESULTS_PROSPECTS).await?;
        Ok(Response::new(pb::GetWorkflowResultsResponse {
            campaign: Some(self.out(caller.tenant(), campaign)),
            analysis: findings.analysis.map(convert::campaign::analysis),
            strategy: findings.strategy.map(convert::campaign::strategy),
            prospects: prospects.into_iter().map(convert::recipients::ranked).collect(),
        }))
    }

    async fn get_workflow_step(
        &self,
        request: Request<pb::GetWorkflowStepRequest>,
    ) -> Result<Response<pb::GetWorkflowStepResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let wanted = convert::campaign::step_in(request.step)?;
        let store = self.store.scope(caller.scope());
        let campaign = read(&store, &request.campaign_id).await?;
        let log = store.step_log(&campaign.id, wanted, LOG_LINES).await?;
        let step = campaign.steps.into_iter().find(|step| step.id == wanted).map(convert::campaign::step_out);
        Ok(Response::new(pb::GetWorkflowStepResponse {
            campaign_id: campaign.id.to_string(),
            step,
            log: log.into_iter().map(|(time, text)| pb::LogLine { time: Some(time.into()), text }).collect(),
        }))
    }

    async fn list_templates(
        &self,
        request: Request<pb::ListTemplatesRequest>,
    ) -> Result<Response<pb::ListTemplatesResponse>, Status> {
        let caller = caller(&request)?;
        let store = self.store.scope(caller.scope());
        templates::list(&store, caller.tenant()).await.map(Response::new)
    }

    async fn get_template(
        &self,
        request: Request<pb::GetTemplateRequest>,
    ) -> Result<Response<pb::GetTemplateResponse>, Status> {
        let caller = caller(&request)?;
        let id = convert::id("template_id", &request.get_ref().template_id, TemplateId::parse)?;
        let template = templates::known(&self.store.scope(caller.scope()), &id).await?;
        let template = Some(convert::template::out(template, caller.tenant()));
        Ok(Response::new(pb::GetTemplateResponse { template }))
    }

    async fn create_template(
        &self,
        request: Request<pb::CreateTemplateRequest>,
    ) -> Result<Response<pb::CreateTemplateResponse>, Status> {
        let actor = actor(&request)?;
        let mut request = request.into_inner();
        let name = std::mem::take(&mut request.request_id);
        let request_id = convert::request_id("CreateTemplate", &name, &request)?;
        let template = request.template.ok_or_else(|| Error::field("template", "is required"))?;
        let create = CreateTemplate { settings: convert::template::new(template)?, request_id };
        let template = self.store.by(&actor).write(create).await?;
        let template = Some(convert::template::out(template, actor.caller.tenant()));
        Ok(Response::new(pb::CreateTemplateResponse { template }))
    }

    async fn update_template(
        &self,
        request: Request<pb::UpdateTemplateRequest>,
    ) -> Result<Response<pb::UpdateTemplateResponse>, Status> {
        let actor = actor(&request)?;
        let request = request.into_inner();
        let template = request.template.ok_or_else(|| Error::field("template", "is required"))?;
        let update = convert::template::update(template, &request.update_mask.unwrap_or_default().paths)?;
        templates::refuse_built_in(&update.id)?;
        let template = self.store.by(&actor).write(update).await?;
        let template = Some(convert::template::out(template, actor.caller.tenant()));
        Ok(Response::new(pb::UpdateTemplateResponse { template }))
    }

    async fn delete_template(
        &self,
        request: Request<pb::DeleteTemplateRequest>,
    ) -> Result<Response<pb::DeleteTemplateResponse>, Status> {
        let actor = actor(&request)?;
        let pb::DeleteTemplateRequest { template_id, etag } = request.into_inner();
        let id = convert::id("template_id", &template_id, TemplateId::parse)?;
        templates::refuse_built_in(&id)?;
        self.store.by(&actor).write(DeleteTemplate { id, etag }).await?;
        Ok(Response::new(pb::DeleteTemplateResponse {}))
    }

    async fn preview_template(
        &self,
        request: Request<pb::PreviewTemplateRequest>,
    ) -> Result<Response<pb::PreviewTemplateResponse>, Status> {
        let caller = caller(&request)?;
        let store = self.store.scope(caller.scope());
        templates::preview(&store, &self.engine, self.store.ids().now(), request.into_inner()).await.map(Response::new)
    }

    async fn select_template(
        &self,
        request: Request<pb::SelectTemplateRequest>,
    ) -> Result<Response<pb::SelectTemplateResponse>, Status> {
        let actor = actor(&request)?;
        let request = request.into_inner();
        let template = convert::id("template_id", &request.template_id, TemplateId::parse)?;
        let template = templates::known(&self.store.scope(actor.caller.scope()), &template).await?.id;
        let action = Action::SelectTemplate;
        let campaign = self.transition(&actor, &request.campaign_id, action, Some(template)).await?;
        Ok(Response::new(pb::SelectTemplateResponse { campaign: Some(campaign) }))
    }

    async fn list_workflow_emails(
        &self,
        request: Request<pb::ListWorkflowEmailsRequest>,
    ) -> Result<Response<pb::ListWorkflowEmailsResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let status = convert::email::status_filter(request.status)?;
        let filter = request.status.to_string();
        let store = self.store.scope(caller.scope());
        let shape = QueryShape::new(caller.tenant().as_str(), "campaign_emails", &[&request.campaign_id, &filter]);
        let (default, max) = EMAILS_PAGE;
        let page = convert::page_request(request.page_size, &request.page_token, &shape, default, max)?;
        let campaign = read(&store, &request.campaign_id).await?;
        let (store, id) = (&store, &campaign.id);
        let read = |page| async move { store.campaign_emails(id, &page, status).await };
        let rows = Rows {
            place: |email: &Email| email.position,
            convert: |email| Ok(convert::email::out(email)),
            size: sized,
        };
        let page = self.answers.page(caller.tenant(), page, read, rows).await?;
        Ok(made(
            pb::ListWorkflowEmailsResponse {
                emails: page.rows,
                next_page_token: page.next.map(|cursor| shape.token(&cursor)).unwrap_or_default(),
            },
            page.size,
            page.place,
        ))
    }

    async fn review_emails(
        &self,
        request: Request<pb::ReviewEmailsRequest>,
    ) -> Result<Response<pb::ReviewEmailsResponse>, Status> {
        let actor = actor(&request)?;
        let request = request.into_inner();
        let campaign = convert::campaign_ref(&request.campaign_id)?;
        let others = convert::email::decision("others", request.others)?;
        let reviews = convert::email::reviews(request.reviews)?;
        if reviews.is_empty() && others.is_none() {
            return Err(Error::field("reviews", "must hold a decision, unless others does").into());
        }
        let reviewed = self
            .store
            .by(&actor)
            .write(ReviewEmails { campaign, reviews, others, by: actor.caller.subject().to_owned() })
            .await?;
        self.engine.wake();
        Ok(Response::new(pb::ReviewEmailsResponse {
            campaign: Some(self.out(actor.caller.tenant(), reviewed.campaign)),
            approved_count: saturating_i32(reviewed.approved),
            rejected_count: saturating_i32(reviewed.rejected),
            reconsidered_count: saturating_i32(reviewed.reconsidered),
        }))
    }

    async fn send_test_email(
        &self,
        request: Request<pb::SendTestEmailRequest>,
    ) -> Result<Response<pb::SendTestEmailResponse>, Status> {
        let actor = actor(&request)?;
        let mut request = request.into_inner();
        let name = std::mem::take(&mut request.request_id);
        let request_id = convert::request_id("SendTestEmail", &name, &request)?;
        let letter = request.letter.ok_or_else(|| Error::field("letter", "is required"))?;
        let store = self.store.by(&actor);
        let sent =
            templates::send_test(&store, actor.caller.scope(), &self.engine, self.store.ids(), letter, request_id)
                .await?;
        Ok(Response::new(sent))
    }

    async fn retry_emails(
        &self,
        request: Request<pb::RetryEmailsRequest>,
    ) -> Result<Response<pb::RetryEmailsResponse>, Status> {
        let actor = actor(&request)?;
        let mut request = request.into_inner();
        let name = std::mem::take(&mut request.request_id);
        let request_id = convert::request_id("RetryEmails", &name, &request)?;
        let campaign = CampaignRef::Id(convert::id("campaign_id", &request.campaign_id, CampaignId::parse)?);
        let emails = convert::email::ids("email_ids", "", &request.email_ids)?;
        let retry = RetryEmails { campaign, emails, request_id, max_live: self.starts.live };
        let (campaign, again) = self.store.by(&actor).write(retry).await?;
        self.engine.changed(actor.caller.tenant(), &campaign);
        Ok(Response::new(pb::RetryEmailsResponse {
            campaign: Some(self.out(actor.caller.tenant(), campaign)),
            retried_count: saturating_i32(again.sent_again),
            unwritten_count: saturating_i32(again.unwritten),
        }))
    }

    async fn resolve_emails(
        &self,
        request: Request<pb::ResolveEmailsRequest>,
    ) -> Result<Response<pb::ResolveEmailsResponse>, Status> {
        let actor = actor(&request)?;
        let mut request = request.into_inner();
        let name = std::mem::take(&mut request.request_id);
        let request_id = convert::request_id("ResolveEmails", &name, &request)?;
        let campaign = CampaignRef::Id(convert::id("campaign_id", &request.campaign_id, CampaignId::parse)?);
        let others = convert::email::resolution("others", request.others)?;
        let resolutions = convert::email::resolutions(&request.emails)?;
        if resolutions.is_empty() && others.is_none() {
            return Err(Error::field("emails", "must hold a resolution, unless others does").into());
        }
        let resolve = ResolveEmails { campaign, resolutions, others, request_id, max_live: self.starts.live };
        let (campaign, again) = self.store.by(&actor).write(resolve).await?;
        self.engine.changed(actor.caller.tenant(), &campaign);
        Ok(Response::new(pb::ResolveEmailsResponse {
            campaign: Some(self.out(actor.caller.tenant(), campaign)),
            sent_count: saturating_i32(again.sent),
            sent_again_count: saturating_i32(again.sent_again),
            dropped_count: saturating_i32(again.dropped),
        }))
    }

    type WatchWorkflowStream = watch::Updates;

    async fn watch_workflow(
        &self,
        request: Request<pb::WatchWorkflowRequest>,
    ) -> Result<Response<watch::Updates>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        if request.after_seq.is_some_and(|seq| seq < 0) {
            return Err(Error::field("after_seq", "must not be negative").into());
        }
        let campaign = read(&self.store.scope(caller.scope()), &request.campaign_id).await?;
        let snapshot = request.after_seq.is_none().then(|| self.out(caller.tenant(), campaign.clone()));
        let after = request.after_seq.unwrap_or(campaign.seq);
        let limits = Limits::new(self.stop.clone(), self.streams, caller.expiry(), self.store.ids().now());
        Ok(Response::new(watch::updates(
            self.store.clone(),
            caller.scope().clone(),
            campaign.id,
            snapshot,
            after,
            limits,
        )))
    }
}

/// The campaign that a read names; an empty id means the newest.
async fn read(store: &Scoped<'_>, campaign_id: &str) -> Result<Campaign, Status> {
    let id = convert::campaign_id(campaign_id)?;
    let noun = if id.is_none() { Noun::AnyCampaign } else { Noun::Campaign };
    store.campaign(id.as_ref()).await?.ok_or_else(|| not_found(noun))
}

/// What a campaign starts with: the request, and where that is silent the configuration.
async fn settings(
    store: &Scoped<'_>,
    config: AgentSettings,
    request: &pb::StartWorkflowRequest,
) -> Result<Settings, Status> {
    let mut v = Violations::default();
    let website = if request.website.trim().is_empty() { &config.target_website } else { &request.website };
    if website.is_empty() {
        v.add("website", "is required, since the configuration has no target_website");
    }
    let website = if website.is_empty() { None } else { v.take("website", text::web_url(website)) };
    let goal = v.part(convert::campaign::request_goal(request.goal)).flatten();
    let goal_detail = text::line(&mut v, "goal_detail", &request.goal_detail, MAX_GOAL_DETAIL);
    let max_prospects = v.part(convert::campaign::max_prospects(request.max_prospects));
    let recipients = convert::recipients::rules(request.recipients.clone(), &mut v);
    let mailboxes = request.mailbox_ids.iter().map(|text| convert::id("mailbox_ids", text, MailboxId::parse));
    let mailboxes = v.part(mailboxes.collect::<Result<Vec<_>, _>>());
    v.done()?;
    recipients::refuse_unknown(store, &recipients).await?;
    let template_id = match request.template_id.as_str() {
        "" => config.template_id,
        text => Some(templates::known(store, &convert::id("template_id", text, TemplateId::parse)?).await?.id),
    };
    Ok(Settings {
        website: website.map(String::from).unwrap_or_default(),
        goal: goal.unwrap_or(config.goal),
        goal_detail: if goal_detail.is_empty() { config.goal_detail } else { goal_detail },
        template_id,
        max_prospects: max_prospects.unwrap_or_default(),
        recipients,
        mailboxes: mailboxes.unwrap_or_default(),
    })
}

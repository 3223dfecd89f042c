//! AgentService: the tenant's configuration, its prospects, the e-mails to and from them, and those who are not to be
//! written to.

use std::sync::Arc;
use std::time::Duration;

use tonic::{Request, Response, Status};

use super::answers::{Answers, made};
use super::pages::Rows;
use super::{actor, caller, convert, sized, templates};
use crate::cache::TenantCache;
use crate::domain::address;
use crate::domain::campaign::Goal;
use crate::domain::email::Email;
use crate::domain::error::Error;
use crate::domain::id::{EmailId, ProspectId, StrategyId};
use crate::domain::number::saturating_i32;
use crate::domain::paging::{Page, PageRequest, QueryShape};
use crate::domain::prospect::Prospect;
use crate::files::Files;
use crate::pb;
use crate::pb::agent_service_server::AgentService;
use crate::status::not_found;
use crate::store::{
    AddSuppressions, CreateProspects, DeleteProspect, Noun, RemoveSuppression, Reset, ResetScope, Store,
    UndeleteProspect, UpdateAgentConfig, UpdateProspect,
};

/// The size of a page where none is asked for, and the largest.
const PAGE: (u32, u32) = (50, 1_000);
const STRATEGIES_PAGE: (u32, u32) = (20, 100);

/// AgentService.
pub struct Agent {
    store: Arc<Store>,
    cache: Arc<TenantCache>,
    files: Arc<Files>,
    /// How long a deleted prospect can be brought back.
    keep_deleted: Duration,
    answers: Answers,
}

impl Agent {
    pub fn new(
        store: Arc<Store>,
        cache: Arc<TenantCache>,
        files: Arc<Files>,
        keep_deleted: Duration,
        answers: Answers,
    ) -> Self {
        Self { store, cache, files, keep_deleted, answers }
    }
}

#[tonic::async_trait]
impl AgentService for Agent {
    async fn get_agent_config(
        &self,
        request: Request<pb::GetAgentConfigRequest>,
    ) -> Result<Response<pb::GetAgentConfigResponse>, Status> {
        let caller = caller(&request)?;
        let config = self.store.scope(caller.scope()).agent_config().await?;
        let config = Some(convert::config::out(config, caller.tenant()));
        Ok(Response::new(pb::GetAgentConfigResponse { config }))
    }

    async fn update_agent_config(
        &self,
        request: Request<pb::UpdateAgentConfigRequest>,
    ) -> Result<Response<pb::UpdateAgentConfigResponse>, Status> {
        let actor = actor(&request)?;
        let request = request.into_inner();
        let config = request.config.ok_or_else(|| Error::field("config", "is required"))?;
        let etag = config.etag.clone();
        let update = convert::config::update(config, &request.update_mask.unwrap_or_default().paths)?;
        if let Some(id) = &update.settings.template_id {
            templates::known(&self.store.scope(actor.caller.scope()), id).await?;
        }
        let convert::config::Update { settings, mask } = update;
        let update = UpdateAgentConfig { settings, mask, etag };
        let config = self.store.by(&actor).write(update).await?;
        let config = Some(convert::config::out(config, actor.caller.tenant()));
        Ok(Response::new(pb::UpdateAgentConfigResponse { config }))
    }

    async fn reset_agent(
        &self,
        request: Request<pb::ResetAgentRequest>,
    ) -> Result<Response<pb::ResetAgentResponse>, Status> {
        let actor = actor(&request)?;
        let scope = match convert::enumeration("scope", request.get_ref().scope)? {
            pb::ResetScope::Unspecified => return Err(Error::field("scope", "is required").into()),
            pb::ResetScope::Configuration => ResetScope::Configuration,
            pb::ResetScope::Prospects => ResetScope::Prospects,
            pb::ResetScope::Everything => ResetScope::Everything,
        };
        let store = self.store.by(&actor);
        let mut removed = store.write(Reset { scope }).await?;
        while removed.more {
            removed.add(store.write(Reset { scope }).await?);
        }
        // Both hold copies of what is gone. A cache that is away forgets them by itself.
        self.files.scope(actor.caller.scope()).remove_snapshot().await?;
        if scope == ResetScope::Everything
            && let Err(error) = self.cache.scope(actor.caller.scope()).delete_all().await
        {
            tracing::warn!(%error, "the cache of a tenant was not emptied");
        }
        Ok(Response::new(pb::ResetAgentResponse {
            configuration: removed.configuration,
            prospects: saturating_i32(removed.prospects),
            emails: saturating_i32(removed.emails),
            campaigns: saturating_i32(removed.campaigns),
            marketing_strategies: saturating_i32(removed.strategies),
        }))
    }

    async fn list_prospects(
        &self,
        request: Request<pb::ListProspectsRequest>,
    ) -> Result<Response<pb::ListProspectsResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let filter = convert::prospect::filter(&request)?;
        let view = convert::prospect::view(request.view, pb::ProspectView::Basic)?;
        let shape = QueryShape::new(caller.tenant().as_str(), "prospects", &[&format!("{filter:?}")]);
        let page = convert::page_request(request.page_size, &request.page_token, &shape, PAGE.0, PAGE.1)?;
        let store = self.store.scope(caller.scope());
        if let Some(campaign) = &filter.campaign {
            let campaign = store.campaign(Some(campaign)).await?;
            campaign.ok_or_else(|| not_found(Noun::Campaign))?;
        }
        let (store, filter) = (&store, &filter);
        let read = |page| async move { store.prospects(&page, filter).await };
        let rows = Rows {
            place: |p: &Prospect| p.place(filter.order),
            convert: |p| Ok(convert::prospect::viewed(p, caller.tenant(), view)),
            size: sized,
        };
        let page = self.answers.page(caller.tenant(), page, read, rows).await?;
        Ok(made(
            pb::ListProspectsResponse {
                prospects: page.rows,
                next_page_token: page.next.map(|cursor| shape.token(&cursor)).unwrap_or_default(),
            },
            page.size,
            page.place,
        ))
    }

    async fn count_prospects(
        &self,
        request: Request<pb::CountProspectsRequest>,
    ) -> Result<Response<pb::CountProspectsResponse>, Status> {
        let caller = caller(&request)?;
        let counts = self.store.scope(caller.scope()).prospect_counts().await?;
        Ok(Response::new(convert::prospect::counts(counts)))
    }

    async fn get_prospect(
        &self,
        request: Request<pb::GetProspectRequest>,
    ) -> Result<Response<pb::GetProspectResponse>, Status> {
        let caller = caller(&request)?;
        let id = convert::id("prospect_id", &request.get_ref().prospect_id, ProspectId::parse)?;
        let view = convert::prospect::view(request.get_ref().view, pb::ProspectView::Full)?;
        let prospect = self.store.scope(caller.scope()).prospect(&id).await?;
        let prospect = prospect.ok_or_else(|| not_found(Noun::Prospect))?;
        let prospect = Some(convert::prospect::viewed(prospect, caller.tenant(), view));
        Ok(Response::new(pb::GetProspectResponse { prospect }))
    }

    async fn batch_create_prospects(
        &self,
        request: Request<pb::BatchCreateProspectsRequest>,
    ) -> Result<Response<pb::BatchCreateProspectsResponse>, Status> {
        let actor = actor(&request)?;
        let mut request = request.into_inner();
        let name = std::mem::take(&mut request.request_id);
        let request_id = convert::request_id("BatchCreateProspects", &name, &request)?;
        let rows = convert::prospect::batch(request.prospects)?;
        let create = CreateProspects::new(rows, request_id, self.store.ids());
        let created = self.store.by(&actor).write(create).await?;
        let count = created.iter().filter(|c| !c.duplicate).count();
        Ok(Response::new(pb::BatchCreateProspectsResponse {
            results: created
                .into_iter()
                .map(|c| pb::BatchCreateProspectsResult { prospect_id: c.id.to_string(), duplicate: c.duplicate })
                .collect(),
            created_count: saturating_i32(count),
        }))
    }

    async fn update_prospect(
        &self,
        request: Request<pb::UpdateProspectRequest>,
    ) -> Result<Response<pb::UpdateProspectResponse>, Status> {
        let actor = actor(&request)?;
        let request = request.into_inner();
        let prospect = request.prospect.ok_or_else(|| Error::field("prospect", "is required"))?;
        let id = convert::id("prospect.id", &prospect.id, ProspectId::parse)?;
        let etag = prospect.etag.clone();
        let (fields, mask) = convert::prospect::update(prospect, &request.update_mask.unwrap_or_default().paths)?;
        let store = self.store.by(&actor);
        let seen = store.prospect(&id).await?;
        let prospect = store.write(UpdateProspect { id, fields, mask, etag, seen }).await?;
        let prospect = Some(convert::prospect::out(prospect, actor.caller.tenant()));
        Ok(Response::new(pb::UpdateProspectResponse { prospect }))
    }

    async fn delete_prospect(
        &self,
        request: Request<pb::DeleteProspectRequest>,
    ) -> Result<Response<pb::DeleteProspectResponse>, Status> {
        let actor = actor(&request)?;
        let request = request.into_inner();
        let id = convert::id("prospect_id", &request.prospect_id, ProspectId::parse)?;
        let delete = DeleteProspect { id, etag: request.etag, keep: self.keep_deleted };
        let prospect = self.store.by(&actor).write(delete).await?;
        let prospect = Some(convert::prospect::out(prospect, actor.caller.tenant()));
        Ok(Response::new(pb::DeleteProspectResponse { prospect }))
    }

    async fn undelete_prospect(
        &self,
        request: Request<pb::UndeleteProspectRequest>,
    ) -> Result<Response<pb::UndeleteProspectResponse>, Status> {
        let actor = actor(&request)?;
        let request = request.into_inner();
        let id = convert::id("prospect_id", &request.prospect_id, ProspectId::parse)?;
        let undelete = UndeleteProspect { id, etag: request.etag };
        let prospect = self.store.by(&actor).write(undelete).await?;
        let prospect = Some(convert::prospect::out(prospect, actor.caller.tenant()));
        Ok(Response::new(pb::UndeleteProspectResponse { prospect }))
    }

    async fn list_prospect_emails(
        &self,
        request: Request<pb::ListProspectEmailsRequest>,
    ) -> Result<Response<pb::ListProspectEmailsResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let id = convert::id("prospect_id", &request.prospect_id, ProspectId::parse)?;
        let shape = QueryShape::new(caller.tenant().as_str(), "prospect_emails", &[id.as_str()]);
        let page = convert::page_request(request.page_size, &request.page_token, &shape, PAGE.0, PAGE.1)?;
        let store = self.store.scope(caller.scope());
        store.prospect(&id).await?.ok_or_else(|| not_found(Noun::Prospect))?;
        let (store, id) = (&store, &id);
        let read = |page| async move { store.prospect_emails(id, &page).await };
        let rows = Rows { place: Email::place, convert: |email| Ok(convert::email::out(email)), size: sized };
        let page = self.answers.page(caller.tenant(), page, read, rows).await?;
        Ok(made(
            pb::ListProspectEmailsResponse {
                emails: page.rows,
                next_page_token: page.next.map(|cursor| shape.token(&cursor)).unwrap_or_default(),
            },
            page.size,
            page.place,
        ))
    }

    async fn get_email(&self, request: Request<pb::GetEmailRequest>) -> Result<Response<pb::GetEmailResponse>, Status> {
        let caller = caller(&request)?;
        let id = convert::id("email_id", &request.get_ref().email_id, EmailId::parse)?;
        let store = self.store.scope(caller.scope());
        let email = store.email(&id).await?.ok_or_else(|| not_found(Noun::Email))?;
        let transcript = store.transcript(&id).await?.lines.into_iter().map(convert::email::line).collect();
        let email = Some(pb::Email { transcript, ..convert::email::out(email) });
        Ok(Response::new(pb::GetEmailResponse { email }))
    }

    async fn record_reply(
        &self,
        request: Request<pb::RecordReplyRequest>,
    ) -> Result<Response<pb::RecordReplyResponse>, Status> {
        let actor = actor(&request)?;
        let mut request = request.into_inner();
        let name = std::mem::take(&mut request.request_id);
        let request_id = convert::request_id("RecordReply", &name, &request)?;
        let reply = convert::email::reply(request, request_id, self.store.ids())?;
        let (email, prospect) = self.store.by(&actor).write(reply).await?;
        Ok(Response::new(pb::RecordReplyResponse {
            reply: Some(convert::email::out(email)),
            prospect: Some(convert::prospect::out(prospect, actor.caller.tenant())),
        }))
    }

    async fn list_marketing_strategies(
        &self,
        request: Request<pb::ListMarketingStrategiesRequest>,
    ) -> Result<Response<pb::ListMarketingStrategiesResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let website = convert::campaign::website_filter(&request.website)?;
        let goal = convert::campaign::request_goal(request.goal)?;
        let filters = [website.as_deref().unwrap_or_default(), goal.map_or("", Goal::as_str)];
        let shape = QueryShape::new(caller.tenant().as_str(), "marketing_strategies", &filters);
        let (default, max) = STRATEGIES_PAGE;
        let page = convert::page_request(request.page_size, &request.page_token, &shape, default, max)?;
        let page = self.store.scope(caller.scope()).strategies(&page, website, goal).await?;
        Ok(Response::new(pb::ListMarketingStrategiesResponse {
            marketing_strategies: page.rows.into_iter().map(convert::campaign::marketing_strategy).collect(),
            next_page_token: page.next.map(|cursor| shape.token(&cursor)).unwrap_or_default(),
        }))
    }

    async fn get_marketing_strategy(
        &self,
        request: Request<pb::GetMarketingStrategyRequest>,
    ) -> Result<Response<pb::GetMarketingStrategyResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let store = self.store.scope(caller.scope());
        let found = if request.strategy_id.is_empty() {
            let website = convert::campaign::website_filter(&request.website)?;
            let goal = convert::campaign::request_goal(request.goal)?;
            if website.is_none() && goal.is_none() {
                return Err(Error::field("strategy_id", "is required, unless website or goal is given").into());
            }
            store.strategies(&PageRequest { size: 1, after: None }, website, goal).await?.rows.pop()
        } else {
            store.strategy(&convert::id("strategy_id", &request.strategy_id, StrategyId::parse)?).await?
        };
        let found = found.ok_or_else(|| not_found(Noun::Strategy))?;
        let marketing_strategy = Some(convert::campaign::marketing_strategy(found));
        Ok(Response::new(pb::GetMarketingStrategyResponse { marketing_strategy }))
    }

    async fn list_suppressions(
        &self,
        request: Request<pb::ListSuppressionsRequest>,
    ) -> Result<Response<pb::ListSuppressionsResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let reason = convert::suppression::reason_filter(request.reason)?;
        let filters = [request.reason.to_string(), request.email.clone()];
        let shape = QueryShape::new(caller.tenant().as_str(), "suppressions", &[&filters[0], &filters[1]]);
        let page = convert::page_request(request.page_size, &request.page_token, &shape, PAGE.0, PAGE.1)?;
        let store = self.store.scope(caller.scope());
        let page = if request.email.is_empty() {
            store.suppressions(&page, reason).await?
        } else {
            let email = address::parse(&request.email).map_err(|error| Error::field("email", error.to_string()))?;
            let found = store.suppression(&email).await?.filter(|found| reason.is_none_or(|r| r == found.reason));
            Page { rows: found.into_iter().collect(), next: None }
        };
        Ok(Response::new(pb::ListSuppressionsResponse {
            suppressions: page.rows.into_iter().map(convert::suppression::out).collect(),
            next_page_token: page.next.map(|cursor| shape.token(&cursor)).unwrap_or_default(),
        }))
    }

    async fn add_suppressions(
        &self,
        request: Request<pb::AddSuppressionsRequest>,
    ) -> Result<Response<pb::AddSuppressionsResponse>, Status> {
        let actor = actor(&request)?;
        let mut request = request.into_inner();
        let name = std::mem::take(&mut request.request_id);
        let request_id = convert::request_id("AddSuppressions", &name, &request)?;
        let suppressions = convert::suppression::batch(request.suppressions)?;
        let added = self.store.by(&actor).write(AddSuppressions { suppressions, request_id }).await?;
        Ok(Response::new(pb::AddSuppressionsResponse { added_count: saturating_i32(added) }))
    }

    async fn remove_suppression(
        &self,
        request: Request<pb::RemoveSuppressionRequest>,
    ) -> Result<Response<pb::RemoveSuppressionResponse>, Status> {
        let actor = actor(&request)?;
        let email =
            address::parse(&request.get_ref().email).map_err(|error| Error::field("email", error.to_string()))?;
        self.store.by(&actor).write(RemoveSuppression { email }).await?;
        Ok(Response::new(pb::RemoveSuppressionResponse {}))
    }
}

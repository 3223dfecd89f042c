//! AgentService: the tenant's configuration, its prospects, and the e-mails written to them.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::{caller, convert};
use crate::domain::agent_config::AgentSettings;
use crate::domain::error::Error;
use crate::domain::id::{EmailId, ProspectId};
use crate::domain::paging::QueryShape;
use crate::domain::template;
use crate::pb;
use crate::pb::agent_service_server::AgentService;
use crate::status::not_found;
use crate::store::{CreateProspects, Noun, Store, UpdateAgentConfig, UpdateProspect};

/// The size of a page where none is asked for, and the largest.
const PAGE: (u32, u32) = (50, 1_000);

/// AgentService.
pub struct Agent {
    store: Arc<Store>,
}

impl Agent {
    pub fn new(store: Arc<Store>) -> Self {
        Self { store }
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
        let caller = caller(&request)?;
        let request = request.into_inner();
        let config = request.config.ok_or_else(|| Error::field("config", "is required"))?;
        let etag = config.etag.clone();
        let (settings, mask) = convert::config::update(config, &request.update_mask.unwrap_or_default().paths)?;
        known_template(&settings)?;
        let update = UpdateAgentConfig { settings, mask, etag };
        let config = self.store.scope(caller.scope()).write(update).await?;
        let config = Some(convert::config::out(config, caller.tenant()));
        Ok(Response::new(pb::UpdateAgentConfigResponse { config }))
    }

    async fn list_prospects(
        &self,
        request: Request<pb::ListProspectsRequest>,
    ) -> Result<Response<pb::ListProspectsResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let status = convert::prospect::status_filter(request.status)?;
        let filter = request.status.to_string();
        let shape = QueryShape::new(caller.tenant().as_str(), "prospects", &[&filter]);
        let page = convert::page_request(request.page_size, &request.page_token, &shape, PAGE.0, PAGE.1)?;
        let page = self.store.scope(caller.scope()).prospects(&page, status).await?;
        Ok(Response::new(pb::ListProspectsResponse {
            prospects: page.rows.into_iter().map(|p| convert::prospect::out(p, caller.tenant())).collect(),
            next_page_token: page.next.map(|cursor| shape.token(&cursor)).unwrap_or_default(),
        }))
    }

    async fn get_prospect(
        &self,
        request: Request<pb::GetProspectRequest>,
    ) -> Result<Response<pb::GetProspectResponse>, Status> {
        let caller = caller(&request)?;
        let id = convert::id("prospect_id", &request.get_ref().prospect_id, ProspectId::parse)?;
        let prospect = self.store.scope(caller.scope()).prospect(&id).await?;
        let prospect = prospect.ok_or_else(|| not_found(Noun::Prospect))?;
        let prospect = Some(convert::prospect::out(prospect, caller.tenant()));
        Ok(Response::new(pb::GetProspectResponse { prospect }))
    }

    async fn batch_create_prospects(
        &self,
        request: Request<pb::BatchCreateProspectsRequest>,
    ) -> Result<Response<pb::BatchCreateProspectsResponse>, Status> {
        let caller = caller(&request)?;
        let mut request = request.into_inner();
        let name = std::mem::take(&mut request.request_id);
        let request_id = convert::request_id("BatchCreateProspects", &name, &request)?;
        let rows = convert::prospect::batch(request.prospects)?;
        let create = CreateProspects::new(rows, request_id, self.store.ids());
        let created = self.store.scope(caller.scope()).write(create).await?;
        let count = created.iter().filter(|c| !c.duplicate).count();
        Ok(Response::new(pb::BatchCreateProspectsResponse {
            results: created
                .into_iter()
                .map(|c| pb::BatchCreateProspectsResult { prospect_id: c.id.to_string(), duplicate: c.duplicate })
                .collect(),
            created_count: i32::try_from(count).unwrap_or(i32::MAX),
        }))
    }

    async fn update_prospect(
        &self,
        request: Request<pb::UpdateProspectRequest>,
    ) -> Result<Response<pb::UpdateProspectResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let prospect = request.prospect.ok_or_else(|| Error::field("prospect", "is required"))?;
        let id = convert::id("prospect.id", &prospect.id, ProspectId::parse)?;
        let etag = prospect.etag.clone();
        let (fields, mask) = convert::prospect::update(prospect, &request.update_mask.unwrap_or_default().paths)?;
        let update = UpdateProspect { id, fields, mask, etag };
        let prospect = self.store.scope(caller.scope()).write(update).await?;
        let prospect = Some(convert::prospect::out(prospect, caller.tenant()));
        Ok(Response::new(pb::UpdateProspectResponse { prospect }))
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
        let page = store.prospect_emails(&id, &page).await?;
        Ok(Response::new(pb::ListProspectEmailsResponse {
            emails: page.rows.into_iter().map(convert::email::out).collect(),
            next_page_token: page.next.map(|cursor| shape.token(&cursor)).unwrap_or_default(),
        }))
    }

    async fn get_email(&self, request: Request<pb::GetEmailRequest>) -> Result<Response<pb::GetEmailResponse>, Status> {
        let caller = caller(&request)?;
        let id = convert::id("email_id", &request.get_ref().email_id, EmailId::parse)?;
        let email = self.store.scope(caller.scope()).email(&id).await?;
        let email = Some(convert::email::out(email.ok_or_else(|| not_found(Noun::Email))?));
        Ok(Response::new(pb::GetEmailResponse { email }))
    }
}

/// The template of a configuration must be one that there is.
fn known_template(settings: &AgentSettings) -> Result<(), Status> {
    match &settings.template_id {
        Some(id) if template::find(id).is_none() => Err(not_found(Noun::Template)),
        _ => Ok(()),
    }
}

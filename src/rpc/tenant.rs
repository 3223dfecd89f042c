//! TenantService: who is calling, copies of what the tenant has, and who has changed it.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::answers::{Answers, made};
use super::pages::Rows;
use super::snapshot::write_snapshot;
use super::{caller, convert, sized};
use crate::domain::number::saturating_i64;
use crate::domain::paging::QueryShape;
use crate::files::{Files, Snapshot};
use crate::pb;
use crate::pb::tenant_service_server::TenantService;
use crate::store::{AuditEvent, Store};

const AUDIT_PAGE: (u32, u32) = (50, 1_000);

/// TenantService.
pub struct Tenant {
    store: Arc<Store>,
    files: Arc<Files>,
    answers: Answers,
}

impl Tenant {
    pub fn new(store: Arc<Store>, files: Arc<Files>, answers: Answers) -> Self {
        Self { store, files, answers }
    }
}

#[tonic::async_trait]
impl TenantService for Tenant {
    async fn get_caller(
        &self,
        request: Request<pb::GetCallerRequest>,
    ) -> Result<Response<pb::GetCallerResponse>, Status> {
        let caller = caller(&request)?;
        let caller = pb::Caller {
            tenant_id: caller.tenant().to_string(),
            subject: caller.subject().to_owned(),
            role: convert::audit::role(caller.role()).into(),
            proof: convert::audit::proof(caller.proof()).into(),
        };
        Ok(Response::new(pb::GetCallerResponse { caller: Some(caller) }))
    }

    async fn write_snapshot(
        &self,
        request: Request<pb::WriteSnapshotRequest>,
    ) -> Result<Response<pb::WriteSnapshotResponse>, Status> {
        let caller = caller(&request)?;
        let written = write_snapshot(&self.store, &self.files, caller.scope()).await?;
        let file = |(file, size): (Snapshot, u64)| pb::SnapshotFile {
            name: file.name().to_owned(),
            size_bytes: saturating_i64(size),
        };
        Ok(Response::new(pb::WriteSnapshotResponse { files: written.into_iter().map(file).collect() }))
    }

    async fn list_audit_events(
        &self,
        request: Request<pb::ListAuditEventsRequest>,
    ) -> Result<Response<pb::ListAuditEventsResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let filter = convert::audit::filter(&request)?;
        let shape = QueryShape::new(caller.tenant().as_str(), "audit_events", &[&format!("{filter:?}")]);
        let (default, max) = AUDIT_PAGE;
        let page = convert::page_request(request.page_size, &request.page_token, &shape, default, max)?;
        let (store, filter) = (&self.store.scope(caller.scope()), &filter);
        let read = |page| async move { store.audit_events(&page, filter).await };
        let rows = Rows {
            place: |event: &AuditEvent| event.seq,
            convert: |event| Ok(convert::audit::out(event)),
            size: sized,
        };
        let page = self.answers.page(caller.tenant(), page, read, rows).await?;
        Ok(made(
            pb::ListAuditEventsResponse {
                events: page.rows,
                next_page_token: page.next.map(|cursor| shape.token(&cursor)).unwrap_or_default(),
            },
            page.size,
            page.place,
        ))
    }
}

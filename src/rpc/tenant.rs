//! TenantService: who is calling, and copies of what the tenant has.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::caller;
use super::snapshot::write_snapshot;
use crate::domain::number::saturating_i64;
use crate::files::{Files, Snapshot};
use crate::pb;
use crate::pb::tenant_service_server::TenantService;
use crate::store::Store;
use crate::tenant::{Proof, Role};

/// TenantService.
pub struct Tenant {
    store: Arc<Store>,
    files: Arc<Files>,
}

impl Tenant {
    pub fn new(store: Arc<Store>, files: Arc<Files>) -> Self {
        Self { store, files }
    }
}

#[tonic::async_trait]
impl TenantService for Tenant {
    async fn get_caller(
        &self,
        request: Request<pb::GetCallerRequest>,
    ) -> Result<Response<pb::GetCallerResponse>, Status> {
        let caller = caller(&request)?;
        let role = match caller.role() {
            Role::Viewer => pb::Role::Viewer,
            Role::Editor => pb::Role::Editor,
            Role::Admin => pb::Role::Admin,
        };
        let proof = match caller.proof() {
            Proof::Token => pb::Proof::Token,
            Proof::TrustedHeader => pb::Proof::TrustedHeader,
            Proof::DevHeader => pb::Proof::DevHeader,
            Proof::DevAnonymous => pb::Proof::DevAnonymous,
        };
        let caller = pb::Caller {
            tenant_id: caller.tenant().to_string(),
            subject: caller.subject().to_owned(),
            role: role.into(),
            proof: proof.into(),
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
}

//! TenantService: who is calling.

use tonic::{Request, Response, Status};

use super::caller;
use crate::pb;
use crate::pb::tenant_service_server::TenantService;
use crate::tenant::{Proof, Role};

/// TenantService.
pub struct Tenant;

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
}
